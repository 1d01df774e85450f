"""The audit log as it is written: appended, chained, signed, bounded; a disk that fails never stops the agent.

What cannot be written waits in memory, in order, and is tried again; only when too much waits is the rest counted
instead of kept, and the count stands in the log afterwards.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from bots.audit.chain import sign, write_line
from bots.audit.ending import count_unsigned, read_ending
from bots.audit.files import SegmentFile, first_of, segments, sync_folder, write_head
from bots.audit.records import FORMAT, Checkpoint, Entry, Keys, Lost, Mended, Segment, Started
from bots.identity import Identity
from bots.key_record import Revocation
from clawnet_proto.signing import digest

log = logging.getLogger(__name__)

_SEGMENTS = 8  # that make up the whole
_WAITING = 4096  # records that wait for a disk to take them
_RETRY_MS = 1_000
_CHECKPOINT_EVERY = 4_000  # records


class AuditHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the log is doing."""

    records: int  # the number of the last one written
    unsigned: int  # written since the last checkpoint
    waiting: int  # not written yet
    lost: int  # that never will be
    fault: str = ""  # a sentence, if it cannot be written


class AuditLog:
    """The log in ``folder``, of at most ``total_bytes``. One process writes it: whoever holds the agent's store.

    ``own`` gives our keys as they are now, ``now_ms`` the wall clock; ``tell`` takes a sentence for people. Nothing
    here raises but for errors of our own.
    """

    def __init__(
        self,
        folder: Path,
        total_bytes: int,
        own: Callable[[], Identity],
        now_ms: Callable[[], int],
        tell: Callable[[str], None],
        *,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self._folder = folder
        self._total = total_bytes
        self._share = total_bytes // _SEGMENTS
        self._own = own
        self._now_ms = now_ms
        self._tell = tell
        self._write = write
        self._file: SegmentFile | None = None
        self._keys: tuple[str, Revocation | None] | None = None  # as the log has them
        self._seq = 0
        self._link = ""
        self._unsigned = 0
        self._head: bytes | None = None  # the last checkpoint, while its copy is not on the disk
        self._waiting: deque[Entry] = deque()
        self._left_behind = 0  # since the last record of what was lost
        self._lost = 0
        self._fault = ""
        self._again_ms = 0

    @property
    def health(self) -> AuditHealth:
        return AuditHealth(
            records=self._seq,
            unsigned=self._unsigned,
            waiting=len(self._waiting),
            lost=self._lost,
            fault=self._fault,
        )

    def begin(self, *, version: str, config: str) -> None:
        """A new run: go on where the last one ended, say so, and sign. ``config`` is the configuration's digest."""
        self.append(Started(at_ms=self._now_ms(), version=version, config=config))
        self.checkpoint()

    def append(self, entry: Entry) -> None:
        """Write a record, or keep it until it can be written."""
        if len(self._waiting) >= _WAITING:
            self._lost += 1
            self._left_behind += 1
            return
        self._waiting.append(entry)
        self._flush(self._put_waiting)
        if self._unsigned >= _CHECKPOINT_EVERY:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Sign what is new, and wait until it is on the disk."""
        self._flush(self._put_checkpoint)

    def retry(self) -> None:
        """Try once more to write what waits."""
        if self._head is not None:
            self._flush(self._put_checkpoint)
        elif self._waiting or self._fault:
            self._flush(self._put_waiting)

    def close(self) -> None:
        """Sign and close."""
        self._again_ms = 0
        self.checkpoint()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    # -- writing, which may fail ---------------------------------------------------------------------------------

    def _flush(self, put: Callable[[], None]) -> None:
        # A clock that was set back holds nothing up.
        if self._fault and 0 < self._again_ms - self._now_ms() <= _RETRY_MS:
            return
        try:
            put()
        except OSError as error:
            self._failed(error)
        else:
            if self._fault and self._head is None:
                self._recovered()

    def _failed(self, error: OSError) -> None:
        self._again_ms = self._now_ms() + _RETRY_MS
        sentence = f"The audit log in {self._folder} cannot be written: {error.strerror or error}."
        if sentence != self._fault:
            self._fault = sentence
            log.error("%s", sentence)
            self._tell(f"{sentence} The agent goes on; what it does is noted once there is room.")

    def _recovered(self) -> None:
        self._fault = ""
        lost = f"; {self._lost} records are lost" if self._lost else ""
        self._tell(f"The audit log is written again{lost}.")

    def _put_waiting(self) -> None:
        if self._file is None:
            self._open()
        own = self._own()
        if self._keys != (keys := (own.key.did, own.revocation)):
            revoked_ms = own.revocation.since_ms if own.revocation is not None else 0
            self._put(Keys(at_ms=self._now_ms(), chain=own.chain, revoked_ms=revoked_ms))
            self._keys = keys
        while self._waiting:
            try:
                self._put(self._waiting[0])
            except UnicodeEncodeError:  # half a character, of a room's or an event's name
                self._lost += 1
                self._left_behind += 1
            self._waiting.popleft()
        if self._left_behind:
            self._put(Lost(at_ms=self._now_ms(), count=self._left_behind))
            self._left_behind = 0

    def _put(self, entry: Entry) -> None:
        """Write one record, in a new segment if it does not fit into this one."""
        assert self._file is not None
        if self._file.size >= self._share:
            self._next_segment()
        self._write_down(entry)

    def _write_down(self, entry: Entry) -> None:
        assert self._file is not None
        entry.seq = self._seq + 1
        line, link = write_line(self._link, entry)
        self._file.append(line)
        self._seq, self._link = entry.seq, link
        self._unsigned += 1

    def _put_checkpoint(self) -> None:
        self._put_waiting()
        self._seal()

    def _seal(self) -> None:
        """Sign the chain as far as it goes, and let nobody doubt how far that was."""
        assert self._file is not None
        if self._unsigned:
            own = self._own()
            entry = Checkpoint(
                at_ms=self._now_ms(), seq=self._seq + 1, identity=own.did, key=own.key.did, head=self._link
            )
            sign(entry, own.key)
            line, link = write_line(self._link, entry)
            self._file.append(line)
            self._seq, self._link, self._unsigned, self._head = entry.seq, link, 0, line
        if self._head is not None:
            self._file.sync()
            write_head(self._folder, self._head)
            self._head = None

    # -- segments ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Go on with the last segment, or begin the first. What is amiss with its end is said in the log."""
        # One by one: the mode is that of the last folder alone.
        for folder in (self._folder.parent, self._folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = segments(self._folder)
        torn, unsigned, unreadable = b"", 0, False
        ending = None
        while there and (ending := read_ending(there[-1])) is None:
            # It was being begun when the run ended: not even its first line is whole.
            torn = there[-1].read_bytes()
            there.pop().unlink()
        if ending is not None:
            # Not when we come back to what we wrote, or said, ourselves.
            if (ending.seq, ending.link) != (self._seq, self._link):
                torn, unsigned, unreadable = ending.cut or torn, count_unsigned(there), ending.unreadable
            self._seq, self._link = ending.seq, ending.link
            if not ending.unreadable:
                self._file = SegmentFile(there[-1], fresh=False, write=self._write)
                self._file.cut(ending.whole_bytes)
        if torn or unsigned or unreadable:
            found = Mended(at_ms=self._now_ms(), unsigned=unsigned, cut_bytes=len(torn), unreadable=unreadable)
            found.digest = digest(torn) if torn else ""
            self._waiting.appendleft(found)
        if self._file is None:
            self._begin_segment(there)

    def _next_segment(self) -> None:
        assert self._file is not None
        self._file.sync()
        self._file.close()
        self._file = None  # what fails from here on is taken up by ``_open``
        self._begin_segment(segments(self._folder))

    def _begin_segment(self, there: list[Path]) -> None:
        """Begin the next segment after those that are there, and remove the oldest if there is no room for all."""
        own, first = self._own(), self._seq + 1
        kept = self._kept(there)
        oldest = first_of(kept[0]) if kept else first
        path = self._folder / f"{first:012}.jsonl"
        self._file = SegmentFile(path, fresh=True, write=self._write)
        header = Segment(
            at_ms=self._now_ms(),
            format=FORMAT,
            identity=own.did,
            chain=own.chain,
            previous=self._link,
            oldest=oldest,
        )
        try:
            self._write_down(header)
        except OSError:
            self._file.close()
            self._file = None
            path.unlink()
            raise
        sync_folder(self._folder)
        self._seal()
        # Not before it is signed that they are gone.
        for path in there[: len(there) - len(kept)]:
            path.unlink()

    def _kept(self, there: list[Path]) -> list[Path]:
        """The newest segments, as many as leave room for one more."""
        sizes = [path.stat().st_size for path in there]
        room = self._total - self._share
        while sizes and sum(sizes) > room:
            sizes.pop(0)
        return there[len(there) - len(sizes) :]
