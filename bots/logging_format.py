"""Log lines for people or for programs: what happened, and about which message, task and peer.

``about`` names what is being dealt with; every line logged inside carries it, whoever logs it. A record's own
``extra`` adds to that. What looks like a secret is taken out, whatever brought it in.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from bots.events import AnyEvent, MessageSeen, PeerConfirmed, StageChanged, TaskEnded, TaskOpened

Format = Literal["text", "json"]

# What a line may be about, in the order in which it is written.
FIELDS = ("message_id", "type", "verdict", "task", "stage", "attempt", "state", "peer", "address", "event_id", "code")

REMOVED = "[removed]"
_SECRET = re.compile(
    r"""(?ix)
    (?P<name>
        (?: passw(?:or)?d | passphrase | secret | [_-]token | (?:access|refresh|login)token | (?:pickle|recovery)_?key )
            (?: \\{0,7} ["'] )? \s{0,9} [=:] \s{0,9}
        | \b bearer \s+
        | \b clawnet-[a-z0-9-]{1,40}-key-[0-9]{1,3}:
        | \b mxc://[^\s\#"']{1,600}\#
    )
    (?! \[removed\] )
    (?:
        # From a quotation mark to the next one with as many backslashes before it.
        (?P<escapes> \\{0,7} ) (?P<mark> ["'] )
            (?: (?! (?<!\\) (?P=escapes) (?P=mark) ) . )* (?: (?P=escapes) (?P=mark) )?
        | \S+
    )
    | \b (?:syt|mat|mct|mxat) _ [a-z0-9_+/=-]{8,}
    """
)

_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default={})  # noqa: B039 - nobody can change it


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """What the lines logged inside are about, by ``FIELDS``."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def configure(stream: TextIO, style: Format, level: str) -> None:
    """Write the logs of this process to ``stream``."""
    # Of a record that cannot be formatted Python would print everything, unfiltered.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # nio logs its own view of what the transport handles and reports.
    logging.getLogger("nio").setLevel(logging.CRITICAL)


class TextLines(logging.Formatter):
    """``12:34:56 INFO bots.agent: what happened task=... peer=...``; only a traceback has more than one line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return _without_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {name}={_quoted(str(value))}" for name, value in _fields(record).items())
        return _printable(_without_secrets(super().formatMessage(record)) + pairs)

    def formatException(self, ei: Any) -> str:
        return _lines(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _lines(super().formatStack(stack_info))


class JsonLines(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``message``, what it is about, perhaps ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _without_secrets(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = _without_secrets(self.formatException(record.exc_info))
        return _ascii(line)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    known = {**_about.get(), **vars(record)}
    return {name: _plain(known[name]) for name in FIELDS if known.get(name) not in (None, "")}


def _plain(value: Any) -> int | float | str:
    return value if isinstance(value, int | float) else _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """Text that can be written: half a character, which no encoding has, stands there by its number."""
    whole = text.encode(errors="backslashreplace").decode()
    return _SECRET.sub(lambda found: f"{found['name'] or ''}{REMOVED}", whole)


def _lines(text: str) -> str:
    return "\n".join(_printable(line) for line in _without_secrets(text).split("\n"))


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[^\s\"=]+", value) else _ascii(value)


def _printable(line: str) -> str:
    """A line that cannot steer a terminal, nor become two."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in line)


def _ascii(value: Any) -> str:
    """JSON that stays one line in whatever reads it: line ends of any script are escaped."""
    text = msgspec.json.encode(value).decode()
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


# --- what happens, as log lines ---

_TOLD: dict[type, tuple[int, str, Callable[[Any], dict[str, Any]]]] = {
    MessageSeen: (
        logging.DEBUG,
        "message",
        lambda event: {
            "message_id": event.id,
            "type": event.type,
            "verdict": "ours" if event.ours else event.verdict,
            "task": event.thread if event.type.startswith("task.") else "",
            "peer": event.sender,
            "address": event.address,
            "code": event.code,
        },
    ),
    PeerConfirmed: (logging.DEBUG, "handshake confirmed", lambda event: {"peer": event.peer}),
    TaskOpened: (logging.INFO, "task opened", lambda event: {"task": event.task}),
    StageChanged: (
        logging.INFO,
        "stage changed",
        lambda event: {
            "task": event.task,
            "stage": event.stage,
            "attempt": event.attempt,
            "state": event.state,
            "peer": event.executor,
        },
    ),
    TaskEnded: (
        logging.INFO,
        "task ended",
        lambda event: {"task": event.task, "state": event.outcome, "code": event.code},
    ),
}


def log_event(event: AnyEvent) -> None:
    """Log what an agent tells its observers: who, which and when, never what was said."""
    if type(event) in _TOLD:
        level, text, fields = _TOLD[type(event)]
        logging.getLogger("bots.events").log(level, text, extra=fields(event))
