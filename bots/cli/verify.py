"""``clawbot verify``: check a transcript offline, line by line (spec/11-transcript.md)."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from bots import identity
from bots.backfill import Verifiers
from bots.cli import FAILED, OK
from bots.cli.terminal import write_json, write_line
from bots.errors import ConfigError
from bots.identity import Identity
from bots.paths import paths_of
from clawnet_proto.bindings import CARRIERS
from clawnet_proto.errors import RemoteProtocolError, TranscriptError
from clawnet_proto.freshness import check_addressing, check_lifetime
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean, line, short
from clawnet_proto.sealed_carrier import open_carrier
from clawnet_proto.specification import ERRORS, TYPES
from clawnet_proto.transcript import Entry, read

# Lines whose messages are verified together: enough to keep several cores at work, and some megabytes.
_BATCH = 2000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on one line."""

    line: int
    verdict: str  # bound, unbound, relayed, unopened; refused: the event's, damaged: the transcript's own fault
    code: str = ""
    detail: str = ""
    id: str = ""
    type: str = ""
    sender: str = ""
    name: str = ""
    by: str = ""  # the address that delivered it, where that is not known to be the sender's own


def main(options: argparse.Namespace) -> int:
    path = Path(options.file)
    own = keys_of(options.name) if options.name else None
    try:
        with path.open("rb") as file:
            findings = check(file, own)
    except OSError as error:
        raise ConfigError("verify.unreadable", f"{path} cannot be read: {error.strerror}.") from None
    for finding in findings:
        if options.json:
            write_json(sys.stdout, finding)
        elif finding.verdict in ("refused", "damaged"):
            write_line(sys.stdout, f"line {finding.line}: {finding.verdict}: {finding.code} {clean(finding.detail)}")
        elif not options.quiet:
            code = f" {finding.code}" if finding.code else ""
            what = f"{finding.verdict}{code} {short(finding.id)} {finding.type}"
            by = f" (by {clean(finding.by)})" if finding.by else ""
            told = f"line {finding.line}: {what} {clean(finding.name, limit=20)} {finding.detail}{by}"
            write_line(sys.stdout, told.rstrip())
    counts = Counter(finding.verdict for finding in findings)
    if not options.json:
        write_line(sys.stdout, f"{path}: {_verdict(counts)}")
    # Anybody can put junk into a room: whoever recorded it faithfully has done nothing wrong.
    return FAILED if counts["damaged"] or (options.strict and counts["refused"]) else OK


def _verdict(counts: Counter[str]) -> str:
    notes = {"refused": " (no messages that anybody would accept)", "unopened": " (sealed to a key not at hand)"}
    told = ", ".join(f"{count} {word}{notes.get(word, '')}" for word, count in sorted(counts.items())) or "no messages"
    if counts["damaged"]:
        return f"{told}. NOT intact."
    return f"{told}. Every line{'' if counts['refused'] or counts['unopened'] else ' and signature'} is intact."


def keys_of(name: str) -> Identity:
    """The keys of an agent here. Raises ConfigError."""
    return identity.load(paths_of(name).keys)


class _Said(NamedTuple):
    """Who signed the message of a finding, and when: it is judged when all is folded."""

    place: int
    mesh: Mesh
    sender: str
    kid: str
    sent_ms: int


def check(lines: Iterable[bytes], own: Identity | None = None) -> list[Finding]:
    """Every message of a transcript, and every line that is damaged; folded to tell whose address sent what.

    What was sealed is opened with the keys ``own``.
    """
    with Verifiers() as verifiers:
        return _findings(lines, own, verifiers)


def _findings(lines: Iterable[bytes], own: Identity | None, verifiers: Verifiers) -> list[Finding]:
    meshes: dict[str, Mesh] = {}
    findings: list[Finding] = []
    said: list[_Said] = []
    records = read(lines)
    while batch := list(islice(records, _BATCH)):
        texts = {number: _carriers(record, own) for number, record in batch if isinstance(record, Entry)}
        readable = [text for text in chain.from_iterable(texts.values()) if isinstance(text, bytes)]
        verdicts = iter(verifiers.verify_all(readable))
        for number, record in batch:
            if isinstance(record, TranscriptError):
                findings.append(Finding(line=number, verdict="damaged", code="transcript", detail=record.detail))
            elif isinstance(record, Entry):
                for text in texts[number]:
                    verdict = next(verdicts) if isinstance(text, bytes) else text
                    findings.append(_check(number, record, verdict, meshes))
                    if isinstance(verdict, Message) and findings[-1].verdict != "refused":
                        envelope = verdict.envelope
                        if TYPES[envelope.type].family != "identity":
                            mesh = meshes[envelope.room]
                            place = len(findings) - 1
                            said.append(_Said(place, mesh, envelope.sender, envelope.kid, envelope.sent_ms))
    for item in said:
        findings[item.place] = _judged(findings[item.place], item)
    return findings


def _judged(finding: Finding, said: _Said) -> Finding:
    """What the keys of its sender allowed it to say (spec/04-identity.md, ID-25), now that all of them are known."""
    peer = said.mesh.peers.get(said.sender)
    if peer is None:
        code = "key.unproven" if said.kid != said.sender else None
    else:
        code = peer.keys.judge(said.kid, said.sent_ms)
    if code is None:
        return finding
    if code == "key.retired":  # it was said, and counts as such
        return msgspec.structs.replace(finding, code=code)
    return msgspec.structs.replace(finding, verdict="refused", code=code, detail=ERRORS[code].meaning)


def _carriers(entry: Entry, own: Identity | None) -> list[bytes | RemoteProtocolError]:
    found = CARRIERS[entry.transport](entry.event, entry.plane) if entry.transport in CARRIERS else []
    texts = [_text(carrier) for carrier in found]
    return [_opened(text, own) for text in texts] if entry.plane == "direct" else list(texts)


def _opened(text: bytes, own: Identity | None) -> bytes | RemoteProtocolError:
    try:
        return open_carrier(text, (own.seal,) if own else (), own.did if own else "")
    except RemoteProtocolError as error:
        return error


def _text(carrier: object) -> bytes:
    try:
        return msgspec.json.encode(carrier)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        # What cannot be written is no carrier either.
        return b"null"


def _check(number: int, entry: Entry, verdict: Message | RemoteProtocolError, meshes: dict[str, Mesh]) -> Finding:
    try:
        if isinstance(verdict, RemoteProtocolError):
            raise verdict
        message = verdict
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
        unopened = error.code == "sealed.unopened"
        return Finding(line=number, verdict="unopened" if unopened else "refused", code=error.code, detail=detail)
    binding = mesh.binding(message)
    return Finding(
        line=number,
        verdict=binding,
        by="" if binding == "bound" else entry.sender,
        id=message.id,
        type=message.type,
        sender=message.sender,
        name=mesh.name_of(message.sender),
        detail=line(message, mesh.name_of),
    )
