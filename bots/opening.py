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
    make_private(state)
    open_transport = (_hub if config.http.hub else _matrix)(config, state, password)
    engine = await _engine(config.engine) if with_engine else None
    store = Store.open(state / "store.sqlite")

    try:
        recorder = Recorder(record) if record is not None else None
        agent = Agent(config, identity, store, engine, lambda agent: open_transport(agent, store), recorder=recorder)
        if config.audit.enabled:
            agent.attend(open_audit(config, state, lambda: agent.identity, agent.clock, agent.notify))
        return agent
    except BaseException:
        store.close()
        raise


OpenTransport = Callable[[Agent, Store], Transport]


def _matrix(config: Config, state: Path, password: Callable[[], str]) -> OpenTransport:
    from bots.transports.matrix.config import MatrixConfig
    from bots.transports.matrix.transport import MatrixTransport

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
    return lambda agent, store: MatrixTransport(
        settings,
        state,
        password,
        store,
        agent.now_ms,
        on_joined=agent.departures.entered,
        on_online=lambda online: agent.outbox.nudge() if online else None,
        on_refused=agent.shut_out,
        on_left=agent.departures.left,
        on_answer=agent.clock_watch.answered,
    )


def _hub(config: Config, _state: Path, _password: Callable[[], str]) -> OpenTransport:
    from bots.transports.http.config import HttpConfig
    from bots.transports.http.names import base
    from bots.transports.http.transport import HttpTransport

    settings = HttpConfig(hub=base(config.http.hub), rooms=config.http.rooms)
    settings.check()
    return lambda agent, store: HttpTransport(
        settings,
        lambda: agent.identity,
        store,
        agent.now_ms,
        on_joined=agent.departures.entered,
        on_online=lambda online: agent.outbox.nudge() if online else None,
        on_answer=agent.clock_watch.answered,
        on_missing=lambda: announce_anew(agent),
    )


def announce_anew(agent: Agent) -> None:
    """Say who we are once more: the hub has lost it."""
    if agent.identity.revocation is None:
        agent.presence.renew()


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
