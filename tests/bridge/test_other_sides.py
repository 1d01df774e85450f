"""A room whose home is the local network, or a hub, and that is carried from there."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from bots import identity as identities
from bots.bridge.bridge import Bridge
from bots.bridge.opening import open_bridge
from bots.config import ActivityPubSection, AgentSection, Config, HttpSection, LanSection, MatrixSection
from bots.errors import ConfigError
from bots.identity import Identity
from bots.node.node import Node
from bots.transports import Parcel, Transport
from bots.transports.activitypub.config import ActivityPubConfig
from bots.transports.activitypub.transport import ActivityPubTransport, Pace
from bots.transports.http.config import HttpConfig
from bots.transports.http.transport import HttpTransport
from bots.transports.lan.config import LanConfig
from bots.transports.lan.interfaces import interfaces
from bots.transports.lan.transport import LanTransport
from clawnet_proto.families.presence import Address
from tests.agent.virtual_time import until
from tests.bridge.conftest import new_hub
from tests.bridge.crossing import PATIENCE_S, now_ms
from tests.hub.conftest import Running
from tests.proto.authoring import Author
from tests.proto.samples import announce, request
from tests.transports.actor_keys import lay_keys
from tests.transports.relay import Relay
from tests.transports.resident import Resident

PACE = Pace(backoff_s=(0.02, 0.1), find_s=(0.02, 0.1), check_s=(0.02, 0.1), checked_s=0.1)


class Someone(NamedTuple):
    """A resident of one side, who says things in the room."""

    resident: Resident
    author: Author
    room: str

    async def announce(self) -> object:
        return await self.say(announce(self.author, addresses=(Address(uri=self.resident.address),)))

    async def say(self, body: object) -> object:
        """Post a body now, and return the carrier."""
        carrier = self.author.carrier(body, room=self.room, sent_ms=now_ms()).decode()  # type: ignore[arg-type]
        parcel = Parcel(txn=secrets.token_hex(8), plane="room", room=self.room, carriers=(carrier,), body="words")
        await self.resident.transport.send(parcel)
        return json.loads(carrier)

    async def hears(self, carrier: object, sender: str) -> None:
        """Once a carrier has come from this address, and from no other but its author's."""

        def senders() -> set[str]:
            return {
                delivery.sender
                for delivery in self.resident.received
                if carrier in self.resident.transport.carriers(delivery)
            }

        await self.resident.until(senders)
        assert senders() == {sender}


