"""Events as lines for a terminal. Colour only where somebody looks, and never the only sign."""

from __future__ import annotations

import os
import time
from typing import TextIO

from bots.events import MessageSeen, Notice, PeerConfirmed, StageChanged, StageText, TaskEnded, TaskOpened, TaskQuestion
from bots.rendering import clean, short
from bots.service import AnyAnswer

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
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR")
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
            self._stream.write(line + "\n")
            self._stream.flush()

    def _show_text(self, event: StageText) -> None:
        key = f"{event.task} {event.stage} {event.attempt}"
        if key != self._stage:
            self._end_text()
            self._stage = key
            self._stream.write(self._paint("36", f"{self._clock()}   {event.stage} │ "))
        self._stream.write(
            clean(event.text, limit=8000, lines=True).replace("\n", " ") if event.text.strip() else event.text
        )
        self._stream.flush()

    def _end_text(self) -> None:
        if self._stage:
            self._stage = ""
            self._stream.write("\n")

    def _clock(self) -> str:
        return f"{time.monotonic() - self._started:6.2f}s"

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text

    def _line(self, event: AnyAnswer) -> str:
        if isinstance(event, MessageSeen):
            return self._message(event) if self._trace else ""
        if isinstance(event, Notice):
            return f"{self._clock()} ℹ {clean(event.text)}"
        if isinstance(event, PeerConfirmed):
            return f"{self._clock()} ⇄ handshake with {clean(event.name)} confirmed, {event.rtt_ms} ms"
        if isinstance(event, TaskOpened):
            return f"{self._clock()} ● task {short(event.task)}: {' → '.join(event.stages)}"
        if isinstance(event, StageChanged):
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            detail = f": {clean(event.detail)}" if event.detail else ""
            state = _STATES.get(event.state, f"{event.state} by")
            return self._paint("36", f"{self._clock()}   {event.stage} {state} {clean(event.name)}{again}{detail}")
        if isinstance(event, TaskQuestion):
            return (
                f"{self._clock()} ? {event.stage} asks: {clean(event.text)} (clawbot answer {short(event.task)} TEXT)"
            )
        if isinstance(event, TaskEnded):
            return f"{self._clock()} ● {event.outcome} in {event.elapsed_ms / 1000:.1f} s" + (
                f": {clean(event.message)}" if event.message else ""
            )
        return ""

    def _message(self, event: MessageSeen) -> str:
        sign = self._paint(_COLOURS[event.verdict], f"{_SIGNS[event.verdict]} {event.verdict:8}")
        if event.verdict == "invalid":
            return f"{self._clock()} {sign} from {clean(event.address)}: {clean(event.line)}"
        who = clean(event.name, limit=20)
        # What a person reads and what was signed are the same message; its id tells which.
        return f"{self._clock()} {sign} {short(event.id)} {event.type:17} {who:>8} {clean(event.line, limit=160)}"
