"""Sealed tasks: inputs for the executor alone, outputs for the requester alone, nothing of either in any event."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec import UNSET

from bots.config import RequestsSection
from bots.events import StageText
from clawnet_proto import base64url
from clawnet_proto import sealed_text as sealed
from clawnet_proto.carrier import sign
from clawnet_proto.families import presence, task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from clawnet_proto.wire import present
from tests.agent.network import no_store
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, echo, generate, identity_of, order, request
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until

SECRET = "the treasure lies under the old oak"
USELESS_KEY = base64url.encode(bytes(32))  # every shared secret with it is zero


def everything(room: Room) -> str:
    """All that a homeserver, or anybody in the room, ever saw."""
    return json.dumps([room.network.timeline, room.network.direct], ensure_ascii=False)


class TestCourse:
    @in_virtual_time
    async def test_no_word_of_it_is_in_any_event(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            for name in ("bert", "cora", "dora"):
                await room.join(name, ScriptedEngine(lambda prompt: ["so ", 1.0, prompt.upper()]))
            stages = (generate("draft"), generate("revise", "question", "draft"))
            task_id = ada.ask(order(*stages, question=SECRET, private=True, title="a sealed question"))
            end = await ada.outcome(task_id)
            assert end.text == f"so {SECRET.upper()}SO {SECRET.upper()}"
            assert "".join(event.text for event in ada.told(StageText) if event.stage == "revise") == end.text
            await until(lambda: room.network.posted("task.close"))
            seen = everything(room).lower()
            for words in ("treasure", "lies under", "old oak"):
                assert words not in seen

    @in_virtual_time
    async def test_the_digests_form_the_same_chain_as_in_a_public_task(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *_ = await room.crowd("ada", "bert", "cora", "dora")
            stages = (echo("draft"), echo("revise", "question", "draft"))
            task_id = ada.ask(order(*stages, question=SECRET, private=True))
            await ada.outcome(task_id)
            view = ada.task(task_id)
            draft, revise = (stage.accepted for stage in view.stages.values())
            assert draft is not None and revise is not None
            question = view.request.body.inputs[0]
            assert question.text is UNSET
            assert [item.digest for item in revise.body.inputs] == [question.digest, draft.body.output_digest]
            # Salted: whoever guesses the text cannot prove it.
            assert question.digest != digest(SECRET.encode())
            assert draft.body.output_digest != digest(f"|{SECRET}".encode())

    @in_virtual_time
    async def test_only_the_executor_and_the_requester_can_open_it(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora = await room.crowd("ada", "bert", "cora")
            task_id = ada.ask(order(question=SECRET, private=True, to=bert.did))
            await ada.outcome(task_id)
            await until(lambda: cora.task(task_id).close is not None)
            current = cora.task(task_id).stages["answer"].current
            assert current is not None and current.result is not None
            given = present(current.award.body.inputs, ())[0]
            info = sealed.input_info(task_id, "answer", 1, "question")
            assert sealed.unseal(identity_of("bert").seal, given.sealed, info, given.digest).text == SECRET
            output = sealed.output_info(task_id, "answer", 1)
            opened = sealed.unseal(identity_of("ada").seal, str(current.result.body.sealed), output)
            assert opened.text == f"|{SECRET}"
            for name in ("ada", "cora"):
                with pytest.raises(Exception, match=r"sealed\.unreadable"):
                    sealed.unseal(identity_of(name).seal, given.sealed, info)

    @in_virtual_time
    async def test_inputs_that_fit_into_no_award_and_no_store_end_the_task_with_a_reason(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            room.network.chunk_fault = no_store
            ada, *_ = await room.crowd("ada", "bert")
            stages = (echo("first"), echo("second"), echo("third", "question", "first", "second"))
            large = ada.ask(order(*stages, question="x" * 12_000, private=True))
            small = ada.ask(order(question=SECRET, private=True))
            end = await ada.outcome(large)
            assert (end.outcome, end.code) == ("failed", "artifact.unavailable")
            assert "too long for a message" in end.message
            assert (await ada.outcome(small)).outcome == "completed"


class TestFaults:
    @in_virtual_time
    async def test_an_executor_nothing_can_be_sealed_to_is_passed_over(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            eve = _worker(room, seal_key=USELESS_KEY)
            await until(lambda: eve.did in ada.mesh.peers)
            trusting = order(question=SECRET, private=True, preferences=task.Preferences(trusted=(eve.did,)))
            task_id = ada.ask(trusting)
            other = ada.ask(order())
            await until(lambda: room.network.posted("task.request"))
            offer = task.Offer(stages=(task.StageOffer(stage="answer", wait_ms=0),))
            eve.send(ada.address, eve.says(offer, recipients=(ada.did,), thread=task_id, answers=task_id))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.stages[0].executor) == ("completed", bert.did)
            assert (await ada.outcome(other)).outcome == "completed"

    @in_virtual_time
    async def test_a_requester_nothing_can_be_sealed_to_gets_a_failure_and_no_text(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert", ScriptedEngine([SECRET, 2.0, SECRET]))
            eve = room.stranger("eve")
            eve.announce(seal_key=USELESS_KEY)
            eve.post(*_sealed_order(eve, bert, generate()))
            await until(lambda: eve.heard("task.fail", "task.result"))
            assert [message.type for message in eve.heard("task.fail", "task.result")] == ["task.fail"]
            assert SECRET not in everything(room)
            assert bert.alive

    @in_virtual_time
    @pytest.mark.parametrize("fault", ["digest", "place", "garbage"])
    async def test_an_input_that_does_not_open_in_its_place(self, tmp_path: Path, fault: str) -> None:
        async with Room(tmp_path) as room:
            engine = ScriptedEngine(["never"])
            bert = await room.join("bert", engine)
            eve = room.stranger("eve")
            eve.announce()
            eve.post(*_sealed_order(eve, bert, generate(), fault=fault))
            await until(lambda: eve.heard("task.fail"))
            fail = eve.heard("task.fail")[0].body
            assert fail.code == ("digest.mismatch" if fault == "digest" else "sealed.unreadable")
            assert engine.prompts == []

    @in_virtual_time
    @pytest.mark.parametrize("fault", ["digest", "place", "garbage"])
    async def test_an_output_that_does_not_open_is_not_accepted(self, tmp_path: Path, fault: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(lease_ms=5000))
            bert = await room.join("bert")
            eve = _worker(room)
            await until(lambda: eve.did in ada.mesh.peers)
            task_id = ada.ask(order(question=SECRET, private=True, preferences=task.Preferences(trusted=(eve.did,))))
            offer = task.Offer(stages=(task.StageOffer(stage="answer", wait_ms=0),))
            eve.send(ada.address, eve.says(offer, recipients=(ada.did,), thread=task_id, answers=task_id))
            await until(lambda: eve.heard("task.award"))
            award = eve.heard("task.award")[0]
            eve.post(eve.says(_result(award, fault), recipients=(ada.did,), thread=task_id, answers=award.id))
            end = await ada.outcome(task_id)
            assert (end.text, end.stages[0].executor) == (f"|{SECRET}", bert.did)
            close = ada.task(task_id).close
            assert close is not None and [item.executor for item in close.body.accepted] == [bert.did]

    @in_virtual_time
    async def test_no_plain_text_leaves_an_executor_that_forgot_the_requester(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            bert = await room.join("bert", ScriptedEngine([SECRET, 3.0, SECRET]))
            ada.ask(order(generate(), private=True, to=bert.did))
            await until(lambda: room.network.sent("task.progress"))
            del bert.mesh.peers[ada.did]
            await asyncio.sleep(30)
            assert SECRET not in everything(room)
            assert bert.alive


def _worker(room: Room, **changes: object) -> Stranger:
    """Somebody that is capable of echo stages and is played by the test."""
    eve = room.stranger("eve")
    eve.announce(capabilities=("echo",), load=presence.Load(running=0, waiting=0, slots=1), **changes)
    return eve


def _sealed_order(eve: Stranger, to: Member, stage: task.Stage, *, fault: str = "") -> tuple[bytes, bytes]:
    """A sealed request and its award, in which one thing may be wrong."""
    secret, another = sealed.Secret.of(SECRET), sealed.Secret.of("something else")
    body = request(stage, privacy="sealed", inputs=(task.Input(name="question", digest=secret.digest),))
    message = eve.say(body, sent_ms=eve.network.now_ms())
    info = sealed.input_info(message.id, "another" if fault == "place" else stage.id, 1, "question")
    text = (another if fault == "digest" else secret).sealed_to(identity_of(to.name).seal.public, info)
    given = task.SealedInput(
        source="question",
        digest=secret.digest,
        sealed=base64url.encode(b"g" * 80) if fault == "garbage" else text,
    )
    award = task.Award(stage=stage.id, attempt=1, lease_ms=15_000, inputs=(given,))
    awarded = eve.says(award, recipients=(to.did,), thread=message.id, answers=message.id)
    return sign(eve.key, message.envelope)[0], awarded


def _result(award: Message, fault: str) -> task.Result:
    secret, another = sealed.Secret.of("from eve"), sealed.Secret.of("something else")
    place = "another" if fault == "place" else "answer"
    info = sealed.output_info(str(award.envelope.thread), place, award.body.attempt)
    text = base64url.encode(b"g" * 80) if fault == "garbage" else secret.sealed_to(identity_of("ada").seal.public, info)
    return task.Result(
        stage="answer",
        attempt=award.body.attempt,
        award=award.id,
        inputs=tuple(
            task.InputDigest(source=item.source, digest=item.digest) for item in present(award.body.inputs, ())
        ),
        parameters=echo().parameters,
        output_digest=(another if fault == "digest" else secret).digest,
        sealed=text,
        media_type="text/plain",
        finish="stop",
        usage=task.Usage(prompt_tokens=0, output_tokens=0, queued_ms=0, prompt_ms=0, generate_ms=0),
    )
