"""Wherever the player is, it shows the fold of what lies before: played, sought or stepped to."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tui import player as player_module
from tui.arrivals import Arrival
from tui.checking import check
from tui.model import Model
from tui.player import SILENCE_S, SPEEDS, Player
from tui.recorder import Recorder
from tui.recording import Recording
from tui.sources.synthetic import events

START_MS = 1_800_000_000_000
ARRIVALS = list(islice(events(agents=8, seed=7, start_ms=START_MS), 400))
CHECKED = [check(arrival) for arrival in ARRIVALS]
REFILL = 30

Open = Callable[..., Player]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A player of arrivals, or of a file, with copies close together."""
    monkeypatch.setattr(player_module, "_EVERY", 20)
    monkeypatch.setattr(player_module, "_REFILL", REFILL)
    players: list[Player] = []

    def open_player(source: Sequence[Arrival] | Path = ARRIVALS) -> Player:
        path = source if isinstance(source, Path) else record(tmp_path / f"{len(players)}.jsonl", source)
        players.append(Player(Recording.open(path)))
        return players[-1]

    yield open_player
    for player in players:
        player.close()


def record(path: Path, arrivals: Sequence[Arrival]) -> Path:
    recorder = Recorder(path, created_ms=START_MS, recorder="matrix:u/you:clawnet.example")
    for arrival in arrivals:
        recorder.record(arrival)
    recorder.close()
    return path


def arrive(player: Player) -> None:
    while player.advance(0.0, 0.1):
        pass


def check_all(player: Player) -> None:
    while player.status.checked < player.status.total:
        player.advance(0.0, 0.1)


def shown(model: Model, count: int = REFILL) -> Any:
    """What there is to see, and the end of the timeline."""
    snapshot = model.snapshot(START_MS + 3_600_000, fresh=True)
    shown_entries = [
        (entry.seq, entry.arrival, entry.index, entry.code, entry.words, entry.message and entry.message.id)
        for entry in snapshot.entries[-count:]
    ]
    return snapshot.agents, snapshot.edges, snapshot.tasks, snapshot.counts, snapshot.room, shown_entries


def folded(position: int, room: str = "") -> Model:
    model = Model(room=room)
    for checked in CHECKED[:position]:
        model.fold(checked)
    return model


# --- places ---


def test_played_to_the_end_it_shows_the_fold_of_everything(play: Open) -> None:
    player = play()
    player.speed = inf
    player.play()
    while player.playing:
        player.advance(0.0, 0.1)
    assert player.position == player.status.position == len(ARRIVALS)
    assert shown(player.model, 5000) == shown(folded(len(ARRIVALS)), 5000)


def test_any_place_shows_the_fold_of_what_lies_before(play: Open) -> None:
    player = play()
    check_all(player)
    chance = random.Random(1)
    places = [0, 1, 399, 400, 20, 19, 21, 50, 49, 0, *(chance.randrange(401) for _ in range(25))]
    for place in places:
        player.seek(place)
        arrive(player)
        assert player.position == place
        assert shown(player.model) == shown(folded(place))
        assert player.status.at_ms == ARRIVALS[max(0, place - 1)].received_ms


def test_steps_go_on_and_back(play: Open) -> None:
    player = play()
    check_all(player)
    for by, place in ((1, 1), (1, 2), (-1, 1), (100, 101), (-1, 100), (-60, 40), (-500, 0), (5000, 400), (-1, 399)):
        player.step(by)
        arrive(player)
        assert player.position == place
        assert shown(player.model) == shown(folded(place))


def test_a_later_seek_takes_the_place_of_one_under_way(play: Open) -> None:
    player = play()
    check_all(player)
    for place in (300, 100, 350, 10, 200):
        player.seek(place)
        player.advance(0.0, 0.0)
    arrive(player)
    assert player.position == 200
    assert shown(player.model) == shown(folded(200))


def test_where_it_is_not_checked_yet_it_shows_how_far_it_is_and_arrives(play: Open) -> None:
    player = play()
    player.seek(390)
    seen = []
    while player.advance(0.0, 0.0001):
        status = player.status
        if status.waiting:
            assert status.position == status.checked < 390
            assert status.target == 390
            seen.append(status.position)
            assert player.model.snapshot(START_MS).counts.arrivals == status.position
    assert seen == sorted(seen)
    assert player.position == 390
    assert not player.status.waiting
    assert shown(player.model) == shown(folded(390))


def test_a_time_is_sought_by_the_recorded_clock(play: Open) -> None:
    player = play()
    check_all(player)
    player.seek_time(ARRIVALS[200].received_ms)
    arrive(player)
    assert ARRIVALS[player.position - 1].received_ms == ARRIVALS[200].received_ms
    player.seek_time(0)
    arrive(player)
    assert player.position == 0
    player.seek_time(2**60)
    arrive(player)
    assert player.position == 400


def test_copies_are_thinned_out_and_nothing_else_changes(play: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "_COPIES_MOST", 5)
    player = play()
    check_all(player)
    assert len(player._copies) <= 5
    assert player._copies[0][0] == 0
    for place in (399, 120, 121, 40, 0, 333):
        player.seek(place)
        arrive(player)
        assert shown(player.model) == shown(folded(place))


# --- time ---


def spaced(*gaps_ms: int) -> list[Arrival]:
    """As many events, each so long after the one before."""
    times = [START_MS]
    for gap in gaps_ms:
        times.append(times[-1] + gap)
    return [
        msgspec.structs.replace(arrival, received_ms=ms)
        for arrival, ms in zip(ARRIVALS[: len(times)], times, strict=True)
    ]


def at(player: Player, now: float) -> int:
    """The position after playing until then."""
    player.advance(now, 5.0)
    return player.position


