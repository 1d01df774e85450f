"""Put an agent together: its store, its engine, its transports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    openers = [opener for wanted, opener in _TRANSPORTS if wanted(config)] or [_matrix]
    ways = [opener(config, state, password) for opener in openers]
    engine = await _engine(config.engine) if with_engine else None
    store = Store.open(state / "store.sqlite")

    try:
        recorder = Recorder(record) if record is not None else None
        agent = Agent(
            config, identity, store, engine, lambda agent: [way(agent, store) for way in ways], recorder=recorder
        )
        if config.audit.enabled:
            agent.attend(open_audit(config, state, lambda: agent.identity, agent.clock, agent.notify))
        return agent
    except BaseException:
        store.close()
        raise


OpenTransport = Callable[[Agent, Store], Transport]
Opener = Callable[[Config, Path, Callable[[], str]], OpenTransport]


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
        on_online=lambda online: agent.outbox.nudge("matrix") if online else None,
        on_refused=agent.shut_out,
        on_left=agent.departures.left,
        on_stayed=agent.departures.stayed,
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
        on_online=lambda online: agent.outbox.nudge("http") if online else None,
        on_answer=agent.clock_watch.answered,
        on_missing=lambda: announce_anew(agent),
    )


def _actor(config: Config, state: Path, _password: Callable[[], str]) -> OpenTransport:
    from bots.transports.activitypub.config import from_section
    from bots.transports.activitypub.transport import ActivityPubTransport

    settings = from_section(config)
    return lambda agent, store: ActivityPubTransport(
        settings,
        state,
        lambda: agent.identity,
        store,
        agent.now_ms,
        on_joined=agent.departures.entered,
        on_online=lambda online: agent.outbox.nudge("activitypub") if online else None,
    )


def _lan(config: Config, state: Path, _password: Callable[[], str]) -> OpenTransport:
    from bots.node.node import Node
    from bots.transports.lan.config import LanConfig
    from bots.transports.lan.interfaces import interfaces
    from bots.transports.lan.transport import LanTransport

    lan = config.lan
    settings = LanConfig(rooms=lan.rooms, port=lan.port, interfaces=lan.interfaces)
    settings.check()
    return lambda agent, store: LanTransport(
        settings,
        lambda: agent.identity,
        store,
        agent.now_ms,
        Node(state / "lan.sqlite", lambda: agent.identity, settings.port, agent.now_ms),
        lambda: interfaces(settings.interfaces),
        on_joined=agent.departures.entered,
        on_online=lambda online: agent.outbox.nudge("lan") if online else None,
    )


# One line a transport: whether the configuration names it, and how it is opened. The first is preferred.
_TRANSPORTS: Sequence[tuple[Callable[[Config], bool], Opener]] = (
    (lambda config: bool(config.matrix.homeserver), _matrix),
    (lambda config: bool(config.http.hub), _hub),
    (lambda config: bool(config.activitypub.host), _actor),
    (lambda config: config.lan.enabled, _lan),
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
