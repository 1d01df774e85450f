"""Events as lines for people. Colour is never the only sign."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TextIO

from bots.cli.terminal import Painted, write, write_line
from bots.events import MessageSeen, Notice, PeerConfirmed, StageChanged, StageText, TaskEnded, TaskOpened, TaskQuestion
from bots.requests import AnyAnswer
from bots.takeovers import ended
from clawnet_proto.rendering import clean, short

_SIGNS = {"bound": "✔", "unbound": "?", "relayed": "↷", "invalid": "✘"}
_STATES = {
    "awarded": "goes to",
    "working": "is being written by",
    "input_required": "waits for an answer to",
    "rejected": "is declined by",
}
_COLOURS = {"bound": "32", "unbound": "33", "relayed": "33", "invalid": "31"}


class Printer:
    """Writes events to a stream. ``trace`` adds every message, ``text`` the words of running stages."""

    def __init__(self, stream: TextIO, *, trace: bool, text: bool = True) -> None:
        self._stream = stream
        self._trace = trace
        self._text = text
        self._stage = ""
        self._started = time.monotonic()

    def show(self, event: AnyAnswer) -> None:
        """Write what there is to say of an event, if anything."""
        if isinstance(event, StageText):
            if self._text:
                self._show_text(event)
            return
        line = self._line(event)
        if line:
            self._end_text()
            write_line(self._stream, *line)

    def _show_text(self, event: StageText) -> None:
        key = f"{event.task} {event.stage} {event.attempt}"
        if key != self._stage:
            self._end_text()
            self._stage = key
            write(self._stream, Painted("36", f"{self._clock()}   {event.stage} │ "))
        write(self._stream, event.text)

    def _end_text(self) -> None:
        if self._stage:
            self._stage = ""
            write_line(self._stream)

    def _clock(self) -> str:
        return f"{time.monotonic() - self._started:6.2f}s"

    def _line(self, event: AnyAnswer) -> Sequence[str | Painted]:
        clock = self._clock()
        if isinstance(event, MessageSeen):
            return self._message(event) if self._trace else ()
        if isinstance(event, Notice):
            return (f"{clock} ℹ {event.text}",)
        if isinstance(event, PeerConfirmed):
            return (f"{clock} ⇄ handshake with {clean(event.name)} confirmed, {event.rtt_ms} ms",)
        if isinstance(event, TaskOpened):
            return (f"{clock} ● task {short(event.task)}: {' → '.join(event.stages)}",)
        if isinstance(event, StageChanged):
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            detail = f": {clean(event.detail)}" if event.detail else ""
            state = _STATES.get(event.state, f"{event.state} by")
            who = clean(event.name) + (_takeover(event) if event.state == "awarded" else "")
            return (Painted("36", f"{clock}   {event.stage} {state} {who}{again}{detail}"),)
        if isinstance(event, TaskQuestion):
            return (f"{clock} ? {event.stage} asks: {clean(event.text)} (clawbot answer {short(event.task)} TEXT)",)
        if isinstance(event, TaskEnded):
            why = f": {clean(event.message)}" if event.message else ""
            return (f"{clock} ● {event.outcome} in {event.elapsed_ms / 1000:.1f} s{why}",)
        return ()

    def _message(self, event: MessageSeen) -> Sequence[str | Painted]:
        sign = Painted(_COLOURS[event.verdict], f"{_SIGNS[event.verdict]} {event.verdict:8}")
        if event.verdict == "invalid":
            return f"{self._clock()} ", sign, f" from {clean(event.address)}: {clean(event.line)}"
        who = clean(event.name, limit=20)
        by = "" if event.verdict == "bound" else f" (by {clean(event.address)})"
        # What a person reads and what was signed are the same message; its id tells which.
        said = f" {short(event.id)} {event.type:17} {who:>8} {clean(event.line, limit=160)}{by}"
        return f"{self._clock()} ", sign, said


def _takeover(event: StageChanged) -> str:
    if not event.before:
        return ""
    if event.before == event.executor:
        return f" once more ({ended(event.before_state)})"
    return f", who takes over from {clean(event.before_name)} ({ended(event.before_state)})"
