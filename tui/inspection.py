"""Everything there is to know of one line of the timeline: what it says, what is proven, what it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from clawnet_proto.message import Message
from clawnet_proto.specification import ERRORS
from clawnet_proto.wire import present
from tui.checking import raw_carrier
from tui.glyphs import Glyphs
from tui.judge import Judge
from tui.moments import date_and_clock, relative
from tui.sayings import address_of, meaning_of, said, who
from tui.sections import Line, Link, Section, bounded, fields, paragraph
from tui.text import cell, name_or_did
from tui.tones import VERDICTS
from tui.verbatim import escaped, tree
from tui.views import Entry, Snapshot, Verdict

PROOFS: Final[Mapping[Verdict, str]] = {
    "bound": "The signature holds, and the message came from an account that is proven to be its sender's own.",
    "unbound": "The signature holds, but no announce from an account of its own names this key yet: "
    "it is known what was signed, not who it is.",
    "relayed": "The signature holds, but no account that is proven to be its sender's own delivered the message: "
    "it is shown, and nobody acts on it as long as that is so.",
    "invalid": "It was refused and counts for nothing.",
    "unopened": "It is sealed to somebody else, or encrypted: without its key nobody can read it, nor check who "
    "signed it.",
    "unsigned": "Words of a person, without a signature: only the homeserver says who wrote them.",
    "pending": "Its signature is still to be checked: nothing is known of it yet.",
}
STAGES: Final = tuple(dict.fromkeys(rule.stage for rule in ERRORS.values()))
_ANSWERS_MOST = 20


def entry_sections(entry: Entry, snapshot: Snapshot, judge: Judge, glyphs: Glyphs) -> list[Section]:
    """The sections of a line of the timeline."""
    verdict = judge.verdict(entry)
    message = entry.message
    sections = [Section("Says", _says(entry, verdict, judge))] if message is not None or entry.words else []
    sections.append(Section("Verdict", _verdict(entry, verdict, judge, glyphs)))
    sections.append(Section("Who", _who(entry, verdict, snapshot, judge)))
    sections.append(Section("When", _when(entry, snapshot.now_ms)))
    links = tuple(_links(entry, snapshot, judge))
    if links:
        sections.append(Section("Belongs to", links))
    if message is not None:
        sections.append(Section("Envelope", data_lines(message.envelope)))
    elif entry.words:
        sections.append(Section("In full", paragraph(entry.words)))
    else:
        sections += raw_sections(entry)
    return sections


def raw_sections(entry: Entry) -> list[Section]:
    """The carrier as it travelled; of what has none, the event."""
    arrival = entry.arrival
    if not arrival.event:
        return [Section("Event as it arrived", (Line(text="It was too large to be kept.", tone="warn"),))]
    carrier = None if entry.words else raw_carrier(arrival, entry.index)
    if carrier is None:
        return [Section("Event as it arrived", _verbatim(arrival.event))]
    found = [Section("Carrier", data_lines(carrier))]
    if isinstance(carrier, dict) and isinstance(carrier.get("env"), str):
        found.append(Section("Signed text", _verbatim(carrier["env"])))
    return found


def data_lines(value: Any) -> tuple[Line, ...]:
    """A struct or a JSON value as a tree, every text bounded."""
    built = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
    found: list[Line] = []
    for depth, key, text in tree(built):
        shown, rest = bounded(text)
        found.append(Line(text=shown, label=key, indent=depth, verbatim=True))
        if rest:
            found.append(Line(text=rest, tone="warn", indent=depth))
    return tuple(found)


def _verbatim(text: str) -> tuple[Line, ...]:
    shown, rest = bounded(text)
    line = Line(text=escaped(shown), verbatim=True)
    return (line, Line(text=rest, tone="warn")) if rest else (line,)


def _says(entry: Entry, verdict: Verdict, judge: Judge) -> tuple[Line, ...]:
    name_of = judge.mesh.name_of
    if entry.message is None:
        return (Line(text=said(entry, name_of), tone="strong"),)
    text = f"{who(entry, name_of, verdict)} {said(entry, name_of)}"
    return (Line(text=entry.message.type, tone="accent"), Line(text=text, tone="strong"))


# -- the verdict -----------------------------------------------------------------------------------------------


def _verdict(entry: Entry, verdict: Verdict, judge: Judge, glyphs: Glyphs) -> tuple[Line, ...]:
    objection = judge.objection(entry)
    found = [Line(text=f"{glyphs.verdicts[verdict]} {verdict}", tone=VERDICTS[verdict]), Line(text=PROOFS[verdict])]
    if objection:
        found += _objection(entry, verdict, objection, glyphs)
    return tuple(found)


def _objection(entry: Entry, verdict: Verdict, code: str, glyphs: Glyphs) -> Iterator[Line]:
    rule = ERRORS.get(code)
    yield Line(label="code", text=code, tone="bad" if verdict == "invalid" else "warn")
    yield Line(label="meaning", text=meaning_of(code))
    if entry.detail:
        yield Line(label="detail", text=cell(entry.detail, 400, pad=False))
    if rule is None:
        return
    yield Line(label="rule", text=f"{rule.reference} of the specification")
    yield Line(label="so it is", text=_DISPOSITIONS[rule.disposition])
    if rule.retryable:
        yield Line(label="later", text="The very same message may be accepted later.")
    yield Line(label="checks", text=checks_text(rule.stage, entry.arrival.plane == "direct", glyphs))


_DISPOSITIONS: Final[Mapping[str, str]] = {
    "refused": "refused: it is no message at all.",
    "ignored": "ignored: it changes nothing.",
    "folded": "folded: it counts as something that was said, but nobody acts on it.",
    "deferred": "deferred: it waits for what it builds on.",
}


def checks_text(failed: str, direct: bool, glyphs: Glyphs) -> str:
    """The checks in their order: those passed, the one that failed, and those that were not made."""
    stages = STAGES if direct or failed == "opening" else tuple(stage for stage in STAGES if stage != "opening")
    here = stages.index(failed)
    good, bad, unmade = glyphs.tasks["completed"], glyphs.tasks["failed"], glyphs.bar[2]
    signs = [good if place < here else bad if place == here else unmade for place in range(len(stages))]
    return "  ".join(f"{stage} {sign}" for stage, sign in zip(stages, signs, strict=True))


# -- who and when ----------------------------------------------------------------------------------------------


def _who(entry: Entry, verdict: Verdict, snapshot: Snapshot, judge: Judge) -> tuple[Line, ...]:
    delivered = ("delivered by", address_of(entry.arrival.sender))
    message = entry.message
    if message is None:
        return fields(delivered, ("", "No signature vouches for anybody.") if not entry.pending else None)
    row = snapshot.agent(message.sender)
    key = message.envelope.kid
    proven = ", ".join(map(address_of, row.addresses[:8])) if row is not None else ""
    to = tuple(
        Line(label="to", text=_name(judge, did), link=Link("agent", did))
        for did in present(message.envelope.recipients, ())
    )
    return fields(
        Line(
            label="claims to be" if verdict == "invalid" else "name",
            text=_name(judge, message.sender),
            link=Link("agent", message.sender),
        ),
        ("identity", escaped(message.sender)),
        ("signed by", escaped(key)) if key != message.sender else None,
        delivered,
        ("proven", proven or "no address yet"),
        *to,
    )


def _when(entry: Entry, now_ms: int) -> tuple[Line, ...]:
    received = Line(label="received", text=moment(entry.at_ms, now_ms))
    on = ("plane", f"{entry.arrival.plane}, by {cell(entry.arrival.transport, 32, pad=False)}")
    if entry.message is None:
        return fields(received, on, ("event", _identifier(entry.arrival.event_id)))
    envelope = entry.message.envelope
    expired = envelope.expires_ms <= now_ms
    return fields(
        ("sent", moment(envelope.sent_ms, now_ms)),
        received,
        Line(
            label="expired" if expired else "expires",
            text=moment(envelope.expires_ms, now_ms) + (": it still counts, nobody acts on it" if expired else ""),
            tone="muted" if expired else "plain",
        ),
        on,
        ("event", _identifier(entry.arrival.event_id)),
    )


def moment(at_ms: int, now_ms: int) -> str:
    """A moment, and how far from now."""
    return f"{date_and_clock(at_ms)} ({relative(at_ms, now_ms)})" if at_ms else ""


def _identifier(text: str) -> str:
    return cell(escaped(text[:256]), 256, pad=False)


def _name(judge: Judge, did: str) -> str:
    return name_or_did(judge.mesh.name_of(did), did)


# -- what it belongs to ----------------------------------------------------------------------------------------


def _links(entry: Entry, snapshot: Snapshot, judge: Judge) -> Iterator[Line]:
    message = entry.message
    if message is None:
        return
    envelope = message.envelope
    yield Line(label="id", text=message.id)
    known = {other.message.id: other for other in snapshot.entries if other.message is not None}
    answers, thread = present(envelope.answers, ""), present(envelope.thread, "")
    if answers:
        yield _link("answers", answers, known, judge)
    task = message.id if message.type == "task.request" else thread
    if task and message.type.startswith("task."):
        row = snapshot.task(task)
        title = cell(row.title, 80, pad=False) if row is not None else task
        yield Line(label="task", text=title, link=Link("task", task))
        stage = getattr(message.body, "stage", "")
        if isinstance(stage, str) and stage:
            yield Line(label="stage", text=cell(stage, 32, pad=False), link=Link("stage", f"{task}/{stage}"))
    elif thread and thread != answers:
        yield _link("thread", thread, known, judge)
    following = [other for other in known.values() if _answers(other.message, message.id)]
    for other in following[:_ANSWERS_MOST]:
        assert other.message is not None
        yield _link("answered by", other.message.id, known, judge)
    if len(following) > _ANSWERS_MOST:
        yield Line(label="", text=f"and {len(following) - _ANSWERS_MOST} more", tone="muted")


def _answers(message: Message | None, message_id: str) -> bool:
    return message is not None and message.envelope.answers == message_id


def _link(label: str, message_id: str, known: Mapping[str, Entry], judge: Judge) -> Line:
    return message_line(label, message_id, known.get(message_id), judge)


def message_line(label: str, message_id: str, entry: Entry | None, judge: Judge) -> Line:
    """A line that leads to a message, told by what it says where that is known."""
    text = escaped(message_id[:8])
    if entry is not None and entry.message is not None:
        name_of = judge.mesh.name_of
        text += f" {entry.message.type}: {who(entry, name_of, judge.verdict(entry))} {said(entry, name_of, 120)}"
    return Line(label=label, text=text, link=Link("message", message_id))
