"""What the way can do to messages, and what a death in the middle can do to agents: all is done, and done once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bots.events import MessageSeen, StageChanged, StageText, TaskOpened
from bots.store import Store
from clawnet_proto.families import presence, task
from tests.agent.network import NAME, Held, Passage, Rule
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, echo, generate, live, order, request, results
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until

PIPELINE = (echo("draft"), echo("critique", "question", "draft"), echo("revise", "draft", "critique"))


def twice(passage: Passage) -> list[Passage]:
    """Everything arrives again a little later, in the same event."""
    return [passage, msgspec.structs.replace(passage, delay_s=passage.delay_s + 0.05)]


def copied(passage: Passage) -> list[Passage]:
    """Everything arrives again in another event of the same sender."""
    again = passage.by(passage.sender, f"{passage.event_id}-again" if passage.event_id else "")
    return [passage, msgspec.structs.replace(again, delay_s=passage.delay_s + 0.05)]


def shuffled(seed: int) -> Rule:
    """Every event takes its own time, up to a second."""
    chance = random.Random(seed)
    return lambda passage: [msgspec.structs.replace(passage, delay_s=chance.uniform(0.01, 1.0))]


class TestDuplicates:
    @in_virtual_time
    @pytest.mark.parametrize("rule", [twice, copied])
    async def test_what_arrives_twice_is_done_once(self, tmp_path: Path, rule: Rule) -> None:
        async with Room(tmp_path) as room:
            room.network.rules.append(rule)
            ada, *_ = await room.crowd("ada", "bert", "cora")
            end = await ada.outcome(ada.ask(order(*PIPELINE)))
            await asyncio.sleep(5)
            assert (end.outcome, end.executions) == ("completed", 3)
            assert sorted(results(room)) == [("critique", 1), ("draft", 1), ("revise", 1)]
            assert len(room.network.posted("task.close")) == 1

    @in_virtual_time
    async def test_watchers_are_told_once(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            room.network.rules.append(copied)
            ada, bert = await room.crowd("ada", "bert")
            task_id = ada.ask(order())
            await ada.outcome(task_id)
            await asyncio.sleep(5)
            seen = [event.id for event in bert.told(MessageSeen)]
            assert len(seen) == len(set(seen))


class TestOrder:
    @in_virtual_time
    @pytest.mark.parametrize("seed", range(8))
    async def test_any_order_of_arrival(self, tmp_path: Path, seed: int) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", "bert", "cora", "dora")
            room.network.rules.append(shuffled(seed))
            task_id = ada.ask(order(*PIPELINE))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.executions) == ("completed", 3)
            assert all(attempt == 1 for _, attempt in results(room))
            await asyncio.sleep(5)
            for member in others:
                assert (member.task(task_id).state, member.task(task_id).errors) == ("completed", {})

    @in_virtual_time
    async def test_an_award_that_overtakes_its_request_is_taken_up_when_the_request_is_there(
        self, tmp_path: Path
    ) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve = room.stranger("eve")
            eve.announce()
            asked = eve.says(request(echo()))
            award = eve.awards(asked, bert.did)
            eve.post(award)
            await until(lambda: eve.did in bert.mesh.peers)
            await asyncio.sleep(1)
            assert bert.agent.executor.jobs == 0
            eve.post(asked)
            await until(lambda: eve.heard("task.result"))
            assert results(room) == [("answer", 1)]


class TestContext:
    @in_virtual_time
    async def test_what_was_before_our_first_join_is_known_and_no_work(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            eve = room.stranger("eve")
            bert = room.member("bert")
            eve.announce()
            asked = eve.says(request(echo()))
            eve.post(asked, eve.awards(asked, bert.did))
            await bert.start()
            await asyncio.sleep(10)
            assert [view.state for view in bert.mesh.tasks()] == ["working"]
            assert room.network.posted("task.result", "task.fail") == []
            assert eve.heard("task.offer", "task.start") == []


class TestRequesterRestarts:
    @in_virtual_time
    @pytest.mark.parametrize("leave", [Member.crash, Member.stop], ids=["killed", "stopped"])
    @pytest.mark.parametrize(
        "moment",
        [
            lambda ada: ada.told(TaskOpened),
            lambda ada: ada.agent.requester._errands and next(iter(ada.agent.requester._errands.values())).offers,
            lambda ada: ada.told(StageChanged),
            lambda ada: ada.told(StageText),
        ],
        ids=["asked", "offered", "awarded", "worked on"],
    )
    async def test_in_the_middle_of_a_task(
        self, tmp_path: Path, moment: Callable[[Member], object], leave: Callable[[Member], object]
    ) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["first", 2.0, " then", 2.0, " last"])
            await room.join("bert", engine)
            task_id = ada.ask(order(generate()))
            await until(lambda: moment(ada))
            await leave(ada)  # type: ignore[misc]
            await asyncio.sleep(1)
            await ada.start()
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", "first then last")
            await until(lambda: room.network.posted("task.close"))
            assert len(room.network.posted("task.request")) == len(room.network.posted("task.close")) == 1

    @in_virtual_time
    async def test_a_sealed_task_goes_on_too(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            await room.join("bert", ScriptedEngine(lambda prompt: [3.0, f"({prompt})"]))
            task_id = ada.ask(order(generate("draft"), generate("revise", "question", "draft"), private=True))
            await until(lambda: ada.told(StageText))
            await ada.crash()
            await ada.start()
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", "(What is a mesh?(What is a mesh?))")


class TestExecutorRestarts:
    @in_virtual_time
    async def test_killed_in_mid_work_it_resumes_the_same_attempt(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["one", 2.0, " two", 2.0, " three"])
            bert = await room.join("bert", engine)
            task_id = ada.ask(order(generate()))
            await until(lambda: ada.told(StageText))
            await bert.crash()
            assert engine.canceled == 1
            await bert.start()
            end = await ada.outcome(task_id)
            assert (end.text, end.stages[0].attempt, end.executions) == ("one two three", 1, 1)
            assert len(engine.prompts) == 2
            assert "".join(event.text for event in ada.told(StageText)) == "one two three"

    @in_virtual_time
    async def test_what_it_had_finished_and_not_sent_is_sent_and_not_done_again(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["text", 2.0])
            bert = await room.join("bert", engine)
            task_id = ada.ask(order(generate()))
            await until(lambda: ada.told(StageText))
            account = room.network.accounts[bert.address]
            account.reachable = False
            await until(lambda: not engine.running)
            await bert.crash()
            account.reachable = True
            await bert.start()
            end = await ada.outcome(task_id)
            assert (end.text, end.executions, len(engine.prompts)) == ("text", 1, 1)

    @in_virtual_time
    @pytest.mark.parametrize("served", ["task.request", "task.award"])
    async def test_killed_between_the_commit_of_a_message_and_its_handling(self, tmp_path: Path, served: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["text"])
            bert = await room.join("bert", engine)

            held = Held(room.network, lambda passage: passage.to == bert.address and passage.holds(served))
            task_id = ada.ask(order(generate()))
            await until(lambda: held.passages)
            await bert.crash()
            held.release()
            await asyncio.sleep(0.1)
            _commit(bert, room)
            await bert.start()
            end = await ada.outcome(task_id)
            assert (end.outcome, end.executions, end.stages[0].attempt) == ("completed", 1, 1)
            assert room.network.posted("task.fail") == []

    @in_virtual_time
    async def test_a_restart_repeats_nothing_that_is_done(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            for _ in range(3):
                await ada.outcome(ada.ask(order()))
            await until(lambda: len(room.network.posted("task.close")) == 3)
            said = len(room.network.posted("task.request", "task.award", "task.result", "task.close"))
            for _ in range(3):
                for member in (ada, bert):
                    await member.crash()
                    await member.start()
            await asyncio.sleep(20)
            assert len(room.network.posted("task.request", "task.award", "task.result", "task.close")) == said
            assert ada.agent.requester.open_tasks() == ()

    @in_virtual_time
    async def test_a_restart_alone_is_no_news(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            await asyncio.sleep(30)
            announced = len(room.network.posted("presence.announce"))
            await bert.crash()
            await bert.start()
            await asyncio.sleep(3)
            assert len(room.network.posted("presence.announce")) == announced
            assert live(ada) == {ada.did, bert.did}


class TestRooms:
    @in_virtual_time
    async def test_words_still_queued_for_a_room_that_threw_us_out_stop_no_restart(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            account = room.network.accounts[ada.address]
            account.reachable = False
            ada.ask(order())
            await asyncio.sleep(2)
            await ada.crash()
            account.reachable = True
            room.network.outside.add(ada.address)
            agent = ada.open()
            running = asyncio.ensure_future(agent.run())
            await asyncio.sleep(10)
            assert not running.done() and not agent.synced.is_set()
            room.network.outside.discard(ada.address)
            await agent.synced.wait()
            await until(lambda: bert.did in live(ada))
            assert (await ada.outcome(ada.ask(order()))).outcome == "completed"
            agent.stop()
            await running
            agent.store.close()


class TestPartition:
    @in_virtual_time
    async def test_an_executor_cut_off_does_the_work_twice_and_is_accepted_once(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            bert = await room.join("bert", ScriptedEngine([5.0, "from bert"]))
            trusting = task.Preferences(trusted=(bert.did,))
            task_id = ada.ask(order(generate(), preferences=trusting))
            await until(lambda: room.network.sent("task.start"))
            await room.join("cora", ScriptedEngine(["from cora"]))
            room.network.accounts[bert.address].reachable = False
            end = await ada.outcome(task_id)
            assert (end.text, end.executions) == ("from cora", 1)
            room.network.accounts[bert.address].reachable = True
            room.network.accounts[bert.address].arrived.set()
            bert.agent.outbox.nudge(NAME)
            await until(lambda: len(results(room)) == 2)
            await asyncio.sleep(1)
            view = ada.task(task_id)
            assert (view.state, view.stages["answer"].executions) == ("completed", 2)
            accepted = view.stages["answer"].accepted
            assert accepted is not None and accepted.body.text == "from cora"

    @in_virtual_time
    async def test_a_requester_cut_off_asks_when_the_way_is_free_again(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            account = room.network.accounts[ada.address]
            account.reachable = False
            task_id = ada.ask(order())
            await asyncio.sleep(5)
            assert room.network.posted("task.request") == []
            account.reachable = True
            account.arrived.set()
            ada.agent.outbox.nudge(NAME)
            assert (await ada.outcome(task_id)).outcome == "completed"


class TestPresence:
    @in_virtual_time
    async def test_whoever_leaves_politely_is_gone_at_once_and_whoever_is_killed_stays_until_it_expires(
        self, tmp_path: Path
    ) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora = await room.crowd("ada", "bert", "cora")
            await bert.stop()
            await until(lambda: bert.did not in live(ada))
            await cora.crash()
            await asyncio.sleep(60)
            assert live(ada) == {ada.did, cora.did}

    @in_virtual_time
    async def test_announces_are_few_and_name_the_confirmed(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            members = await room.crowd("ada", "bert", "cora")
            await asyncio.sleep(600)
            announces = room.network.posted("presence.announce")
            assert len(announces) == 6
            newest: dict[str, presence.Announce] = {message.sender: message.body for message in announces}
            dids = {member.did for member in members}
            for did, body in newest.items():
                assert {item.peer for item in body.confirmed} == dids - {did}

    @in_virtual_time
    async def test_a_new_key_at_a_known_address_is_a_conflict_and_no_replacement(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            await bert.crash()
            thief = room.stranger("thief")
            body = thief.announcement(addresses=(presence.Address(uri=bert.address, device="DEVICE"),))
            Stranger.post(_as(thief, bert), body)
            await until(ada.mesh.conflicts)
            assert ada.mesh.conflicts() == {bert.address: sorted([bert.did, thief.did])}
            assert ada.mesh.peers[bert.did].bound


def _as(somebody: Stranger, member: Member) -> Stranger:
    """The same key at another's account."""
    somebody.address = member.address
    return somebody


def _commit(member: Member, room: Room) -> None:
    """Put into the inbox of an agent that does not run what it had just committed when it died."""
    log = room.network.accounts[member.address].log
    store = Store.open(member.folder / "store.sqlite")
    store.commit(NAME, log[int(store.position(NAME) or 0) :], str(len(log)))
    assert store.unhandled()
    store.close()
