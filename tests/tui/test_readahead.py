"""Reading ahead in a recording holds only so many bytes, and gives every event all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.tui.watched import write_recording
from tui import readahead
from tui.apart import Apart
from tui.readahead import ReadAhead
from tui.recording import Recording
from tui.sources.synthetic import events

ARRIVALS = list(islice(events(agents=8, seed=7, start_ms=1_800_000_000_000), 200))


class AtOnce(Executor):
    """Does at once what is asked for, and notes it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.asked.append((args[0], args[1]))
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    apart = Apart(None)
    yield apart
    apart.close()


@pytest.mark.parametrize("most", [1, 60_000, 1 << 30])
def test_what_is_read_ahead_is_bounded_by_bytes(
    most: int, apart: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readahead, "_BYTES_MOST", most)
    recording, pool = Recording.open(write_recording(tmp_path / "room.jsonl", ARRIVALS)), AtOnce()
    reading = ReadAhead(recording, apart, pool, 0, depth=8)
    found = []
    while (checked := reading.next(len(recording))) is not None:
        found.append(checked.arrival)
        first, stop = reading.position - 1, pool.asked[-1][1]
        assert stop - first <= 50 or recording.size(first, stop) <= most
    assert found == ARRIVALS
    recording.close()


def test_long_lines_are_read_one_chunk_at_a_time(apart: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readahead, "_BYTES_MOST", 1)
    recording, pool = Recording.open(write_recording(tmp_path / "room.jsonl", ARRIVALS)), AtOnce()
    reading = ReadAhead(recording, apart, pool, 0, depth=8)
    reading.next(len(recording))
    assert pool.asked == [(0, 25), (25, 50)]  # the next one is begun while the first is folded
    recording.close()
