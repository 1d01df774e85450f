"""Tasks among agents: who offers, who is awarded, what happens when somebody fails, and who has the last word."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import msgspec
import pytest

from bots.config import LimitsSection, RequestsSection
from bots.errors import ClawbotError, EngineError
from bots.events import PeerConfirmed, StageChanged, StageText, TaskQuestion
from bots.ranking import OFFERS_PER_WAVE, WAVE_MS, ranked, stage_key
from clawnet_proto.families import presence, task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from clawnet_proto.wire import present
from tests.agent.network import Held, Passage, no_store
from tests.agent.scripted_engine import ScriptedEngine, Step
from tests.agent.simulated import QUESTION, Member, Room, echo, generate, order, request
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until

HANGING = (3600.0,)


def rank(asking: Member, task_id: str, members: list[Member], stage: str = "answer") -> list[Member]:
    """The members in the order in which everybody ranks them for a stage."""
    by_did = {member.did: member for member in members}
    peers = [asking.mesh.peers[did] for did in by_did]
    return [by_did[did] for did in ranked(stage_key(task_id, stage), peers)]


class TestCourse:
    @in_virtual_time
    async def test_an_open_task_goes_through_other_hands_and_ends_with_a_receipt(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora = await room.crowd("ada", "bert", "cora")
            task_id = ada.ask(order(echo("draft"), echo("revise", "question", "draft")))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", f"|{QUESTION}||{QUESTION}")
            assert {done.executor for done in end.stages} == {bert.did, cora.did}
            await until(lambda: cora.task(task_id).close is not None)
            for member in (ada, bert, cora):
                view = member.task(task_id)
                assert (view.state, view.errors) == ("completed", {})
                draft, revise = (stage.accepted for stage in view.stages.values())
                assert draft is not None and revise is not None
                assert revise.body.inputs == (
                    task.InputDigest(source="question", digest=digest(QUESTION.encode())),
                    task.InputDigest(source="draft", digest=draft.body.output_digest),
                )

    @in_virtual_time
    async def test_an_addressed_task_is_one_event_and_nobody_else_offers(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, _cora = await room.crowd("ada", "bert", "cora")
            end = await ada.outcome(ada.ask(order(to=bert.did)))
            assert [done.executor for done in end.stages] == [bert.did]
            assert room.network.sent("task.offer") == []
            asked = [event for event in room.network.timeline if "asks of bert" in event["content"]["body"]]
            assert "awards answer to bert" in asked[0]["content"]["body"]

    @in_virtual_time
    async def test_a_peer_that_is_not_there_cannot_be_addressed(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            with pytest.raises(ClawbotError, match="not in the room"):
                ada.ask(order(to=room.stranger("nobody").did))
            assert room.network.posted("task.request") == []

    @in_virtual_time
    async def test_one_question_costs_its_requester_three_room_events(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *_ = await room.crowd("ada", "bert", "cora", "dora")
            await asyncio.sleep(60)
            before = len(room.network.bodies(by=ada.address))
            task_id = ada.ask(order(echo("draft"), echo("critique", "draft"), echo("revise", "draft", "critique")))
            await ada.outcome(task_id)
            await until(lambda: room.network.posted("task.close"))
            assert len(room.network.bodies(by=ada.address)) - before == 3

    @in_virtual_time
    async def test_preferences_rank_and_do_not_exclude(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora, dora = await room.crowd("ada", "bert", "cora", "dora")
            for preferred in (bert, cora, dora):
                preferences = task.Preferences(trusted=(preferred.did,))
                end = await ada.outcome(ada.ask(order(preferences=preferences)))
                assert end.stages[0].executor == preferred.did
            nobody = task.Preferences(roles=("poet",))
            assert (await ada.outcome(ada.ask(order(preferences=nobody)))).outcome == "completed"


class TestOffers:
    @in_virtual_time
    async def test_only_the_best_three_of_ten_offer(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", *(f"peer-{number}" for number in range(10)))
            task_id = ada.ask(order())
            await ada.outcome(task_id)
            offers = room.network.sent("task.offer")
            best = rank(ada, task_id, others)[:OFFERS_PER_WAVE]
            assert sorted(offer.sender for offer in offers) == sorted(member.did for member in best)
            assert (await ada.outcome(task_id)).stages[0].executor in {member.did for member in best}

    @in_virtual_time
    async def test_a_silent_first_wave_is_followed_by_the_next_three(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", *(f"peer-{number}" for number in range(7)))
            silent: set[str] = set()
            room.network.rules.append(lambda passage: [] if passage.sender in silent else [passage])
            task_id = ada.ask(order())
            ranking = rank(ada, task_id, others)
            silent.update(member.address for member in ranking[:OFFERS_PER_WAVE])
            end = await ada.outcome(task_id)
            assert end.stages[0].executor in {member.did for member in ranking[OFFERS_PER_WAVE : 2 * OFFERS_PER_WAVE]}
            assert WAVE_MS <= end.elapsed_ms < WAVE_MS + 2000

    @in_virtual_time
    async def test_the_requester_shakes_hands_with_who_offers(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", *(f"peer-{number}" for number in range(10)))
            end = await ada.outcome(ada.ask(order()))
            await until(lambda: end.stages[0].executor in {event.peer for event in ada.told(PeerConfirmed)})
            executor = next(member for member in others if member.did == end.stages[0].executor)
            await until(lambda: ada.did in {event.peer for event in executor.told(PeerConfirmed)})

    @in_virtual_time
    async def test_nobody_is_capable(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            end = await ada.outcome(ada.ask(order(generate(needs=task.Needs(model="unheard-of")))))
            assert (end.outcome, end.code) == ("failed", "no_offers")
            assert end.message == "Nobody offered to run answer."
            assert 15_000 < end.elapsed_ms < 20_000
            await until(lambda: room.network.posted("task.close"))
            assert room.network.posted("task.close")[0].body.message == end.message

    @in_virtual_time
    async def test_whoever_is_alone_does_it_itself(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", ScriptedEngine(["alone"]), limits=LimitsSection(serve="listed"))
            end = await ada.outcome(ada.ask(order(generate())))
            assert (end.text, end.stages[0].executor) == ("alone", ada.did)


class TestAttempts:
    @in_virtual_time
    async def test_a_lapsed_lease_gives_the_stage_to_somebody_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora = await room.crowd("ada", "bert", "cora")
            gone: set[str] = set()

            def first_award_kills(passage: Passage) -> list[Passage]:
                for message in passage.messages:
                    if message.type == "task.award" and message.body.attempt == 1:
                        gone.update(present(message.envelope.recipients, ()))
                executor = next(member for member in (ada, bert, cora) if member.address == passage.to)
                return [] if executor.did in gone else [passage]

            room.network.rules.append(first_award_kills)
            end = await ada.outcome(ada.ask(order()))
            assert (end.outcome, end.stages[0].attempt) == ("completed", 2)
            assert gone == {bert.did, cora.did} - {end.stages[0].executor}
            lease_ms = ada.config.requests.lease_ms
            assert lease_ms < end.elapsed_ms < lease_ms + 2000
            assert [event.state for event in ada.told(StageChanged)] == ["awarded", "awarded", "completed"]

    @in_virtual_time
    async def test_progress_renews_the_lease_of_slow_work(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            slow = ScriptedEngine(["slow", 100.0, " and steady"])
            ada = await room.join("ada")
            await room.join("bert", slow)
            end = await ada.outcome(ada.ask(order(generate())), within_s=300)
            assert (end.outcome, end.text, end.stages[0].attempt) == ("completed", "slow and steady", 1)

    @in_virtual_time
    async def test_a_declined_award_goes_to_somebody_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            strict = LimitsSection(tasks_per_minute_address=1)
            bert = await room.join("bert", limits=strict)
            await ada.outcome(ada.ask(order()))
            cora = await room.join("cora")
            trusting = order(preferences=task.Preferences(trusted=(bert.did,)))
            end = await ada.outcome(ada.ask(trusting))
            assert (end.stages[0].executor, end.stages[0].attempt) == (cora.did, 2)
            declined = room.network.posted("task.fail")
            assert [(fail.sender, fail.body.code, fail.body.message) for fail in declined] == [
                (bert.did, "declined", "The quota address is used up.")
            ]
            assert end.elapsed_ms < 1000

    @in_virtual_time
    async def test_a_failure_another_may_overcome_is_tried_elsewhere(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            sick = ScriptedEngine([EngineError("engine.memory", "Out of memory.", retryable=True)])
            bert = await room.join("bert", sick)
            await room.join("cora", ScriptedEngine(["fine"]))
            trusting = order(generate(), preferences=task.Preferences(trusted=(bert.did,)))
            end = await ada.outcome(ada.ask(trusting))
            assert (end.text, end.stages[0].name, end.stages[0].attempt) == ("fine", "cora", 2)
            assert "Out of memory." in [event.detail for event in ada.told(StageChanged)]
            assert bert.alive

    @in_virtual_time
    async def test_what_everybody_calls_impossible_is_tried_by_everybody_once(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            for name in ("bert", "cora", "dora"):
                refusing = EngineError("engine.context", "The prompt does not fit the context.", retryable=False)
                await room.join(name, ScriptedEngine([refusing]))
            task_id = ada.ask(order(generate()))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.code, end.executions) == ("failed", "attempts", 0)
            assert "The prompt does not fit the context." in end.message
            assert len({attempt.executor for attempt in ada.task(task_id).stages["answer"].attempts.values()}) == 3
            assert len(ada.task(task_id).stages["answer"].attempts) == 3

    @in_virtual_time
    async def test_one_that_declines_for_now_is_asked_again_ever_more_seldom(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(lambda prompt: [100.0, "late"] if "long" in prompt else ["soon"])
            limits = LimitsSection(concurrency=1, waiting=0)
            bert = await room.join("bert", engine, limits=limits)
            busy = ada.ask(order(generate(), question="long", to=bert.did))
            await until(lambda: engine.running)
            waiting = ada.ask(order(generate(), to=bert.did))
            assert (await ada.outcome(busy, within_s=200)).text == "late"
            assert (await ada.outcome(waiting, within_s=200)).text == "soon"
            awards = [award for award in room.network.posted("task.award") if award.envelope.thread == waiting]
            moments = [award.envelope.sent_ms for award in awards]
            pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
            assert len(pauses) == 5
            assert all(abs(pause - 5_000 * 2**number) < 500 for number, pause in enumerate(pauses[:4]))

    @in_virtual_time
    async def test_attempts_are_bounded(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=3))
            await room.join("bert", ScriptedEngine([EngineError("engine.failed", "It died.")]))
            task_id = ada.ask(order(generate()))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.code) == ("failed", "attempts")
            assert len(ada.task(task_id).stages["answer"].attempts) == 3

    @in_virtual_time
    async def test_an_engine_that_breaks_a_promise_fails_the_stage_and_nothing_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            bert = await room.join("bert", ScriptedEngine([ZeroDivisionError("a fault of ours")]))
            end = await ada.outcome(ada.ask(order(generate())))
            assert "The agent failed while it worked on this." in end.message
            assert (await ada.outcome(ada.ask(order(echo())))).outcome == "completed"
            assert bert.alive

    @in_virtual_time
    @pytest.mark.parametrize("first", ["task.fail", "presence.leave"])
    async def test_the_executor_left_politely_and_comes_back(self, tmp_path: Path, first: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["once", 90.0, " more"])
            bert = await room.join("bert", engine, limits=LimitsSection(grace_seconds=0))
            task_id = ada.ask(order(generate()))
            await asyncio.sleep(80)
            second = {"task.fail", "presence.leave"} - {first}
            room.network.rules.append(
                lambda passage: [msgspec.structs.replace(passage, delay_s=1.0 if passage.holds(*second) else 0.01)]
            )
            await bert.stop()
            assert [fail.body.code for fail in room.network.posted("task.fail")] == ["stopping"]
            await asyncio.sleep(20)
            await bert.start()
            end = await ada.outcome(task_id, within_s=200)
            assert (end.outcome, end.stages[0].attempt) == ("completed", 2)

    @in_virtual_time
    async def test_the_deadline_of_a_task(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(HANGING)
            await room.join("bert", engine)
            end = await ada.outcome(ada.ask(order(generate(), timeout_ms=20_000)))
            assert (end.outcome, end.code) == ("failed", "deadline")
            await until(lambda: engine.canceled == 1)


class TestCancel:
    @in_virtual_time
    async def test_cancelling_stops_the_work_and_nothing_is_said_about_it_any_more(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["on", 1.0, " and", 1.0, " on"] * 100)
            bert = await room.join("bert", engine)
            task_id = ada.ask(order(generate()))
            await until(lambda: ada.told(StageText))
            ada.agent.requester.cancel(task_id, "never mind")
            assert (await ada.outcome(task_id)).outcome == "canceled"
            await until(lambda: engine.canceled == 1)
            assert room.network.posted("task.result", "task.fail", by=bert.address) == []
            said = len(room.network.sent("task.progress"))
            await asyncio.sleep(30)
            assert len(room.network.sent("task.progress")) == said
            assert room.network.posted("task.result", "task.fail", by=bert.address) == []
            assert bert.task(task_id).state == "canceled"
            assert bert.agent.executor.jobs == 0
            assert ada.agent.requester.open_tasks() == ()

    @in_virtual_time
    async def test_cancelled_before_anybody_worked(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            held = Held(room.network, lambda passage: passage.to == bert.address)
            task_id = ada.ask(order())
            ada.agent.requester.cancel(task_id, "")
            await until(lambda: any(passage.holds("task.cancel") for passage in held.passages))
            held.release()
            await until(lambda: bert.mesh.task(task_id) is not None)
            await asyncio.sleep(5)
            assert room.network.sent("task.offer") == []
            assert bert.task(task_id).state == "canceled"

    @in_virtual_time
    async def test_what_is_over_cannot_be_cancelled(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            task_id = ada.ask(order())
            await ada.outcome(task_id)
            with pytest.raises(ClawbotError, match="no open task"):
                ada.agent.requester.cancel(task_id, "too late")
            await until(lambda: room.network.posted("task.close"))
            assert room.network.posted("task.cancel") == []


class TestLimits:
    @in_virtual_time
    @pytest.mark.parametrize(
        "limits",
        [LimitsSection(serve="nobody"), LimitsSection(serve="listed", listed=("elsewhere.example",))],
        ids=["nobody", "listed"],
    )
    async def test_whom_the_owner_does_not_serve_gets_neither_offer_nor_work(
        self, tmp_path: Path, limits: LimitsSection
    ) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            bert = await room.join("bert", limits=limits)
            await ada.outcome(ada.ask(order()))
            assert room.network.sent("task.offer") == []
            end = await ada.outcome(ada.ask(order(to=bert.did)))
            assert (end.outcome, end.executions) == ("failed", 0)
            assert [fail.body.code for fail in room.network.posted("task.fail")] == ["declined"]

    @in_virtual_time
    @pytest.mark.parametrize("listed", ["@ada:example.org", "example.org", "matrix:u/ada:example.org"])
    async def test_whom_the_owner_lists_is_served(self, tmp_path: Path, listed: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            await room.join("bert", limits=LimitsSection(serve="listed", listed=(listed,)))
            assert (await ada.outcome(ada.ask(order()))).outcome == "completed"

    @in_virtual_time
    async def test_a_request_passed_on_too_often(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            bert = await room.join("bert", limits=LimitsSection(hops=2))
            assert (await ada.outcome(ada.ask(order(hops=2)))).outcome == "completed"
            assert [offer.sender for offer in room.network.sent("task.offer")] == [bert.did]
            end = await ada.outcome(ada.ask(order(hops=3)))
            assert (end.stages[0].executor, len(room.network.sent("task.offer"))) == (ada.did, 1)
            end = await ada.outcome(ada.ask(order(hops=3, to=bert.did)))
            assert "passed on too often" in end.message

    @in_virtual_time
    async def test_more_tokens_than_the_owner_allows(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["never"])
            bert = await room.join("bert", engine, limits=LimitsSection(output_tokens=20))
            assert (await ada.outcome(ada.ask(order(generate(max_tokens=21))))).code == "no_offers"
            end = await ada.outcome(ada.ask(order(generate(max_tokens=21), to=bert.did)))
            assert "More than 20 tokens are asked for." in end.message
            assert engine.prompts == []
            assert (await ada.outcome(ada.ask(order(generate(max_tokens=20), to=bert.did)))).text == "never"

    @in_virtual_time
    async def test_a_prompt_larger_than_the_owner_allows(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["never"])
            await room.join("bert", engine, limits=LimitsSection(prompt_bytes=100))
            end = await ada.outcome(ada.ask(order(generate(), question="é" * 51)))
            assert (end.outcome, engine.prompts) == ("failed", [])
            assert "The prompt is larger than 100 bytes." in end.message
            fail = room.network.posted("task.fail")[0].body
            assert (fail.code, fail.retryable) == ("prompt.too_large", False)

    @in_virtual_time
    async def test_a_model_the_owner_does_not_lend(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["never"])
            bert = await room.join("bert", engine, limits=LimitsSection(models=("another",)))
            announce = ada.mesh.peers[bert.did].body
            assert announce is not None and announce.models == ()
            end = await ada.outcome(ada.ask(order(generate(), to=bert.did)))
            assert (engine.prompts, end.outcome) == ([], "failed")

    @in_virtual_time
    async def test_hands_that_are_full(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine([5.0, "done"])
            bert = await room.join("bert", engine, limits=LimitsSection(concurrency=1, waiting=1))
            tasks = [ada.ask(order(generate(), to=bert.did)) for _ in range(3)]
            await until(lambda: room.network.posted("task.fail"))
            fail = room.network.posted("task.fail")[0].body
            assert (fail.code, fail.message) == ("declined", "This agent has its hands full.")
            ends = [await ada.outcome(task_id) for task_id in tasks]
            assert [end.outcome for end in ends] == ["completed"] * 3
            assert [end.stages[0].attempt for end in ends] == [1, 1, 2]

    @in_virtual_time
    async def test_tokens_not_used_are_given_back(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["five tokens"])
            bert = await room.join("bert", engine, limits=LimitsSection(tokens_per_minute=150, output_tokens=100))
            for _ in range(4):
                end = await ada.outcome(ada.ask(order(generate(max_tokens=100), to=bert.did)))
                assert end.outcome == "completed"

    @in_virtual_time
    async def test_tokens_of_cancelled_work_are_given_back(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(lambda prompt: HANGING if "hang" in prompt else ["done"])
            bert = await room.join("bert", engine, limits=LimitsSection(tokens_per_minute=150, output_tokens=100))
            hanging = ada.ask(order(generate(max_tokens=100), question="hang", to=bert.did))
            await until(lambda: engine.running)
            ada.agent.requester.cancel(hanging, "")
            await until(lambda: engine.canceled)
            end = await ada.outcome(ada.ask(order(generate(max_tokens=100), to=bert.did)))
            assert end.outcome == "completed"


class TestProgress:
    @in_virtual_time
    @pytest.mark.parametrize("piece", ["word ", "w" * 9000], ids=["many pieces", "large pieces"])
    async def test_at_most_two_a_second_and_the_text_is_whole(self, tmp_path: Path, piece: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            count = 200 if len(piece) < 100 else 1
            script: list[Step] = [piece, 0.02] * count
            script += [3.0, "end"]
            await room.join("bert", ScriptedEngine(script))
            task_id = ada.ask(order(generate()))
            end = await ada.outcome(task_id)
            assert end.text == piece * count + "end"
            progress = room.network.sent("task.progress")
            moments = [message.envelope.sent_ms for message in progress]
            assert len(moments) >= 3
            assert all(third - first >= 1000 for first, third in zip(moments, moments[2:], strict=False))
            assert [message.body.index for message in progress] == list(range(len(progress)))
            streamed = [event for event in ada.told(StageText) if event.task == task_id]
            assert "".join(event.text for event in streamed) == end.text
            assert [event.offset for event in streamed] == [
                sum(len(earlier.text) for earlier in streamed[:number]) for number in range(len(streamed))
            ]

    @in_virtual_time
    async def test_short_leases_are_kept_alive_at_the_same_rate(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(lease_ms=1500))
            words: list[Step] = ["a", 0.1] * 50
            await room.join("bert", ScriptedEngine([10.0, *words, 10.0, "b"]))
            end = await ada.outcome(ada.ask(order(generate())))
            assert end.stages[0].attempt == 1
            moments = [message.envelope.sent_ms for message in room.network.sent("task.progress")]
            assert all(third - first >= 1000 for first, third in zip(moments, moments[2:], strict=False))

    @in_virtual_time
    async def test_an_output_too_long_for_a_message_is_cut_if_it_can_be_stored_nowhere(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            room.network.chunk_fault = no_store
            ada = await room.join("ada")
            await room.join("bert", ScriptedEngine(["é" * 12_000]))
            end = await ada.outcome(ada.ask(order(generate())))
            assert end.stages[0].finish == "length"
            assert end.text == "é" * 8000


class TestQuestions:
    @in_virtual_time
    async def test_an_executor_asks_and_the_lease_waits_for_the_reply(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = _worker(room)
            await until(lambda: eve.did in ada.mesh.peers)
            task_id = ada.ask(order(to=eve.did))
            await until(lambda: eve.heard("task.award"))
            award = eve.heard("task.award")[0]
            eve.post(_of(eve, ada, award, award.id, task.Ask(stage="answer", attempt=1, question="For whom?")))
            await until(lambda: ada.told(TaskQuestion))
            assert ada.told(TaskQuestion)[0].text == "For whom?"
            assert ada.task(task_id).state == "input_required"
            await asyncio.sleep(120)
            assert len(ada.task(task_id).stages["answer"].attempts) == 1
            ada.agent.requester.reply(task_id, "For children.")
            await until(lambda: eve.heard("task.reply"))
            reply = eve.heard("task.reply")[0]
            assert reply.body.text == "For children."
            eve.post(_of(eve, ada, award, reply.id, _result(award, "A net, dear.")))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", "A net, dear.")

    @in_virtual_time
    async def test_a_task_that_asks_nothing_takes_no_reply(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            task_id = ada.ask(order())
            with pytest.raises(ClawbotError, match="waits for no answer"):
                ada.agent.requester.reply(task_id, "yes")
            with pytest.raises(ClawbotError, match="waits for no answer"):
                ada.agent.requester.reply("no such task", "yes")


class TestLateWork:
    @in_virtual_time
    async def test_a_result_after_its_lease_is_counted_and_not_accepted_twice(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = _worker(room)
            await until(lambda: eve.did in ada.mesh.peers)
            task_id = ada.ask(order(to=eve.did))
            await until(lambda: len(eve.heard("task.award")) == 2)
            first, second = eve.heard("task.award")
            eve.post(
                _of(eve, ada, first, first.id, _result(first, "late")),
                _of(eve, ada, second, second.id, _result(second, "in time")),
            )
            end = await ada.outcome(task_id)
            assert (end.text, end.executions, end.stages[0].attempt) == ("in time", 2, 2)

    @in_virtual_time
    async def test_no_work_is_begun_on_a_request_whose_time_is_over(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve = room.stranger("eve")
            eve.announce()
            body = request(echo("first"), echo("second", "first"))
            eve.post(eve.says(body, expires_ms=room.network.now_ms() + 5_000))
            await until(lambda: list(bert.mesh.tasks()))
            view = next(bert.mesh.tasks())
            award = task.Award(stage="second", attempt=1, lease_ms=600_000)
            eve.post(eve.says(award, recipients=(bert.did,), thread=view.id, answers=view.id))
            await until(lambda: bert.agent.executor.jobs == 1)
            await asyncio.sleep(10)
            assert bert.agent.executor.jobs == 0
            assert bert.alive


def _worker(room: Room) -> Stranger:
    """Somebody that is capable of echo stages and is played by the test."""
    eve = room.stranger("eve")
    eve.announce(capabilities=("echo",), load=presence.Load(running=0, waiting=0, slots=1))
    return eve


def _of(eve: Stranger, to: Member, award: Message, answers: str, body: task.Ask | task.Result) -> bytes:
    thread = award.envelope.thread
    return eve.says(body, recipients=(to.did,), thread=thread, answers=answers)


def _result(award: Message, text: str) -> task.Result:
    return task.Result(
        stage="answer",
        attempt=award.body.attempt,
        award=award.id,
        inputs=(task.InputDigest(source="question", digest=digest(QUESTION.encode())),),
        parameters=echo().parameters,
        output_digest=digest(text.encode()),
        text=text,
        media_type="text/plain",
        finish="stop",
        usage=task.Usage(prompt_tokens=0, output_tokens=0, queued_ms=0, prompt_ms=0, generate_ms=0),
    )
