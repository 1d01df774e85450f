"""Put a bridge together: its store, and the transports that its configuration names."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from bots.backoff import delay_s
from bots.bridge.bridge import HOLD_MS, SPREAD_MS, Bridge, encrypted
from bots.bridge.ledger import Ledger
from bots.bridge.presence import Presence
from bots.bridge.side import Side
from bots.clock import SYSTEM, Clock
from bots.config import Config
from bots.database import Database, Schema
from bots.errors import ConfigError, RetryLater
from bots.identity import Identity
from bots.outbox import Outbox
from bots.paths import make_private
from bots.store import Store
from bots.store.schema import SCHEMA as STORE_SCHEMA
from bots.transports import Transport

log = logging.getLogger(__name__)

T = TypeVar("T")

HISTORY: Final = 20_000  # events that are folded anew at a start
_SCHEMA: Final = Schema(0x436C4272, STORE_SCHEMA.migrations)  # "ClBr"
_BACKOFF_S: Final = (1.0, 60.0)


class Opening(msgspec.Struct, frozen=True):
    """What transports are opened with."""

    config: Config
    state: Path  # the bridge's folder
    own: Identity
    password: Callable[[], str]
    store: Store
    clock: Clock
    bridge: Bridge


class Opened(msgspec.Struct, frozen=True):
    """A transport, what people elsewhere call the place that it carries the room to, and the room's URI there."""

    transport: Transport
    place: str
    room: str


async def open_bridge(
    config: Config, state: Path, own: Identity, password: Callable[[], str], clock: Clock = SYSTEM
) -> tuple[Bridge, Database]:
    """A bridge with its files in ``state``, in its room but not yet running; and its file, to be closed at the end.

    ``password`` is asked only when a login is due. Waits until the homeserver answers, if there is one. Raises
    ConfigError, StoreError, Refused or Fatal.
    """
    home, *others = _openers(config)
    make_private(state)
    database = Database(state / "bridge.sqlite", _SCHEMA)
    opened: list[Opened] = []
    try:
        store = Store(database, HISTORY)
        bridge = Bridge(own.did, store, Ledger(database, HOLD_MS + SPREAD_MS), clock)
        opening = Opening(config, state, own, password, store, clock, bridge)
        opened.append(await home(opening, ""))
        room = opened[0].room
        for opener in others:
            opened.append(await opener(opening, room))
        sides = [_side(opening, one) for one in opened]
        addresses, places = [side.address for side in sides], [side.place for side in sides]
        presence = Presence(own, config.agent.name, room, addresses, places, store, clock)
        bridge.enter(room, sides, presence, config.trust.bridges)
        return bridge, database
    except BaseException:
        await asyncio.gather(*(one.transport.close() for one in opened), return_exceptions=True)
        database.close()
        raise


def home_of(config: Config) -> str:
    """The section of the configuration that says which room it is."""
    return next((section for section, wanted, _ in _SIDES if wanted(config)), "matrix")


def _openers(config: Config) -> Sequence[Opener]:
    """How the sides are opened, the room's home first. Raises ConfigError."""
    openers = [opener for _, wanted, opener in _SIDES if wanted(config)]
    home = getattr(config, home_of(config))
    if len(openers) < 2 or len(home.rooms) != 1 or (config.matrix.homeserver and not config.matrix.user):
        raise ConfigError(
            "bridge.incomplete",
            "A bridge carries one room between two transports at least.",
            "Give --homeserver, --user, --room and --hub, for example, or set them in its configuration.",
        )
    return openers


def _side(opening: Opening, opened: Opened) -> Side:
    transport = opened.transport
    outbox = Outbox(opening.store, transport, opening.clock, refused=opening.bridge.refused(transport.name))
    return Side(transport, outbox, opened.room, opened.place)


