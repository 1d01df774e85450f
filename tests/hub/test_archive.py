"""What a hub keeps, what it drops, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bots.hub.archive import Archive, Bounds, Unknown

DAY_MS = 86_400_000
NOW_MS = 100 * DAY_MS

Open = Callable[[Bounds], Archive]


@pytest.fixture
def open_(tmp_path: Path) -> Iterator[Open]:
    opened: list[Archive] = []

    def new(bounds: Bounds) -> Archive:
        opened.append(Archive(tmp_path / "hub.sqlite", bounds))
        return opened[-1]

    yield new
    for archive in opened:
        archive.close()


def say(archive: Archive, place: str, count: int, *, at_ms: int = NOW_MS, text: str = "{}", queue: bool = False) -> str:
    """Say so many things, and give the last event."""
    event = ""
    for number in range(count):
        message = f"{place} {at_ms} {number}"
        event = archive.append(place, "somebody", [(message, text.encode())], at_ms, queue=queue, network=place)
    return event


def kept(archive: Archive, place: str, now_ms: int = NOW_MS) -> int:
    return len(archive.after(place, "", 1000, now_ms).said)


def test_bounds_hold_after_every_event(open_: Open) -> None:
    archive = open_(Bounds(room_events=10, queue_events=3))
    for _ in range(13):
        say(archive, "room", 1)
    say(archive, "queue", 5, queue=True)
    assert archive._database.rows("SELECT place, count(*) FROM events GROUP BY place") == [("queue", 3), ("room", 10)]
    assert (kept(archive, "room"), kept(archive, "queue")) == (10, 3)


def test_bytes_count_and_not_characters(open_: Open) -> None:
    archive = open_(Bounds(room_bytes=1000))
    say(archive, "room", 20, text='"' + "\N{SNOWMAN}" * 32 + '"')  # 100 bytes, in brackets, of 36 characters
    assert kept(archive, "room") == 10
    # Totals that are kept along are those of what is there.
    stored = archive._database.rows("SELECT events, bytes FROM places")
    assert stored == archive._database.rows("SELECT count(*), sum(length(CAST(carriers AS BLOB))) FROM events")


def test_what_is_too_old_is_not_read_though_nobody_posts(open_: Open) -> None:
    archive = open_(Bounds())
    position = say(archive, "queue", 1, queue=True)
    say(archive, "queue", 1, at_ms=NOW_MS + 1000, queue=True)
    assert kept(archive, "queue", NOW_MS + 3_600_000) == 2
    assert kept(archive, "queue", NOW_MS + 3_600_001) == 1
    assert archive.after("queue", position, 10, NOW_MS + 3_600_001).said
    with pytest.raises(Unknown):
        archive.after("queue", position, 10, NOW_MS + 3_601_001)


def test_what_a_place_that_is_gone_had_is_told_to_who_would_miss_it(open_: Open) -> None:
    archive = open_(Bounds())
    position = say(archive, "room", 2)
    say(archive, "room", 1)
    say(archive, "another", 1, at_ms=NOW_MS + 31 * DAY_MS)  # by now the room is silent for too long
    for _ in range(2):
        with pytest.raises(Unknown):
            archive.after("room", position, 10, NOW_MS + 31 * DAY_MS)
        say(archive, "room", 1, at_ms=NOW_MS + 31 * DAY_MS)
    # Who had nothing before is told nothing is lost.
    empty = archive.after("empty", "", 10, NOW_MS).position
    assert archive.after("empty", empty, 10, NOW_MS).said == []


def test_a_position_ahead_of_everything_is_unknown(open_: Open) -> None:
    archive = open_(Bounds())
    epoch = say(archive, "room", 1).partition("-")[0]
    for number in ("2", "\N{ARABIC-INDIC DIGIT ONE}", "\N{SUPERSCRIPT ONE}", "+1", ""):
        with pytest.raises(Unknown):
            archive.after("room", f"{epoch}-{number}", 10, NOW_MS)


def test_what_is_read_at_once_is_bounded_in_bytes(open_: Open) -> None:
    archive = open_(Bounds())
    say(archive, "room", 12, text='"' + "x" * 60_000 + '"')
    counts, position, more = list[int](), "", True
    while more:
        page = archive.after("room", position, 100, NOW_MS)
        counts, position, more = [*counts, len(page.said)], page.position, page.more
    assert counts == [4, 4, 4]
    assert [page.more for page in (archive.after("room", "", 4, NOW_MS), archive.after("room", "", 1, NOW_MS))] == [
        True,
        True,
    ]


def test_a_network_begins_few_rooms_and_the_silent_make_place(open_: Open) -> None:
    archive = open_(Bounds(rooms=3, rooms_of_network=2))
    for room, network in (("a", "n1"), ("b", "n1"), ("c", "n2")):
        assert archive.may_say(room, network, NOW_MS)
        archive.append(room, "somebody", [(room, b"{}")], NOW_MS, network=network)

    assert archive.may_say("a", "n3", NOW_MS)
    assert not archive.may_say("d", "n1", NOW_MS + 2 * DAY_MS)  # it has begun two
    assert not archive.may_say("d", "n2", NOW_MS + DAY_MS)  # nobody is silent for long enough
    say(archive, "a", 1, at_ms=NOW_MS + DAY_MS)
    assert archive.may_say("d", "n2", NOW_MS + DAY_MS + 1)
    assert [kept(archive, room) for room in "abc"] == [2, 0, 1]


def test_a_transaction_is_kept_as_a_whole(open_: Open) -> None:
    archive = open_(Bounds())
    with pytest.raises(ZeroDivisionError), archive.transaction():
        say(archive, "room", 1)
        archive.members.enter("room", "address", 1, NOW_MS + 1000, NOW_MS, "")
        raise ZeroDivisionError
    assert kept(archive, "room") == 0
    assert archive.members.roster("room", NOW_MS).addresses == []
