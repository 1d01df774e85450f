"""Open the agent a selection names."""

from __future__ import annotations

from pathlib import Path

from bots.agent import Agent
from bots.cli.selection import Selection, keys, password, require_account
from bots.opening import open_agent


async def opened(selection: Selection, *, record: str | None, with_engine: bool = True) -> Agent:
    """The agent, not yet running. Raises ClawbotError."""
    require_account(selection)
    user = selection.config.matrix.user
    return await open_agent(
        selection.config,
        selection.paths.state,
        keys(selection),
        lambda: password(user),
        record=Path(record) if record else None,
        with_engine=with_engine,
    )
