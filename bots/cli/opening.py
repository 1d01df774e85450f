"""Open the agent a selection names."""

from __future__ import annotations

from pathlib import Path

from bots.agent import Agent
from bots.cli.selection import Selection, keys, password, require_account
from bots.identity import require_sound
from bots.opening import open_agent


async def opened(selection: Selection, *, record: str | None, with_engine: bool = True, revoked: bool = False) -> Agent:
    """The agent, not yet running; a revoked one only if ``revoked`` says so. Raises ClawbotError."""
    require_account(selection)
    own = keys(selection)
    if not revoked:
        require_sound(own, selection.name)
    user = selection.config.matrix.user
    return await open_agent(
        selection.config,
        selection.paths.state,
        own,
        lambda: password(user),
        record=Path(record) if record else None,
        with_engine=with_engine,
    )
