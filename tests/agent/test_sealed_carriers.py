"""Direct messages on their way: sealed to whom they are for, and opened nowhere else (spec/15-sealing.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bots.envelopes import Envelopes
from bots.errors import ClawbotError
from bots.events import MessageSeen
from bots.store import Store
from clawnet_proto import base64url
from clawnet_proto.bindings import matrix as binding
from clawnet_proto.errors import LocalProtocolError
from clawnet_proto.families import handshake, presence, task
from clawnet_proto.mesh import Mesh
from clawnet_proto.sealed_carrier import open_carrier, seal_carrier
from clawnet_proto.sealing import SealKey
from tests.agent.network import messages_of
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Room, generate, identity_of, order
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto import samples
from tests.proto.authoring import ROOM, Author

SECRET = "the treasure lies under the old oak"
USELESS_KEY = base64url.encode(bytes(32))  # every shared secret with it is zero
UNSEALED = {"presence.announce", "identity.rotate"}


def carriers_to(room: Room, address: str) -> list[tuple[str, dict[str, Any]]]:
    """The type of every direct message to an account, and what travelled in its place."""
    found = []
    for _, to, event in room.network.direct:
        if to == address:
            for carrier in event["content"][binding.CARRIERS]:
                content = {**event, "content": {binding.CARRIERS: [carrier]}}
                found += [(message.type, carrier) for message in messages_of(content)]
    return found


class TestCourse:
    @in_virtual_time
    async def test_all_that_is_for_one_agent_is_sealed_to_it(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            bert = await room.join("bert", ScriptedEngine(["under the ", 1.0, "old oak"]))
            end = await ada.outcome(ada.ask(order(generate())))
            assert end.text == "under the old oak"
            sent = [*carriers_to(room, ada.address), *carriers_to(room, bert.address)]
            kinds = {kind for kind, _ in sent}
            assert {"handshake.hello", "handshake.accept", "task.offer", "task.start", "task.progress"} <= kinds
            for kind, carrier in sent:
                sealed = {"clawnet", "seal_key", "sealed"}
                assert set(carrier) == ({"clawnet", "kid", "env", "sig"} if kind in UNSEALED else sealed)
            # Each holds a character that ciphertext as base64url never does.
            shown = json.dumps([carrier for kind, carrier in sent if kind not in UNSEALED])
            assert not [word for word in ("task.", "handshake.", "old oak", "did:key", "roomid/") if word in shown]

    @in_virtual_time
    async def test_what_comes_sealed_and_unsealed_is_one_message(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = room.stranger("eve")
            eve.announce()
            await until(lambda: eve.did in ada.mesh.peers)
            hello = handshake.Hello(versions=("1",), address=presence.Address(uri=eve.address, device="DEVICE"))
            carrier = eve.says(hello, recipients=(ada.did,))
            eve.send(ada.address, carrier, seal_carrier(identity_of("ada").seal.public, ada.did, carrier))
            await until(lambda: eve.heard("handshake.accept"))
            assert len(eve.heard("handshake.accept")) == 1
            assert ada.agent.intake.refused == 0

    @in_virtual_time
    @pytest.mark.parametrize(
        "fault,code",
        [
            ("in the room", "carrier.malformed"),
            ("to another key", "sealed.unopened"),
            ("to another identity", "sealed.unopened"),
            ("sealed twice", "carrier.malformed"),
            ("a member more", "carrier.malformed"),
            ("another version", "version.unsupported"),
        ],
    )
    async def test_what_is_not_sealed_to_us_is_refused_and_named(self, tmp_path: Path, fault: str, code: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = room.stranger("eve")
            eve.announce()
            await until(lambda: eve.did in ada.mesh.peers)
            hello = handshake.Hello(versions=("1",), address=presence.Address(uri=eve.address, device="DEVICE"))
            carrier = eve.says(hello, recipients=(ada.did,))
            public = eve.seal.public if fault == "to another key" else identity_of("ada").seal.public
            sealed = seal_carrier(public, eve.did if fault == "to another identity" else ada.did, carrier)
            if fault == "sealed twice":
                sealed = seal_carrier(public, ada.did, sealed)
            changes = {"a member more": {"more": "x"}, "another version": {"clawnet": "2"}}.get(fault, {})
            sealed = json.dumps(json.loads(sealed) | changes).encode()
            if fault == "in the room":
                eve.post(sealed)
            else:
                eve.send(ada.address, sealed)
            await until(lambda: ada.agent.intake.refused)
            (told,) = [event for event in ada.told(MessageSeen) if event.verdict == "invalid"]
            assert told.code == code
            assert not eve.heard("handshake.accept")

    @in_virtual_time
    async def test_a_key_that_is_none_gets_nothing_sealed_and_stops_nobody(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = room.stranger("eve")
            eve.announce(seal_key=USELESS_KEY)
            hello = handshake.Hello(versions=("1",), address=presence.Address(uri=eve.address, device="DEVICE"))
            await until(lambda: eve.did in ada.mesh.peers)
            eve.send(ada.address, eve.says(hello, recipients=(ada.did,)))
            await until(lambda: eve.heard("handshake.accept"))
            assert ada.alive


class TestRemembering:
    def test_once_sealed_always_sealed(self, tmp_path: Path) -> None:
        ada, bert = Author("ada"), Author("bert")
        seal = SealKey(bert.key.seed)
        known, unknown = Mesh(ROOM), Mesh(ROOM)
        hello = handshake.Hello(versions=("1",), address=presence.Address(uri=ada.address))
        carrier = ada.carrier(hello, recipients=(bert.did,))
        message = ada.say(hello, recipients=(bert.did,))
        store = Store.open(tmp_path / "store.sqlite")
        assert Envelopes(store, lambda room: known).seal(message, carrier) == carrier
        known.add(bert.say(samples.announce(bert)), bert.address)
        sealed = Envelopes(store, lambda room: known).seal(message, carrier)
        assert open_carrier(sealed, (seal,), bert.did) == carrier
        store.close()
        # The announce is forgotten, the agent has started anew.
        store = Store.open(tmp_path / "store.sqlite")
        sealed = Envelopes(store, lambda room: unknown).seal(message, carrier)
        assert open_carrier(sealed, (seal,), bert.did) == carrier
        unknown.add(bert.say(samples.announce(bert, 2, seal_key=USELESS_KEY)), bert.address)
        with pytest.raises(ClawbotError) as caught:
            Envelopes(store, lambda room: unknown).seal(message, carrier)
        assert caught.value.code == "peer.unsealable"
        store.close()

    def test_what_is_for_nobody_in_particular_is_not_sealed(self, tmp_path: Path) -> None:
        ada, bert = Author("ada"), Author("bert")
        mesh = Mesh(ROOM)
        mesh.add(bert.say(samples.announce(bert)), bert.address)
        store = Store.open(tmp_path / "store.sqlite")
        announce = samples.announce(ada)
        carrier = ada.carrier(announce)
        assert Envelopes(store, lambda room: mesh).seal(ada.say(announce), carrier) == carrier
        store.close()

    def test_what_gets_too_long_by_it_is_not_sent_at_all(self, tmp_path: Path) -> None:
        ada, bert = Author("ada"), Author("bert")
        mesh = Mesh(ROOM)
        mesh.add(bert.say(samples.announce(bert)), bert.address)
        long = task.Progress(stage="draft", attempt=1, index=1, tokens=1, offset=0, text='"' * 12_000)
        asked = ada.say(samples.request())
        fields: dict[str, Any] = {"recipients": (bert.did,), "thread": asked.id, "answers": asked.id}
        store = Store.open(tmp_path / "store.sqlite")
        with pytest.raises(LocalProtocolError) as caught:
            Envelopes(store, lambda room: mesh).seal(ada.say(long, **fields), ada.carrier(long, **fields))
        assert caught.value.code == "size.carrier"
        store.close()
