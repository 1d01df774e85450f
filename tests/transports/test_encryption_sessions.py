"""Sessions with devices, and the keys they ask for, when others lie, flood, or fail; without a homeserver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from bots.errors import Refused, RetryLater
from bots.transports.matrix import encryption_devices, encryption_keys, encryption_store, encryption_waiting, wire
from bots.transports.matrix.account import Account
from bots.transports.matrix.encryption_devices import DEVICES_MOST, Device
from bots.transports.matrix.encryption_exchange import Exchange
from bots.transports.matrix.encryption_keys import Keys
from bots.transports.matrix.encryption_olm import Wedged
from bots.transports.matrix.encryption_waiting import Waiting
from bots.transports.matrix.encryption_words import (
    MEGOLM,
    OLM,
    MegolmContent,
    OlmContent,
    OlmText,
    from_base64,
    unpadded,
)
from bots.transports.matrix.events import Header
from tests.transports.encryption_device import ROOM, Client, NewDevice, raw

SERVER_ERROR = RetryLater("matrix.server_error", "The homeserver failed.", 0.0)
REFUSED = Refused("matrix.refused", "The homeserver refused.")


def listed_with_key_of(liar: Client, other: Client, device: str = "LIAR") -> dict[str, msgspec.Raw]:
    """A device that its owner signed, but whose Curve25519 key is somebody else's."""
    keys = {f"ed25519:{device}": liar.olm.ed25519, f"curve25519:{device}": other.olm.curve25519}
    told = {"algorithms": [OLM, MEGOLM], "device_id": device, "keys": keys, "user_id": liar.user}
    liar.olm.device = device
    return {device: raw(liar.olm._signed(told))}


class TestSomebodyElsesKey:
    def test_a_session_begun_with_a_liar_is_not_used_for_the_owner_of_the_key(self, new_device: NewDevice) -> None:
        anna, bert, mallory = new_device("anna"), new_device("bert"), new_device("mallory")
        anna.knows(bert)
        anna.begins_with(bert)
        assert bert.hears(anna, anna.olm_text(bert)) is not None
        anna.devices.take(mallory.user, listed_with_key_of(mallory, bert))
        for liar in anna.devices.of(mallory.user):
            assert anna.olm.age_s(liar) is None
            for _ in range(10):
                assert anna.olm.begin(liar, mallory.one_time_key())
        assert bert.hears(anna, anna.olm_text(bert)) is not None
        assert anna.hears(bert, bert.olm_text(anna)) is not None, "nor are his pushed out"

    def test_a_key_that_a_liar_listed_first_does_not_lock_its_owner_out(self, new_device: NewDevice) -> None:
        anna, bert, mallory = new_device("anna"), new_device("bert"), new_device("mallory")
        anna.devices.take(mallory.user, listed_with_key_of(mallory, bert))
        for liar in anna.devices.of(mallory.user):
            assert anna.olm.begin(liar, mallory.one_time_key())
        anna.knows(bert)
        assert anna.olm.age_s(anna.devices.of(bert.user)[0]) is None
        anna.begins_with(bert)
        assert bert.hears(anna, anna.olm_text(bert)) is not None

    def test_two_devices_of_one_user_do_not_have_one_key(self, new_device: NewDevice) -> None:
        anna, bert, thief = new_device("anna"), new_device("bert"), new_device("bert")
        anna.knows(bert)
        anna.devices.take(bert.user, bert.listed() | listed_with_key_of(thief, bert, "THIEF"))
        assert [device.device for device in anna.devices.of(bert.user)] == ["DEVICE"]

    def test_words_that_somebody_else_passes_on_begin_no_session(self, new_device: NewDevice) -> None:
        anna, bert, mallory = new_device("anna"), new_device("bert"), new_device("mallory")
        bert.begins_with(anna)
        assert anna.hears(mallory, bert.olm_text(anna)) is None
        assert anna.store.count("olm") == 0

    @pytest.mark.parametrize("device", ["", "A\nB", "\x1b[2J", "D" * 256])
    def test_what_cannot_be_printed_is_no_device(self, new_device: NewDevice, device: str) -> None:
        anna, bert = new_device("anna"), new_device("bert", device)
        anna.knows(bert)
        assert anna.devices.of(bert.user) == []