class Scene:
    """Somebody on each of two sides, and a bridge between them."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder

    async def someone(self, name: str, room: str, open_: Callable[[Resident, Identity], Transport]) -> Someone:
        own = identities.create(self._folder / name / "keys")
        resident = Resident(self._folder / name, lambda other: open_(other, own))
        self._stack.push_async_callback(resident.stop)
        await resident.start()
        author = Author(name)
        author.key, author.did = own.key, own.did
        return Someone(resident, author, room)

    async def at_hub(self, name: str, hub: Running, room: str) -> Someone:
        settings = HttpConfig(hub=hub.base, rooms=(room,))
        return await self.someone(
            name,
            settings.room(room),
            lambda other, own: HttpTransport(
                settings, lambda: own, other, now_ms, on_joined=other.on_joined, on_online=other.on_online
            ),
        )

    async def bridge(self, config: Config) -> Bridge:
        own = identities.create(self._folder / "bridge" / "keys")
        bridge, file = await open_bridge(config, self._folder / "bridge", own, lambda: "")
        self._stack.callback(file.close)
        running = asyncio.ensure_future(bridge.run())

        async def end() -> None:
            bridge.stop()
            await running

        self._stack.push_async_callback(end)
        await until(lambda: bridge.ready.is_set() or running.done(), PATIENCE_S)
        assert not running.done() or running.result()
        return bridge


def address(bridge: Bridge, side: str) -> str:
    return next(one.address for one in bridge.sides if one.name == side)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Running]:
    async with new_hub(tmp_path / "hub.sqlite") as running:
        yield running


@pytest.fixture
async def scene(hub: Running, tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(stack, tmp_path)


async def test_a_room_of_the_local_network_at_a_hub(scene: Scene, hub: Running) -> None:
    name = f"test-{secrets.token_hex(8)}"

    def on_lan(other: Resident, own: Identity) -> Transport:
        node = Node(other.directory / "lan.sqlite", lambda: own, 0, now_ms)
        return LanTransport(
            LanConfig(rooms=(name,)), lambda: own, other, now_ms, node, lambda: interfaces(("lo",)),
            on_joined=other.on_joined, on_online=other.on_online, look_s=0.05, browse_s=0.2,
        )  # fmt: skip

    room = f"lan:{name}"
    bridge = await scene.bridge(
        Config(
            agent=AgentSection(name="bridge"),
            lan=LanSection(enabled=True, rooms=(name,), interfaces=("lo",)),
            http=HttpSection(hub=hub.base),
        )
    )
    ada, bert = await scene.someone("ada", room, on_lan), await scene.at_hub("bert", hub, room)
    await bert.hears(await ada.announce(), address(bridge, "http"))
    await ada.hears(await bert.announce(), address(bridge, "lan"))
    await bert.hears(await ada.say(request()), address(bridge, "http"))


async def test_a_room_of_a_hub_on_the_fediverse(scene: Scene, hub: Running, tmp_path: Path) -> None:
    actors: dict[str, ActivityPubTransport] = {}
    room = hub.room("clawnet")
    async with AsyncExitStack() as stack:
        urls = {}
        for number, name in enumerate(("bridge", "ada")):
            relay = Relay(lambda name=name: actors[name].port if name in actors else 9)  # type: ignore[misc]
            await relay.start()
            stack.push_async_callback(relay.stop)
            urls[name] = relay.url
            lay_keys(tmp_path / name / "activitypub", number + 100)

        actor = ActivityPubSection(host=urls["bridge"], listen="127.0.0.1:0", allow_private=True, self_check=False)
        http = HttpSection(hub=hub.base, rooms=("clawnet",))
        bridge = await scene.bridge(Config(agent=AgentSection(name="bridge"), http=http, activitypub=actor))
        for side in bridge.sides:
            if isinstance(side.transport, ActivityPubTransport):
                actors["bridge"] = side.transport
        by = address(bridge, "activitypub")

        def as_actor(other: Resident, own: Identity) -> Transport:
            config = ActivityPubConfig(
                host=urls["ada"], name="ada", listen=("127.0.0.1", 0), allow_private=True, rooms=(room,), follow=(by,)
            )
            actors["ada"] = ActivityPubTransport(
                config, other.directory, lambda: own, other, now_ms,
                on_joined=other.on_joined, on_online=other.on_online, pace=PACE,
            )  # fmt: skip
            return actors["ada"]

        ada, bert = await scene.someone("ada", room, as_actor), await scene.at_hub("bert", hub, "clawnet")
        # Whatever of it the bridge hears as it is said, and whatever it reads of the past once it follows her.
        await bert.hears(await ada.announce(), address(bridge, "http"))
        await ada.resident.until(lambda: ada.resident.transport.is_member(room, by))
        await ada.hears(await bert.announce(), by)
        await ada.hears(await bert.say(request()), by)


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(http=HttpSection(hub="https://hub.example.org", rooms=("clawnet",))),
        Config(http=HttpSection(hub="https://hub.example.org"), lan=LanSection(enabled=True, rooms=("a", "b"))),
        Config(
            matrix=MatrixSection(homeserver="https://example.org", rooms=("#a:example.org",)),
            http=HttpSection(hub="https://hub.example.org"),
        ),
        Config(
            matrix=MatrixSection(homeserver="https://example.org", user="@bridge:example.org"),
            http=HttpSection(hub="https://hub.example.org"),
        ),
    ],
    ids=["nothing", "one side", "two rooms", "no account", "no room"],
)
async def test_what_is_missing_is_said_at_once(tmp_path: Path, config: Config) -> None:
    with pytest.raises(ConfigError) as caught:
        await open_bridge(config, tmp_path, identities.create(tmp_path / "keys"), lambda: "")
    assert caught.value.code == "bridge.incomplete"
