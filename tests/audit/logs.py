"""Audit logs for tests: an agent's keys, a clock that stands still, and what a log holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from bots import identity as identities
from bots.audit.chain import read_line
from bots.audit.check import File, Report, check
from bots.audit.files import read_head, segments
from bots.audit.log import AuditLog
from bots.audit.records import AnyEntry, Signed, Stopped
from bots.identity import Identity
from clawnet_proto.families.identity import Link
from clawnet_proto.keys import write_key_file
from clawnet_proto.signing import digest

NOW_MS = 1_790_000_000_000
BIG = 1 << 20
CONFIG = digest(b"a configuration")


def keys_of(folder: Path, name: str = "ada") -> Identity:
    """The keys of an agent, made in ``folder`` the first time."""
    if not identities.complete(folder):
        folder.mkdir(parents=True)
        for purpose in ("seal", "next", "identity"):
            write_key_file(folder / f"{purpose}.key", sha256(f"{purpose} of {name}".encode()).digest(), purpose)
    return identities.load(folder)


class Owner:
    """An agent as far as its log goes: keys that may change, a clock, and what people were told."""

    def __init__(self, folder: Path, name: str = "ada") -> None:
        self.keys = folder / "keys"
        self.folder = folder / "audit"
        self.own = keys_of(self.keys, name)
        self.now_ms = NOW_MS
        self.told: list[str] = []
        self._said = 0

    def open(self, total: int = BIG, write: Callable[[int, bytes], int] = os.write) -> AuditLog:
        """The log, begun."""
        log = AuditLog(self.folder, total, lambda: self.own, lambda: self.now_ms, self.told.append, write=write)
        log.begin(version="1", config=CONFIG)
        return log

    def said(self) -> Signed:
        """A record of one more message."""
        self._said += 1
        identifier = digest(str(self._said).encode())
        return Signed(at_ms=self.now_ms, id=identifier, type="task.offer", room="matrix:r/mesh", task=identifier)

    def run(self, records: int = 3, total: int = BIG) -> None:
        """A whole run, with so many messages, to its polite end."""
        log = self.open(total)
        for _ in range(records):
            log.append(self.said())
        log.append(Stopped(at_ms=self.now_ms))
        log.close()

    def rotate(self) -> None:
        self.own = identities.rotate(self.keys, self.now_ms + 1, lambda size: sha256(b"new").digest()[:size])

    # -- what is there -----------------------------------------------------------------------------------------

    @property
    def files(self) -> list[Path]:
        return segments(self.folder)

    def entries(self) -> list[AnyEntry]:
        return [read_line(line)[0] for path in self.files for line in lines_of(path)]

    def check(self, *, kept_head: str = "", chain: tuple[Link, ...] | None = None) -> Report:
        """What a reader finds who knows whose log it is."""
        files = [File(path.name, lines_of(path)) for path in self.files]
        head = read_head(self.folder)
        return check(files, head, identity=self.own.did, chain=chain, kept_head=kept_head)

    def fault(self) -> tuple[str, int]:
        """The code and the line of what is wrong."""
        found = self.check().fault
        assert found is not None
        return found.code, found.line


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file, line feeds included."""
    return path.read_bytes().splitlines(keepends=True)
