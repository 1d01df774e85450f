"""How an audit log ended: what the next run must know to go on with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bots.audit.chain import LINE_BYTES, Unreadable, read_line
from bots.audit.files import first_of

# Enough for the last line, and an incomplete one.
_TAIL_BYTES = 2 * LINE_BYTES
_CHECKPOINT = b'{"kind":"checkpoint",'


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a segment."""

    seq: int  # of the last whole record
    link: str  # that the next record follows
    whole_bytes: int  # of whole lines
    cut: bytes  # an incomplete line after them
    unreadable: bool = False  # the last whole line is no record


def read_ending(path: Path) -> Ending | None:
    """The end of a segment, None if it holds no whole line. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        *whole, cut = file.read().split(b"\n")
        if not whole:
            return None
        try:
            last, link, _ = read_line(whole[-1] + b"\n")
        except Unreadable:
            # By its place: every line before it is a record.
            file.seek(0)
            seq = first_of(path) - 1 + sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
            return Ending(seq=seq, link="", whole_bytes=size - len(cut), cut=cut, unreadable=True)
    return Ending(seq=last.seq, link=link, whole_bytes=size - len(cut), cut=cut)


def count_unsigned(there: Sequence[Path]) -> int:
    """How many whole lines follow the last checkpoint, in all segments, oldest first. Raises OSError.

    Whether that checkpoint is genuine is for the checker to say, who refuses the log if it is not.
    """
    unsigned = 0
    for path in reversed(there):
        found, after = _after_checkpoint(path)
        unsigned += after
        if found:
            break
    return unsigned


def _after_checkpoint(path: Path) -> tuple[bool, int]:
    """Whether a segment has a checkpoint, and how many whole lines follow the last one."""
    found, after = False, 0
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES):
            if line.startswith(_CHECKPOINT):
                found, after = True, 0
            else:
                after += line.endswith(b"\n")
    return found, after
