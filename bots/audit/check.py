"""Whether an audit log is what the agent wrote: every link, every signature, its beginning and its end.

Pure: files come in as lines. Checking ends at the first fault, since nothing after it is certain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from bots.audit.chain import ForeignKey, Unreadable, link, read_line, verify_signature
from bots.audit.records import Checkpoint, Entry, Keys, Mended, Segment, Started, Stopped
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.identity import Link, prove_chain
from clawnet_proto.signing import digest

Code = Literal[
    "unreadable", "altered", "missing", "reordered", "foreign_key", "key_given_up", "bad_signature", "beginning_cut",
    "end_cut", "empty",
]  # fmt: skip


class File(NamedTuple):
    """A segment: its name for people, and its lines, line feeds included."""

    name: str
    lines: Iterable[bytes]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, and where: ``line`` counts from 1, 0 is the file as a whole."""

    code: Code
    file: str
    line: int
    message: str


class Report(msgspec.Struct, kw_only=True):
    """What was found, up to the first fault."""

    intact: bool = False
    files: int = 0
    records: int = 0
    first: int = 0  # number of the oldest record there is; what was before has been removed as the log says
    last: int = 0
    first_ms: int = 0
    last_ms: int = 0
    signed: int = 0  # number of the last checkpoint
    unsigned: int = 0  # records after it
    found_unsigned: int = 0  # records that were not signed when their run ended, and were by a later one
    runs: int = 0
    interrupted: int = 0  # runs that did not come to their end, by the next one
    incomplete_bytes: int = 0  # a line that is being written, or was cut by the end of the process
    identity: str = ""
    key: str = ""  # in use at the end
    head: str = ""  # number and digest of the last checkpoint: what to keep elsewhere
    fault: Fault | None = None


class _Found(Exception):
    def __init__(self, code: Code, message: str) -> None:
        super().__init__(code, message)
        self.code: Code = code
        self.message = message


def head_of(line: bytes, seq: int) -> str:
    """A checkpoint in few characters."""
    return f"{seq}:{digest(line)}"


def check(
    files: Sequence[File],
    head: bytes | None,
    *,
    identity: str = "",
    chain: Sequence[Link] | None = None,
    kept_head: str = "",
) -> Report:
    """Check segments, oldest first, against the ``head`` beside them and, if given, against what one knows.

    ``identity`` is whose log it must be, ``chain`` the rotations that are known of it, ``kept_head`` a head that was
    put down elsewhere.
    """
    return _Checker(identity, chain, _wanted(head, kept_head)).run(files)


def _wanted(head: bytes | None, kept_head: str) -> dict[str, str]:
    """The checkpoints that must be there, and what to say of each that is not."""
    wanted = {}
    if kept_head:
        wanted[kept_head] = "The checkpoint that you kept is not in the log."
    if head is None:
        wanted[""] = "There is no head beside the log: nobody can tell whether its end was cut off."
    else:
        try:
            seq = str(read_line(head)[0].seq)
        except Unreadable:
            seq = "?"
        wanted[f"{seq}:{digest(head)}"] = "The log does not reach to the checkpoint in its head: its end was cut off."
    return wanted


