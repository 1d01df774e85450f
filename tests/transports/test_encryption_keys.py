"""Devices and sessions without a homeserver: what is kept, and what hostile devices and servers get."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bots.errors import StoreError
from bots.transports.matrix import encryption_store
from bots.transports.matrix.encryption_devices import DEVICES_MOST
from bots.transports.matrix.encryption_megolm import MESSAGES_MOST, Unreadable
from bots.transports.matrix.encryption_olm import SESSIONS_PER_DEVICE, Wedged
from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_words import (
    MEGOLM,
    ROOM_KEY,
    MegolmContent,
    OlmContent,
    RoomKey,
    canonical,
)
from tests.transports.encryption_device import ROOM, NewDevice


class TestTheFile:
    def test_only_its_owner_can_read_it(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        assert stat.S_IMODE(anna.directory.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in anna.directory.iterdir()}
        assert set(modes) >= {"matrix-encryption.sqlite", "matrix-encryption.key"}
        assert set(modes.values()) == {0o600}

    def test_one_process_at_a_time(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        with pytest.raises(StoreError) as caught:
            EncryptionStore(anna.directory)
        assert caught.value.code == "store.locked"

    def test_without_its_key_it_is_of_no_use_and_not_overwritten(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        fingerprint = anna.olm.ed25519
        anna.store.close()
        key = anna.directory / "matrix-encryption.key"
        kept = key.read_bytes()
        key.unlink()
        with pytest.raises(StoreError) as caught:
            anna.open()
        assert caught.value.code == "store.damaged"
        anna.store.close()
        key.write_bytes(kept)
        anna.open()
        assert anna.olm.ed25519 == fingerprint

    def test_another_login_keeps_nothing_but_which_rooms_are_encrypted(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        anna.knows(bert)
        anna.store.remember_encrypted(ROOM)
        fingerprint = anna.olm.ed25519
        anna.device = "ANOTHER"
        anna.reopen()
        assert anna.olm.ed25519 != fingerprint
        assert anna.devices.of(bert.user) == []
        assert anna.store.encrypted_rooms() == {ROOM}


class TestOurKeys:
    def test_the_same_keys_are_offered_until_the_server_has_them(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        offered = anna.olm.keys_to_upload(0, fallback=True)
        assert len(offered["one_time_keys"]) == 50 and len(offered["fallback_keys"]) == 1
        anna.reopen()  # the answer was lost
        assert anna.olm.keys_to_upload(0, fallback=True) == offered
        anna.olm.keys_uploaded()
        anna.reopen()
        assert anna.olm.keys_to_upload(50, fallback=False) == {}
        more = anna.olm.keys_to_upload(10, fallback=False)
        assert set(more) == {"one_time_keys"} and len(more["one_time_keys"]) == 40
        assert not more["one_time_keys"].keys() & offered["one_time_keys"].keys()

    def test_a_one_time_key_is_used_once_also_after_a_restart(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        bert.begins_with(anna)
        first = bert.olm_text(anna)
        assert anna.hears(bert, first) is not None
        anna.store.execute("DELETE FROM olm")  # what was said in this session is forgotten
        anna.reopen()
        with pytest.raises(Wedged):
            anna.hears(bert, first)

    def test_a_lost_disk_sync_of_what_was_said_is_no_second_use(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        bert.begins_with(anna)
        texts = [bert.olm_text(anna)]
        bert.reopen()
        texts.append(bert.olm_text(anna))
        assert texts[0].ciphertext != texts[1].ciphertext
        assert all(anna.hears(bert, text) is not None for text in texts)


class TestDevices:
    def test_a_device_that_comes_back_with_other_keys(
        self, new_device: NewDevice, caplog: pytest.LogCaptureFixture
    ) -> None:
        anna, bert, thief = new_device("anna"), new_device("bert"), new_device("bert")
        anna.knows(bert)
        assert [device.device for device in anna.devices.of(bert.user)] == ["DEVICE"]
        anna.knows(thief)
        assert anna.devices.of(bert.user) == [], "it gets nothing any more"
        assert anna.devices.changed() == [(bert.user, "DEVICE")]
        assert "have changed" in caplog.text
        anna.reopen()
        anna.knows(bert)
        assert anna.devices.of(bert.user) == [], "nor when it is as it was"
        assert anna.devices.holding(bert.user, bert.olm.curve25519, bert.olm.ed25519) is not None
        assert anna.devices.holding(bert.user, thief.olm.curve25519, thief.olm.ed25519) is None

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda keys: keys | {"user_id": "@carl:example.org"},
            lambda keys: keys | {"device_id": "OTHER"},
            lambda keys: keys | {"signatures": {}},
            lambda keys: keys | {"algorithms": ["another"]},
            lambda keys: keys | {"keys": {}},
            lambda keys: keys | {"keys": {"ed25519:DEVICE": "AAAA", "curve25519:DEVICE": "AAAA"}},
            lambda keys: keys | {"keys": {"ed25519:DEVICE": "A" * 44, "curve25519:DEVICE": "A" * 43}},
            lambda keys: keys | {"keys": keys["keys"] | {"curve25519:DEVICE": "A" * 44}},
            lambda keys: {},
            lambda keys: [keys],
            lambda keys: keys | {"signatures": {"@bert:example.org": {"ed25519:DEVICE": "\ud800"}}},
        ],
    )
    def test_what_its_owner_did_not_sign_is_no_device(
        self, new_device: NewDevice, spoil: Callable[[dict[str, Any]], object]
    ) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        spoilt = msgspec.Raw(json.dumps(spoil(bert.olm.device_keys())).encode())
        anna.devices.take(bert.user, {"DEVICE": spoilt})
        assert anna.devices.of(bert.user) == []

    def test_an_account_with_ever_new_devices(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        for round_ in range(4):
            clients = [new_device("bert", f"DEVICE{round_}-{number}") for number in range(3)]
            listed = {name: keys for client in clients for name, keys in client.listed().items()}
            anna.devices.take(clients[0].user, listed)
            assert len(anna.devices.of(clients[0].user)) == 3
        assert anna.store.count("device") <= 2 * DEVICES_MOST


class TestBetweenDevices:
    def test_words_there_and_back(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        anna.begins_with(bert)
        heard = bert.hears(anna, anna.olm_text(bert, ROOM_KEY, word="one"))
        assert heard is not None and (heard.type, json.loads(bytes(heard.content))) == (ROOM_KEY, {"word": "one"})
        for client, other in ((bert, anna), (anna, bert)) * 3:
            client.reopen()
            assert other.hears(client, client.olm_text(other)) is not None

    def test_words_for_somebody_else_or_of_somebody_else(self, new_device: NewDevice) -> None:
        anna, bert, carl = new_device("anna"), new_device("bert"), new_device("carl")
        anna.begins_with(bert)
        text = anna.olm_text(bert)
        assert carl.hears(anna, text) is None
        assert bert.olm.decrypt(carl.user, text) is None, "the server says that Carl sent it"

    @pytest.mark.parametrize(
        "algorithm, kind, body",
        [("another", 0, "AAAA"), (None, 2, "AAAA"), (None, 0, "not base64"), (None, 0, ""), (None, 0, "A" * 200_000)],
    )
    def test_what_is_no_olm_message(self, new_device: NewDevice, algorithm: str | None, kind: int, body: str) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        anna.begins_with(bert)
        content = anna.olm.encrypt(bert.as_device(), "m.dummy", {})
        content["algorithm"] = algorithm or content["algorithm"]
        content["ciphertext"][bert.olm.curve25519] = {"type": kind, "body": body}
        assert bert.hears(anna, msgspec.convert(content, OlmContent)) is None

    def test_ever_new_sessions(self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(encryption_store, "SESSIONS_PER_USER", 8)
        anna, rogues = new_device("anna"), [new_device("rogue", f"D{number}") for number in range(3)]
        keys = list(anna.olm.keys_to_upload(0, fallback=False)["one_time_keys"].values())
        anna.olm.keys_uploaded()
        for rogue in rogues:
            for _ in range(SESSIONS_PER_DEVICE + 2):
                assert rogue.olm.begin(anna.as_device(), keys.pop()["key"])
                assert anna.hears(rogue, rogue.olm_text(anna)) is not None
        per_device = anna.store.rows("SELECT count(*) FROM olm GROUP BY sender_key")
        assert max(count for (count,) in per_device) <= SESSIONS_PER_DEVICE
        assert anna.store.count("olm") == 8


class TestRooms:
    def test_a_session_is_read_from_where_it_was_told(self, new_device: NewDevice) -> None:
        anna, bert, late = new_device("anna"), new_device("bert"), new_device("late")
        bert.knows(anna)
        late.knows(anna)
        anna.tells_session(bert)
        first = anna.says("one")
        anna.tells_session(late)
        second = anna.says("two")
        assert (bert.reads(anna, first), bert.reads(anna, second, "$2")) == ("one", "two")
        assert late.reads(anna, second, "$2") == "two"
        with pytest.raises(Unreadable) as caught:
            late.reads(anna, first)
        assert caught.value.lacks == "key"
        anna.reopen()
        assert anna.megolm.outbound(ROOM) is None, "a new start never goes on with it"
        assert anna.reads(anna, first) == "one"

    def test_somebody_elses_session_is_not_the_senders(self, new_device: NewDevice) -> None:
        anna, bert, mallory = new_device("anna"), new_device("bert"), new_device("mallory")
        bert.knows(anna, mallory)
        mallory.tells_session(bert)
        with pytest.raises(Unreadable) as caught:
            bert.reads(anna, mallory.says("signed: anna"))
        assert caught.value.lacks == "key", "Anna may yet tell it herself"
        # Who tells a session of another device first takes nothing away from it.
        outbound = anna.megolm.renew(ROOM)
        key = msgspec.convert(anna.megolm.key(ROOM, outbound), RoomKey)
        bert.megolm.take_key(mallory.user, mallory.olm.curve25519, mallory.olm.ed25519, key)
        bert.megolm.take_key(anna.user, anna.olm.curve25519, anna.olm.ed25519, key)
        assert bert.reads(anna, anna.says("mine")) == "mine"

    def test_of_a_device_that_nobody_knows_yet(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        anna.tells_session(bert)
        text = anna.says("hello")
        with pytest.raises(Unreadable) as caught:
            bert.reads(anna, text)
        assert caught.value.lacks == "device"
        bert.knows(anna)
        assert bert.reads(anna, text) == "hello"

    def test_the_server_shows_an_event_again(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        bert.knows(anna)
        anna.tells_session(bert)
        text = anna.says("pay me")
        assert bert.reads(anna, text, "$1") == bert.reads(anna, text, "$1") == "pay me"
        for _ in range(2):
            with pytest.raises(Unreadable, match="repeats"):
                bert.reads(anna, text, "$2")
            bert.megolm.commit()
            bert.reopen()
        assert bert.reads(anna, text, "$1") == "pay me"

    def test_an_event_of_another_room(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        bert.knows(anna)
        anna.tells_session(bert)
        with pytest.raises(Unreadable, match="another room"):
            bert.reads(anna, anna.says("hello", room="!elsewhere:example.org"))

    def test_a_session_ends(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        anna.megolm.renew(ROOM)
        for number in range(MESSAGES_MOST):
            anna.says(str(number))
        assert anna.megolm.outbound(ROOM) is None

    def test_keys_that_are_none(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        outbound = anna.megolm.renew(ROOM)
        good = msgspec.convert(anna.megolm.key(ROOM, outbound), RoomKey)
        for change in ({"session_key": "AAAA"}, {"session_id": "another"}, {"algorithm": "another"}):
            bad = msgspec.structs.replace(good, **change)
            assert not bert.megolm.take_key(anna.user, anna.olm.curve25519, anna.olm.ed25519, bad)
        assert bert.megolm.take_key(anna.user, anna.olm.curve25519, anna.olm.ed25519, good)
        assert not bert.megolm.take_key(anna.user, anna.olm.curve25519, anna.olm.ed25519, good)

    def test_ever_new_keys_push_nobody_elses_out(self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(encryption_store, "SESSIONS_PER_USER", 5)
        anna, bert, rogue = new_device("anna"), new_device("bert"), new_device("rogue")
        bert.knows(anna)
        anna.tells_session(bert)
        text = anna.says("still here")
        for _ in range(20):
            rogue.megolm.renew(ROOM)
            rogue.tells_session(bert)
        assert bert.store.count("inbound") == 6
        assert bert.reads(anna, text) == "still here"

    def test_text_that_breaks_parsers(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        bert.knows(anna)
        anna.tells_session(bert)
        outbound = anna.megolm.outbound(ROOM)
        assert outbound is not None
        for place, text in enumerate(("", "[]", "{}", "[" * 100_000, '{"type":1}', '{"type":"a","room_id":"\\ud800"}')):
            sealed = outbound.session.encrypt(text.encode()).to_base64()
            content = MegolmContent(algorithm=MEGOLM, ciphertext=sealed, session_id=outbound.id)
            with pytest.raises(Unreadable):
                bert.reads(anna, content, f"${place}")


def test_canonical_json_is_that_of_matrix() -> None:
    assert canonical({"b": "ö", "a": {"z": 1, "y": [True, None]}}) == '{"a":{"y":[true,null],"z":1},"b":"ö"}'.encode()
    with pytest.raises(ValueError):
        canonical({"a": "\ud800"})
