"""Keys that change while agents work: rotation, revocation, and what others make of them (spec/04-identity.md)."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path

import pytest

from bots import identity as identities
from bots.errors import ConfigError
from bots.events import MessageSeen, Notice
from bots.requests import IdentityState as State
from bots.requests import Peers, PeerSeen, Revoke
from bots.service import Service
from clawnet_proto.families import identity, presence
from clawnet_proto.keys import SigningKey, decode_did
from clawnet_proto.mesh import Mesh
from clawnet_proto.signing import digest
from tests.agent.network import Held, Passage
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import QUESTION, Member, Room, echo, generate, identity_of, keys_of, order
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto import samples
from tests.proto.authoring import ROOM, Author, some_digest

SLOW = (5.0, "words")


def knows(member: Member, other: Member) -> bool:
    """Whether a member counts upon another one by the key it has in use."""
    peer = member.mesh.peers.get(other.did)
    return peer is not None and peer.keys.key == other.agent.identity.key.did and peer.bound


async def known(*members: Member) -> None:
    await until(lambda: all(knows(member, other) for member in members for other in members))


def rotations_posted(room: Room, number: int) -> bool:
    return len(room.network.posted("identity.rotate")) == number


def notices(member: Member) -> str:
    return "\n".join(event.text for event in member.told(Notice))


class TestRotation:
    @in_virtual_time
    async def test_it_is_told_ahead_of_the_announce_in_one_event(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            committed = ada.mesh.peers[ada.did].body
            ada.agent.keys.rotate()
            await known(ada, bert)
            event = room.network.timeline[-1]
            assert [m.type for m in Passage(plane="room", sender="", to="", event_id="", event=event).messages] == [
                "identity.rotate",
                "presence.announce",
            ]
            assert committed is not None
            assert committed.next_key_digest == digest(decode_did(ada.agent.identity.key.did))
            peer = bert.mesh.peers[ada.did]
            assert (peer.standing, peer.keys.chain) == ("good", [ada.did, ada.agent.identity.key.did])
            assert peer.keys.key != ada.did
            assert notices(bert).count("signs with key number 2") == 1
            seen = await listed(bert)
            assert [(item.standing, item.rotations) for item in seen if item.did == ada.did] == [("good", 1)]

    @in_virtual_time
    async def test_the_chain_never_changes_but_grows(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            for _ in range(3):
                ada.agent.keys.rotate()
                await known(ada, bert)
            for number in (4, 5):
                await ada.stop()
                await ada.start()
                await until(functools.partial(rotations_posted, room, number))
                await known(ada, bert)
            chains = [message.body.chain for message in room.network.posted("identity.rotate")]
            assert len(chains) == 5
            assert all(chain == chains[-1][: len(chain)] for chain in chains)
            assert bert.mesh.peers[ada.did].standing == "good"
            announces = room.network.posted("presence.announce", by=ada.address)
            assert announces[-1].envelope.kid == ada.agent.identity.key.did

    @in_virtual_time
    @pytest.mark.parametrize("rotating", ["requester", "executor", "both"])
    async def test_a_running_task_goes_on(self, tmp_path: Path, rotating: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            bert = await room.join("bert", ScriptedEngine(SLOW))
            task_id = ada.ask(order(generate("draft"), echo("revise", "draft")))
            await until(lambda: bert.agent.executor.jobs > 0)
            for member in (ada, bert):
                if rotating in ("both", "requester" if member is ada else "executor"):
                    member.agent.keys.rotate()
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text, end.executions) == ("completed", "|words", 2)
            assert ada.agent.identity.did == ada.did
            for member in (ada, bert):
                assert member.task(task_id).errors == {}

    @in_virtual_time
    async def test_tasks_after_it_are_run_as_before(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            ada.agent.keys.rotate()
            bert.agent.keys.rotate()
            await known(ada, bert)
            for private in (False, True):
                end = await ada.outcome(ada.ask(order(private=private)))
                assert (end.outcome, end.text) == ("completed", f"|{QUESTION}")

    @in_virtual_time
    async def test_a_restart_in_mid_task_after_it(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            bert = await room.join("bert", ScriptedEngine(SLOW))
            task_id = ada.ask(order(generate()))
            await until(lambda: bert.agent.executor.jobs > 0)
            bert.agent.keys.rotate()
            await bert.crash()
            await bert.start()
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", "words")

    @in_virtual_time
    async def test_made_while_away_it_is_told_at_the_next_start(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            await ada.crash()
            identities.rotate(ada.folder / "keys", room.network.now_ms())
            await ada.start()
            await known(ada, bert)
            assert len(bert.mesh.peers[ada.did].keys.chain) == 2

    @in_virtual_time
    async def test_a_clock_that_was_set_back_takes_back_nothing(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            said = room.network.posted("presence.announce", by=ada.address)[-1]
            network, late = room.network, room.network.now_ms
            network.now_ms = lambda: late() - 3_600_000  # type: ignore[method-assign]
            ada.agent.keys.rotate()
            assert ada.agent.identity.chain[0].since_ms > said.envelope.sent_ms
            await known(ada, bert)
            assert bert.mesh.authority(said) == "key.retired"

    @in_virtual_time
    async def test_a_newcomer_who_cannot_read_back_learns_it_directly(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            ada.agent.keys.rotate()
            room.network.timeline.clear()
            bert = await room.join("bert")
            await known(ada, bert)
            direct = [m.type for m in room.network.sent(by=ada.address)]
            assert "identity.rotate" in direct
            assert direct.index("identity.rotate") < direct.index("presence.announce")
            await until(lambda: ada.agent.handshakes.confirmed(ROOM, bert.did) is not None)

    @in_virtual_time
    async def test_what_comes_before_its_proof_waits_for_it(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            held = Held(room.network, lambda p: p.to == bert.address and p.holds("identity.rotate"))
            ada.agent.keys.rotate()
            task_id = ada.ask(order(to=bert.did))
            await until(lambda: any(e.code == "key.unproven" for e in bert.told(MessageSeen)))
            await asyncio.sleep(2)
            assert bert.mesh.task(task_id) is None
            held.release()
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", f"|{QUESTION}")

    @in_virtual_time
    async def test_the_old_key_says_nothing_more(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            eve, new = room.stranger("eve"), Author("eve's next")
            eve.announce(next_key_digest=digest(new.key.public))
            await until(lambda: eve.did in ada.mesh.peers)
            said = room.network.now_ms()
            rotation = samples.rotation(eve, new, since_ms=said)
            eve.post(new.carrier(rotation, sender=eve.did, sent_ms=said))
            await until(lambda: ada.mesh.peers[eve.did].keys.key == new.did)
            eve.announce(revision=2, next_key_digest=digest(new.key.public))
            eve.post(eve.says(samples.request()))
            await until(lambda: sum(e.code == "key.not_authorized" for e in ada.told(MessageSeen)) == 2)
            assert not ada.mesh.peers[eve.did].bound
            assert not room.network.sent("task.offer", by=ada.address)


class TestRevocation:
    @in_virtual_time
    async def test_every_room_is_told_and_the_agent_ends(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            answers = [item async for item in Service(ada.agent).answer(Revoke(reason="stolen"))]
            assert isinstance(answers[0], State) and answers[0].revoked_ms and answers[0].reason == "stolen"
            assert await ada.ended() is None
            await until(lambda: bert.mesh.peers[ada.did].standing == "revoked")
            assert room.network.posted(by=ada.address)[-1].type == "identity.revoke"
            assert "has revoked its identity" in notices(bert)
            assert ada.did not in {peer.did for peer in bert.agent.live_peers(ROOM)}
            with pytest.raises(ConfigError, match="clawbot identity rotate") as caught:
                identities.require_sound(identities.load(ada.folder / "keys"), "ada")
            assert caught.value.code == "identity.revoked"
            assert [item.standing for item in await listed(bert, everyone=True) if item.did == ada.did] == ["revoked"]
            assert ada.did not in {item.did for item in await listed(bert)}

    @in_virtual_time
    async def test_said_without_a_network_it_is_said_once_there_is_one(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            await ada.crash()
            identities.revoke(ada.folder / "keys", room.network.now_ms() + 1)
            await ada.start()
            await until(lambda: bert.mesh.peers[ada.did].standing == "revoked")
            assert not [m for m in room.network.posted(by=ada.address) if m.envelope.sent_ms > room.network.now_ms()]
            assert room.network.posted(by=ada.address)[-1].type == "identity.revoke"

    @in_virtual_time
    async def test_a_rotation_is_the_way_back(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            ada.agent.keys.revoke()
            await until(lambda: bert.mesh.peers[ada.did].standing == "revoked")
            await ada.crash()
            identities.rotate(ada.folder / "keys", room.network.now_ms())
            await ada.start()
            await known(ada, bert)
            end = await bert.outcome(bert.ask(order(to=ada.did)))
            assert end.outcome == "completed"

    @in_virtual_time
    async def test_nothing_is_awarded_to_whoever_revoked(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            bert.agent.keys.revoke()
            await until(lambda: ada.mesh.peers[bert.did].standing == "revoked")
            end = await ada.outcome(ada.ask(order(to=bert.did)))
            assert (end.outcome, end.code) == ("failed", "identity")
            assert not room.network.posted("task.award")

    @in_virtual_time
    async def test_an_identity_that_two_keys_follow_is_trusted_no_more(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            thief = room.stranger("thief")
            stolen = Author(ada.name)
            now = room.network.now_ms()
            rotation = identity.Rotate(
                chain=(samples.link(stolen, thief, of=stolen, since_ms=now),), next_key_digest=some_digest("more")
            )
            thief.post(thief.carrier(rotation, sender=ada.did, sent_ms=now))
            await until(lambda: bert.mesh.peers[ada.did].standing == "disputed")
            assert "is disputed" in notices(bert)
            await until(lambda: "somebody else signs with our key" in notices(ada))
            assert ada.did not in {peer.did for peer in bert.agent.live_peers(ROOM)}

    @in_virtual_time
    async def test_a_stolen_key_cannot_undo_the_owners_rotation(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            thief = room.stranger("thief")
            revoke = identity.Revoke(chain=(), since_ms=room.network.now_ms())
            thief.post(Author(ada.name).carrier(revoke, sent_ms=room.network.now_ms()))
            await until(lambda: "Somebody with our key has revoked" in notices(ada))
            ada.agent.keys.rotate()
            await known(ada, bert)
            assert bert.mesh.peers[ada.did].standing == "good"


class TestRooms:
    def test_a_key_given_up_in_one_room_is_given_up_in_all(self, tmp_path: Path) -> None:
        from bots.key_watch import KeyWatch

        alice, new = Author("alice of two rooms"), Author("her next key")
        here, there = Mesh(ROOM), Mesh("matrix:roomid/other:example.org")
        meshes = {here.room: here, there.room: there}
        told: list[str] = []
        watch = KeyWatch(meshes, lambda: identity_of("bert"), told.append)
        for room, mesh in meshes.items():
            announce = samples.announce(alice, next_key_digest=digest(new.key.public))
            mesh.add(alice.say(announce, room=room), alice.address)
        rotate = new.say(samples.rotation(alice, new), sender=alice.did)
        here.add(rotate, alice.address)
        watch.heard(rotate, quiet=False)
        assert there.peers[alice.did].keys.key == new.did
        assert not there.peers[alice.did].bound
        assert len(told) == 1
        later = Mesh("matrix:roomid/later:example.org")
        watch.enter(later)
        late = alice.say(presence.Leave(revision=1), room=later.room)
        later.add(late, alice.address)
        meshes[later.room] = later
        watch.heard(late, quiet=False)
        assert later.authority(late) == "key.not_authorized"


class TestFiles:
    def test_the_key_given_up_is_gone_and_the_next_one_is_the_one_announced(self, tmp_path: Path) -> None:
        first = identities.create(tmp_path / "keys")
        second = identities.rotate(tmp_path / "keys", 5)
        assert (second.did, second.chain[0].since_ms) == (first.did, 5)
        assert digest(decode_did(second.key.did)) == first.next_key_digest
        assert not (tmp_path / "keys" / "identity.key").exists()
        identity.prove_chain(second.did, second.chain)
        third = identities.rotate(tmp_path / "keys", 6)
        assert third.chain[:1] == second.chain
        assert digest(decode_did(third.key.did)) == second.next_key_digest
        assert identities.load(tmp_path / "keys").key.did == third.key.did

    def test_the_key_in_use_may_be_lost(self, tmp_path: Path) -> None:
        first = identities.create(tmp_path / "keys")
        (tmp_path / "keys" / "identity.key").unlink()
        with pytest.raises(ConfigError, match="clawbot identity rotate"):
            identities.load(tmp_path / "keys")
        assert identities.rotate(tmp_path / "keys", 5).did == first.did

    def test_keys_from_before_there_was_a_record_get_one(self, tmp_path: Path) -> None:
        first = keys_of("ada", tmp_path / "keys")
        (tmp_path / "keys" / "history.json").unlink()
        assert identities.rotate(tmp_path / "keys", 5).did == first.did

    @pytest.mark.parametrize("step", ["key", "record", "unlink"])
    def test_a_crash_at_any_step_leaves_an_identity_that_can_be_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        folder = tmp_path / "keys"
        first = identities.create(folder)

        class Crash(BaseException):
            pass

        def crash(*_: object, **__: object) -> None:
            raise Crash

        with monkeypatch.context() as patch, pytest.raises(Crash):
            target = {"key": "bots.identity.write_key_file", "record": "bots.key_record.os.fsync"}
            patch.setattr(target.get(step, "pathlib.Path.unlink"), crash)
            identities.rotate(folder, 5)
        between = identities.load(folder)
        assert len(between.chain) == (1 if step == "unlink" else 0)
        after = identities.rotate(folder, 7)
        assert after.did == first.did
        identity.prove_chain(after.did, after.chain)
        assert digest(decode_did(SigningKey(after.key.seed).did)) == between.next_key_digest

    def test_a_full_disk_changes_nothing(self, tmp_path: Path) -> None:
        from tests.cli.test_files import no_file_over

        folder = tmp_path / "keys"
        first = identities.create(folder)
        with no_file_over(10), pytest.raises(ConfigError) as caught:
            identities.rotate(folder, 5)
        assert caught.value.code == "keys.unwritable"
        assert identities.load(folder).key.did == first.key.did

    def test_it_cannot_be_done_without_end(self, tmp_path: Path) -> None:
        identities.create(tmp_path / "keys")
        for number in range(16):
            identities.rotate(tmp_path / "keys", number)
        with pytest.raises(ConfigError) as caught:
            identities.rotate(tmp_path / "keys", 99)
        assert caught.value.code == "identity.rotations"

    @pytest.mark.parametrize("reason", ["x" * 1000, "a\nb\x1b[2J", "\ud800", "@room"])
    def test_any_reason_can_be_given(self, tmp_path: Path, reason: str) -> None:
        identities.create(tmp_path / "keys")
        revoked = identities.revoke(tmp_path / "keys", 5, reason)
        assert revoked.revocation is not None
        assert len(revoked.revocation.reason) <= 300
        assert revoked.revocation.reason.isprintable()
        again = identities.revoke(tmp_path / "keys", 9, "other")
        assert again.revocation == revoked.revocation

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '{"identity":"x","links":[],"commitment":"y"}'])
    def test_a_record_that_makes_no_sense_is_named(self, tmp_path: Path, text: str) -> None:
        identities.create(tmp_path / "keys")
        (tmp_path / "keys" / "history.json").write_text(text)
        with pytest.raises(ConfigError, match=r"history\.json") as caught:
            identities.load(tmp_path / "keys")
        assert caught.value.code == "keys.unreadable"


async def listed(member: Member, *, everyone: bool = False) -> list[PeerSeen]:
    """What ``clawbot peers`` shows."""
    answers = Service(member.agent).answer(Peers(everyone=everyone))
    return [item async for item in answers if isinstance(item, PeerSeen)]
