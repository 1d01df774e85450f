"""Agents on two transports at once: one room on a real homeserver that a real hub carries, too."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bots import identity as identities
from bots.agent import Agent
from bots.behaviours.requester import Order
from bots.config import AgentSection, Config, HttpSection, LimitsSection, MatrixSection, RequestsSection
from bots.errors import ClawbotError, RetryLater
from bots.events import AnyEvent, MessageSeen, TaskEnded
from bots.health.reading import Health
from bots.homeserver import Homeserver
from bots.lifetime import taking_part
from bots.opening import open_agent
from bots.requests import Ask
from bots.service import Service
from bots.transports import Transport
from bots.transports.http.names import Names
from bots.transports.matrix.addresses import room_uri, user_id
from tests.agent.simulated import echo, order
from tests.agent.virtual_time import until
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.hub.conftest import RealClock, Running
from tests.matrix_client import MatrixClient
from tests.transports.conftest import Front

PATIENCE_S = 40.0


class Resident:
    """An agent, and what it told."""

    def __init__(self, agent: Agent, room: str) -> None:
        self.agent = agent
        self.room = room
        self.events: list[AnyEvent] = []
        agent.observe(self.events.append)

    @property
    def did(self) -> str:
        return self.agent.identity.did

    @property
    def matrix(self) -> Transport:
        way = self.agent.transport.named("matrix")
        assert way is not None
        return way

    def knows(self, *others: Resident) -> bool:
        live = {peer.did for peer in self.agent.live_peers(self.room)}
        return live >= {other.did for other in others}

    def addresses(self, other: Resident) -> set[str]:
        """Which addresses the other has proven to us, by the transport."""
        peer = self.agent.mesh(self.room).peers[other.did]
        return {address.partition(":")[0] for address in peer.addresses}

    async def outcome(self, given: Order) -> TaskEnded:
        task_id = self.agent.requester.request(given)

        def ended() -> list[TaskEnded]:
            return [event for event in self.events if isinstance(event, TaskEnded) and event.task == task_id]

        await until(ended, PATIENCE_S)
        return ended()[0]


class Place:
    """A room of a homeserver that a hub carries, too; the homeserver can be cut off."""

    def __init__(
        self,
        stack: AsyncExitStack,
        folder: Path,
        front: Front,
        hub: Running,
        new_account: NewAccount,
        owner: MatrixClient,
        room_id: str,
    ) -> None:
        self._owner = owner
        self._stack, self._folder, self._new_account = stack, folder, new_account
        self._room_id = room_id
        self.front, self.hub = front, hub
        self.room = room_uri(room_id)

    async def kick(self, resident: Resident) -> None:
        user = user_id(resident.matrix.address)
        path = f"/_matrix/client/v3/rooms/{quote(self._room_id, safe='')}/kick"
        await self._owner.request("POST", path, {"user_id": user})

    async def encrypt(self) -> None:
        await self._owner.send_state(self._room_id, "m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2"})

    async def events_at_hub(self) -> int:
        """How many there are in the room, by the word of the hub to anybody."""
        async with aiohttp.ClientSession(headers={"Accept": "application/json"}) as session:
            count, after = 0, ""
            while True:
                url = Names(self.hub.base).url(self.room) + (f"?after={after}" if after else "")
                async with session.get(URL(url, encoded=True)) as answer:
                    page = await answer.json()
                count, after = count + len(page["events"]), page["after"]
                if page["caught_up"]:
                    return count

    async def owner_says(self, text: str) -> None:
        await self._owner.send_text(self._room_id, text)

    async def owner_hears(self, text: str, times: int) -> None:
        for _ in range(times):
            await self._owner.wait_for_text(text)

    async def enter(self, name: str, *transports: str) -> Resident:
        account = await self._new_account(name)
        matrix = MatrixSection(homeserver=self.front.url, user=account.user_id, rooms=(self._room_id,))
        config = Config(
            agent=AgentSection(name=name),
            matrix=matrix if "matrix" in transports else MatrixSection(),
            http=HttpSection(hub=self.hub.base, rooms=(self.room,)) if "http" in transports else HttpSection(),
            limits=LimitsSection(prompt_bytes=200_000),
            requests=RequestsSection(give_up_seconds=30),
        )
        own = identities.create(self._folder / name / "keys")
        agent = await open_agent(config, self._folder / name, own, lambda: account.password, with_engine=False)
        await self._stack.enter_async_context(taking_part(agent))
        return Resident(agent, self.room)


@pytest.fixture
async def place(
    tmp_path: Path, homeserver: Homeserver, new_account: NewAccount, new_client: NewClient, new_room: NewRoom
) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        front = Front(homeserver.url)
        await front.start()
        stack.push_async_callback(front.stop)
        hub = Running(tmp_path / "hub.sqlite", RealClock(time.time_ns() // 1_000_000 - round(time.monotonic() * 1000)))
        await hub.start()
        stack.push_async_callback(hub.stop)
        owner = await new_client("owner")
        room_id = await new_room(owner)
        agents = await stack.enter_async_context(AsyncExitStack())
        yield Place(agents, tmp_path, front, hub, new_account, owner, room_id)


async def acquainted(*residents: Resident) -> None:
    await until(lambda: all(one.knows(*residents) for one in residents), PATIENCE_S)


def executed(by: Resident, given: TaskEnded) -> None:
    assert given.outcome == "completed"
    assert {stage.executor for stage in given.stages} == {by.did}


async def test_who_is_on_both_works_with_those_on_either_and_is_one_peer(place: Place) -> None:
    both = await place.enter("both", "matrix", "http")
    anna, hugo = await place.enter("anna", "matrix"), await place.enter("hugo", "http")
    await acquainted(both, anna)
    await acquainted(both, hugo)
    assert not anna.knows(hugo)
    assert (anna.addresses(both), hugo.addresses(both)) == ({"matrix"}, {"http"})
    assert both.addresses(both) == {"matrix", "http"}
    for one in (anna, hugo):
        executed(both, await one.outcome(order(echo(), room=place.room)))
    for one in (anna, hugo):
        ended = await both.outcome(order(echo(), room=place.room, to=one.did))
        executed(one, ended)
    assert not both.agent.outbox.health().refused


async def test_what_comes_both_ways_is_counted_and_told_once(place: Place) -> None:
    ada, bert = [await place.enter(name, "matrix", "http") for name in ("ada", "bert")]
    await acquainted(ada, bert)
    executed(bert, await ada.outcome(order(echo(), room=place.room)))

    def copies() -> list[str]:
        return sorted(
            delivery.transport
            for _, delivery in bert.agent.store.history()
            for carrier in bert.agent.transport.carriers(delivery)
            if delivery.plane == "room" and "task.request" in str(carrier)
        )

    await until(lambda: copies() == ["http", "matrix"], PATIENCE_S)
    assert bert.addresses(ada) == {"matrix", "http"}
    told = [event for event in bert.events if isinstance(event, MessageSeen) and event.sender == ada.did]
    assert len(told) == len({event.id for event in told})


async def test_work_goes_on_where_one_way_is_cut(place: Place) -> None:
    ada, bert = [await place.enter(name, "matrix", "http") for name in ("ada", "bert")]
    await acquainted(ada, bert)
    await place.front.stop()
    await until(lambda: not ada.matrix.online and not bert.matrix.online, PATIENCE_S)
    assert ada.agent.transport.online
    executed(bert, await ada.outcome(order(echo(), room=place.room)))
    await place.front.start()
    await until(lambda: ada.agent.transport.all_online and bert.agent.transport.all_online, PATIENCE_S)
    # What was said meanwhile goes there, too.
    await until(lambda: not ada.agent.outbox.health().queued, PATIENCE_S)


async def test_who_is_put_out_of_one_of_them_stays_by_the_other(place: Place) -> None:
    both, hugo = await place.enter("both", "matrix", "http"), await place.enter("hugo", "http")
    await acquainted(both, hugo)
    await place.kick(both)
    await until(lambda: not both.matrix.rooms(), PATIENCE_S)
    assert [room.uri for room in both.agent.rooms()] == [place.room]
    executed(both, await hugo.outcome(order(echo(), room=place.room)))


async def test_a_room_that_is_encrypted_is_readable_nowhere_else(place: Place) -> None:
    ada, bert = [await place.enter(name, "matrix", "http") for name in ("ada", "bert")]
    await acquainted(ada, bert)
    await place.encrypt()
    await until(lambda: all(room.encrypted for one in (ada, bert) for room in one.matrix.rooms()), PATIENCE_S)
    # What was under way to the hub when they learnt of it has come there.
    await until(lambda: not ada.agent.outbox.health().queued and not bert.agent.outbox.health().queued, PATIENCE_S)
    before = await place.events_at_hub()
    await place.hub.stop()
    given = order(echo(), question="nobody else reads this", room=place.room)
    executed(bert, await ada.outcome(given))
    await place.hub.start()
    await until(lambda: ada.agent.transport.all_online and bert.agent.transport.all_online, PATIENCE_S)
    await until(lambda: not ada.agent.outbox.health().queued and not bert.agent.outbox.health().queued, PATIENCE_S)
    assert await place.events_at_hub() == before
    assert [address.uri for address in ada.agent.addresses(place.room)] == [ada.matrix.address]


async def test_what_was_queued_before_a_room_was_encrypted_is_not_said_elsewhere(place: Place) -> None:
    ada, bert = [await place.enter(name, "matrix", "http") for name in ("ada", "bert")]
    await acquainted(ada, bert)
    before = await place.events_at_hub()
    await place.hub.stop()
    executed(bert, await ada.outcome(order(echo(), room=place.room)))
    assert ada.agent.outbox.health().queued
    await place.encrypt()
    await until(lambda: all(room.encrypted for one in (ada, bert) for room in one.matrix.rooms()), PATIENCE_S)
    await place.hub.start()
    await until(lambda: not ada.agent.outbox.health().queued and not bert.agent.outbox.health().queued, PATIENCE_S)
    assert ada.agent.outbox.health().refused
    assert await place.events_at_hub() == before


async def test_a_transport_that_has_ended_counts_no_more(place: Place) -> None:
    ada, bert = [await place.enter(name, "matrix", "http") for name in ("ada", "bert")]
    await acquainted(ada, bert)
    place.front.fault = lambda _: web.json_response({"errcode": "M_UNKNOWN_TOKEN", "error": "Gone"}, status=401)
    await until(lambda: "matrix" in ada.agent.transport.failures and "matrix" in bert.agent.transport.failures, 60)
    state, verdict = Health(ada.agent).read()
    assert state.online
    assert "transport.failed" in [finding.code for finding in verdict.warnings]
    assert [address.uri.partition(":")[0] for address in ada.agent.addresses(place.room)] == ["http"]
    executed(bert, await ada.outcome(order(echo(), room=place.room)))
    assert not ada.agent.outbox.health().refused


async def test_a_question_of_a_person_is_for_those_who_hear_it(place: Place) -> None:
    both = await place.enter("both", "matrix", "http")
    others = [await place.enter(name, "http") for name in ("hans", "hugo", "heinz", "horst", "helga")]
    await acquainted(both, *others)
    # With an agent on the hub before it, nobody would answer what leaves no trace; 6 questions, one in six by chance.
    for number in range(6):
        await place.owner_says(f"!claw peers {number}")
    await place.owner_hears("hugo – ai generalist", 6)


async def test_a_long_output_is_stored_where_who_asked_can_have_it(place: Place) -> None:
    both, hugo = await place.enter("both", "matrix", "http"), await place.enter("hugo", "http")
    await acquainted(both, hugo)
    pieces = {f"part{number}": f"{number}" * 12_000 for number in range(3)}
    ended = await hugo.outcome(order(echo("join", *pieces), inputs=pieces, room=place.room, to=both.did))
    assert (ended.outcome, len(ended.text) > 36_000) == ("completed", True)


async def test_a_start_while_one_way_is_cut(place: Place) -> None:
    await place.front.stop()
    hugo, both = await place.enter("hugo", "http"), await place.enter("both", "matrix", "http")
    await acquainted(hugo, both)
    executed(both, await hugo.outcome(order(echo(), room=place.room)))
    await place.front.start()
    anna = await place.enter("anna", "matrix")
    await acquainted(anna, both)
    executed(both, await anna.outcome(order(echo(), room=place.room)))


async def test_nothing_starts_while_all_ways_are_cut(place: Place) -> None:
    await place.front.stop()
    await place.hub.stop()
    with pytest.raises(ClawbotError) as caught:
        await place.enter("both", "matrix", "http")
    assert isinstance(caught.value.__cause__, RetryLater)
    await place.hub.start()


async def test_a_question_to_the_room_says_who_can_read_it(place: Place) -> None:
    both, hugo = await place.enter("both", "matrix", "http"), await place.enter("hugo", "http")
    await acquainted(both, hugo)
    ask = Ask(question="x", room=place.room, to=hugo.agent.config.agent.name, timeout_s=30)
    answers = [answer async for answer in Service(both.agent).answer(ask)]
    assert isinstance(answers[-1], TaskEnded)
