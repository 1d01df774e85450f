"""Following an agent's raw events: nothing is lost or comes twice, and whoever is too slow is told so."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from bots.control import ControlServer, socket_path
from bots.errors import ClawbotError
from bots.requests import AnyAnswer, AnyRequest, Delivered, Follow, LinkChanged, Missed, RoomFollowed
from bots.service import Service
from bots.transports import Delivery, Departure
from clawnet_proto.bindings import matrix
from clawnet_proto.carrier import verify
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import ROOM


def following(member: Member, request: AnyRequest | None = None) -> AsyncGenerator[AnyAnswer, None]:
    stream = Service(member.agent).answer(request or Follow())
    assert isinstance(stream, AsyncGenerator)
    return stream


class Follower:
    """Reads in a task of its own until the block ends."""

    def __init__(self, member: Member, request: AnyRequest | None = None) -> None:
        self._stream = following(member, request)
        self.answers: list[AnyAnswer] = []

    async def __aenter__(self) -> Follower:
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        async with aclosing(self._stream) as answers:
            async for answer in answers:
                self.answers.append(answer)

    @property
    def delivered(self) -> list[Delivery]:
        return [answer.delivery for answer in self.answers if isinstance(answer, Delivered)]

    @property
    def links(self) -> list[bool]:
        return [answer.online for answer in self.answers if isinstance(answer, LinkChanged)]

    def said(self, speaker: Stranger) -> list[str]:
        """The plain words of somebody, in order of arrival."""
        return [content_of(event)["body"] for event in self.delivered if event.sender == speaker.address]


def content_of(event: Delivery) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(event.event)["content"]
    return content


@in_virtual_time
async def test_nothing_is_lost_or_doubled_between_what_is_remembered_and_what_comes(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        paul = room.stranger("paul")

        async def talk() -> None:
            for number in range(400):
                paul.write(f"{number}")
                await asyncio.sleep(0.003)

        talking = asyncio.ensure_future(talk())
        followers = []
        for _ in range(20):
            await asyncio.sleep(0.05)
            followers.append(await Follower(ada).__aenter__())
        await talking
        expected = [str(number) for number in range(400)]
        await until(lambda: all(len(follower.said(paul)) >= 400 for follower in followers))
        for follower in followers:
            assert follower.said(paul) == expected
            events = [event.event_id for event in follower.delivered]
            assert len(set(events)) == len(events)
            assert not [answer for answer in follower.answers if isinstance(answer, Missed)]
            await follower.__aexit__()


@in_virtual_time
async def test_what_comes_is_what_the_transport_delivered(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await room.crowd("ada", "bert")
        async with Follower(ada) as follower:
            await until(lambda: {event.plane for event in follower.delivered} == {"room", "direct"})
            arrived = [event for event in follower.delivered if (event.plane, event.sender) != ("direct", ada.address)]
            assert arrived == [delivery for _, delivery in ada.agent.store.history()]
            assert {event.sender for event in follower.delivered} == {ada.address, bert.address}


@in_virtual_time
async def test_only_the_newest_are_remembered_if_one_says_so(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        paul = room.stranger("paul")
        await asyncio.sleep(5)  # until the agent has said what it has to say
        for number in range(30):
            paul.write(f"{number}")
        await asyncio.sleep(5)
        async with Follower(ada, Follow(remembered=3)) as few, Follower(ada, Follow(remembered=0)) as none:
            await until(lambda: few.said(paul))
            assert few.said(paul) == ["27", "28", "29"]
            paul.write("more")
            await until(lambda: none.delivered)
            assert few.said(paul)[3:] == none.said(paul) == ["more"]


@in_virtual_time
async def test_a_slow_reader_is_told_what_it_missed_and_nothing_grows(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        ada.agent.store._inbox._kept._most = 50
        paul = room.stranger("paul")
        await asyncio.sleep(5)
        async with aclosing(following(ada, Follow(remembered=0))) as stream:
            assert isinstance(await anext(stream), LinkChanged)
            assert isinstance(await anext(stream), RoomFollowed)
            paul.write("first")
            first = await anext(stream)
            assert isinstance(first, Delivered)
            # The agent goes on while nobody reads.
            for number in range(1200):
                paul.write(f"{number}")
                await asyncio.sleep(0.01)
            await asyncio.sleep(5)
            assert not ada.agent.store.unhandled()
            missed = await anext(stream)
            assert isinstance(missed, Missed)
            history = [delivery for _, delivery in ada.agent.store.history()]
            kept = [delivery for delivery in history if delivery.sender == paul.address]
            assert missed.count + len(kept) == 1200
            rest = [await anext(stream) for _ in kept]
            assert [event.delivery for event in rest if isinstance(event, Delivered)] == kept
            assert content_of(kept[-1])["body"] == "1199"


@in_virtual_time
async def test_it_says_when_the_homeserver_is_gone_and_when_it_is_back(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        transport: Any = ada.agent.transport.ways[0]
        async with Follower(ada) as follower:
            await until(lambda: follower.links == [True])
            room.network.account(ada.address).reachable = transport.online = False
            await until(lambda: follower.links == [True, False])
            detail = [answer.detail for answer in follower.answers if isinstance(answer, LinkChanged)]
            assert detail == ["", "The homeserver cannot be reached just now."]
            room.network.account(ada.address).reachable = transport.online = True
            await until(lambda: follower.links == [True, False, True])


@in_virtual_time
async def test_what_the_rules_keep_out_of_every_fold_is_not_among_it(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        eve = room.stranger("eve")
        room.network.outside.add(eve.address)
        async with Follower(ada) as follower:
            eve.send(ada.address, eve.announcement())
            await until(lambda: ada.agent.intake.refused)
            paul = room.stranger("paul")
            paul.write("hello")
            await until(lambda: follower.said(paul))
            assert eve.address not in {event.sender for event in follower.delivered}


@in_virtual_time
async def test_what_the_agent_says_directly_is_among_it_unsealed(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        async with Follower(ada) as follower:
            await until(lambda: follower.delivered)
            bert = await room.join("bert", ScriptedEngine(["a mesh"]))
            await until(lambda: ada.agent.handshakes.confirmed(ROOM, bert.did))
            own = [event for event in follower.delivered if (event.plane, event.sender) == ("direct", ada.address)]
            said = [
                verify(json.dumps(carrier).encode())
                for event in own
                for carrier in matrix.carriers(event.event, "direct")
            ]
            assert {message.type for message in said} & {"handshake.hello", "handshake.accept"}
            assert {message.sender for message in said} == {ada.did}
        assert ada.agent._listeners == []


@in_virtual_time
async def test_a_room_that_the_agent_is_not_in(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        async with aclosing(following(ada, Follow(room="#elsewhere"))) as stream:
            await anext(stream)
            with pytest.raises(ClawbotError, match="The agent is not in #elsewhere") as caught:
                await anext(stream)
        assert caught.value.code == "room.unknown"
        async with Follower(ada, Follow(room="#mesh")) as follower:
            await until(lambda: follower.delivered)


@in_virtual_time
async def test_a_room_that_took_its_place_is_waited_for_unless_the_agent_is_put_out_of_it(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        async with Follower(ada) as follower:
            await until(lambda: follower.delivered)
            room.network.outside.add(ada.address)
            replaced = Departure(room=ROOM, name="#mesh", code="room.replaced", successor="matrix:roomid/next")
            ada.agent.departures.left(replaced)
            await asyncio.sleep(5)
            assert not follower._reading.done()
            ada.agent.departures.left(Departure(room=replaced.successor, name="#next", code="room.banned"))
            await until(follower._reading.done)
            with pytest.raises(ClawbotError, match="banned this agent from #next") as caught:
                follower._reading.result()
            assert caught.value.code == "room.gone"


@in_virtual_time
async def test_before_the_agent_is_in_a_room_there_is_nothing_and_then_everything(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        room.network.outside.add(ada.address)
        async with Follower(ada) as follower:
            await asyncio.sleep(5)
            assert follower.links == [True] and not follower.delivered
            room.network.outside.clear()
            paul = room.stranger("paul")
            paul.write("hello")
            await until(lambda: follower.said(paul) == ["hello"])


async def test_a_client_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="claw") as folder:
        path = socket_path(Path(folder))
        async with asyncio.timeout(40), Room(tmp_path) as room:
            ada = await room.join("ada")
            paul = room.stranger("paul")
            async with ControlServer(Service(ada.agent), path):
                _, writer = await asyncio.open_unix_connection(path, limit=1)
                writer.write(b'{"command":"follow"}\n')
                for _ in range(400):
                    paul.write("x" * 10_000)
                await until(lambda: len([*ada.agent.store.history()]) > 400)
            writer.close()


@in_virtual_time
async def test_which_room_it_is_comes_once_before_anything_of_it(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        room.network.outside.add(ada.address)
        async with Follower(ada) as follower:
            await asyncio.sleep(5)
            assert [type(answer) for answer in follower.answers] == [LinkChanged]
            room.network.outside.clear()
            room.stranger("paul").write("hello")
            await until(lambda: follower.delivered)
            followed = [
                (place, answer) for place, answer in enumerate(follower.answers) if isinstance(answer, RoomFollowed)
            ]
            assert [(place, answer.room) for place, answer in followed] == [(1, ROOM)]


@in_virtual_time
async def test_whoever_stops_following_leaves_nothing_behind(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        async with Follower(ada) as follower:
            await until(lambda: follower.delivered)
            assert len(ada.agent.store._inbox._followers) == 1
        assert ada.agent.store._inbox._followers == []
