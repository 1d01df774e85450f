"""``clawbot verify``: check a transcript offline, line by line (spec/11-transcript.md)."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import msgspec

from bots.cli import FAILED, OK
from bots.cli.terminal import write_json, write_line
from bots.errors import ConfigError
from bots.rendering import clean, line, short
from bots.transports import Delivery
from bots.transports.matrix import reading
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError, TranscriptError
from clawnet_proto.freshness import check_addressing, check_lifetime
from clawnet_proto.mesh import Mesh
from clawnet_proto.transcript import Entry, read


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on one line."""

    line: int
    verdict: str  # bound, unbound, relayed; refused: the event's, damaged: the transcript's own fault
    code: str = ""
    detail: str = ""
    id: str = ""
    type: str = ""
    sender: str = ""
    name: str = ""


def main(options: argparse.Namespace) -> int:
    path = Path(options.file)
    try:
        with path.open("rb") as file:
            findings = list(check(file))
    except OSError as error:
        raise ConfigError("verify.unreadable", f"{path} cannot be read: {error.strerror}.") from None
    for finding in findings:
        if options.json:
            write_json(sys.stdout, finding)
        elif finding.verdict in ("refused", "damaged"):
            write_line(sys.stdout, f"line {finding.line}: {finding.verdict}: {finding.code} {clean(finding.detail)}")
        elif not options.quiet:
            what = f"{finding.verdict} {short(finding.id)} {finding.type}"
            write_line(sys.stdout, f"line {finding.line}: {what} {clean(finding.name, limit=20)} {finding.detail}")
    counts = Counter(finding.verdict for finding in findings)
    if not options.json:
        write_line(sys.stdout, f"{path}: {_verdict(counts)}")
    # Anybody can put junk into a room: whoever recorded it faithfully has done nothing wrong.
    return FAILED if counts["damaged"] or (options.strict and counts["refused"]) else OK


def _verdict(counts: Counter[str]) -> str:
    notes = {"refused": " (no messages that anybody would accept)"}
    told = ", ".join(f"{count} {word}{notes.get(word, '')}" for word, count in sorted(counts.items())) or "no messages"
    if counts["damaged"]:
        return f"{told}. NOT intact."
    return f"{told}. Every line{'' if counts['refused'] else ' and signature'} is intact."


def check(lines: object) -> list[Finding]:
    """Every message of a transcript, and every line that is damaged; folded to tell whose address sent what."""
    meshes: dict[str, Mesh] = {}
    findings: list[Finding] = []
    for number, record in read(lines):  # type: ignore[arg-type]
        if isinstance(record, TranscriptError):
            findings.append(Finding(line=number, verdict="damaged", code="transcript", detail=record.detail))
        elif isinstance(record, Entry):
            findings.extend(_check_entry(number, record, meshes))
    return findings


def _check_entry(number: int, entry: Entry, meshes: dict[str, Mesh]) -> list[Finding]:
    delivery = Delivery(
        transport=entry.transport,
        plane=entry.plane,
        room=entry.room,
        sender=entry.sender,
        event_id=entry.event_id,
        event=entry.event,
        received_ms=entry.received_ms,
        live=True,
    )
    findings = []
    for carrier in reading.carriers(delivery):
        try:
            message = verify(msgspec.json.encode(carrier))
            try:
                check_addressing(message, me="", room=entry.room, plane=entry.plane)
            except RemoteProtocolError as error:
                if error.disposition != "ignored":
                    raise
            check_lifetime(message)
            mesh = meshes.setdefault(message.envelope.room, Mesh(message.envelope.room))
            mesh.add(message, entry.sender)
        except RemoteProtocolError as error:
            detail = str(error).removeprefix(f"{error.code}: ")
            findings.append(Finding(line=number, verdict="refused", code=error.code, detail=detail))
            continue
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
            findings.append(Finding(line=number, verdict="refused", code="carrier.malformed"))
            continue
        findings.append(
            Finding(
                line=number,
                verdict=mesh.binding(message),
                id=message.id,
                type=message.type,
                sender=message.sender,
                name=mesh.name_of(message.sender),
                detail=line(message, mesh.name_of),
            )
        )
    return findings
