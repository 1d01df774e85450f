"""``clawtui record``: write what arrives into a recording, without a screen.

Ctrl-C and SIGTERM end it as its time limit does: what arrived is on the disk, and whole.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from tui.arrivals import Arrival
from tui.recorder import Recorder
from tui.sources import Link, Source, SourceError
from tui.text import cell

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TOLD_EVERY_S = 0.25
_OK, _INTERRUPTED = 0, 130


class Progress(msgspec.Struct):
    """How far a recording has come."""

    path: Path
    events: int = 0
    bytes: int = 0  # of the events, without what a line adds
    rooms: list[str] = []  # the room that was recorded, by its URI, and those that took its place
    link: Link = Link("connecting")


async def record(
    source: Source, progress: Progress, *, clock: Callable[[], int], stop: asyncio.Event, seconds: float | None = None
) -> None:
    """Record into ``progress.path`` until the source ends, ``stop`` is set or ``seconds`` are over.

    A file in which nothing was recorded is taken away again. ``clock`` gives Unix milliseconds. Raises SourceError.
    """
    recorder = Recorder(progress.path, created_ms=clock(), recorder=source.title)
    failures: list[SourceError] = []

    def deliver(arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            if failures or stop.is_set():
                return
            try:
                recorder.record(arrival)
            except SourceError as error:
                # A source is not to be disturbed by who listens.
                failures.append(error)
                stop.set()
                return
            if source.room and source.room not in progress.rooms:
                progress.rooms.append(source.room)
            progress.events += 1
            progress.bytes += len(arrival.event)

    def told(link: Link) -> None:
        progress.link = link

    running = asyncio.ensure_future(source.run(deliver, told))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([running, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        stop.set()
        running.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
        recorder.close()
        if not progress.events:
            progress.path.unlink(missing_ok=True)
    if failures:
        raise failures[0]


def main(options: argparse.Namespace, open_source: Callable[[argparse.Namespace], Source]) -> int:
    """Run the command: 0 if something was recorded or time is up, 130 if somebody ended it before that.

    Raises SourceError.
    """
    seconds = getattr(options, "seconds", None)
    if seconds is not None and not seconds > 0:
        raise SourceError("record.seconds", "A recording takes more than no time.", "Say --for 60.", usage=True)
    progress = Progress(Path(getattr(options, "output", None) or time.strftime("clawnet-%Y%m%d-%H%M%S.jsonl")))
    interrupted = False
    try:
        interrupted = asyncio.run(_run(open_source(options), progress, seconds))
    finally:
        if progress.events:
            _tell(f"{_state(progress)}. Watch it again: clawtui --replay {progress.path}")
            for room in progress.rooms[1:]:
                _tell(f"It went on in the room that took its place: clawtui --replay {progress.path} --room {room}")
    if progress.events:
        return _OK
    _tell(f"Nothing arrived, so there is no {progress.path}.")
    return _INTERRUPTED if interrupted else _OK


async def _run(source: Source, progress: Progress, seconds: float | None) -> bool:
    """Whether somebody ended it."""
    stop, interrupted = asyncio.Event(), asyncio.Event()

    def interrupt() -> None:
        interrupted.set()
        stop.set()

    with _on_signals(interrupt):
        showing = asyncio.ensure_future(_show(progress, sys.stderr))
        try:
            await record(source, progress, clock=lambda: time.time_ns() // 1_000_000, stop=stop, seconds=seconds)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
    return interrupted.is_set()


@contextlib.contextmanager
def _on_signals(act: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _show(progress: Progress, stream: TextIO) -> None:
    """One line that is written over, on a terminal; elsewhere nothing."""
    if not stream.isatty():
        return
    try:
        while True:
            link = progress.link
            stream.write(f"\r\x1b[K{cell(f'{_state(progress)}, {link.state} {link.detail}', 79, pad=False)}")
            stream.flush()
            await asyncio.sleep(_TOLD_EVERY_S)
    finally:
        stream.write("\r\x1b[K")


def _state(progress: Progress) -> str:
    return f"{progress.events:,} events, {progress.bytes / 1e6:.1f} MB in {progress.path}"


def _tell(text: str) -> None:
    sys.stderr.write(f"clawtui: {text}\n")
    sys.stderr.flush()
