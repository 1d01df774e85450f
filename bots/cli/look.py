"""``clawbot peers``, ``tasks``, ``cancel``, ``answer``, ``watch``, ``status``: what is asked of a running agent."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence

from bots.cli import FAILED, OK
from bots.cli.printing import Printer
from bots.cli.session import answers
from bots.cli.terminal import printable, write_json, write_line
from bots.requests import (
    AgentStatus,
    Answer,
    AnyAnswer,
    AnyRequest,
    Cancel,
    Peers,
    PeerSeen,
    ServerWaiting,
    StageSeen,
    Status,
    Tasks,
    TaskSeen,
    Watch,
)
from bots.takeovers import ended
from clawnet_proto.rendering import short

_REQUESTS: dict[str, Callable[[argparse.Namespace], AnyRequest]] = {
    "peers": lambda options: Peers(room=(options.room or [""])[0], everyone=options.all),
    "tasks": lambda options: Tasks(prefix=options.task),
    "cancel": lambda options: Cancel(task=options.task),
    "answer": lambda options: Answer(task=options.task, text=options.text),
    "watch": lambda options: Watch(),
    "status": lambda options: Status(),
}
_ALIASES = {"task": "tasks"}


def main(options: argparse.Namespace) -> int:
    name = _ALIASES.get(options.command, options.command)
    return asyncio.run(_look(options, _REQUESTS[name](options)))


async def _look(options: argparse.Namespace, request: AnyRequest) -> int:
    printer = Printer(sys.stdout, trace=True)
    rows: list[Sequence[str]] = []
    status = OK
    async for event in answers(options, request):
        if isinstance(event, AgentStatus) and event.health == "failing":
            status = FAILED
        if options.json:
            write_json(sys.stdout, event)
        elif isinstance(event, PeerSeen | TaskSeen):
            rows.append(_row(event))
        elif isinstance(event, AgentStatus):
            _show_status(event)
        else:
            printer.show(event)
    if not options.json and isinstance(request, Peers | Tasks):
        show_table(_HEADS[type(request)], rows)
    return status


_HEADS: dict[type, Sequence[str]] = {
    Peers: ("NAME", "KIND", "ROLE", "LOAD", "RTT", "MODELS", "IDENTITY", "STATE"),
    Tasks: ("TASK", "STATE", "ASKED BY", "STAGES", "TITLE"),
}


def _row(event: AnyAnswer) -> Sequence[str]:
    if isinstance(event, PeerSeen):
        state: str = event.standing if event.standing != "good" else "live" if event.live else "gone"
        state = "from the future" if event.early and event.standing == "good" else state
        state += "" if event.bound or event.standing != "good" else ", unbound"
        state += f", key {event.rotations + 1}" if event.rotations else ""
        state += ", says two things at once" if event.equivocates else ""
        state += ", address in conflict" if event.conflict else ""
        return (
            event.name + (" (me)" if event.me else ""),
            event.kind,
            event.role,
            f"{event.running}/{event.slots}",
            f"{event.rtt_ms} ms" if event.rtt_ms >= 0 else "-",
            ", ".join(event.models) or "-",
            event.did[-12:],
            state,
        )
    assert isinstance(event, TaskSeen)
    stages = " → ".join(
        f"{stage.stage} {stage.state}" + (f" ({stage.name}{_after(stage)})" if stage.name else "")
        for stage in event.stages
    )
    return short(event.task), event.state, event.requester + (" (me)" if event.ours else ""), stages, event.title


def _after(stage: StageSeen) -> str:
    """From whom a stage was taken over, the last few."""
    earlier = [f"{attempt.name}: {ended(attempt.state)}" for attempt in stage.before[-3:]]
    return f", after {', '.join(earlier)}" if earlier else ""


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; what strangers wrote is made harmless."""
    table = [[printable(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        write_line(sys.stdout, line.rstrip())


def _show_status(status: AgentStatus) -> None:
    first = ("health", "problems", "warnings")
    for name in (*first, *(name for name in status.__struct_fields__[1:] if name not in first)):
        value = getattr(status, name)
        if name in ("problems", "warnings"):
            for finding in value:
                write_line(sys.stdout, f"{name.removesuffix('s'):18}{finding.text} ({finding.code})")
        elif name == "servers_waiting":
            for server in value:
                write_line(sys.stdout, f"{_label(name):18}{_waiting(server)}")
        elif isinstance(value, tuple):
            write_line(sys.stdout, f"{_label(name):18}{', '.join(value)}")
        else:
            write_line(sys.stdout, f"{_label(name):18}{value}")


def _waiting(told: ServerWaiting) -> str:
    """What a server has not taken, as people read it."""
    fault = f" ({told.fault})" if told.fault else ""
    return f"{told.server}: {told.waiting}, the oldest for {told.oldest_s} s{fault}"


def _label(name: str) -> str:
    """A field's name as people read it; a unit stands apart."""
    words, _, unit = name.rpartition("_")
    return f"{words.replace('_', ' ')} ({unit})" if words and unit == "s" else name.replace("_", " ")
