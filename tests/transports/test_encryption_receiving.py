"""What strangers, and servers that are not ours, can do to those who receive encrypted events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web

from bots.errors import Refused, RetryLater
from bots.transports.matrix import encryption_media, encryption_waiting, media, pacing, recovery
from bots.transports.matrix.account import Account
from bots.transports.matrix.encryption_exchange import Exchange
from bots.transports.matrix.encryption_fetching import Fetching
from bots.transports.matrix.encryption_media import File
from bots.transports.matrix.encryption_megolm import Unreadable
from bots.transports.matrix.encryption_waiting import Waiting
from bots.transports.matrix.encryption_words import MEGOLM, MegolmContent, RoomKey
from bots.transports.matrix.events import Header, Page
from bots.transports.matrix.history import History
from bots.transports.matrix.recovery import Recovery
from bots.transports.matrix.wire import Request
from tests.conftest import NewClient
from tests.transports.conftest import Front, NewPeer
from tests.transports.encrypted_room import arrived, parcel, two
from tests.transports.encryption_device import ROOM, Client, NewDevice, raw

SOON_S = 10.0  # much less than a long poll


class HandClock:
    """A machine's clocks that a test moves: time passes, and somebody sets the wall clock."""

    passed_s = 0.0
    set_by_s = 0.0

    def now_ms(self) -> int:
        return round(1_800_000_000_000 + 1000 * (self.passed_s + self.set_by_s))

    def monotonic_ms(self) -> int:
        return round(1000 * self.passed_s)


class Server:
    """Answers for /keys/query and /keys/claim; what it says of the ``poisoned`` users is nonsense, or nothing works."""

    def __init__(self, *clients: Client, poisoned: Collection[str] = (), fails: bool = False) -> None:
        self.clients = {client.user: client for client in clients}
        self.poisoned = poisoned
        self.fails = fails
        self.calls = 0

    async def call(self, request: Request) -> bytes:
        self.calls += 1
        body = json.loads(request[2])
        asked = body.get("device_keys") or body.get("one_time_keys") or {}
        if self.fails and any(user in self.poisoned for user in asked):
            raise RetryLater("matrix.server_error", "The homeserver failed (500).", 0.0)
        answer: dict[str, Any] = {}
        for user in asked:
            if user in self.poisoned:
                answer[user] = 5
            elif "device_keys" in body:
                answer[user] = {self.clients[user].device: self.clients[user].olm.device_keys()}
            else:
                keys = self.clients[user].olm.keys_to_upload(0, fallback=False)["one_time_keys"]
                answer[user] = {self.clients[user].device: dict(list(keys.items())[:1])}
        kind = "device_keys" if "device_keys" in body else "one_time_keys"
        return json.dumps({kind: answer, "failures": {}}).encode()

    def exchange(self, us: Client) -> Exchange:
        return Exchange(cast(Account, self), us.olm, us.devices, us.megolm)