async def _answered(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until there is an answer. Raises Refused, Fatal."""
    tries = 0
    while True:
        try:
            return await attempt()
        except RetryLater as error:
            log.warning("%s Trying again until it answers.", error.message)
            await asyncio.sleep(error.after_s or delay_s(tries, _BACKOFF_S, random.random))
            tries += 1


# Opens a side for the room with this URI, "" for the one that it is the home of.
Opener = Callable[[Opening, str], Awaitable[Opened]]


async def _matrix(opening: Opening, _room: str) -> Opened:
    from bots.transports.matrix.config import MatrixConfig
    from bots.transports.matrix.transport import MatrixTransport

    matrix, bridge = opening.config.matrix, opening.bridge
    settings = MatrixConfig(
        homeserver=matrix.homeserver,
        user=matrix.user,
        device_name=matrix.device_name,
        display_name=opening.config.agent.name,
        rooms=matrix.rooms,
        owner=matrix.owner,
        invites=matrix.invites_from,
    )
    settings.check()
    transport = MatrixTransport(
        settings,
        opening.state,
        opening.password,
        opening.store,
        opening.clock.now_ms,
        on_online=lambda online: bridge.went("matrix", online),
        on_left=bridge.left,
    )
    try:
        await _answered(transport.connect)
        room = await _answered(lambda: transport.join(matrix.rooms[0]))
        if room.encrypted:
            raise encrypted(room.name)
    except BaseException:
        await transport.close()
        raise
    return Opened(transport, room.name, room.uri)


async def _lan(opening: Opening, room: str) -> Opened:
    from bots.node.node import Node
    from bots.transports.lan.config import LanConfig
    from bots.transports.lan.interfaces import interfaces
    from bots.transports.lan.transport import LanTransport

    lan, bridge, now_ms = opening.config.lan, opening.bridge, opening.clock.now_ms
    settings = LanConfig(rooms=(room or lan.rooms[0],), port=lan.port, interfaces=lan.interfaces)
    settings.check()
    transport = LanTransport(
        settings,
        lambda: opening.own,
        opening.store,
        now_ms,
        Node(opening.state / "lan.sqlite", lambda: opening.own, settings.port, now_ms),
        lambda: interfaces(settings.interfaces),
        on_online=lambda online: bridge.went("lan", online),
    )
    return Opened(transport, "the local network", settings.room(settings.rooms[0]))


async def _hub(opening: Opening, room: str) -> Opened:
    from bots.transports.http.config import HttpConfig
    from bots.transports.http.names import base
    from bots.transports.http.transport import HttpTransport

    http, bridge = opening.config.http, opening.bridge
    settings = HttpConfig(hub=base(http.hub), rooms=(room or http.rooms[0],), relays=True)
    settings.check()
    transport = HttpTransport(
        settings,
        lambda: opening.own,
        opening.store,
        opening.clock.now_ms,
        on_online=lambda online: bridge.went("http", online),
        on_missing=bridge.missing,
    )
    return Opened(transport, urlsplit(settings.hub).netloc, settings.room(settings.rooms[0]))


async def _actor(opening: Opening, room: str) -> Opened:
    from bots.transports.activitypub.config import from_section
    from bots.transports.activitypub.transport import ActivityPubTransport

    bridge = opening.bridge
    settings = msgspec.structs.replace(from_section(opening.config), rooms=(room,))
    settings.check()
    transport = ActivityPubTransport(
        settings,
        opening.state,
        lambda: opening.own,
        opening.store,
        opening.clock.now_ms,
        on_online=lambda online: bridge.went("activitypub", online),
    )
    return Opened(transport, transport.names.handle, room)


# One line a transport: its section, whether the configuration fills it, and how it is opened. The first is the home.
_SIDES: Sequence[tuple[str, Callable[[Config], bool], Opener]] = (
    ("matrix", lambda config: bool(config.matrix.homeserver), _matrix),
    ("lan", lambda config: config.lan.enabled, _lan),
    ("http", lambda config: bool(config.http.hub), _hub),
    ("activitypub", lambda config: bool(config.activitypub.host), _actor),
)
