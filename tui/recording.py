"""Recordings are transcripts (spec/11-transcript.md); one is opened at once, however long it is.

A recording is trusted as far as its links hold: they are checked while it is read, and what follows the first fault
is never used. What was read before is read again only as it was: the links it had then are kept.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from sys import intern
from typing import Final

import msgspec

from clawnet_proto.errors import TranscriptError
from clawnet_proto.transcript import Entry, Header, read
from tui.arrivals import Arrival
from tui.sources import SourceError

LINE_BYTES: Final = 1 << 23  # with its line feed (TR-1)
_LINES_MOST = 1 << 22  # the index of more would take too much memory
_HEADER_BYTES = 1 << 14
_BLOCK_BYTES = 1 << 20
_SLICE_BYTES = 1 << 20
_LINK_BYTES = 43
_CHANGED = "the line was changed since it was checked"
_HINT = "Recordings are made by `clawtui record` and `clawbot run --record`."


class Fault(msgspec.Struct, frozen=True):
    """Where a recording ceases to be what was written. ``line`` counts from 1, which is the header."""

    line: int
    text: str


class Slice(msgspec.Struct, frozen=True):
    """Events in a row as the file has them, and the fault they end at."""

    start: int
    before: str  # the link that the line before them carries
    arrivals: tuple[Arrival, ...]
    links: tuple[str, ...]
    fault: Fault | None = None


class _Glance(msgspec.Struct):
    """What is read of a line whose link is not checked."""

    link: str = ""
    received_ms: int = 0


_glance = msgspec.json.Decoder(_Glance).decode


class Recording:
    """A recording that is open. Events count from 0; ``len`` is how many there are before the fault, if any.

    All lines are found at once, but their links are checked only as they are read: up to ``checked``.
    """

    def __init__(self, path: Path, file: int) -> None:
        """``file`` is a descriptor, which is closed with the recording. Use ``open``."""
        self.path = path
        self._file = file
        self.header = _header(path, os.pread(file, _HEADER_BYTES, 0))
        self._offsets, self.fault = _index(file)
        self._links = bytearray(self.header.link.encode())  # of the lines that are checked
        self._times = array("q")  # of the events that are checked

    @classmethod
    def open(cls, path: Path) -> Recording:
        """Find the lines of a recording. Raises SourceError."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would block
        except FileNotFoundError:
            raise SourceError("recording.missing", f"There is no file {path}.", _HINT) from None
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from None
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise SourceError("recording.not_a_file", f"{path} is not a file.", _HINT)
            return cls(path, file)
        except OSError as error:
            os.close(file)
            raise _unreadable(path, error) from None
        except SourceError:
            os.close(file)
            raise

    def close(self) -> None:
        """Nothing may be read any more, by any thread."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __len__(self) -> int:
        return len(self._offsets) - 2

    @property
    def checked(self) -> int:
        """How many events, from the first on, have the links they should have."""
        return len(self._times)

    def received_ms(self, index: int) -> int:
        """When an event arrived, by the recorder's clock; of one that is not checked yet, what its line says."""
        return self._times[index] if index < len(self._times) else self._glance(index + 1).received_ms

    def position_at(self, ms: int) -> int:
        """How many events had arrived by then: a guess, if the recorder's clock was ever set back."""
        return bisect_right(range(len(self)), ms, key=self.received_ms)

    def reach(self, start: int, most: int) -> int:
        """Where a slice from ``start`` on should stop: after ``most`` events, or before, at about a megabyte."""
        bytes_most = bisect_right(self._offsets, self._offsets[start + 1] + _SLICE_BYTES, start + 2) - 2
        return min(start + most, len(self), max(start + 1, bytes_most))

    def size(self, start: int, stop: int) -> int:
        """How many bytes the lines of these events are."""
        return self._offsets[stop + 1] - self._offsets[start + 1]

    def slice(self, start: int, stop: int) -> Slice:
        """Read events and check the chain of their links. It changes nothing: any thread may do it."""
        before = self._glance(start).link
        arrivals: list[Arrival] = []
        links: list[str] = []
        try:
            for number, found in _read_on(before, self._lines(start + 1, stop + 1)):
                if isinstance(found, TranscriptError):
                    fault = Fault(start + number, found.detail)
                    return Slice(start, before, tuple(arrivals), tuple(links), fault)
                arrivals.append(_arrival(found))
                links.append(str(found.link))
        except OSError as error:
            fault = Fault(start + len(links) + 2, f"the file cannot be read: {error.strerror}")
            return Slice(start, before, tuple(arrivals), tuple(links), fault)
        return Slice(start, before, tuple(arrivals), tuple(links))

    def accept(self, part: Slice) -> int:
        """How many events of a slice are the recording's: those before its fault, and what was read before.

        Slices are taken up in order, and any number of times. Raises ValueError if one is missing.
        """
        if part.start > self.checked:
            raise ValueError(f"events {self.checked} to {part.start} are not checked")
        if part.before != self._link(part.start):
            self._end(Fault(part.start + 1, _CHANGED))
            return 0
        for index, (arrival, link) in enumerate(zip(part.arrivals, part.links, strict=True), part.start):
            if index >= len(self):
                return index - part.start
            if index == self.checked:
                self._links += link.encode()
                self._times.append(arrival.received_ms)
            elif link != self._link(index + 1):
                self._end(Fault(index + 2, _CHANGED))
                return index - part.start
        if part.fault is not None:
            known = part.fault.line - 2 < self.checked
            self._end(Fault(part.fault.line, _CHANGED) if known else part.fault)
        return len(part.arrivals)

    def read(self, start: int, most: int) -> Sequence[Arrival]:
        """Up to so many events, fewer if they are long; none at the end, or at the fault."""
        if start >= len(self):
            return ()
        part = self.slice(start, self.reach(start, most))
        return part.arrivals[: self.accept(part)]

    def _end(self, fault: Fault) -> None:
        """Nothing from this line on counts any more."""
        if fault.line <= len(self) + 1:
            self.fault = fault
            events = max(0, fault.line - 2)
            del self._offsets[events + 2 :]
            del self._times[events:]
            del self._links[(events + 1) * _LINK_BYTES :]

    def _link(self, line: int) -> str:
        """The link of a line that is checked; the header is line 0."""
        return self._links[line * _LINK_BYTES : (line + 1) * _LINK_BYTES].decode()

    def _glance(self, line: int) -> _Glance:
        try:
            return _glance(b"".join(self._lines(line, line + 1)))
        except (OSError, msgspec.DecodeError, UnicodeError, RecursionError):
            return _Glance()

    def _lines(self, first: int, end: int) -> list[bytes]:
        """Lines by their places. Where the file has become shorter, they are cut off."""
        places = self._offsets[first : end + 1]
        if len(places) < 2:
            return []
        data = _read_bytes(self._file, places[0], places[-1] - places[0])
        return [data[here - places[0] : there - places[0]] for here, there in pairwise(places)]


