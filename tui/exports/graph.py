"""The mesh for Graphviz: agents as nodes, handshakes as edges without a direction, running work as arrows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from tui.flows import flows
from tui.moments import date_and_clock
from tui.text import cell, name_or_did
from tui.views import AgentRow, PeerState, Snapshot

_SHAPES = {"human": "box", "ai": "ellipse", "hybrid": "hexagon", "system": "diamond"}
_STYLES: Mapping[PeerState, str] = {"live": "solid", "disputed": "bold", "revoked": "bold"}
_COLOURS: Mapping[PeerState, str] = {"live": "black", "disputed": "red", "revoked": "red"}
_LONGEST = 300


def dot(snapshot: Snapshot) -> str:
    """A Graphviz ``digraph``; lay it out with ``neato -Tsvg`` or ``sfdp -Tsvg``."""
    at = f"{date_and_clock(snapshot.now_ms, UTC)} UTC"
    lines = [
        "digraph clawnet {",
        f"  graph [{_attributes(label=f'{snapshot.room} {at}'.strip(), layout='neato', overlap='false')}];",
        f"  node [{_attributes(fontname='monospace')}];",
        f"  edge [{_attributes(fontname='monospace', fontsize=10)}];",
    ]
    lines += [f"  {quoted(row.did)} [{_node(row)}];" for row in snapshot.agents]
    for edge in snapshot.edges:
        attributes = _attributes(
            dir="none", kind="handshake", label=f"{edge.rtt_ms} ms", style="solid" if edge.mutual else "dashed"
        )
        lines.append(f"  {quoted(edge.a)} -> {quoted(edge.b)} [{attributes}];")
    for work in flows(snapshot):
        attributes = _attributes(kind="work", label=work.label, state=work.state, color="blue", fontcolor="blue")
        lines.append(f"  {quoted(work.requester)} -> {quoted(work.executor)} [{attributes}];")
    return "\n".join([*lines, "}", ""])


def _node(row: AgentRow) -> str:
    name = name_or_did(row.name, row.did)
    return _attributes(
        label=f"{name} (me)" if row.me else name,
        shape=_SHAPES.get(row.kind, "ellipse"),
        style=_STYLES.get(row.state, "dotted"),
        color=_COLOURS.get(row.state, "gray"),
        penwidth=2 if row.me else 1,
        kind=row.kind,
        role=row.role,
        state=row.state,
        load=f"{row.running}+{row.waiting}/{row.slots}",
        models=", ".join(row.models),
        tooltip=f"{row.did} {row.state}",
    )


def _attributes(**values: str | int) -> str:
    return ", ".join(f"{name}={quoted(str(value))}" for name, value in values.items())


def quoted(text: str) -> str:
    """A string of the DOT language that shows just this text: what strangers wrote cannot end it or mean anything."""
    return '"' + cell(text, _LONGEST, pad=False).replace("\\", "\\\\").replace('"', '\\"') + '"'
