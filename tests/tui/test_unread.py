"""What is encrypted and cannot be read: it has its line, held back while the key may be on its way."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence

import pytest

from tests.proto.authoring import ROOM
from tui.arrivals import Arrival
from tui.checking import check
from tui.filters import parse
from tui.glyphs import BRAILLE
from tui.inspection import entry_sections
from tui.model import Model
from tui.sayings import said
from tui.sources.live import unread
from tui.sources.live.unread import Unread
from tui.tail import Lines, tail

from .watched import Given

BOB = "matrix:u/bob:example.org"
CIPHERTEXT = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "s"}
WORDS = {"msgtype": "m.text", "body": "Has anybody seen my cat?"}


def event(number: int, kind: str = "m.room.encrypted", content: object = CIPHERTEXT, **more: object) -> Arrival:
    raw = {"type": kind, "sender": "@bob:example.org", "event_id": f"${number}", "content": content} | more
    return Arrival(
        transport="matrix", plane="room", room=ROOM, sender=BOB, event_id=f"${number}", event=json.dumps(raw),
        received_ms=1_000,
    )  # fmt: skip


class TestALine:
    def test_says_that_something_is_there_that_nobody_can_read(self) -> None:
        model = Model(room=ROOM)
        model.fold(check(event(1)))
        model.fold(check(event(1)))  # after a reconnect
        shown = model.snapshot(2_000)
        (entry,) = shown.entries
        assert model.verdict(entry) == "unopened" and shown.counts.unopened == 1
        assert said(entry, str) == "encrypted: its key has not come"
        told = [line.text for section in entry_sections(entry, shown, model, BRAILLE) for line in section.lines]
        assert any("encrypted: its key" in text for text in told)
        assert any("AwgA" in text for text in told)

    def test_does_not_stand_in_the_way_of_what_is_read_later(self) -> None:
        model = Model(room=ROOM)
        for arrival in (event(1), event(1, "m.room.message", WORDS)):
            model.fold(check(arrival))
        assert [entry.words for entry in model.snapshot(2_000).entries] == ["", WORDS["body"]]

    @pytest.mark.parametrize(
        "arrival",
        [
            event(1, content={}),  # redacted
            event(1, content=[]),
            event(1, state_key=""),
            event(1, "m.room.message", CIPHERTEXT),
        ],
    )
    def test_is_not_made_of_anything_else(self, arrival: Arrival) -> None:
        assert check(arrival).outcomes == ()

    async def test_is_printed_and_found_by_its_verdict(self) -> None:
        out = io.StringIO()
        batches = [event(1)], [event(2, "m.room.message", WORDS)]
        await tail(Given(*batches), Lines(shown=parse("verdict:unopened")), out, told=lambda link: None)
        assert out.getvalue().endswith("unopened - - bob:example.org: encrypted: its key has not come\n")
        assert out.getvalue().count("\n") == 1


class TestHoldingBack:
    @pytest.fixture(autouse=True)
    def shortly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unread, "HOLD_S", 0.02)
        monkeypatch.setattr(unread, "_MOST", 3)

    async def test_what_is_read_meanwhile_is_not_shown_as_unread(self) -> None:
        shown: list[Arrival] = []
        came = asyncio.Event()

        def deliver(arrivals: Sequence[Arrival]) -> None:
            shown.extend(arrivals)
            came.set()

        held = Unread(deliver)
        for number in (1, 2, 1):
            held.hold(event(number))
        held.was_read("$1")
        async with asyncio.timeout(10):
            await came.wait()
        assert [arrival.event_id for arrival in shown] == ["$2"]
        came.clear()
        held.hold(event(3))
        async with asyncio.timeout(10):
            await came.wait()
        assert [arrival.event_id for arrival in shown] == ["$2", "$3"]

    async def test_of_many_the_oldest_are_shown_at_once(self) -> None:
        shown: list[str] = []
        held = Unread(lambda arrivals: shown.extend(arrival.event_id for arrival in arrivals))
        for number in range(10):
            held.hold(event(number))
        assert shown == [f"${number}" for number in range(7)]
        held.close()
        assert held._due is not None and held._due.cancelled()
