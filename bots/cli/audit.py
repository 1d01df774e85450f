"""``clawbot audit verify|show``: what the agent did and why, as its own log has it (docs/audit.md)."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bots import identity
from bots.audit.check import Report, check
from bots.audit.files import folder_of
from bots.audit.reading import entries, read_log
from bots.audit.records import AnyEntry, Counted, Keys, Lost, Mended, Received, Signed, Spoke, Started, Stopped
from bots.cli import FAILED, OK
from bots.cli.selection import select
from bots.cli.terminal import write_json, write_line
from bots.errors import ConfigError
from clawnet_proto.families.identity import Link
from clawnet_proto.rendering import short

_USUAL_LINES = 50
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])")


def main(options: argparse.Namespace) -> int:
    return {"verify": _verify, "show": _show}[options.action](options)


def _chosen(options: argparse.Namespace) -> tuple[Path, str, tuple[Link, ...] | None]:
    """The folder of the log, whose it must be, and which keys that identity is known to have had."""
    if options.folder is not None:
        return Path(options.folder), options.identity, None
    selection = select(options)
    own = identity.load(selection.paths.keys)
    did = options.identity or own.did
    return folder_of(selection.paths.state, did), did, own.chain if did == own.did else None


# -- verify --------------------------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace) -> int:
    folder, did, chain = _chosen(options)
    files, head = read_log(folder)
    report = check(files, head, identity=did, chain=chain, kept_head=options.head)
    if options.json:
        write_json(sys.stdout, report)
    else:
        for sentence in _sentences(report, folder):
            write_line(sys.stdout, sentence)
    return OK if report.intact else FAILED


def _sentences(report: Report, folder: Path) -> Iterator[str]:
    if report.records:
        span = f"{_moment(report.first_ms)} to {_moment(report.last_ms)}"
        yield f"{folder}: {report.records} records of {report.identity}, {span}."
    if report.first > 1:
        yield f"Records 1 to {report.first - 1} were removed to make room: nothing can be said about them."
    if report.signed:
        yield f"Signed up to record {report.signed}. To keep elsewhere: {report.head}"
    if report.unsigned:
        yield f"Not signed yet: {report.unsigned} records. Whoever can write here could change them unnoticed."
    if report.found_unsigned:
        yield (
            f"Warning: {report.found_unsigned} records were signed by a later run than theirs, which was cut short: "
            "until then whoever can write here could have changed them unnoticed."
        )
    if report.interrupted:
        yield f"Of {report.runs} runs {report.interrupted} were cut short: killed, or ended with their machine."
    if report.incomplete_bytes:
        yield f"The last line is incomplete ({report.incomplete_bytes} bytes): it is being written, or was cut off."
    if report.fault is not None:
        yield f"{report.fault.file} line {report.fault.line}: {report.fault.code}: {report.fault.message}"
    yield "Everything is intact." if report.intact else "NOT intact. What stands before that line is."


# -- show ----------------------------------------------------------------------------------------------------------


def _show(options: argparse.Namespace) -> int:
    folder, _, _ = _chosen(options)
    since_ms = _since_ms(options.since)
    usual = 0 if options.since or options.task else _USUAL_LINES
    most = usual if options.last is None else max(0, options.last)
    files, _ = read_log(folder)
    found = (entry for entry in entries(files) if _wanted(entry, since_ms, options.task))
    if not options.json:
        found = (entry for entry in found if entry is None or type(entry) in _WORDS)
    for entry in deque(found, maxlen=most) if most else found:
        if options.json and entry is not None:
            write_json(sys.stdout, entry)
        elif entry is None:
            write_line(sys.stderr, "clawbot: a line that is no record. See: clawbot audit verify")
        else:
            write_line(sys.stdout, f"{_moment(entry.at_ms)}  {entry.seq:>7}  {_WORDS[type(entry)](entry)}")
    return OK


def _wanted(entry: AnyEntry | None, since_ms: int, task: str) -> bool:
    if entry is None:
        return not task
    return entry.at_ms >= since_ms and getattr(entry, "task", "").startswith(task)


def _since_ms(text: str) -> int:
    """A time as Unix milliseconds: so long ago, or a moment, UTC unless it says otherwise. Raises ConfigError."""
    if not text:
        return 0
    if span := _SPAN.fullmatch(text):
        return time.time_ns() // 1_000_000 - 1000 * int(span[1]) * _UNITS_S[span[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            "audit.since", f"{text!r} is no time.", "Write 90s, 30m, 2h, 1d, 2026-11-21 or 2026-11-21T13:00."
        ) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _signed(entry: Signed) -> str:
    to = f" to {', '.join(_peer(did) for did in entry.to)}" if entry.to else ""
    why = f", answers {short(entry.answers)}" if entry.answers not in ("", entry.task) else ""
    why += f", asked in {entry.behalf}" if entry.behalf else ""
    return f"signed   {entry.type} {short(entry.id)}{_work(entry)}{to}{why}"


def _received(entry: Received) -> str:
    word, why = ("refused ", f" ({entry.refused})") if entry.refused else ("received", "")
    return f"{word} {entry.type} {short(entry.id)}{_work(entry)} from {_peer(entry.sender)}{why}"


def _work(entry: Signed | Received) -> str:
    """Which work a message is about, and how that went."""
    attempt = f", attempt {entry.attempt}" if entry.attempt > 1 else ""
    stage = f" for {entry.stage}{attempt}" if entry.stage else ""
    task = f" of task {short(entry.task)}" if entry.task and entry.task != entry.id else ""
    return f"{': ' + entry.rule if entry.rule else ''}{stage}{task}"


def _counted(entry: Counted) -> str:
    told = [f"signed {number} {kind}" for kind, number in sorted(entry.signed.items())]
    told += [f"refused {number} with {code}" for code, number in sorted(entry.refused.items())]
    told += [f"{entry.left_out} more messages about our work"] if entry.left_out else []
    return f"besides  {'; '.join(told)}"


def _keys(entry: Keys) -> str:
    if entry.revoked_ms:
        return "keys     the identity is revoked"
    return f"keys     number {len(entry.chain) + 1} is in use"


def _mended(entry: Mended) -> str:
    told = [f"{entry.unsigned} records of the run before were not signed"] if entry.unsigned else []
    told += ["the end of the log was damaged, and left as it is"] if entry.unreadable else []
    told += [f"an incomplete line of {entry.cut_bytes} bytes was cut off"] if entry.cut_bytes else []
    return f"mended   {'; '.join(told)}"


def _peer(did: str) -> str:
    return f"…{did[-12:]}"


_WORDS: Mapping[type, Callable[[Any], str]] = {
    Started: lambda entry: f"started  version {entry.version}, configuration {short(entry.config)}",
    Stopped: lambda entry: "stopped",
    Signed: _signed,
    Received: _received,
    Spoke: lambda entry: "said     plain words" + (f" in answer to {entry.root}" if entry.root else ""),
    Counted: _counted,
    Keys: _keys,
    Mended: _mended,
    Lost: lambda entry: f"lost     {entry.count} records could not be written",
}
