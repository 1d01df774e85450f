"""Open the agent a selection names."""

from __future__ import annotations

from pathlib import Path

from bots.agent import Agent, open_agent
from bots.cli.selection import Selection, keys, password, require_account
from bots.engines.discover import EngineOptions, find_engine
from bots.recorder import Recorder


async def opened(selection: Selection, *, record: str | None, with_engine: bool = True) -> Agent:
    """The agent, not yet running. Raises ClawbotError."""
    require_account(selection)
    identity = keys(selection)
    settings = selection.config.engine
    engine = None
    if with_engine:
        engine = await find_engine(
            settings.use,
            EngineOptions(
                slots=settings.slots,
                context_tokens=settings.context_tokens,
                ollama_host=settings.ollama_host or None,
                model_path=Path(settings.model_path).expanduser() if settings.model_path else None,
                threads=settings.threads or None,
            ),
        )
    user = selection.config.matrix.user
    return open_agent(
        selection.config,
        selection.paths.state,
        identity,
        engine,
        lambda: password(user),
        recorder=Recorder(Path(record)) if record else None,
    )
