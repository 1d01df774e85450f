"""Wall clocks that are wrong, and that are set while something is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import msgspec
import pytest

from bots.config import LimitsSection, RequestsSection
from bots.events import Notice
from bots.ranking import ranked
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.mesh import Mesh
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, generate, live, order
from tests.agent.virtual_time import in_virtual_time, until

HOUR_MS = 3_600_000
WRONG = pytest.mark.parametrize("ahead_ms", [HOUR_MS, -HOUR_MS], ids=["ahead", "behind"])


def tell_time(room: Room, *members: Member, server_ahead_ms: int = 0) -> None:
    """What answers of the homeserver would have told them."""
    server_ms = room.network.now_ms() + server_ahead_ms
    date = format_datetime(datetime.fromtimestamp(server_ms / 1000, UTC), usegmt=True)
    for member in members:
        for _ in range(3):
            member.agent.clock_watch.answered(date, 0.1)


def state(mesh: Mesh) -> dict[str, object]:
    """What the fold of a room makes of its messages, in words that two agents can compare."""
    peers = {did: (peer.announce.id if peer.announce else "", peer.bound) for did, peer in mesh.peers.items()}
    return {"peers": peers, "tasks": {view.id: _told(view) for view in mesh.tasks()}}


def _told(view: TaskView) -> object:
    return view.state, {
        name: (stage.state, stage.accepted.id if stage.accepted else "") for name, stage in view.stages.items()
    }


class TestSetInTheMiddle:
    """The clock of an agent that has begun something is set: what it waits for comes neither sooner nor later."""

    @pytest.mark.parametrize("who", ["ada", "bert"], ids=["of who asks", "of who works"])
    @WRONG
    @in_virtual_time
    async def test_a_lease_goes_on(self, tmp_path: Path, ahead_ms: int, who: str) -> None:
        async with Room(tmp_path) as room:
            slow = ScriptedEngine(["slow", *(step for _ in range(12) for step in (5.0, "."))])
            ada = await room.join("ada")
            await room.join("bert", slow)
            asked = ada.ask(order(generate(max_tokens=64)))
            await until(lambda: slow.running)
            await asyncio.sleep(6)
            room.members[who].clock.ahead_ms = ahead_ms
            end = await ada.outcome(asked, within_s=300)
            (stage,) = end.stages
            assert (end.outcome, stage.text, stage.attempt) == ("completed", "slow" + "." * 12, 1)
            assert (end.executions, len(slow.prompts)) == (1, 1)
            assert 60_000 <= end.elapsed_ms < 62_000

    @WRONG
    @in_virtual_time
    async def test_a_lease_lapses_when_it_should(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            engines = {name: ScriptedEngine([1.0, 1000.0 if name == "bert" else "done"]) for name in ("bert", "cora")}
            ada = await room.join("ada")
            bert, cora = [await room.join(name, engine) for name, engine in engines.items()]
            asked = ada.ask(order(generate(), preferences=task.Preferences(trusted=(bert.did,))))
            await until(lambda: engines["bert"].running)
            await bert.crash()
            ada.clock.ahead_ms = ahead_ms
            await asyncio.sleep(5)
            ada.clock.ahead_ms = 0
            end = await ada.outcome(asked)
            lease_ms = ada.config.requests.lease_ms
            assert (end.stages[0].executor, end.stages[0].attempt) == (cora.did, 2)
            assert lease_ms < end.elapsed_ms < lease_ms + 4_000

    @WRONG
    @in_virtual_time
    async def test_a_task_that_nobody_can_do_is_given_up_when_it_should(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(give_up_seconds=60))
            await room.join("bert", ScriptedEngine(["never"]), limits=LimitsSection(serve="nobody"))
            asked = ada.ask(order(generate()))
            await asyncio.sleep(5)
            ada.clock.ahead_ms = ahead_ms
            end = await ada.outcome(asked)
            assert (end.outcome, end.code) == ("failed", "no_offers")
            assert 15_000 <= end.elapsed_ms < 62_000

    @WRONG
    @in_virtual_time
    async def test_a_handshake_times_out_and_is_tried_again_when_it_should(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = room.stranger("eve")
            eve.announce()
            await until(lambda: eve.heard("handshake.hello"))
            sessions = ada.agent.handshakes._sessions
            await asyncio.sleep(5)
            ada.clock.ahead_ms = ahead_ms
            await asyncio.sleep(10)
            assert len(sessions) == 1
            await asyncio.sleep(10)
            assert len(sessions) == 0
            ada.clock.ahead_ms = 0
            await asyncio.sleep(570)
            assert len(eve.heard("handshake.hello")) == 1
            eve.announce()
            await until(lambda: len(eve.heard("handshake.hello")) == 2)

    @WRONG
    @in_virtual_time
    async def test_what_waits_for_the_homeserver_is_sent_once_it_is_back(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            engine = ScriptedEngine([1.0, "an answer"])
            ada, bert = await room.join("ada"), await room.join("bert", engine)
            asked = ada.ask(order(generate()))
            await until(lambda: engine.running)
            account = room.network.account(bert.address)
            account.reachable = False
            await until(lambda: not engine.running)
            await asyncio.sleep(1)
            bert.clock.ahead_ms = ahead_ms
            await asyncio.sleep(5)
            bert.clock.ahead_ms = 0
            account.reachable = True
            account.arrived.set()
            end = await ada.outcome(asked)
            assert (end.outcome, end.text, end.stages[0].attempt) == ("completed", "an answer", 1)

    @WRONG
    @in_virtual_time
    async def test_an_award_that_waits_for_its_input_is_kept(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            engines = {name: ScriptedEngine([20.0, f"of {name}"]) for name in ("bert", "cora")}
            ada = await room.join("ada")
            members = {member.did: member for member in [await room.join(*item) for item in engines.items()]}
            asked = ada.ask(order(generate("draft"), generate("review", "draft")))
            await until(lambda: any(engine.running for engine in engines.values()))
            current = ada.task(asked).stages["review"].current
            assert current is not None
            members[current.executor].clock.ahead_ms = ahead_ms
            await asyncio.sleep(5)
            members[current.executor].clock.ahead_ms = 0
            end = await ada.outcome(asked)
            assert (end.outcome, [stage.attempt for stage in end.stages]) == ("completed", [1, 1])

    @WRONG
    @in_virtual_time
    async def test_a_quota_fills_as_it_should(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            bert = await room.join("bert", limits=LimitsSection(tasks_per_minute_address=2))
            to_bert = order(to=bert.did)
            for _ in range(2):
                assert (await ada.outcome(ada.ask(to_bert))).outcome == "completed"
            bert.clock.ahead_ms = ahead_ms
            await asyncio.sleep(1)
            bert.clock.ahead_ms = 0
            assert (await _declined(room, ada, to_bert)).startswith("The quota address")
            await asyncio.sleep(31)
            assert (await ada.outcome(ada.ask(to_bert))).outcome == "completed"

    @in_virtual_time
    async def test_what_was_signed_in_the_future_is_said_anew(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = room.member("ada"), await room.join("bert")
            ada.clock.ahead_ms = HOUR_MS
            await ada.start()
            await until(lambda: ada.did in bert.mesh.peers)
            await asyncio.sleep(10)
            assert ada.did not in live(bert)
            ada.clock.ahead_ms = 0
            await until(lambda: ada.did in live(bert), within_s=5)
            first, then = room.network.posted("presence.announce", by=ada.address)
            assert then.body.revision > first.body.revision
            await asyncio.sleep(60)
            assert len(room.network.posted("presence.announce", by=ada.address)) <= 3

    @in_virtual_time
    async def test_a_clock_that_is_corrected_a_little_makes_no_announces(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            await asyncio.sleep(60)
            before = len(room.network.posted("presence.announce", by=ada.address))
            for ahead_ms in (-2_000, 2_000, 0):
                ada.clock.ahead_ms = ahead_ms
                await asyncio.sleep(10)
            assert len(room.network.posted("presence.announce", by=ada.address)) == before


async def _declined(room: Room, ada: Member, given: task.Request | object) -> str:
    """Why the next task of ours is declined; it is canceled then."""
    before = len(room.network.posted("task.fail"))
    asked = ada.ask(given)  # type: ignore[arg-type]
    await until(lambda: len(room.network.posted("task.fail")) > before)
    ada.agent.requester.cancel(asked, "")
    return str(room.network.posted("task.fail")[-1].body.message)


class TestOneOfThree:
    """Among three agents the clock of one is an hour off."""

    @WRONG
    @in_virtual_time
    async def test_the_others_work_on_and_all_see_the_same(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            cora = room.member("cora", ScriptedEngine(["of cora"]))
            cora.clock.ahead_ms = ahead_ms
            await cora.start()
            ada = await _with(room, "ada", ScriptedEngine(["of ada"]))
            bert = await _with(room, "bert", ScriptedEngine(["of bert"]))
            await until(lambda: {ada.did, bert.did} <= live(ada) & live(bert))
            for asker in (ada, bert, ada, bert):
                end = await asker.outcome(asker.ask(order(generate("draft"), generate("review", "draft"))))
                assert (end.outcome, end.executions) == ("completed", 2)
                assert {stage.attempt for stage in end.stages} == {1}
                assert end.elapsed_ms < 10_000
            assert (cora.did in live(ada)) == (ahead_ms < 0)  # what is old may only have been long under way
            assert cora.agent.executor.jobs == 0
            await asyncio.sleep(5)
            assert state(ada.mesh) == state(bert.mesh) == state(cora.mesh)

    @pytest.mark.parametrize("restarted", [False, True], ids=["in mid-run", "between two runs"])
    @WRONG
    @in_virtual_time
    async def test_once_its_clock_is_right_it_is_a_full_member(
        self, tmp_path: Path, ahead_ms: int, restarted: bool
    ) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            cora = room.member("cora", ScriptedEngine(["of cora"]))
            cora.clock.ahead_ms = ahead_ms
            await cora.start()
            await asyncio.sleep(30)
            if restarted:
                await cora.crash()
            cora.clock.ahead_ms = 0
            if restarted:
                await cora.start()
            await until(lambda: ada.did in live(cora) and cora.did in live(ada), within_s=10)
            for asker in (ada, cora):
                end = await asker.outcome(asker.ask(order(generate())))
                assert (end.outcome, end.text) == ("completed", "of cora")

    @in_virtual_time
    async def test_a_new_store_does_not_begin_below_what_was_signed_in_the_future(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            cora = room.member("cora")
            cora.clock.ahead_ms = HOUR_MS
            await cora.start()
            await asyncio.sleep(10)
            await cora.crash()
            for file in cora.folder.glob("store.sqlite*"):
                file.unlink()
            cora.clock.ahead_ms = 0
            # Whoever begins anew is told the room's history.
            account = room.network.accounts.pop(cora.address)
            room.network.account(cora.address).log[:] = [
                msgspec.structs.replace(delivery, live=False) for delivery in account.log
            ]
            await cora.start()
            await until(lambda: cora.did in live(ada), within_s=10)


async def _with(room: Room, name: str, engine: ScriptedEngine) -> Member:
    member = room.member(name, engine)
    await member.start()
    return member


class TestWhatPeopleAreTold:
    @WRONG
    @in_virtual_time
    async def test_an_agent_whose_clock_is_wrong_says_so_once(self, tmp_path: Path, ahead_ms: int) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            ada.clock.ahead_ms = ahead_ms
            tell_time(room, ada, bert)
            await asyncio.sleep(30)
            (notice,) = [event for event in ada.told(Notice) if "clock" in event.text]
            assert ("60 minutes ahead of" if ahead_ms > 0 else "60 minutes behind") in notice.text
            assert not [event for event in bert.told(Notice) if "clock" in event.text]

    @pytest.mark.parametrize("addressed", [False, True], ids=["the room", "one agent"])
    @WRONG
    @in_virtual_time
    async def test_what_it_asks_in_vain_ends_with_the_reason(
        self, tmp_path: Path, ahead_ms: int, addressed: bool
    ) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(give_up_seconds=30, attempts=2, lease_ms=15_000))
            engine = ScriptedEngine(["in vain"])
            bert = await room.join("bert", engine)
            ada.clock.ahead_ms = ahead_ms
            tell_time(room, ada)
            end = await ada.outcome(ada.ask(order(generate(), to=bert.did if addressed else "")))
            assert (end.outcome, end.code) == ("failed", "clock.off")
            assert end.message.startswith(ada.agent.clock_fault)
            assert end.elapsed_ms < 33_000
            assert engine.prompts == []

    @in_virtual_time
    async def test_a_homeserver_whose_own_clock_is_wrong_hinders_nobody(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            await room.join("bert", ScriptedEngine(["an answer"]))
            tell_time(room, *room.members.values(), server_ahead_ms=HOUR_MS)
            end = await ada.outcome(ada.ask(order(generate())))
            assert (end.outcome, end.text) == ("completed", "an answer")

    @pytest.mark.parametrize("addressed", [False, True], ids=["the room", "one agent"])
    @in_virtual_time
    async def test_a_homeserver_whose_own_clock_is_wrong_ends_nothing_early(
        self, tmp_path: Path, addressed: bool
    ) -> None:
        """Whoever can do it is away, for longer than one lease."""
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            bert = await room.join("bert", ScriptedEngine(["an answer"]))
            tell_time(room, ada, server_ahead_ms=31_000)
            assert ada.agent.clock_fault
            await bert.crash()
            asked = ada.ask(order(generate(), to=bert.did if addressed else ""))
            await asyncio.sleep(40)
            await bert.start()
            end = await ada.outcome(asked)
            assert (end.outcome, end.text) == ("completed", "an answer")


async def about_to_ask(room: Room, ahead_ms: int) -> tuple[list[Member], Callable[[], object]]:
    """Three agents by their rank for a person's question, the first with a wrong clock; and what asks it."""
    members = await room.crowd("ada", "bert", "cora", engine=lambda: ScriptedEngine(["an answer"]))
    event_id = room.network.fresh_id()
    order_of = ranked(event_id, [members[0].mesh.peers[member.did] for member in members])
    ranking = sorted(members, key=lambda member: order_of.index(member.did))
    ranking[0].clock.ahead_ms = ahead_ms
    content = {"msgtype": "m.text", "body": "!claw ask What is a mesh?"}
    paul = room.stranger("paul").address
    return ranking, lambda: room.network.post(paul, content, event_id=event_id)


class TestPeople:
    @WRONG
    @in_virtual_time
    async def test_a_question_to_nobody_in_particular_is_answered_by_one_whose_clock_is_right(
        self, tmp_path: Path, ahead_ms: int
    ) -> None:
        """Also if the other one, which ranks first, was so bold as to take it."""
        async with Room(tmp_path) as room:
            ranking, ask = await about_to_ask(room, ahead_ms)
            ask()
            await until(lambda: any("an answer" in body for body in room.network.bodies()))
            answered = {message.sender for message in room.network.posted("task.close")}
            assert ranking[0].did not in answered

    @WRONG
    @in_virtual_time
    async def test_who_knows_that_its_clock_is_wrong_lets_the_others_go_first(
        self, tmp_path: Path, ahead_ms: int
    ) -> None:
        async with Room(tmp_path) as room:
            ranking, ask = await about_to_ask(room, ahead_ms)
            tell_time(room, *ranking)
            ask()
            await until(lambda: room.network.posted("task.close"))
            assert [message.sender for message in room.network.posted("task.request")] == [ranking[1].did]
