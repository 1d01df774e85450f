"""Somebody leaves the room in the middle of a task, or is put out: nobody waits for it, and it waits for nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from bots.behaviours import Question, Received
from bots.config import LimitsSection
from bots.departures import sentence
from bots.errors import ClawbotError, Refused, RetryLater
from bots.events import Notice, TaskEnded
from bots.following import follow
from bots.requests import Follow, RoomFollowed
from bots.transports import Departure, PersonText
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, echo, generate, order
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import ROOM

SOON_S = 2.0  # far below any lease


def put_out(room: Room, member: Member, code: str = "room.kicked") -> None:
    """What the homeserver does, and what the transport of who was put out then says."""
    room.network.outside.add(member.address)
    departure = Departure(room=ROOM, name="#mesh", code=code, by="matrix:u/mod:example.org", reason="loud")  # type: ignore[arg-type]
    member.agent.departures.left(departure)


def back(room: Room, member: Member) -> None:
    room.network.outside.discard(member.address)
    (again,) = member.agent.rooms()
    member.agent.departures.entered(again)


def working(member: Member, task_id: str) -> str:
    """The did of who is at work on the only stage, "" if nobody is."""
    (stage,) = member.task(task_id).stages.values()
    return stage.current.executor if stage.current is not None and stage.state == "working" else ""


@in_virtual_time
async def test_a_stage_of_one_who_has_left_goes_to_another_at_once(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        others = {member.did: member for member in await room.crowd("bert", "cora", engine=slow)}
        task_id = ada.ask(order(generate()))
        await until(lambda: bool(working(ada, task_id)))
        first = working(ada, task_id)
        put_out(room, others[first])
        await until(lambda: working(ada, task_id) not in ("", first), SOON_S)
        assert others[first].agent.executor.jobs == 0
        assert (await ada.outcome(task_id)).outcome == "completed"


@pytest.mark.parametrize("comes", [True, False], ids=["it comes", "it does not"])
@in_virtual_time
async def test_an_output_on_its_way_from_one_who_has_left_is_waited_for(tmp_path: Path, comes: bool) -> None:
    async with Room(tmp_path) as room:
        ada, *others = [
            await room.join(name, limits=LimitsSection(prompt_bytes=200_000)) for name in ("ada", "bert", "cora")
        ]
        tries: list[int] = []

        def busy() -> None:
            if room.network.posted("task.result") and len(tries) < 3:
                tries.append(room.network.now_ms())
                if len(tries) == 3 and not comes:
                    raise Refused("matrix.not_found", "There is nothing at that address.")
                raise RetryLater("matrix.rate_limited", "Too fast.", 2.0)

        room.network.chunk_fault = busy
        inputs = {name: name * 15_000 for name in ("a", "b")}
        task_id = ada.ask(order(echo("join", *inputs), inputs=inputs))
        await until(lambda: tries)
        (result,) = room.network.posted("task.result")
        put_out(room, next(member for member in others if member.did == result.sender))
        ended = await ada.outcome(task_id)
        assert (ended.outcome, len(ended.text)) == ("completed", 30_002)
        assert (ended.stages[0].attempt, ended.executions) == ((1, 1) if comes else (2, 2))


@in_virtual_time
async def test_a_task_for_one_who_has_left_is_over_at_once(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        (bert,) = await room.crowd("bert", engine=slow)
        task_id = ada.ask(order(generate(), to=bert.did))
        await until(lambda: bool(working(ada, task_id)))
        put_out(room, bert)
        ended = await ada.outcome(task_id, SOON_S)
        assert (ended.outcome, ended.code) == ("failed", "peer.left")
        assert ended.message == "bert is no longer in the room."


@in_virtual_time
async def test_who_worked_for_one_who_has_left_stops_and_says_so(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        (bert,) = await room.crowd("bert", engine=slow)
        task_id = ada.ask(order(generate()))
        await until(lambda: bool(working(ada, task_id)))
        put_out(room, ada)
        (ended,) = [event for event in ada.told(TaskEnded) if event.task == task_id]
        assert (ended.outcome, ended.code) == ("failed", "room.kicked")
        assert ended.message.startswith("matrix:u/mod:example.org put this agent out of #mesh: “loud”. It comes back")
        assert ended.message in [notice.text for notice in ada.told(Notice)]
        await until(lambda: bool(room.network.posted("task.fail")), SOON_S)
        (fail,) = room.network.posted("task.fail")
        assert (fail.body.code, fail.body.retryable) == ("requester.left", False)
        assert bert.agent.executor.jobs == 0


@pytest.mark.parametrize("restarts", [False, True])
@in_virtual_time
async def test_who_is_back_closes_what_it_gave_up_also_after_a_restart(restarts: bool, tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        await room.crowd("bert", engine=slow)
        task_id = ada.ask(order(generate()))
        await until(lambda: bool(working(ada, task_id)))
        put_out(room, ada)
        if restarts:
            await ada.crash()
            room.network.outside.clear()
            await ada.start()
        back(room, ada)
        await until(lambda: bool(room.network.posted("task.close")), SOON_S)
        (close,) = room.network.posted("task.close")
        assert (close.body.outcome, close.body.code) == ("failed", "room.kicked")
        assert room.network.posted("task.result") == []
        assert ada.agent.departures.sentences == ()
        assert (await ada.outcome(ada.ask(order()))).outcome == "completed"


@pytest.mark.parametrize("code", ["room.kicked", "room.replaced"])
@in_virtual_time
async def test_what_was_open_before_a_start_is_given_up_when_the_room_is_left_at_once(
    code: str, tmp_path: Path
) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        await room.crowd("bert", engine=slow)
        task_id = ada.ask(order(generate(), private=True))
        await until(lambda: bool(working(ada, task_id)))
        assert ada.agent.store.facts("secrets ")
        await ada.crash()
        # The first sync says that it was put out, before anything is taken up again.
        ada.open()
        put_out(room, ada, code)
        assert ada.agent.store.facts("secrets ") == {}
        ada.agent.store.close()
        if code == "room.kicked":
            room.network.outside.clear()
            await ada.start()
            back(room, ada)
            await until(lambda: bool(room.network.posted("task.close")), SOON_S)
            (close,) = room.network.posted("task.close")
            assert (close.body.outcome, close.body.code) == ("failed", code)
            assert ada.agent.store.facts("departed ") == {}


@in_virtual_time
async def test_what_is_asked_after_the_return_goes_on(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        put_out(room, ada)
        await asyncio.sleep(0.1)
        room.network.outside.clear()
        (again,) = ada.agent.rooms()
        ada.agent.departures.entered(again)
        assert (await ada.outcome(ada.ask(order()))).outcome == "completed"


@in_virtual_time
async def test_what_was_said_before_it_is_not_acted_upon_after_it(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await room.crowd("ada", "bert")
        words = PersonText(body="!claw ask x", text="!claw ask x", mentions_us=True, thread_root="$q", edited=False)
        question = Question(room=ROOM, address="matrix:u/eve:example.org", event_id="$q", words=words, received_ms=0)
        task_id = ada.ask(order(generate()))
        await until(lambda: bert.mesh.task(task_id) is not None)
        echo = Received(
            message=ada.task(task_id).request, plane="room", address=ada.address, event_id="$r", binding="bound"
        )
        put_out(room, ada)
        assert not ada.agent.requester.open_tasks()
        for item in (question, echo):
            ada.agent.handling.act(item)
        assert not ada.agent.store.facts("question ")
        assert not ada.agent.requester.open_tasks()


@in_virtual_time
async def test_a_question_of_a_room_that_is_gone_keeps_nobody_from_starting(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        words = PersonText(body="!claw peers", text="!claw peers", mentions_us=True, thread_root="$q", edited=False)
        question = Question(room=ROOM, address="matrix:u/eve:example.org", event_id="$q", words=words, received_ms=0)
        ada.agent.people.on_question(question)
        elsewhere = msgspec.structs.replace(question, room="matrix:roomid/gone:example.org", event_id="$gone")
        ada.agent.store.set_fact("question $gone", msgspec.json.encode(elsewhere).decode())
        await ada.crash()
        await ada.start()
        await until(lambda: not ada.agent.store.facts("question "))
        assert ada.alive


@in_virtual_time
async def test_who_watches_is_told(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        (ada,) = await room.crowd("ada")
        answers = follow(ada.agent, Follow(), lambda name: ROOM)
        async for answer in answers:
            if isinstance(answer, RoomFollowed):
                put_out(room, ada, "room.replaced")
                break
        with pytest.raises(ClawbotError) as caught:
            async for _ in answers:
                pass
        assert (caught.value.code, caught.value.message[:18]) == ("room.gone", "#mesh was replaced")
        assert ada.agent.departures.sentences == (), "it goes on elsewhere"


def slow() -> ScriptedEngine:
    return ScriptedEngine(["well", 5.0, " done"])


def test_what_strangers_wrote_is_cleaned() -> None:
    departure = Departure(
        room=ROOM,
        name="#a\x1b[1m",
        code="room.banned",
        by="matrix:u/m:x",
        reason="bad \x1b[31mmanners\u202e @room\n" * 99,
    )
    said = sentence(departure)
    assert said.startswith("matrix:u/m:x banned this agent from #a[1m: “bad [31mmanners room bad")
    assert said.isprintable()
    assert len(said) < 500


def test_who_did_it_need_not_be_known() -> None:
    said = sentence(Departure(room=ROOM, name="#mesh", code="room.kicked"))
    assert said.startswith("Somebody put this agent out of #mesh. It comes back")


def test_all_ways_to_leave_have_words() -> None:
    for code in ("room.left", "room.kicked", "room.banned", "room.replaced"):
        assert "#mesh" in sentence(Departure(room=ROOM, name="#mesh", code=code))
