"""Put an agent together: its store, its engine, its transport."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bots.agent import Agent
from bots.audit.opening import open_audit
from bots.config import Config, EngineSection
from bots.engines import Engine
from bots.engines.discover import EngineOptions, find_engine
from bots.identity import Identity
from bots.paths import make_private
from bots.recorder import Recorder
from bots.store import Store
from bots.transports import Transport


async def open_agent(
    config: Config,
    state: Path,
    identity: Identity,
    password: Callable[[], str],
    *,
    record: Path | None = None,
    with_engine: bool = True,
) -> Agent:
    """An agent with its files in ``state``, not yet running; whoever opens it closes its store.

    ``password`` is asked only when a login is due; ``record`` is a transcript to write.
    Raises ConfigError, StoreError or EngineError.
    """
    from bots.transports.matrix.config import MatrixConfig
    from bots.transports.matrix.transport import MatrixTransport

    make_private(state)
    matrix = config.matrix
    settings = MatrixConfig(
        homeserver=matrix.homeserver,
        user=matrix.user,
        device_name=matrix.device_name,
        # A person's own account keeps the name its owner gave it.
        display_name="" if config.agent.kind == "human" else config.agent.name,
        rooms=matrix.rooms,
        owner=matrix.owner,
        invites=matrix.invites_from,
    )
    settings.check()
    engine = await _engine(config.engine) if with_engine else None
    store = Store.open(state / "store.sqlite")

    def open_transport(agent: Agent) -> Transport:
        return MatrixTransport(
            settings,
            state,
            password,
            store,
            agent.now_ms,
            on_joined=lambda room: agent.wake(),
            on_online=lambda online: agent.outbox.nudge() if online else None,
            on_refused=agent.shut_out,
        )

    try:
        recorder = Recorder(record) if record is not None else None
        agent = Agent(config, identity, store, engine, open_transport, recorder=recorder)
        if config.audit.enabled:
            agent.attend(open_audit(config, state, lambda: agent.identity, agent.now_ms, agent.notify))
        return agent
    except BaseException:
        store.close()
        raise


async def _engine(settings: EngineSection) -> Engine | None:
    return await find_engine(
        settings.use,
        EngineOptions(
            slots=settings.slots,
            context_tokens=settings.context_tokens,
            ollama_host=settings.ollama_host or None,
            model_path=Path(settings.model_path).expanduser() if settings.model_path else None,
            threads=settings.threads or None,
        ),
    )