def started(player: Player, speed: float = 1.0) -> Player:
    check_all(player)
    player.speed = speed
    player.play()
    player.advance(0.0, 5.0)
    return player


def test_events_come_when_they_came(play: Open) -> None:
    player = started(play(spaced(*[100] * 50)))
    assert [at(player, now) for now in (0.05, 0.11, 0.19, 0.21, 0.5)] == [1, 2, 2, 3, 6]
    assert player.status.at_ms == START_MS + 500
    player.pause()
    assert [at(player, now) for now in (1.0, 2.0)] == [6, 6]
    player.play()
    assert at(player, 2.21) == 8


@pytest.mark.parametrize("speed, positions", [(0.25, [2, 3, 4]), (4.0, [17, 33, 49]), (64.0, [51, 51, 51])])
def test_speed_is_a_factor(play: Open, speed: float, positions: list[int]) -> None:
    player = started(play(spaced(*[100] * 50)), speed)
    assert [at(player, now) for now in (0.41, 0.81, 1.21)] == positions


def test_a_silence_is_shortened_and_said(play: Open) -> None:
    hour_ms = 3_600_000
    player = started(play(spaced(100, hour_ms, 100, 100)))
    assert at(player, 0.1) == 2
    assert player.status.silence_ms == 0 or player.status.silence_ms == hour_ms
    player.advance(0.1 + SILENCE_S / 4, 5.0)
    assert player.position == 2
    assert player.status.silence_ms == hour_ms
    assert player.status.at_ms == pytest.approx(START_MS + 100 + hour_ms / 4, abs=1000)  # the clock runs through it
    for part in (2, 3):
        at(player, 0.1 + part * SILENCE_S / 4)
    assert player.position == 2
    assert at(player, 0.1 + SILENCE_S + 0.01) == 3
    assert player.status.silence_ms == 0


def test_a_clock_that_was_set_back_does_not_stop_the_play(play: Open) -> None:
    player = started(play(spaced(100, -5_000_000, 100, 100, 5_000_000, 100)))
    positions = [at(player, now / 10) for now in range(1, 60)]
    assert positions == sorted(positions)
    assert positions[-1] == 7


def test_nobody_watching_for_long_does_not_leap(play: Open) -> None:
    player = started(play(spaced(*[100] * 50)))
    assert at(player, 1000.0) <= 7


def test_it_stops_at_the_end_and_begins_anew(play: Open) -> None:
    player = started(play(spaced(*[10] * 20)))
    for now in range(1, 5):
        player.advance(now / 4, 5.0)
    assert (player.position, player.playing) == (21, False)
    player.play()
    assert player.playing
    player.advance(2.0, 5.0)
    assert player.position < 21


def test_speeds_have_bounds_and_steps(play: Open) -> None:
    player = play(ARRIVALS[:5])
    player.speed = 1000.0
    assert player.speed == 64.0
    player.speed = 0.0
    assert player.speed == SPEEDS[0]
    for _ in range(20):
        player.faster(1)
    assert player.speed == inf
    player.faster(-1)
    assert player.speed == 64.0
    player.speed = 3.0
    player.faster(1)
    assert player.speed == 4.0
    for _ in range(20):
        player.faster(-1)
    assert player.speed == SPEEDS[0]


# --- faults ---


def test_a_damaged_recording_is_played_up_to_the_fault(play: Open, tmp_path: Path) -> None:
    path = record(tmp_path / "damaged", ARRIVALS)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:151], lines[151].replace(b'"plane":"room"', b'"plane":"direct"'), *lines[152:]]))
    player = play(path)
    player.seek(390)
    arrive(player)
    status = player.status
    assert (status.position, status.total, status.checked) == (150, 150, 150)
    assert status.fault is not None and status.fault.line == 152
    assert shown(player.model) == shown(folded(150))
    player.seek(40)
    arrive(player)
    assert shown(player.model) == shown(folded(40))


def test_a_file_changed_under_it_is_shown_as_far_as_it_is_the_same(play: Open, tmp_path: Path) -> None:
    path = record(tmp_path / "changed", ARRIVALS)
    player = play(path)
    check_all(player)
    player.seek(400)
    arrive(player)
    lines = path.read_bytes().splitlines(keepends=True)
    forged = msgspec.structs.replace(ARRIVALS[90], sender=ARRIVALS[90].sender + "x")
    anew = record(tmp_path / "anew", [*ARRIVALS[:90], forged, *ARRIVALS[91:]]).read_bytes()
    with path.open("r+b") as file:
        file.write(anew[: sum(map(len, lines))])
    player.seek(120)
    arrive(player)
    assert player.status.fault is not None and player.status.fault.line == 92
    assert player.position == player.status.total == 90
    assert shown(player.model) == shown(folded(90))


def test_a_signature_that_fails_is_shown_as_it_is(play: Open) -> None:
    place = next(i for i, checked in enumerate(CHECKED) if i > 100 and ARRIVALS[i].plane == "room" and checked.outcomes)
    event = ARRIVALS[place].event
    cut = event.index('"sig":"') + 10
    forged = event[:cut] + ("A" if event[cut] != "A" else "B") + event[cut + 1 :]
    player = play([*ARRIVALS[:place], msgspec.structs.replace(ARRIVALS[place], event=forged)])
    player.seek(place + 1)
    arrive(player)
    assert player.position == place + 1
    entries = player.model.snapshot(START_MS).entries
    assert any(entry.code == "signature.invalid" and entry.arrival.event == forged for entry in entries)


def test_a_recording_without_events_has_nowhere_to_go(play: Open) -> None:
    player = play([])
    player.play()
    player.seek(7)
    player.step(1)
    player.play()
    arrive(player)
    assert player.status.position == player.status.total == 0
    assert not player.playing
