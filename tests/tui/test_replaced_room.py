"""A room that is replaced while it is watched: its picture stays until the next one is entered, then begins anew."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bots.cli import OK
from bots.cli import main as clawbot
from bots.transports import Delivery, Departure, Room
from bots.transports.matrix.config import MatrixConfig
from tests.agent.virtual_time import until
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.tui.test_live_source import HOMESERVER, USER, nobody_here, state, told
from tests.tui.watched import Watched
from tui.arrivals import Arrival
from tui.feeds import LiveFeed
from tui.player import Player
from tui.record import main as record
from tui.recording import Recording
from tui.sources import Deliver, Link, Ready, Tell, always
from tui.sources.live.login import Login
from tui.sources.live.moves import REPLACED
from tui.sources.live.observer import Observer, _Reading
from tui.sources.live.onlooker import Onlooker
from tui.tail import Lines, tail

__all__ = ["nobody_here", "state"]

NEXT = "matrix:roomid/next:example.org"


def said(*names: str, room: str = ROOM) -> list[Arrival]:
    """What these say of themselves in a room."""
    watched = Watched()
    for name in names:
        author = Author(name)
        watched.say(author, samples.announce(author, name=name), room=room)
    return [
        msgspec.structs.replace(arrival, room=room, event_id=f"{arrival.event_id} {room}")
        for arrival in watched.arrivals
    ]


BEFORE, AFTER = said("ada", "bert", "carl"), said("ada", "dora", room=NEXT)


class Moving(Onlooker):
    """A source whose room is replaced: ``go`` lets it move on, ``stay`` ends it."""

    title = "#mesh"
    room = ""

    def __init__(self, before: Sequence[Arrival] = BEFORE, after: Sequence[Arrival] = AFTER) -> None:
        self._before, self._after = before, after
        self.go, self.stay = asyncio.Event(), asyncio.Event()

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        told(Link("live"))
        self.room = ROOM
        deliver(self._before)
        await self.go.wait()
        self.room, self.title = NEXT, "#next"
        told(Link("live", REPLACED))
        if self._after:
            deliver(self._after)
        await self.stay.wait()


def at_once(source: Moving) -> Moving:
    source.go.set()
    source.stay.set()
    return source


def shown(feed: LiveFeed) -> set[str]:
    return {row.name for row in feed.model.snapshot(NOW_MS + 1000, fresh=True).agents}


class TestThePicture:
    async def test_is_of_the_old_room_until_the_next_one_is_entered(self) -> None:
        source = Moving()
        feed = LiveFeed(source, clock=lambda: NOW_MS)
        running = asyncio.ensure_future(feed.run())
        await until(lambda: shown(feed) == {"ada", "bert", "carl"}, 20)
        old = feed.model
        assert (feed.title, old.room, feed.link.detail) == ("#mesh", ROOM, "")
        source.go.set()
        await until(lambda: shown(feed) == {"ada", "dora"}, 20)
        assert (feed.title, feed.model.room, feed.link) == ("#next", NEXT, Link("live", REPLACED))
        assert old.snapshot(NOW_MS, fresh=True).counts.messages == 3
        counts = feed.model.snapshot(NOW_MS, fresh=True).counts
        assert (counts.arrivals, counts.messages, counts.elsewhere, counts.pending) == (2, 2, 0, 0)
        assert list(feed.arrivals()) == AFTER
        source.stay.set()
        await running

    async def test_begins_anew_where_nothing_is_said_yet(self) -> None:
        source = at_once(Moving(after=()))
        feed = LiveFeed(source, clock=lambda: NOW_MS)
        await feed.run()
        snapshot = feed.model.snapshot(NOW_MS, fresh=True)
        assert (snapshot.room, snapshot.agents, snapshot.entries) == (NEXT, (), ())

    async def test_takes_nothing_along_of_what_was_still_to_be_checked(self) -> None:
        feed = LiveFeed(at_once(Moving(before=said(*[f"peer{n}" for n in range(40)]))), clock=lambda: NOW_MS)
        await feed.run()
        await asyncio.sleep(0)
        assert feed.model.waiting == 0
        assert shown(feed) == {"ada", "dora"}
        assert feed.model.snapshot(NOW_MS).counts.elsewhere == 0


class TestWithoutAScreen:
    async def test_lines_of_both_rooms_are_printed(self) -> None:
        out, links = io.StringIO(), list[Link]()
        await tail(at_once(Moving()), Lines(), out, told=links.append)
        told = [line.split(" presence.announce ")[1].partition(":")[0] for line in out.getvalue().splitlines()]
        assert told == ["ada", "bert", "carl", "ada", "dora"]
        assert links[-1].detail == REPLACED

    def test_a_recording_holds_both_rooms(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "r.jsonl"
        assert record(argparse.Namespace(output=str(path)), lambda _: at_once(Moving())) == 0
        told = capfd.readouterr().err.splitlines()
        assert told[-1].endswith(f"clawtui --replay {path} --room {NEXT}") and "took its place" in told[-1]
        assert clawbot(["verify", str(path)]) == OK
        assert "5 bound. Every line and signature is intact." in capfd.readouterr().out
        for room, names in (("", {"ada", "bert", "carl"}), (NEXT, {"ada", "dora"})):
            player = Player(Recording.open(path), room=room)
            player.seek(5)
            while player.status.position < 5:
                player.advance(0.0)
            assert {row.name for row in player.model.snapshot(NOW_MS + 1000, fresh=True).agents} == names
            player.close()

    def test_a_recording_of_one_room_names_none(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        record(argparse.Namespace(output=str(tmp_path / "r.jsonl")), lambda _: at_once(Moving(after=())))
        assert "--room" not in capfd.readouterr().err


class TestBesideAnAgent:
    async def test_where_it_goes_is_followed(self, tmp_path: Path, state: Path) -> None:
        def line(event: str, **fields: object) -> bytes:
            return json.dumps({"event": event, "at_ms": 0} | fields).encode() + b"\n"

        def delivered(arrival: Arrival) -> bytes:
            return line("delivered", delivery=msgspec.structs.asdict(arrival) | {"live": True})

        words = [line("link", online=True), line("room", room=ROOM), *map(delivered, BEFORE)]
        words += [line("notice", text="#mesh is not followed."), line("room", room=NEXT, name="#next")]
        words += map(delivered, AFTER)
        async with told(tmp_path, state, b"".join(words)) as screen:
            await until(lambda: len(screen.arrivals) >= 5, 20)
            assert [link.detail for link in screen.links[1:4]] == ["", "#mesh is not followed.", REPLACED]
            assert (screen.source.room, screen.source.title) == (NEXT, "#next through ada")
            assert screen.arrivals[:5] == BEFORE + AFTER
            # What came before was handed over as the old room's.
            assert (screen.batches, screen.rooms) == (2, {ROOM, NEXT})


class Desk:
    """What an observer hands over and tells, without a homeserver."""

    def __init__(self, folder: Path) -> None:
        config = MatrixConfig(homeserver=HOMESERVER, user=USER, rooms=("#mesh:example.org",), reads_only=True)
        self.observer = Observer(config, Login(folder), str)
        self.told: list[tuple[Link, str, str]] = []  # with the room and the title
        self.delivered: list[tuple[str, str]] = []  # the event's id, and the room then
        self.reading = _Reading(
            config, folder, str, self.observer._entered, self._deliver, self._tell, renamed=self.observer._renamed
        )  # fmt: skip

    def _deliver(self, arrivals: Sequence[Arrival]) -> None:
        self.delivered += [(arrival.event_id, self.observer.room) for arrival in arrivals]

    def _tell(self, link: Link) -> None:
        self.told.append((link, self.observer.room, self.observer.title))

    def comes(self, event_id: str, room: str, *, encrypted: bool = False) -> None:
        event = {"type": "m.room.encrypted", "content": {"ciphertext": "AwgA"}} if encrypted else {}
        delivery = Delivery(
            transport="matrix", plane="room", room=room, sender="matrix:u/eve:example.org", event_id=event_id,
            event=json.dumps(event), received_ms=1, live=True,
        )  # fmt: skip
        self.reading.commit("matrix", [delivery], "")

    def is_replaced(self, by: str = NEXT) -> None:
        departure = Departure(room=self.observer.room, name="#mesh", code="room.replaced", successor=by)
        self.reading._on_left(departure)

    def joins(self, room: str, name: str) -> None:
        self.reading._on_joined(Room(uri=room, name=name, public=True, encrypted=False, members=2))


class TestAnObserver:
    async def test_tells_where_it_is_and_hands_over_what_it_held_before(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        desk.joins(ROOM, "#mesh:example.org")
        desk.comes("$1", ROOM)
        desk.comes("$2", ROOM, encrypted=True)
        desk.is_replaced()
        assert desk.observer.room == ROOM and not desk.told
        desk.comes("$3", NEXT)
        desk.joins(NEXT, "#next:example.org")
        assert desk.delivered == [("$1", ROOM), ("$2", ROOM), ("$3", NEXT)]
        assert desk.told == [(Link("live", REPLACED), NEXT, "#next:example.org")]
        await desk.reading._transport.close()

    async def test_is_not_led_back_by_what_can_be_read_late(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        desk.joins(ROOM, "#mesh:example.org")
        desk.is_replaced()
        desk.comes("$1", ROOM)
        assert desk.observer.room == ROOM
        desk.joins(NEXT, "#next:example.org")
        desk.comes("$2", ROOM)
        assert desk.observer.room == NEXT
        await desk.reading._transport.close()
