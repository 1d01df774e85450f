"""Everything there is to know of one agent (spec/06-presence.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET

from clawnet_proto.families.presence import Announce
from clawnet_proto.wire import present
from tui.glyphs import Glyphs
from tui.inspection import data_lines, message_line, moment
from tui.judge import Judge
from tui.sayings import address_of
from tui.sections import Line, Link, Section, fields
from tui.text import cell, name_or_did
from tui.verbatim import escaped
from tui.views import AgentRow, PeerState, Snapshot

STANDINGS: Final[Mapping[PeerState, str]] = {
    "live": "It is here: its announce came from its own account and has not expired.",
    "expired": "Its announce has expired: nobody knows whether it is still here.",
    "left": "It has said that it leaves.",
    "unbound": "It announces itself, but not from an account of its own: nobody counts on it.",
    "unheard": "It was named by others or has said something, and never announced itself.",
    "disputed": "Its keys contradict each other: nothing it says from then on counts.",
    "revoked": "It has revoked its identity: nothing it says from then on counts.",
}
_LATEST = 8


def agent_sections(row: AgentRow, snapshot: Snapshot, judge: Judge, glyphs: Glyphs) -> list[Section]:
    """The sections of an agent."""
    peer = judge.mesh.peers.get(row.did)
    body = peer.body if peer is not None else None
    sections = [Section("Agent", _agent(row, snapshot.now_ms, glyphs))]
    if body is not None:
        sections.append(Section("Can", _can(body)))
        if body.confirmed:
            sections.append(Section("Shook hands with", _confirmed(body, snapshot.now_ms, judge)))
    tasks = tuple(_tasks(row, snapshot))
    if tasks:
        sections.append(Section("Tasks", tasks))
    latest = tuple(_latest(row, snapshot, judge))
    if latest:
        sections.append(Section("Said last", latest))
    if peer is not None and peer.announce is not None:
        sections.append(Section("Announce", data_lines(peer.announce.envelope)))
    return sections


def _agent(row: AgentRow, now_ms: int, glyphs: Glyphs) -> tuple[Line, ...]:
    marks = []
    if row.conflict:
        text = f"{glyphs.marks['conflict']} Another identity has proven the same address: one of them may be false."
        marks.append(Line(text=text, tone="bad"))
    if row.equivocates:
        text = f"{glyphs.marks['equivocates']} It signed two different announces with one revision."
        marks.append(Line(text=text, tone="bad"))
    return (
        Line(text=name_or_did(row.name, row.did) + (" (me)" if row.me else ""), tone="strong"),
        Line(text=f"{glyphs.peers[row.state]} {row.state}", tone="good" if row.state == "live" else "warn"),
        Line(text=STANDINGS[row.state]),
        *marks,
        *fields(
            ("kind", row.kind),
            ("role", cell(row.role, 64, pad=False)),
            ("about", cell(row.description, 300, pad=False)),
            ("region", cell(row.region, 64, pad=False)),
            ("identity", escaped(row.did)),
            ("key", f"number {row.rotations + 1}" if row.rotations else ""),
            ("proven", ", ".join(map(address_of, row.addresses[:8])) or "no address"),
            ("load", f"{row.running} running, {row.waiting} waiting, {row.slots} at once" if row.slots else ""),
            ("round trip", f"{row.rtt_ms} ms" if row.rtt_ms >= 0 else ""),
            ("spoke", moment(row.last_ms, now_ms)),
            ("heard", moment(row.heard_ms, now_ms)),
        ),
    )


def _can(body: Announce) -> tuple[Line, ...]:
    models = tuple(Line(label="model", text=cell(_model(model), 200, pad=False)) for model in body.models)
    compute = ""
    if body.compute is not UNSET:
        gpus = ", ".join(present(body.compute.gpus, ())) or "none"
        compute = f"{body.compute.cpu_cores} cores, {body.compute.memory_mib:,} MiB, GPUs: {gpus}"
    limits = body.limits
    rate = f"{limits.tokens_per_minute:,} tokens a minute"
    allowed = f"{limits.prompt_bytes:,} bytes in, {limits.output_tokens:,} tokens out, {rate}"
    return (
        *fields(("does", ", ".join(body.capabilities))),
        *models,
        *fields(
            ("offers", cell(", ".join(body.offers), 600, pad=False)),
            ("wants", cell(", ".join(body.wants), 600, pad=False)),
            ("machine", cell(compute, 300, pad=False)),
            ("open to", {"nobody": "nobody", "listed": "those it lists", "room": "the room"}[limits.open_to]),
            ("limits", allowed),
            ("software", cell(body.software, 64, pad=False)),
        ),
    )


def _model(model: object) -> str:
    name, kinds = getattr(model, "name", ""), ", ".join(getattr(model, "kinds", ()))
    context = present(getattr(model, "context_tokens", UNSET), 0)
    return f"{name} ({kinds}{f', {context:,} tokens of context' if context else ''})"


def _confirmed(body: Announce, now_ms: int, judge: Judge) -> tuple[Line, ...]:
    return tuple(
        Line(
            label=f"{item.rtt_ms} ms"[:11],
            text=f"{name_or_did(judge.mesh.name_of(item.peer), item.peer)}, {moment(item.at_ms, now_ms)}",
            link=Link("agent", item.peer),
        )
        for item in body.confirmed
    )


def _tasks(row: AgentRow, snapshot: Snapshot) -> list[Line]:
    found = []
    for task in snapshot.tasks:
        stages = [stage.id for stage in task.stages if stage.executor == row.did]
        part = "asked" if task.requester == row.did else ""
        runs = f"runs {', '.join(stages)}" if stages else ""
        if part or runs:
            said = ", ".join(filter(None, (part, runs)))
            text = f"{task.title} ({task.state}; {said})"
            found.append(Line(label=task.id[:8], text=cell(text, 200, pad=False), link=Link("task", task.id)))
        if len(found) == _LATEST:
            break
    return found


def _latest(row: AgentRow, snapshot: Snapshot, judge: Judge) -> list[Line]:
    found: list[Line] = []
    for entry in reversed(snapshot.entries):
        message = entry.message
        if message is not None and message.sender == row.did and judge.verdict(entry) != "invalid":
            line = message_line("", message.id, entry, judge)
            found.append(Line(text=line.text, link=Link("entry", str(entry.seq))))
            if len(found) == _LATEST:
                break
    return found
