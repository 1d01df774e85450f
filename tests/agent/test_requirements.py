"""What the specification demands of a peer that no vector can show, where no other test here comes by it."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.bindings import crypto_sign_ed25519_sk_to_curve25519

from bots import identity as identities
from bots.api import Clawnet
from bots.config import RequestsSection
from bots.engines import Completion, Message, Model, Sampling
from bots.events import StageText
from bots.requests import Peers, PeerSeen
from bots.service import Service
from bots.transports.matrix import rooms
from bots.transports.matrix.events import Header
from clawnet_proto import base64url
from clawnet_proto.carrier import verify
from clawnet_proto.families import handshake, presence, task
from clawnet_proto.sealing import SealKey
from clawnet_proto.specification import TYPES
from tests.agent.door import GOOD, opened
from tests.agent.faults import REFUSED, asking, awarding, signed
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import QUESTION, Member, Room, echo, generate, order
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import ROOM, canonical_text


class TestWhatIsSent:
    @in_virtual_time
    async def test_each_message_travels_on_a_plane_of_its_type(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", "bert", "cora")
            await others[0].stop()
            dora = await room.join("dora", ScriptedEngine(["on", 1.0, " and on"]))
            for private in (False, True):
                await ada.outcome(ada.ask(order(generate(), private=private)))
            canceled = ada.ask(order(generate(), to=dora.did))
            await until(lambda: room.network.sent("task.start"))
            ada.agent.requester.cancel(canceled, "")
            await until(lambda: room.network.posted("task.cancel"))
            posted, sent = room.network.posted(), room.network.sent()
            assert {"presence.leave", "task.result", "task.close"} <= {message.type for message in posted}
            assert {"handshake.confirm", "task.offer", "task.progress"} <= {message.type for message in sent}
            assert [message.type for message in posted if "room" not in TYPES[message.type].planes] == []
            assert [message.type for message in sent if "direct" not in TYPES[message.type].planes] == []

    @in_virtual_time
    async def test_an_announce_for_the_room_comes_before_all_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            members = await room.crowd("ada", "bert", "cora")
            await members[0].outcome(members[0].ask(order()))
            for member in members:
                first = room.network.posted(by=member.address)[0]
                assert (first.type, first.envelope.room) == ("presence.announce", ROOM)

    @in_virtual_time
    async def test_revisions_grow_across_restarts_even_if_the_clock_is_set_back(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            await ada.stop()
            now_ms = room.network.now_ms
            room.network.now_ms = lambda: now_ms() - 60_000  # type: ignore[method-assign]
            await ada.start()
            await until(lambda: len(room.network.posted("presence.announce")) == 2)
            first, second = [message.body.revision for message in room.network.posted("presence.announce")]
            assert first < second

    @in_virtual_time
    async def test_work_passed_on_names_its_parent_and_is_a_hop_further(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            first = await Clawnet(ada.agent, ROOM).execute(question="x", stages=(echo(),))
            second = await Clawnet(ada.agent, ROOM).execute(question="x", stages=(echo(),), parent=first.task)
            await Clawnet(ada.agent, ROOM).execute(question="x", stages=(echo(),), parent=second.task)
            asked = [message.body for message in room.network.posted("task.request")]
            assert [body.hops for body in asked] == [0, 1, 2]
            assert [body.parent for body in asked] == [msgspec.UNSET, first.task, second.task]

    @in_virtual_time
    async def test_a_sealed_stage_is_awarded_when_its_sources_are_there(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *_ = await room.crowd("ada", "bert", "cora")
            await ada.outcome(ada.ask(order(echo("draft"), echo("revise", "draft"), private=True)))
            said = [(message.type, message.body.stage) for message in room.network.posted("task.award", "task.result")]
            assert said.index(("task.award", "revise")) > said.index(("task.result", "draft"))

    @in_virtual_time
    @pytest.mark.parametrize("plane", ["room", "direct"])
    async def test_what_is_refused_or_ignored_gets_no_answer(self, tmp_path: Path, plane: str) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            await asyncio.sleep(60)
            before = len(room.network.posted(by=door.bert.address)), len(room.network.sent(by=door.bert.address))
            fields = json.loads(asking(door.eve)["env"]) | {"type": "task.dance"}
            # A hello has its place on the direct plane.
            bad = [make(door.eve) for code, make in REFUSED.values() if plane == "room" or code != "plane.mismatch"]
            bad += [signed(door.eve, canonical_text(fields)), awarding(door.eve, asking(door.eve), door.bert)]
            for carrier in bad:
                if plane == "room":
                    door.eve.post(carrier)
                else:
                    door.eve.send(door.bert.address, json.dumps(carrier).encode())
            await asyncio.sleep(20)
            after = len(room.network.posted(by=door.bert.address)), len(room.network.sent(by=door.bert.address))
            assert after == before
            door.eve.post(*door.good())
            await door.only_good_work_was_done(GOOD)

    @in_virtual_time
    async def test_a_relayed_hello_is_not_answered(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            mallory = room.stranger("mallory")
            for sender, address in (
                (mallory, mallory.address),
                (mallory, door.eve.address),
                (door.eve, mallory.address),
            ):
                hello = handshake.Hello(versions=("1",), address=presence.Address(uri=address, device="DEVICE"))
                sender.send(door.bert.address, door.eve.says(hello, recipients=(door.bert.did,)))
            await asyncio.sleep(5)
            assert room.network.sent("handshake.accept", by=door.bert.address) == []


class _Chatting(ScriptedEngine):
    """Remembers the messages it was to answer."""

    def chat(
        self, model: str, messages: Sequence[Message], sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        self.messages = list(messages)
        return super().chat(model, messages, sampling, timeout_s=timeout_s)


class TestWork:
    @in_virtual_time
    async def test_each_kind_is_run_as_it_should_be(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            model = Model(name="all", digest="", engine="scripted", context_tokens=4096, chat=True, embed=True)
            engine = _Chatting(["said"], models=[model])
            await room.join("bert", engine)
            given: dict[presence.StageKind, tuple[str, str]] = {
                "generate": ("said", "text/plain"),
                "chat": ("said", "text/plain"),
                "embed": (base64url.encode(struct.pack("<2f", 0.25, -1.0)), "application/vnd.clawnet.float32"),
                "echo": (QUESTION, "text/plain"),
            }
            for kind, (output, media_type) in given.items():
                stage = msgspec.structs.replace(generate(), kind=kind)
                assert (await ada.outcome(ada.ask(order(stage)))).text == output
                assert room.network.posted("task.result")[-1].body.media_type == media_type
            assert engine.messages == [Message("user", QUESTION)]
            assert engine.prompts == [QUESTION, QUESTION]

    @in_virtual_time
    async def test_a_result_states_what_the_engine_said(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["done"])
            await room.join("bert", engine)
            await ada.outcome(ada.ask(order(generate())))
            body: task.Result = room.network.posted("task.result")[0].body
            (model,) = await engine.models()
            assert (body.model, body.model_digest, body.parameters) == (
                model.name,
                model.digest,
                generate().parameters,
            )
            assert body.usage == task.Usage(prompt_tokens=7, output_tokens=5, queued_ms=0, prompt_ms=10, generate_ms=20)

    @in_virtual_time
    async def test_progress_is_never_taken_for_the_output(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1, lease_ms=5_000))
            eve = room.stranger("eve")
            eve.announce(capabilities=("echo",), load=presence.Load(running=0, waiting=0, slots=1))
            await until(lambda: eve.did in ada.mesh.peers)
            task_id = ada.ask(order(to=eve.did))
            await until(lambda: eve.heard("task.award"))
            award = eve.heard("task.award")[0]
            whole = task.Progress(stage="answer", attempt=1, index=0, tokens=9, offset=0, text="all of it")
            eve.send(ada.address, eve.says(whole, recipients=(ada.did,), thread=task_id, answers=award.id))
            await until(lambda: ada.told(StageText))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text, end.executions) == ("failed", "", 0)
            assert ada.task(task_id).stages["answer"].accepted is None

    @in_virtual_time
    async def test_a_lease_does_not_run_before_the_sources_are_there(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            await room.join("bert", ScriptedEngine(["slow", 60.0, " and steady"]))
            await room.join("cora")
            task_id = ada.ask(order(generate("draft"), echo("revise", "draft")))
            await until(lambda: len(room.network.posted("task.award")) == 2)
            assert ada.config.requests.lease_ms < 60_000
            end = await ada.outcome(task_id)
            assert [(done.stage, done.attempt) for done in end.stages] == [("draft", 1), ("revise", 1)]

    @in_virtual_time
    async def test_work_on_an_attempt_stops_when_a_higher_one_is_awarded(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            hanging = ScriptedEngine([3600.0])
            cora = await room.join("cora", hanging)
            asked = asking(door.eve, GOOD)
            door.eve.post(asked, awarding(door.eve, asked, cora))
            await until(lambda: hanging.running)
            again = task.Award(stage="answer", attempt=2, lease_ms=15_000)
            thread = verify(json.dumps(asked)).id
            door.eve.post(door.eve.says(again, recipients=(door.bert.did,), thread=thread, answers=thread))
            await until(lambda: hanging.canceled == 1)
            assert cora.agent.executor.jobs == 0
            await door.only_good_work_was_done(GOOD)

    @in_virtual_time
    async def test_an_extension_nobody_knows_changes_nothing(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            asked = asking(door.eve, GOOD, extensions={"org.example.hurry": {"stage": "none", "by": [1]}})
            door.eve.post(asked, awarding(door.eve, asked, door.bert))
            await door.only_good_work_was_done(GOOD)


class TestWhatIsShown:
    @in_virtual_time
    async def test_who_says_two_things_at_once(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve, honest = room.stranger("eve"), room.stranger("honest")
            honest.announce()
            for name in ("eve", "somebody else"):
                eve.announce(revision=7, name=name)
            await until(lambda: len(ada.mesh.peers) == 3)
            seen = [item async for item in Service(ada.agent).answer(Peers()) if isinstance(item, PeerSeen)]
            assert {item.did for item in seen if item.equivocates} == {eve.did}
            assert len(seen) == 3


class TestWhatIsKept:
    @in_virtual_time
    async def test_a_redaction_reverses_nothing(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            task_id = ada.ask(order())
            await ada.outcome(task_id)
            await until(lambda: bert.task(task_id).close is not None)
            for event in list(room.network.timeline):
                redaction: dict[str, Any] = {"type": "m.room.redaction", "redacts": event["event_id"]}
                room.network.post(room.stranger("admin").address, {}, **redaction)
            await asyncio.sleep(5)
            await _known_as_before(bert, task_id)
            await bert.crash()
            await bert.start()
            await _known_as_before(bert, task_id)

    @in_virtual_time
    async def test_what_is_no_part_of_the_set_is_not_folded_whatever_code_comes_first(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            cora = room.member("cora")
            asked = asking(door.eve, GOOD)
            thread, now_ms = verify(json.dumps(asked)).id, room.network.now_ms()
            award = task.Award(stage="answer", attempt=9, lease_ms=15_000)
            addressed: dict[str, Any] = {"recipients": (cora.did,), "thread": thread, "answers": thread}
            lasting = door.eve.says(award, expires_ms=now_ms + TYPES["task.award"].lifetime_ms + 1, **addressed)
            elsewhere = door.eve.says(award, room="matrix:roomid/elsewhere:example.org", **addressed)
            door.eve.post(asked, awarding(door.eve, asked, door.bert), lasting, elsewhere)
            start = task.Start(stage="answer", attempt=1)
            door.eve.send(door.bert.address, door.eve.says(start, **addressed))
            await door.only_good_work_was_done(GOOD)
            view = door.bert.task(thread)
            assert (list(view.stages["answer"].attempts), view.errors) == ([1], {})

    def test_the_seal_key_does_not_follow_from_the_signing_key(self, tmp_path: Path) -> None:
        made = identities.create(tmp_path / "keys")
        converted = crypto_sign_ed25519_sk_to_curve25519(made.key.seed + made.key.public)
        derived = {SealKey(secret).public for secret in (made.key.seed, converted)}
        assert made.seal.public not in derived

    def test_a_room_once_encrypted_stays_so(self) -> None:
        state = rooms.RoomState()
        for content in (b'{"algorithm":"m.megolm.v1.aes-sha2"}', b"{}", b'{"algorithm":null}', b"[]"):
            state = rooms.after(
                state, Header(type="m.room.encryption", sender="@a:x", state_key="", content=msgspec.Raw(content))
            )
            assert state.encrypted
        for kind in rooms.STATE_TYPES:
            state = rooms.after(state, Header(type=kind, sender="@a:x", state_key="", content=msgspec.Raw(b"{}")))
            assert state.encrypted


async def _known_as_before(member: Member, task_id: str) -> None:
    view = member.task(task_id)
    assert (view.state, view.errors) == ("completed", {})
    assert view.request.body.inputs[0].text == QUESTION