def _unreadable(path: Path, error: Exception) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) else error
    return SourceError("recording.unreadable", f"{path} cannot be read: {reason}.", _HINT)


def _header(path: Path, data: bytes) -> Header:
    """The header at the beginning of a file. Raises SourceError."""
    line = data[: data.find(b"\n") + 1] or data
    if not line:
        raise SourceError("recording.empty", f"{path} is empty.", _HINT)
    _, found = next(read([line]))
    if isinstance(found, Header):
        return found
    detail = found.detail if isinstance(found, TranscriptError) else ""
    raise SourceError("recording.no_header", f"{path} is no recording: line 1: {detail}.", _HINT)


def _index(file: int) -> tuple[array[int], Fault | None]:
    """Where each line begins, and at last where the last one ends; and what is wrong with the line after it."""
    offsets = array("Q", [0])
    size, at = os.fstat(file).st_size, 0
    while at < size and (block := os.pread(file, min(_BLOCK_BYTES, size - at), at)):
        place = block.find(b"\n")
        while place >= 0:
            if at + place + 1 - offsets[-1] > LINE_BYTES:
                return offsets, Fault(len(offsets), "the line is too long")
            if len(offsets) > _LINES_MOST:
                return offsets, Fault(len(offsets), "the recording is too long")
            offsets.append(at + place + 1)
            place = block.find(b"\n", place + 1)
        at += len(block)
        if at - offsets[-1] > LINE_BYTES:
            return offsets, Fault(len(offsets), "the line is too long")
    return offsets, Fault(len(offsets), "the line is cut off") if at > offsets[-1] else None


def _read_bytes(file: int, at: int, length: int) -> bytes:
    """So many bytes, fewer only at the end of the file."""
    parts = []
    while length > 0 and (part := os.pread(file, length, at)):
        parts.append(part)
        at, length = at + len(part), length - len(part)
    return b"".join(parts)


def _read_on(link: str, lines: Sequence[bytes]) -> Iterator[tuple[int, Entry | TranscriptError]]:
    """``transcript.read`` from the middle, after a line with this link. That line has number 1."""
    # Whatever is wrong with a line, the next one is held against the link it carries.
    stand_in = Header(clawnet_transcript="1", created_ms=0, recorder="", link=link)
    found = read(chain([msgspec.json.encode(stand_in, order="sorted") + b"\n"], lines))
    next(found)
    for number, record in found:
        if not isinstance(record, Header):
            yield number, record


def _arrival(entry: Entry) -> Arrival:
    return Arrival(
        transport=intern(entry.transport),  # these come again and again
        plane=entry.plane,
        room=intern(entry.room),
        sender=intern(entry.sender),
        event_id=entry.event_id,
        event=entry.event,
        received_ms=entry.received_ms,
    )