class _Checker:
    def __init__(self, identity: str, chain: Sequence[Link] | None, wanted: dict[str, str]) -> None:
        self._known = chain
        self._wanted = wanted
        self._link = ""
        self._oldest = 0
        self._running = False
        self._chain: tuple[Link, ...] = ()
        self._given_up_ms: float = math.inf  # when the key in use ended, as far as that is known
        self._ours = identity
        self._report = Report()
        self._place = ("", 0)

    def run(self, files: Sequence[File]) -> Report:
        report = self._report
        try:
            for index, file in enumerate(files):
                self._file(file, last=index == len(files) - 1)
            self._whole()
            report.intact = True
        except _Found as found:
            name, line = self._place
            report.fault = Fault(code=found.code, file=name, line=line, message=found.message)
        report.key = self._key
        return report

    @property
    def _key(self) -> str:
        return self._chain[-1].key if self._chain else self._report.identity

    def _file(self, file: File, *, last: bool) -> None:
        self._report.files += 1
        self._place = (file.name, 0)
        number = 0
        lines = iter(file.lines)
        for number, line in enumerate(lines, 1):
            self._place = (file.name, number)
            if last and not line.endswith(b"\n"):
                self._report.incomplete_bytes = len(line)
                return
            self._line(line, lines, opens=number == 1)
        if number == 0 and not last:
            raise _Found("unreadable", "The file is empty.")

    def _line(self, line: bytes, rest: Iterator[bytes], *, opens: bool) -> None:
        report = self._report
        try:
            entry, own, body = read_line(line)
        except Unreadable:
            raise _Found("unreadable", "The line is no record of an audit log: it was altered.") from None
        if opens != isinstance(entry, Segment):
            raise _Found("missing", "A file begins with who writes it, and nothing else does: lines were removed.")
        if isinstance(entry, Segment) and not report.records:
            self._begin(entry)
        self._follows(entry, rest)
        if link(self._link, body) != own:
            raise _Found("altered", f"Record {entry.seq} was altered.")
        if isinstance(entry, Segment):
            self._segment(entry)
        elif isinstance(entry, Keys):
            self._extend(entry.chain)
        elif isinstance(entry, Checkpoint):
            self._checkpoint(entry, line)
        elif isinstance(entry, Started | Stopped):
            self._run(entry)
        elif isinstance(entry, Mended):
            report.found_unsigned += entry.unsigned
        if entry.at_ms >= self._given_up_ms:
            raise _Found("key_given_up", f"At the time of record {entry.seq} the key {self._key} was given up already.")
        self._link = own
        report.records += 1
        report.last, report.last_ms = entry.seq, entry.at_ms
        report.unsigned = entry.seq - report.signed if report.signed else report.records

    def _begin(self, entry: Segment) -> None:
        """The oldest file there is: whatever is before it, it names."""
        report = self._report
        report.first, report.first_ms, report.last = entry.seq, entry.at_ms, entry.seq - 1
        report.identity, self._link = entry.identity, entry.previous
        if self._ours and entry.identity != self._ours:
            raise _Found("foreign_key", f"It is the log of {entry.identity}, not of {self._ours}.")

    def _follows(self, entry: Entry, rest: Iterator[bytes]) -> None:
        due = self._report.last + 1
        if entry.seq == due:
            return
        if entry.seq < due or any(b',"seq":%d,' % due in line for line in rest):
            raise _Found("reordered", f"Record {entry.seq} stands where record {due} belongs: the order was changed.")
        raise _Found("missing", f"Record {entry.seq} stands where record {due} belongs: records were removed.")

    def _segment(self, entry: Segment) -> None:
        if entry.identity != self._report.identity:
            raise _Found("foreign_key", f"The file belongs to {entry.identity}.")
        if entry.previous != self._link:
            raise _Found("altered", "The file does not follow the one before it.")
        self._extend(entry.chain)
        self._oldest = entry.oldest

    def _extend(self, chain: tuple[Link, ...]) -> None:
        """The keys as the log has them from here on: they only ever go on, and each was named by the one before."""
        try:
            prove_chain(self._report.identity, chain)
        except RemoteProtocolError:
            raise _Found("foreign_key", "It names a key that the key before it did not.") from None
        if chain[: len(self._chain)] != self._chain:
            raise _Found("foreign_key", "It goes back to a key that was given up.")
        if self._known is not None and tuple(self._known[: len(chain)]) != chain:
            raise _Found("foreign_key", "It names a key that this agent never had.")
        self._chain = chain
        if self._known is not None:
            following = self._known[len(chain) :]
            self._given_up_ms = following[0].since_ms if following else math.inf

    def _checkpoint(self, entry: Checkpoint, line: bytes) -> None:
        report = self._report
        if entry.identity != report.identity or entry.key != self._key:
            raise _Found("foreign_key", f"The checkpoint is by {entry.key}, which is not the key in use.")
        if entry.head != self._link:
            raise _Found("bad_signature", "The checkpoint signs another log than this one.")
        try:
            verify_signature(entry)
        except ForeignKey:
            raise _Found("bad_signature", "The checkpoint's signature is not by the key that it names.") from None
        report.signed, report.head = entry.seq, head_of(line, entry.seq)
        self._wanted.pop(report.head, None)

    def _run(self, entry: Started | Stopped) -> None:
        begins = isinstance(entry, Started)
        self._report.runs += begins
        self._report.interrupted += begins and self._running
        self._running = begins

    def _whole(self) -> None:
        """What can be said only at the end: whether it begins, and ends, where it must."""
        report = self._report
        if not report.records:
            raise _Found("empty", "There is no record.")
        if report.first > self._oldest:
            raise _Found("beginning_cut", f"The log begins with record {report.first}, and must with {self._oldest}.")
        for sentence in self._wanted.values():
            raise _Found("end_cut", sentence)
