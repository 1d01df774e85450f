"""``clawtui tail``: every message as a plain line, for pipes and screen readers.

Nothing moves the cursor, nothing is coloured, and each line is written at once. The verdict is what is known at that
moment: an ``unbound`` message may be bound a moment later, when its sender's announce arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from clawnet_proto.rendering import short
from clawnet_proto.specification import LIMITS
from tui.agent_rows import agent_rows
from tui.arrivals import Arrival
from tui.checking import check
from tui.filters import EVERYTHING, Context, Filter, parse
from tui.line import line_of
from tui.model import Model
from tui.moments import clock
from tui.recording import Fault, Recording
from tui.sayings import kind, said, who
from tui.sources import Key, Link, Source
from tui.text import cell
from tui.views import AgentRow, Entry

_BATCH = 500  # events of a recording read at once


class Lines:
    """What to print of each arrival. ``room`` is a URI, "" for that of the first message."""

    def __init__(
        self, *, shown: Filter = EVERYTHING, as_json: bool = False, room: str = "", key: Key | None = None
    ) -> None:
        self._shown = shown
        self._as_json = as_json
        self._key = key
        self._now_ms = 0
        self._begin(room)

    def _begin(self, room: str) -> None:
        me = self._key.did if self._key else ""
        self._model = Model(room=room, me=me, history=LIMITS.carriers_per_event)
        self._context = Context(
            name_of=self._model.mesh.name_of,
            verdict_of=self._model.verdict,
            task_state=self._task_state,
            agent_of=self._agent,
        )

    def enter(self, room: str) -> None:
        """This is the room from here on: where it replaced another, nothing is known of it yet."""
        if self._model.room not in ("", room):
            self._begin(room)
        self._model.enter(room)

    def of(self, arrival: Arrival) -> Iterator[str]:
        """A line for each message in it that fits the filter, without its line break."""
        self._now_ms = arrival.received_ms
        before = self._model.lines
        self._model.fold(check(arrival, self._key))
        for entry in self._latest(self._model.lines - before):
            if self._shown.entry(entry, self._context):
                yield self._as_data(entry) if self._as_json else self._as_text(entry)

    def _latest(self, count: int) -> Sequence[Entry]:
        # A moment that never changes spares the rows of agents and tasks, which nobody looks at.
        return self._model.snapshot(0).entries[-count:] if count else ()

    def _as_text(self, entry: Entry) -> str:
        message, name_of, verdict = entry.message, self._model.mesh.name_of, self._model.verdict(entry)
        identity = "-" if message is None else short(message.id)
        objection = "" if message is None else self._model.objection(entry)
        parts = [clock(entry.at_ms), verdict, identity, kind(entry) or "-"]
        told = f"{' '.join(parts)} {who(entry, name_of, verdict)}: {said(entry, name_of)}"
        return f"{told} ({objection})" if objection else told

    def _as_data(self, entry: Entry) -> str:
        # In ASCII, so that no terminal obeys what a stranger wrote.
        return json.dumps(msgspec.to_builtins(line_of(entry, self._model)))

    def _task_state(self, task: str) -> str:
        view = self._model.mesh.task(task)
        return "" if view is None else view.state

    def _agent(self, did: str) -> AgentRow | None:
        rows = agent_rows(self._model.mesh, "", {}, self._now_ms)
        return next((row for row in rows if row.did == did), None)


async def tail(source: Source, lines: Lines, out: TextIO, *, told: Callable[[Link], None]) -> None:
    """Print what a source delivers until it ends. Raises SourceError, and OSError if nobody reads any more."""
    waiting: asyncio.Queue[tuple[str, Sequence[Arrival]] | None] = asyncio.Queue()  # with the room it came to
    running = asyncio.ensure_future(
        source.run(lambda arrivals: waiting.put_nowait((source.room, arrivals)), told, waiting.join)
    )
    running.add_done_callback(lambda _: waiting.put_nowait(None))
    try:
        while (came := await waiting.get()) is not None:
            room, arrivals = came
            if room:
                lines.enter(room)
            _print(arrivals, lines, out)
            waiting.task_done()
        running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def tail_recording(recording: Recording, lines: Lines, out: TextIO) -> Fault | None:
    """Print what was recorded; the fault it ends at, if any. Raises OSError if nobody reads any more."""
    place = 0
    while arrivals := recording.read(place, _BATCH):
        _print(arrivals, lines, out)
        place += len(arrivals)
    return recording.fault


def _print(arrivals: Sequence[Arrival], lines: Lines, out: TextIO) -> None:
    encoding = out.encoding or "utf-8"
    for arrival in arrivals:
        for line in lines.of(arrival):
            out.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            out.flush()


def main(options: argparse.Namespace, open_source: Callable[[argparse.Namespace], Source]) -> int:
    """Run the command: 0 at the end, 1 if the recording is damaged. Raises FilterError, SourceError, OSError."""
    shown = parse(getattr(options, "filter", None) or "")
    as_json, room = bool(getattr(options, "json", False)), options.room or ""
    if options.replay:
        recording = Recording.open(Path(options.replay))
        try:
            fault = tail_recording(recording, Lines(shown=shown, as_json=as_json, room=room), sys.stdout)
        finally:
            recording.close()
        if fault is None:
            return 0
        _tell(f"{options.replay} is damaged: line {fault.line}: {fault.text}. What comes before it was shown.")
        return 1
    source = open_source(options)
    asyncio.run(tail(source, Lines(shown=shown, as_json=as_json, key=source.key), sys.stdout, told=_tell_link))
    return 0


def _tell_link(link: Link) -> None:
    _tell(f"{link.state}: {link.detail}" if link.detail else link.state)


def _tell(text: str) -> None:
    sys.stderr.write(f"clawtui: {cell(text, 300, pad=False)}\n")
    sys.stderr.flush()