class TestBounds:
    def test_a_strangers_messages_flush_nobodys_sessions(
        self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption_store, "SESSIONS_MOST", 20)
        monkeypatch.setattr(encryption_store, "SESSIONS_PER_USER", 10)
        anna, bert, rogue = new_device("anna"), new_device("bert"), new_device("rogue")
        anna.begins_with(bert)
        assert bert.hears(anna, anna.olm_text(bert)) is not None
        for _ in range(30):
            rogue.begins_with(bert)
            assert bert.hears(rogue, rogue.olm_text(bert)) is not None
        assert bert.hears(anna, anna.olm_text(bert)) is not None
        assert anna.hears(bert, bert.olm_text(anna)) is not None

    def test_strangers_in_numbers_go_before_those_whose_devices_are_known(
        self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption_store, "SESSIONS_MOST", 6)
        anna, bert, rogue = new_device("anna"), new_device("bert"), new_device("rogue")
        bert.knows(anna)
        for _ in range(3):
            anna.megolm.renew(ROOM)
            anna.tells_session(bert)
        text = anna.says("still here")
        for number in range(20):
            rogue.user = f"@rogue{number}:example.org"
            rogue.megolm.renew(ROOM)
            rogue.tells_session(bert)
        assert bert.store.count("inbound") == 6
        assert bert.store.rows("SELECT count(*) FROM inbound WHERE user = ?", anna.user) == [(3,)]
        assert bert.reads(anna, text) == "still here"

    def test_our_own_sessions_count_for_themselves(
        self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption_store, "SESSIONS_MOST", 8)
        monkeypatch.setattr(encryption_store, "SESSIONS_PER_USER", 2)
        anna, bert = new_device("anna"), new_device("bert")
        for _ in range(8):
            anna.megolm.renew(ROOM)
            bert.megolm.renew(ROOM)
            bert.tells_session(anna)
        own, others = (
            anna.store.rows("SELECT count(*) FROM inbound WHERE user = ?", client.user)[0][0] for client in (anna, bert)
        )
        assert (own, others) == (8, 2)

    def test_devices_that_are_gone_and_changed(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        for number in range(DEVICES_MOST * 3):
            gone = Device(bert.user, f"D{number}", "key", f"key {number}", gone=1, changed=1)
            anna.store.execute("INSERT INTO device VALUES (?, ?, ?, ?, ?, ?, ?)", *msgspec.structs.astuple(gone))
        anna.knows(bert)
        assert anna.store.count("device") == 2 * DEVICES_MOST
        assert [device.device for device in anna.devices.of(bert.user)] == ["DEVICE"]
        assert len(anna.devices.changed()) == encryption_devices._SHOWN_MOST

    @pytest.mark.parametrize("on_server, more", [(-1_000_000, 50), (-1, 50), (10**9, 0)])
    def test_no_server_makes_us_make_keys_without_end(self, new_device: NewDevice, on_server: int, more: int) -> None:
        anna = new_device("anna")
        assert len(anna.olm.keys_to_upload(on_server, fallback=False).get("one_time_keys", ())) == more


class Upkeep:
    """The keys of one device, before a homeserver whose answers ``answer`` gives."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: list[wire.Request] = []
        self.answer: Callable[[wire.Request], bytes] = lambda request: b"{}"
        exchange = Exchange(cast(Account, self), client.olm, client.devices, client.megolm)
        self.waiting = Waiting(client.store)
        self.keys = Keys(client.store, client.olm, client.devices, client.megolm, exchange, self.waiting)

    async def call(self, request: wire.Request, **more: Any) -> bytes:
        self.asked.append(request)
        return self.answer(request)

    def told(self) -> list[tuple[str, str]]:
        """(User, device) of all that to-device events were to go to."""
        bodies = [msgspec.json.decode(body) for _, path, body in self.asked if body and "sendToDevice" in path]
        return [(user, device) for body in bodies for user, devices in body["messages"].items() for device in devices]

    def lacks(self, number: int, sender: str, device: str) -> None:
        content = MegolmContent(algorithm=MEGOLM, ciphertext="", session_id=f"session {number}", device_id=device)
        header = Header(type="m.room.encrypted", sender=sender, event_id=f"${number}")
        self.waiting.add(ROOM, header, content, raw({}), "key")

    def is_asked(self, sender: str, device: str, session: str, room: str = ROOM, number: int = 0) -> None:
        wanted = {"algorithm": MEGOLM, "room_id": room, "session_id": session}
        content = {"action": "request", "request_id": str(number), "requesting_device_id": device, "body": wanted}
        self.keys.asked(Header(type="m.room_key_request", sender=sender, content=raw(content)), [room])


def failing_for(user: str, error: Exception) -> Callable[[wire.Request], bytes]:
    def answer(request: wire.Request) -> bytes:
        if user in str(request):
            raise error
        return b"{}"

    return answer


class TestUpkeep:
    @pytest.fixture(autouse=True)
    def _now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(encryption_waiting, "FIRST_S", 0.0)

    @pytest.mark.parametrize("error, again", [(SERVER_ERROR, True), (REFUSED, False)])
    async def test_what_fails_for_one_sender_keeps_no_other_waiting(
        self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch, error: Exception, again: bool
    ) -> None:
        monkeypatch.setattr(encryption_keys, "_AGAIN_S", 1_000.0)
        upkeep = Upkeep(new_device("anna"))
        upkeep.answer = failing_for("@rogue:a", error)
        for number in range(3):
            upkeep.lacks(number, "@rogue:a", "ROGUE")
        upkeep.lacks(3, "@bert:b", "BERT")
        await upkeep.keys.upkeep()
        assert ("@bert:b", "BERT") in upkeep.told()
        due_in_s = upkeep.keys.due_in_s()
        assert (due_in_s is not None and due_in_s > 900.0) if again else due_in_s is None

    async def test_a_device_to_mend_with_that_fails_keeps_no_other_waiting(self, new_device: NewDevice) -> None:
        anna, bert, rogue = new_device("anna"), new_device("bert"), new_device("rogue")
        anna.knows(bert, rogue)
        upkeep = Upkeep(anna)
        upkeep.answer = failing_for(rogue.user, SERVER_ERROR)
        for client in (rogue, bert):
            anna.begins_with(client)
            upkeep.keys.wedged(client.user, client.olm.curve25519)
        await upkeep.keys.upkeep()
        assert (bert.user, "DEVICE") in upkeep.told()
        due_in_s = upkeep.keys.due_in_s()
        assert due_in_s is not None and due_in_s > 0.0, "what failed is tried again, but not at once"

    async def test_what_goes_on_failing_is_given_up(
        self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption_keys, "_AGAIN_S", 0.0)
        anna, rogue = new_device("anna"), new_device("rogue")
        anna.knows(rogue)
        upkeep = Upkeep(anna)
        upkeep.answer = failing_for(rogue.user, SERVER_ERROR)
        anna.begins_with(rogue)
        upkeep.keys.wedged(rogue.user, rogue.olm.curve25519)
        for _ in range(encryption_keys._TRIES_MOST):
            assert upkeep.keys.due_in_s() == 0.0
            await upkeep.keys.upkeep()
        assert upkeep.keys.due_in_s() is None

    @pytest.mark.parametrize("device", ["", "A\nB", "\x00", "D" * 300, "\u202eD"])
    async def test_only_what_can_be_printed_is_asked(self, new_device: NewDevice, device: str) -> None:
        upkeep = Upkeep(new_device("anna"))
        upkeep.lacks(1, "@rogue:a", device)
        await upkeep.keys.upkeep()
        assert [told for _, told in upkeep.told()] == ["D" * 255 if device.startswith("DD") else "*"]

    async def test_a_key_is_told_once_however_often_it_is_asked_for(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        anna.knows(bert)
        anna.begins_with(bert)
        outbound = anna.megolm.renew(ROOM)
        anna.megolm.told(outbound, [bert.as_device()])
        upkeep = Upkeep(anna)
        for number in range(50):
            upkeep.is_asked(bert.user, "DEVICE", outbound.id, number=number)
        await upkeep.keys.upkeep()
        assert upkeep.told() == [(bert.user, "DEVICE")]

    async def test_who_asks_for_ever_more_keys_leaves_room_for_others(self, new_device: NewDevice) -> None:
        anna, bert, rogue = new_device("anna"), new_device("bert"), new_device("rogue")
        anna.knows(bert, rogue)
        anna.begins_with(bert)
        anna.begins_with(rogue)
        upkeep = Upkeep(anna)
        for _ in range(encryption_keys._QUEUED_MOST + 1):
            outbound = anna.megolm.renew(ROOM)
            anna.megolm.told(outbound, [rogue.as_device()])
            upkeep.is_asked(rogue.user, "DEVICE", outbound.id)
        anna.megolm.told(outbound, [bert.as_device()])
        upkeep.is_asked(bert.user, "DEVICE", outbound.id)
        await upkeep.keys.upkeep()
        told = [user for user, _ in upkeep.told()]
        assert told.count(bert.user) == 1 and told.count(rogue.user) == encryption_keys._QUEUED_PER_USER

    async def test_junk_under_somebody_elses_key_spoils_no_session_of_its_owner(self, new_device: NewDevice) -> None:
        anna, bert, mallory = new_device("anna"), new_device("bert"), new_device("mallory")
        anna.knows(bert)
        anna.begins_with(bert)
        assert bert.hears(anna, anna.olm_text(bert)) is not None
        anna.devices.take(mallory.user, listed_with_key_of(mallory, bert))
        upkeep = Upkeep(anna)
        one_time_keys = mallory.olm.keys_to_upload(0, fallback=False)["one_time_keys"]
        upkeep.answer = lambda request: msgspec.json.encode(
            {"one_time_keys": {mallory.user: {"LIAR": one_time_keys}}} if "claim" in str(request) else {}
        )
        spoken = bert.olm_text(anna).ciphertext[anna.olm.curve25519]
        body = unpadded(bytes(byte ^ (place == 40) for place, byte in enumerate(from_base64(spoken.body))))
        text = {anna.olm.curve25519: OlmText(spoken.type, body)}
        with pytest.raises(Wedged):
            anna.hears(mallory, OlmContent(algorithm=OLM, sender_key=bert.olm.curve25519, ciphertext=text))
        upkeep.keys.wedged(mallory.user, bert.olm.curve25519)
        await upkeep.keys.upkeep()
        assert (mallory.user, "LIAR") in upkeep.told()
        assert bert.hears(anna, anna.olm_text(bert)) is not None
