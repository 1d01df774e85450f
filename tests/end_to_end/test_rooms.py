"""Rooms do not stay as they are: they are replaced, agents are put out and come back, and much is said meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from bots.homeserver import Homeserver
from bots.store import Store
from clawnet_proto.families import task
from tests.end_to_end.agent_process import AgentProcess, Running, models_held
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent, plain_client, run
from tests.end_to_end.reading import Json, about, carried, results, room_messages
from tests.matrix_client import Account, MatrixClient

QUESTION = "What is the most important thing to know about the history of the Roman Empire?"
SOON_S = 5.0  # far below any lease, and far above what a busy machine takes
RUDE = "bad \x1b[31mmanners\u202e @room"


class Crew(NamedTuple):
    """One that works and one that asks, in no room; ``owner`` may invite them."""

    worker: AgentProcess
    asker: AgentProcess
    owner: Account


class Hall(NamedTuple):
    """A public room with both in it, and the person whose room it is."""

    worker: AgentProcess
    asker: AgentProcess
    host: MatrixClient
    room_id: str
    alias: str

    async def ready(self) -> None:
        """Both are in the room and know each other."""
        for one, other in ((self.asker, self.worker), (self.worker, self.asker)):
            await sees(one, other, self.alias)

    def asking(self, *options: str) -> tuple[str, ...]:
        return ("ask", QUESTION, "--room", self.alias, "--max-tokens", "24", "--json", *options)

    async def events_after(self, kind: str, room_id: str = "") -> list[Json]:
        """What agents wrote in the room after the last event of this type."""
        events = await self.host.messages(room_id or self.room_id)
        (*_, last) = [number for number, event in enumerate(events) if event["type"] == kind]
        agents = {self.worker.account.user_id, self.asker.account.user_id}
        return [event for event in events[last:] if event["sender"] in agents and event["type"] == "m.room.message"]


async def sees(one: AgentProcess, other: AgentProcess, alias: str, *, live: bool = True) -> float:
    """Seconds until an agent sees another one in a room, or sees it no more."""
    began = time.monotonic()
    async with asyncio.timeout(30):
        while True:
            peers = [peer for peer in await one.peers() if peer.name == other.name and peer.live]
            status = await one.status()
            if live == (bool(peers) and status is not None and alias in status.rooms):
                return time.monotonic() - began
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def crew(homeserver: Homeserver, new_agent_of_module: NewAgent) -> Crew:
    """Leases are long here: nothing in these tests is to be waited out."""

    async def start() -> Crew:
        async with plain_client(homeserver, "host-of-rooms") as host:
            owner = host.account
        options = ("--owner", owner.user_id)
        worker = await new_agent_of_module("worker", "", *MODEL, *options)
        asker = await new_agent_of_module(
            "asker", "", *NO_MODEL, "--kind", "human", *options,
            requests_lease_ms="120000", requests_give_up_seconds="2",
        )  # fmt: skip
        for agent in (worker, asker):
            agent.start()
        await asyncio.gather(worker.online(), asker.online())
        return Crew(worker, asker, owner)

    return run(start())


@asynccontextmanager
async def hall_of(crew: Crew, name: str) -> AsyncIterator[Hall]:
    async with MatrixClient(crew.owner) as host:
        room_id = await host.create_room(preset="public_chat", room_alias_name=name)
        alias = f"#{name}:{crew.owner.user_id.partition(':')[2]}"
        for agent in (crew.worker, crew.asker):
            await host.invite(room_id, agent.account.user_id)
        hall = Hall(crew.worker, crew.asker, host, room_id, alias)
        await hall.ready()
        yield hall
        for agent in (crew.worker, crew.asker):
            await host.request("POST", f"/rooms/{room_id}/ban", {"user_id": agent.account.user_id})


@asynccontextmanager
async def at_work(hall: Hall, *options: str) -> AsyncIterator[Running]:
    """A question is asked, and the worker is at it; it cannot end before the block does."""
    async with hall.asker.running(*hall.asking(*options)) as command:
        await command.until(lambda line: line["event"] == "stage" and line["state"] == "awarded")
        with models_held(hall.worker):
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            yield command


async def answer_of(command: Running) -> Json:
    return await command.until(lambda line: line["event"] == "answer")


def closes(messages: Sequence[object]) -> list[task.Close]:
    return [body for message in messages if isinstance(body := getattr(message, "body", None), task.Close)]


async def closed_well(host: MatrixClient) -> None:
    """Once the receipt of who asked is there: it comes behind the answer."""
    await host.wait_for(lambda event: any(close.outcome == "completed" for close in closes(carried(event))))


async def test_a_room_is_replaced_in_the_middle_of_a_task(crew: Crew) -> None:
    async with hall_of(crew, "replaced") as hall:
        async with at_work(hall) as command:
            upgraded = await hall.host.request("POST", f"/rooms/{hall.room_id}/upgrade", {"new_version": "12"})
            new = str(upgraded["replacement_room"])
            answer = await answer_of(command)
            assert (answer["outcome"], answer["code"]) == ("failed", "room.replaced")
            assert "Ask again there." in answer["message"]
            assert await command.ended() != 0
        await hall.ready()
        members = await hall.host.members(new)
        assert {crew.worker.account.user_id, crew.asker.account.user_id} < members
        # The alias leads to the new room by now, and so does everything else.
        finished = await crew.asker.clawbot(*hall.asking())
        assert finished.of("answer")[0]["outcome"] == "completed", finished
        await closed_well(hall.host)
        messages = await room_messages(hall.host, new)
        assert [close.outcome for close in closes(messages)] == ["completed"]
        assert await hall.events_after("m.room.tombstone", hall.room_id) == []
        for agent in (crew.worker, crew.asker):
            status = await agent.status()
            assert status is not None
            assert (status.rooms, status.jobs, status.tasks_open) == ((hall.alias,), 0, 0)
        # Nor is it forgotten.
        assert await crew.asker.stop() == 0
        crew.asker.start()
        await hall.ready()
        await hall.host.request("POST", f"/rooms/{new}/ban", {"user_id": crew.worker.account.user_id})
        await hall.host.request("POST", f"/rooms/{new}/ban", {"user_id": crew.asker.account.user_id})


async def test_who_works_is_put_out_and_invited_again(crew: Crew) -> None:
    async with hall_of(crew, "kicked") as hall:
        user_id = crew.worker.account.user_id
        async with at_work(hall) as command:
            kick = {"user_id": user_id, "reason": RUDE}
            await hall.host.request("POST", f"/rooms/{hall.room_id}/kick", kick)
            assert await sees(crew.asker, crew.worker, hall.alias, live=False) < SOON_S
            answer = await answer_of(command)
            assert answer["outcome"] == "failed"
            assert f"{crew.worker.name} is no longer in the room" in answer["message"]
        status = await crew.worker.clawbot("status")
        assert status.status == 0, status
        host = f"matrix:u/{hall.host.user_id[1:]}"
        told = f"{host} put this agent out of {hall.alias}: “bad [31mmanners room”. It comes back when it is invited"
        assert told in status.out
        assert "(rooms.left)" in status.out
        assert "(rooms.none)" in status.out
        assert not set(status.out + crew.worker.log) & {"\x1b", "\u202e"}
        assert told in crew.worker.log
        # What is said meanwhile is none of its business, though it may read it later.
        ignored = await hall.host.send_text(hall.room_id, "!claw peers", **{"m.mentions": {"user_ids": [user_id]}})
        assert await hall.host.members(hall.room_id) == {hall.host.user_id, crew.asker.account.user_id}

        await hall.host.invite(hall.room_id, user_id)
        await hall.ready()
        status = await crew.worker.clawbot("status")
        assert f"out of {hall.alias}" not in status.out
        finished = await crew.asker.clawbot(*hall.asking())
        assert finished.of("answer")[0]["outcome"] == "completed", finished
        await closed_well(hall.host)
        messages = await room_messages(hall.host, hall.room_id)
        assert [close.outcome for close in closes(messages)] == ["failed", "completed"]
        assert len([message for message in messages if isinstance(message.body, task.Result)]) == 1
        events = await hall.host.messages(hall.room_id)
        assert not [event for event in events if _root(event) == ignored]


def _root(event: Json) -> str:
    return str(event["content"].get("m.relates_to", {}).get("event_id", ""))


async def test_who_asks_is_banned_and_comes_back(crew: Crew) -> None:
    async with hall_of(crew, "banned") as hall:
        user_id = crew.asker.account.user_id
        async with at_work(hall) as command:
            await hall.host.request("POST", f"/rooms/{hall.room_id}/ban", {"user_id": user_id})
            answer = await answer_of(command)
            assert (answer["outcome"], answer["code"]) == ("failed", "room.banned")
            assert "banned this agent from" in answer["message"]
            assert await command.ended() != 0
            # Who worked for it hears nothing more from it, and stops by itself.
            fail = await hall.host.wait_for(
                lambda event: any(isinstance(message.body, task.Fail) for message in carried(event))
            )
            (failed,) = carried(fail)
            assert (failed.body.code, failed.body.retryable) == ("requester.left", False)
        await hall.host.request("POST", f"/rooms/{hall.room_id}/unban", {"user_id": user_id})
        await hall.host.invite(hall.room_id, user_id)
        await hall.ready()
        # It tells the room what it could not tell it then.
        await hall.host.wait_for(lambda event: any(close.code == "room.banned" for close in closes(carried(event))))
        messages = await room_messages(hall.host, hall.room_id)
        ((close,), (asked,)) = closes(messages), [m for m in messages if isinstance(m.body, task.Request)]
        assert (close.outcome, close.code) == ("failed", "room.banned")
        assert results(asked.id, messages) == []
        finished = await crew.asker.clawbot(*hall.asking())
        assert finished.of("answer")[0]["outcome"] == "completed", finished


async def say_all(hall: Hall, texts: Sequence[str]) -> None:
    """In whatever order the homeserver takes them."""
    for start in range(0, len(texts), 20):
        await asyncio.gather(*(hall.host.send_text(hall.room_id, text) for text in texts[start : start + 20]))


async def test_more_than_500_messages_were_missed(crew: Crew) -> None:
    """They are read in order, and what in them is work is done once."""
    async with hall_of(crew, "missed") as hall:
        worker = crew.worker
        texts = [f"word {number}" for number in range(1, 521)]
        async with crew.asker.running(*hall.asking("--to", worker.name)) as command:
            worker.kill()
            await command.until(lambda line: line["event"] == "task")
            (task_id,) = [line["task"] for line in command.lines if line["event"] == "task"]
            await hall.host.wait_for(lambda event: bool(about(task_id, carried(event))))
            await say_all(hall, texts[:100])
            mentions = {"m.mentions": {"user_ids": [worker.account.user_id]}}
            asked = await hall.host.send_text(hall.room_id, "!claw peers", **mentions)
            await say_all(hall, texts[100:])
            worker.start()
            answer = await answer_of(command)
            assert answer["outcome"] == "completed", command.lines
        messages = await room_messages(hall.host, hall.room_id)
        assert len(results(task_id, messages)) == 1
        await hall.host.wait_for(lambda event: _root(event) == asked)
        assert await worker.stop() == 0
        events = await hall.host.messages(hall.room_id)
        assert len([event for event in events if _root(event) == asked and event["sender"] != hall.host.user_id]) == 1
        store = Store.open(worker.state / "store.sqlite")
        kept = [delivery.event_id for _, delivery in store.history() if delivery.room.endswith(_opaque(hall.room_id))]
        store.close()
        # Senders take turns where much waits; what one of them said stays in its order.
        said = [
            event["event_id"] for event in events if event["sender"] == hall.host.user_id and "body" in event["content"]
        ]
        assert len(said) == 521
        assert [event_id for event_id in kept if event_id in set(said)] == said
        worker.start()


def _opaque(room_id: str) -> str:
    return room_id[1:]
