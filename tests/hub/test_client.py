"""The client of a hub, before a hub that behaves as no real one can be made to."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from bots import identity as identities
from bots.errors import Fatal, Refused, RetryLater, StoreError, TransportError
from bots.transports import Parcel
from bots.transports.http import events as event_stream
from bots.transports.http import transport, wire
from bots.transports.http.events import EVENT_MOST, LINES_MOST, Event, Parser
from bots.transports.http.transport import HttpTransport
from tests.agent.virtual_time import until
from tests.hub.puppet import ANYBODY, GONE, PATIENCE_S, Answers, Puppet, Reader, caught_up, members, message


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Puppet]:
    monkeypatch.setattr(transport, "_BACKOFF_S", (0.02, 0.05))
    puppet = Puppet()
    await puppet.start()
    yield puppet
    await puppet.stop()


@pytest.fixture
async def reader(hub: Puppet, tmp_path: Path) -> AsyncIterator[Reader]:
    reader = Reader(hub, identities.create(tmp_path / "keys"))
    yield reader
    await reader.stop()


# -- context and live ----------------------------------------------------------------------------------------


async def test_what_is_said_during_breaks_of_a_first_run_is_live(hub: Puppet, reader: Reader) -> None:
    hub.streams = [
        (message("e-1", "old") + caught_up("e-1"), True),
        (message("e-2", "break") + caught_up("e-2"), True),
        (message("e-3", "again") + caught_up("e-3"), False),
    ]
    reader.start()
    await reader.hears(("old", False), ("break", True), ("again", True))
    assert [request.query.get("after", "") for request in hub.asked] == ["", "e-1", "e-2"]


async def test_each_event_is_judged_by_itself(hub: Puppet, reader: Reader) -> None:
    hub.streams = [(message("e-1", "old") + caught_up("e-1") + message("e-2", "new"), False)]
    reader.start()
    await reader.hears(("old", False), ("new", True))


async def test_a_catch_up_that_broke_off_goes_on_as_context(hub: Puppet, reader: Reader) -> None:
    hub.streams = [
        (message("e-1", "old"), True),
        (message("e-2", "older"), True),
        (message("e-3", "oldest") + caught_up("e-3") + message("e-4", "new"), False),
    ]
    reader.start()
    await until(lambda: len(reader.heard()) >= 2, PATIENCE_S)
    await reader.stop()
    reader.start()
    await reader.hears(("old", False), ("older", False), ("oldest", False), ("new", True))


async def test_what_a_hub_still_has_after_it_dropped_some_is_live(hub: Puppet, reader: Reader) -> None:
    hub.streams = [
        (caught_up("e-1"), True),
        (GONE, True),
        (message("f-1", "kept") + caught_up("f-1"), False),
    ]
    reader.start()
    await reader.hears(("kept", True))


async def test_what_a_hub_forgets_once_it_is_read_is_kept_whatever_happens(hub: Puppet, reader: Reader) -> None:
    hub.queue = [(message("q-1", "secret"), True), (caught_up("q-1"), False)]
    reader.start()
    await until(lambda: len(hub.asked_own) > 1, PATIENCE_S)
    assert reader.heard() == [("secret", True)]
    assert reader.durable == [True]
    assert hub.asked_own[1].query["after"] == "q-1"


# -- events that are none ------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_id", ["", "a b", "x" * 65, "e/1", "e?after=2", "\u00e9", "\u0661"])
async def test_an_id_that_is_none_breaks_the_stream_and_nothing_is_committed(
    hub: Puppet, reader: Reader, event_id: str
) -> None:
    hub.streams = [(message("e-1") + message(event_id), False), (message("f-1", "good") + caught_up("f-1"), False)]
    reader.start()
    await reader.hears(("good", False))


@pytest.mark.parametrize("kept", ["no JSON", '{"places":3}', '{"places":{"ROOM":{"after":"a b","past":true}}}'])
async def test_a_stored_position_that_is_none_is_dropped(hub: Puppet, reader: Reader, kept: str) -> None:
    reader.kept = kept.replace("ROOM", hub.room)
    hub.streams = [(message("e-1") + caught_up("e-1"), False)]
    reader.start()
    await reader.hears(("word", "past" in kept))
    assert "after" not in hub.asked[0].query


@pytest.mark.parametrize(
    "sender",
    [
        f"https://elsewhere.example/peers/{ANYBODY}",
        "BASE/peers/",
        f"BASE/peers/../peers/{ANYBODY}",
        f"BASE/peers/{ANYBODY}/x",
        f"BASE/peers/{ANYBODY}\n",
        f"BASE/peers/{ANYBODY}" + "x" * 300,
        "",
    ],
)
async def test_only_peers_of_this_hub_are_senders(
    hub: Puppet, reader: Reader, sender: str, caplog: pytest.LogCaptureFixture
) -> None:
    hub.streams = [(message("e-1", "bad", sender) + message("e-2", "good") + caught_up("e-2"), False)]
    reader.start()
    await reader.hears(("good", False))
    assert "1 events were skipped" in caplog.text


async def test_an_event_that_is_too_large_or_no_json_is_skipped(hub: Puppet, reader: Reader) -> None:
    large = message("e-1", "x" * EVENT_MOST)
    junk = b"id: e-2\nevent: message\ndata: {{{\n\n"
    hub.streams = [(large + junk + message("e-3", "good") + caught_up("e-3"), False)]
    reader.start()
    await reader.hears(("good", False))


def test_a_parser_holds_no_more_than_an_event() -> None:
    parser = Parser()
    for number in range(1000):
        assert list(parser.feed(b"name%d: %s\n" % (number, b"x" * 1000))) == []
    assert list(parser.feed(b"\n")) == [Event("", "message", "", too_large=True)]
    for _ in range(100):
        assert list(parser.feed(b"x" * 65536)) == []
        assert len(parser._rest) <= EVENT_MOST + 65536
    assert list(parser.feed(b"\n\n")) == [Event("", "message", "", too_large=True)]
    assert list(parser.feed(b"data: x\n" * (LINES_MOST + 1) + b"\n")) == [Event("", "message", "", too_large=True)]
    assert list(parser.feed(b"id: 1\nretry: 5\ndata: a\r\ndata:b\n: c\n\n")) == [Event("1", "message", "a\nb")]


def test_however_the_bytes_are_cut_the_events_are_the_same() -> None:
    data = message("e-1", "grüße") + b":\n\n" + members(ANYBODY) + caught_up("e-1")
    whole = list(Parser().feed(data))
    parser = Parser()
    assert [event for byte in data for event in parser.feed(bytes([byte]))] == whole
    assert [event.kind for event in whole] == ["message", "members", "caught-up"]


# -- members -------------------------------------------------------------------------------------------------


async def test_members_come_in_portions_and_go(hub: Puppet, reader: Reader) -> None:
    others = [f"did:key:z6Mk{letter * 44}" for letter in "abc"]
    hub.streams = [
        (members(others[0], more=True) + members(others[1]) + caught_up("e-1"), False),
    ]
    reader.start()
    room, addresses = hub.room, [f"{hub.base}/peers/{did}" for did in others]
    await until(lambda: reader.transport.online, PATIENCE_S)
    assert [reader.transport.is_member(room, address) for address in addresses] == [True, True, False]
    await reader.stop()
    changed = members(others[2], kind="joined") + members(others[0], "no did", kind="left")
    whole = members(others[0]) + changed + members(others[1], more=True)  # the last list never ends
    hub.streams = [(whole + caught_up("e-1"), False)]
    reader.start()
    await until(lambda: reader.transport.online, PATIENCE_S)
    assert [reader.transport.is_member(room, address) for address in addresses] == [False, False, True]
    assert [known.members for known in reader.transport.rooms()] == [1]


async def test_a_list_of_members_that_broke_off_counts_for_nothing(hub: Puppet, reader: Reader) -> None:
    other = f"did:key:z6Mk{'a' * 44}"
    hub.streams = [(members(other, more=True), True), (members(ANYBODY) + caught_up("e-1"), False)]
    reader.start()
    await until(lambda: reader.transport.online, PATIENCE_S)
    found = [reader.transport.is_member(hub.room, f"{hub.base}/peers/{did}") for did in (ANYBODY, other)]
    assert found == [True, False]


async def test_who_is_missed_among_the_members_is_told_and_not_all_the_time(
    hub: Puppet, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_MISSING_S", 0.0)
    hub.streams = [(members(ANYBODY) + caught_up("e-1") + members(ANYBODY) * 50, False)]
    reader.start(watched=True)
    await until(lambda: reader.missing, PATIENCE_S)
    await reader.stop()
    assert reader.missing == 1


# -- answers -------------------------------------------------------------------------------------------------

GOOD = b'{"results":[{"id":"x","event":"e-1"}]}'


def says(status: int, body: bytes | dict[str, str], **headers: str) -> Answers:
    async def answer(_: web.Request) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=data, headers=headers)

    return answer


def direct(hub: Puppet, address: str = "") -> Parcel:
    address = address or f"{hub.base}/peers/{ANYBODY}"
    return Parcel(txn="t", plane="direct", address=address, device="inbox", carriers=('"x"',))


@pytest.fixture
async def sender(hub: Puppet, reader: Reader) -> HttpTransport:
    reader.start()
    return reader.transport


async def fault(sender: HttpTransport, parcel: Parcel) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await sender.send(parcel)
    return caught.value


async def test_an_answer_that_comes_in_pieces_is_read_to_its_end(hub: Puppet, sender: HttpTransport) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in GOOD:
            await response.write(bytes([byte]))
            await asyncio.sleep(0)
        return response

    hub.answer = slowly
    assert await sender.send(direct(hub)) == ""


async def test_an_answer_without_end_is_none(hub: Puppet, sender: HttpTransport) -> None:
    async def without_end(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    hub.answer = without_end
    error = await fault(sender, direct(hub))
    assert isinstance(error, RetryLater)
    assert "no hub" in error.message  # not: too slow


PAGE = b"<html>Please log in</html>"


@pytest.mark.parametrize(
    "status, body",
    [
        *((status, PAGE) for status in (200, 302, 400, 401, 403, 404, 408, 410, 413, 500, 502)),
        (200, b"[]"),
        (200, b'{"results":[{}]}'),
        (200, b'{"results":[]}'),
        (400, b'{"results":[{"code":"time.future"}]}'),
        (200, b'{"results":[{"event":"e-1"},{"event":"e-1"}]}'),
        (200, b'{"results":[{"event":"a b"}]}'),
        (400, b'{"code":"No Code"}'),
        (404, b'{"errcode":"M_UNRECOGNIZED"}'),
        (302, b'{"code":"http.moved"}'),
        (401, b'{"code":"http.signature","detail":"created must be ..."}'),
        (408, b'{"code":"http.slow"}'),
        (410, b'{"code":"history.gone"}'),
        (403, b'{"code":"hub.not_member"}'),
        (429, b'{"results":[{"code":"hub.rate_limited"}]}'),
        (503, b'{"code":"hub.readers"}'),
    ],
)
async def test_what_is_not_the_last_word_of_a_hub_is_tried_again(
    hub: Puppet, sender: HttpTransport, status: int, body: bytes
) -> None:
    hub.answer = says(status, body, Location="/elsewhere")
    error = await fault(sender, direct(hub))
    assert isinstance(error, RetryLater)
    assert not error.code.endswith("server_error")  # that would set it aside after some tries
    assert hub.posted == 1


@pytest.mark.parametrize(
    "status, body, code",
    [
        (404, {"code": "peer.unreachable"}, "http.no_peer"),
        (403, {"code": "hub.banned"}, "http.banned"),
        (413, {"code": "size.request"}, "http.too_large"),
        (400, b'{"results":[{"code":"signature.invalid"}]}', "http.bad_content"),
    ],
)
async def test_what_a_hub_will_never_take_is_refused(
    hub: Puppet, sender: HttpTransport, status: int, body: bytes | dict[str, str], code: str
) -> None:
    hub.answer = says(status, body)
    error = await fault(sender, direct(hub))
    assert isinstance(error, Refused)
    assert error.code == code


async def test_what_a_hub_says_is_cleaned_and_cut(hub: Puppet, sender: HttpTransport) -> None:
    hub.answer = says(403, {"code": "hub.banned", "detail": "\x1b[31m\u202e\n" + "x" * 200_000})
    error = await fault(sender, direct(hub))
    assert len(error.message) < 350
    assert error.message.isprintable()


@pytest.mark.parametrize("rest", ["", "../x", f"{ANYBODY} ", f"{ANYBODY}\n", f"{ANYBODY}?x=1", "did:key:zABC"])
async def test_nothing_is_posted_to_what_is_no_address(hub: Puppet, sender: HttpTransport, rest: str) -> None:
    error = await fault(sender, direct(hub, f"{hub.base}/peers/{rest}"))
    assert isinstance(error, Refused)
    assert (error.code, hub.posted) == ("http.no_address", 0)


async def test_what_was_to_go_to_another_hub_is_not_posted_here(hub: Puppet, sender: HttpTransport) -> None:
    room = "https://hub.example.org/rooms/clawnet"
    error = await fault(sender, Parcel(txn="t", plane="room", room=room, carriers=('"x"',)))
    assert isinstance(error, Refused)
    assert (error.code, hub.posted) == ("http.no_room", 0)


async def test_what_no_hub_takes_is_not_even_sent(hub: Puppet, sender: HttpTransport) -> None:
    error = await fault(sender, Parcel(txn="t", plane="room", room=hub.room, carriers=('"' + "x" * 65536 + '"',)))
    assert (error.code, hub.posted) == ("http.too_large", 0)


async def test_nothing_packed_is_asked_for(hub: Puppet, reader: Reader) -> None:
    reader.start()
    await until(lambda: reader.transport.online, PATIENCE_S)
    assert [request.headers.getall("Accept-Encoding") for request in hub.asked] == [["identity"]]


async def test_a_hub_is_told_from_something_else_at_the_start(hub: Puppet, sender: HttpTransport) -> None:
    hub.answer = says(404, PAGE)
    with pytest.raises(RetryLater, match="no hub"):
        await sender.connect()
    hub.answer = says(404, {"code": "http.not_found"})
    with pytest.raises(Fatal):
        await sender.connect()
    hub.answer = says(200, b'{"members":["' + b"x" * 500_000 + b'"]}', **{"Content-Type": "application/json"})
    await sender.connect()


# -- silence and faults --------------------------------------------------------------------------------------


async def test_the_first_failure_is_told_once(hub: Puppet, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    hub.streams = [(GONE, True)]
    with caplog.at_level(logging.WARNING):
        reader.start()
        await until(lambda: len(hub.asked) > 3, PATIENCE_S)
    assert caplog.text.count("Trying again until it answers") == 1


@pytest.mark.parametrize("headers", [False, True])
async def test_a_hub_that_falls_silent_is_asked_anew(
    hub: Puppet, reader: Reader, monkeypatch: pytest.MonkeyPatch, headers: bool
) -> None:
    monkeypatch.setattr(wire, "_READ_S", 0.2)
    monkeypatch.setattr(event_stream, "SILENCE_S", 0.2)
    hub.mute = not headers
    reader.start()
    await until(lambda: len(hub.asked) > 1, PATIENCE_S)


async def test_a_commit_that_fails_ends_the_run_at_once(hub: Puppet, reader: Reader) -> None:
    hub.streams = [(message("e-1"), False)]  # and nothing more comes
    reader.fault = StoreError("store.full", "The disk is full.")
    reader.start()
    with pytest.raises(StoreError):
        await reader.ended()