class TestServersOfOthers:
    @pytest.mark.parametrize("fails", [False, True])
    async def test_one_that_answers_nonsense_keeps_nobody_else_from_being_told(
        self, new_device: NewDevice, fails: bool
    ) -> None:
        anna, bert, carl = new_device("anna"), new_device("bert"), new_device("carl")
        server = Server(bert, carl, poisoned={"@m:evil"}, fails=fails)
        exchange = server.exchange(anna)
        await exchange.learn([bert.user, "@m:evil", carl.user])
        assert [found.user for user in (bert.user, carl.user) for found in anna.devices.of(user)] == [
            bert.user, carl.user
        ]  # fmt: skip
        calls = server.calls
        await exchange.learn([bert.user, "@m:evil", carl.user])
        assert server.calls == calls, "it is left alone for a while"

    @pytest.mark.parametrize("fails", [False, True])
    async def test_one_that_hands_out_nonsense_is_not_told_and_all_others_are(
        self, new_device: NewDevice, fails: bool
    ) -> None:
        anna, bert, rogue = new_device("anna"), new_device("bert"), new_device("rogue")
        server = Server(bert, rogue, poisoned={rogue.user}, fails=fails)
        exchange = server.exchange(anna)
        await exchange.begin([rogue.as_device(), bert.as_device()])
        assert anna.olm.age_s(bert.as_device()) is not None
        assert anna.olm.age_s(rogue.as_device()) is None
        calls = server.calls
        await exchange.begin([rogue.as_device()])
        assert server.calls == calls

    async def test_our_own_that_is_away_is_nobodys_fault(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")

        class Away(Server):
            async def call(self, request: Request) -> bytes:
                raise RetryLater("matrix.unreachable", "The homeserver cannot be reached.", 0.0)

        with pytest.raises(RetryLater):
            await Away(bert).exchange(anna).learn([bert.user, "@other:elsewhere"])
        server = Server(bert)
        exchange = server.exchange(anna)
        await exchange.learn([bert.user])
        assert server.calls == 1


class TestClaims:
    def test_those_of_others_take_nothing_from_the_sender(self, new_device: NewDevice) -> None:
        anna, bert = new_device("anna"), new_device("bert")
        bert.knows(anna)
        outbound = anna.megolm.renew(ROOM)
        key = msgspec.convert(anna.megolm.key(ROOM, outbound), RoomKey)
        for number in range(6):
            rogue = new_device("mallory", f"D{number}")
            bert.megolm.take_key(rogue.user, rogue.olm.curve25519, rogue.olm.ed25519, key)
        assert bert.store.count("inbound") == 4
        text = anna.says("mine")
        with pytest.raises(Unreadable) as caught:
            bert.reads(anna, text)
        assert caught.value.lacks == "key", "it waits, and is asked for"
        assert not bert.megolm.knows(ROOM, outbound.id, anna.user)
        assert bert.megolm.take_key(anna.user, anna.olm.curve25519, anna.olm.ed25519, key)
        assert bert.reads(anna, text) == "mine"

    def test_a_copy_under_another_name_makes_the_first_no_repetition(self, new_device: NewDevice) -> None:
        anna, bert, mallory = new_device("anna"), new_device("bert"), new_device("mallory")
        bert.knows(anna, mallory)
        outbound = anna.megolm.renew(ROOM)
        key = msgspec.convert(anna.megolm.key(ROOM, outbound), RoomKey)
        for client in (mallory, anna):
            bert.megolm.take_key(client.user, client.olm.curve25519, client.olm.ed25519, key)
        text = anna.says("mine")
        assert bert.reads(mallory, text, "$copy") == "mine"
        bert.megolm.commit()
        assert bert.reads(anna, text, "$hers") == "mine"
        with pytest.raises(Unreadable, match="repeats"):
            bert.reads(anna, text, "$again")


class TestWaiting:
    def add(self, waiting: Waiting, number: int, sender: str = "@a:x", lacks: str = "key", size: int = 10) -> int:
        header = Header(type="m.room.encrypted", sender=sender, event_id=f"${sender}{number}")
        content = MegolmContent(algorithm=MEGOLM, ciphertext="", session_id=f"s{number}")
        return waiting.add(ROOM, header, content, raw({"n": "x" * size}), lacks)

    def test_what_was_looked_at_is_looked_at_again_until_it_is_committed(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        waiting = Waiting(anna.store)
        self.add(waiting, 1)
        waiting.knows_more("s1")
        assert len(waiting.worth_a_look()) == 1
        waiting.read("$@a:x1")
        # The sync failed: nothing was committed.
        assert len(waiting.worth_a_look()) == 1
        assert not waiting.settled() and waiting.count() == 1
        waiting.knows_more("s1")
        assert len(waiting.worth_a_look()) == 1
        waiting.knows_more("s1")  # while that is committed
        waiting.settled()
        assert len(waiting.worth_a_look()) == 1
        waiting.read("$@a:x1")
        assert waiting.settled() == {"$@a:x1"} and not waiting.worth_a_look()

    def test_a_start_looks_at_all_whose_key_is_known(self, new_device: NewDevice) -> None:
        anna = new_device("anna")
        outbound = anna.megolm.renew(ROOM)
        header = Header(type="m.room.encrypted", sender="@a:x", event_id="$1")
        content = MegolmContent(algorithm=MEGOLM, ciphertext="", session_id=outbound.id)
        Waiting(anna.store).add(ROOM, header, content, raw({}), "key")
        self.add(Waiting(anna.store), 2)
        assert len(Waiting(anna.store).worth_a_look()) == 1

    def test_whose_events_take_most_loses_the_oldest(
        self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption_waiting, "WAITING_BYTES", 10_000)
        waiting = Waiting(new_device("anna").store)
        assert [self.add(waiting, number, "@flood:x", size=2_000) for number in range(4)] == [0] * 4
        assert self.add(waiting, 1, "@new:x", size=3_000) == 1
        assert waiting.raw("$@flood:x0") is None
        assert waiting.raw("$@flood:x1") is not None and waiting.raw("$@new:x1") is not None

    def test_what_waits_too_long_goes_also_while_we_run(self, new_device: NewDevice) -> None:
        clock = HandClock()
        waiting = Waiting(new_device("anna").store, clock)
        self.add(waiting, 1)
        assert waiting.expire() == 0
        clock.passed_s = encryption_waiting.GIVEN_UP_S + 1
        assert waiting.expire() == 1 and waiting.count() == 0

    @pytest.mark.parametrize("set_by_s", [3600.0, -3600.0])
    def test_a_clock_that_is_set_makes_nothing_due_sooner_or_later(
        self, new_device: NewDevice, set_by_s: float
    ) -> None:
        clock = HandClock()
        waiting = Waiting(new_device("anna").store, clock)
        self.add(waiting, 1)
        clock.set_by_s = set_by_s
        assert waiting.due_in_s() == pytest.approx(encryption_waiting.FIRST_S, abs=0.01)
        assert waiting.unasked(9) == []
        clock.passed_s = encryption_waiting.FIRST_S + 0.01
        assert waiting.due_in_s() == 0
        assert len(waiting.unasked(9)) == 1

    async def test_files_are_fetched_beside_each_other_and_one_at_a_time_of_a_sender(
        self, new_device: NewDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        anna = new_device("anna")
        waiting = Waiting(anna.store)
        for number in range(3):
            self.add(waiting, number, "@flood:x", "file")
        self.add(waiting, 9, "@honest:x", "file")
        begun: list[str] = []
        never = asyncio.Event()

        async def fetch(account: Account, file: File) -> msgspec.Raw:
            begun.append(file.url)
            if file.url == "evil":
                await never.wait()
            return msgspec.Raw(b"[]")

        def file_of(room: str, text: msgspec.Raw) -> File:
            wanted = waiting.raw("$@honest:x9")
            url = "good" if wanted is not None and len(bytes(wanted)) == len(bytes(text)) else "evil"
            return msgspec.convert({"url": url, "key": {"k": "", "alg": ""}, "iv": "", "hashes": {}, "v": ""}, File)

        for number in range(3):
            anna.store.execute("UPDATE waiting SET raw = ? WHERE event = ?", b'{"n":""}', f"$@flood:x{number}")
        monkeypatch.setattr(encryption_media, "fetch_carriers", fetch)
        fetching = Fetching(cast(Account, None), cast(Exchange, None), waiting, file_of)
        handed = asyncio.Event()

        async def hand_over() -> None:
            handed.set()

        running = asyncio.create_task(fetching.run(hand_over))
        async with asyncio.timeout(SOON_S):
            await handed.wait()
        assert sorted(begun) == ["evil", "good"]
        assert fetching.fetched("$@honest:x9") and not fetching.fetched("$@flood:x0")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class TestAtARealHomeserver:
    async def test_a_file_that_never_comes_holds_up_nothing_and_one_that_came_is_handed_over_at_once(
        self, new_peer: NewPeer, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, anna, bert, room_id = await two(new_client, new_peer)
        await anna.transport.send(parcel(room_id, "first"))
        await arrived(bert, "first")
        released = asyncio.Event()
        fetch = encryption_media.fetch_carriers

        async def slowly(account: Account, file: File) -> msgspec.Raw | None:
            await released.wait()
            return await fetch(account, file)

        monkeypatch.setattr(encryption_media, "fetch_carriers", slowly)
        carrier = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * 48_000})
        await anna.transport.send(parcel(room_id, "large", carriers=(carrier,)))
        await anna.transport.send(parcel(room_id, "small"))
        async with asyncio.timeout(SOON_S):
            await arrived(bert, "small")
        assert bert.transport.encryption.unreadable == 1
        released.set()
        async with asyncio.timeout(SOON_S):
            delivery = await arrived(bert, "large")
        assert bert.transport.carriers(delivery) == [json.loads(carrier)]

    async def test_devices_that_cannot_be_asked_for_hold_up_nothing(
        self, new_peer: NewPeer, new_client: NewClient, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        founder, anna, bert, room_id = await two(new_client, new_peer, berts=front.url)
        failing = True

        def fault(request: web.Request) -> web.Response | None:
            return web.Response(status=502) if failing and request.path.endswith("/keys/query") else None

        front.fault = fault
        monkeypatch.setattr(encryption_waiting, "FIRST_S", 0.05)
        await anna.transport.send(parcel(room_id, "of an unknown device"))
        await bert.until(lambda: bert.transport.encryption.unreadable == 1)
        failing = False
        await founder.send(room_id, "net.clawnet.marker", {})  # a sync comes by
        await bert.until(lambda: bert.transport.encryption.unreadable == 0)
        await arrived(bert, "of an unknown device")


class TestRecovery:
    """A stranger's room: nothing in it is ever delivered."""

    class Pages:
        def __init__(self, length: int) -> None:
            self.asked = 0
            self.length = length

        async def page(self, room: str, start: str, stop: str, types: Any) -> Page:
            self.asked += 1
            place = int(start)
            if stop:
                return Page()
            chunk = [
                raw({"type": "m.room.encrypted", "sender": "@a:x", "event_id": f"${number}"})
                for number in range(place, max(0, place - 100), -1)
            ]
            return Page(chunk=chunk, end=str(place - 100) if place > 100 else "")

    def looking(self, pages: Pages) -> Recovery:
        return Recovery(cast(Account, None), cast(History, pages), lambda ids: ())

    async def test_what_was_looked_at_is_known_the_next_time_but_not_when_the_sync_comes_again(self) -> None:
        pages = self.Pages(1_000)
        looking = self.looking(pages)
        assert len(await looking.before(ROOM, [], "1000", "s1", (), ())) == 1_000
        assert len(await looking.before(ROOM, [], "1000", "s1", (), ())) == 1_000, "that sync failed"
        asked = pages.asked
        assert await looking.before(ROOM, [], "1000", "s2", (), ()) == []
        assert pages.asked == asked + 2

    async def test_a_room_makes_us_fetch_so_many_pages_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recovery, "_PAGES_AT_ONCE", 12)
        monkeypatch.setattr(recovery, "_PAGES_PER_MINUTE", 0.0)
        monkeypatch.setattr(recovery, "_SEEN_MOST", 1)
        pages = self.Pages(1_000)
        looking = self.looking(pages)
        for number in range(5):
            await looking.before(ROOM, [], "1000", f"s{number}", (), ())
        assert pages.asked == 24
        assert await looking.before("!other:x", [], "1000", "s9", (), ())


def test_many_warnings_of_one_room_become_a_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    warnings = pacing.Warnings(logging.getLogger("bots.test"), pacing.Pace(2, 0.0))
    for number in range(10):
        warnings.say(ROOM, f"one {number}")
    warnings.say("!other:x", "another")
    assert [record.getMessage() for record in caplog.records] == ["one 0", "one 1", "another"]


async def test_the_key_behind_a_uri_is_in_no_error() -> None:
    account = cast(Account, None)
    for fetch in (encryption_media.fetch_chunk, media.fetch):
        with pytest.raises(Refused) as caught:
            await cast(Callable[..., Awaitable[bytes]], fetch)(account, "mxc://x/y!#SECRET", 10)
        assert "SECRET" not in str(caught.value)
        with pytest.raises(Refused) as caught:
            await cast(Callable[..., Awaitable[bytes]], fetch)(account, "mxc://x/y#SECRET", 10)
        assert "SECRET" not in str(caught.value)
