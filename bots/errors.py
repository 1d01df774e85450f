"""Errors the agent shows to people and programs.

    ClawbotError                what went wrong, and the way out
    +-- ConfigError             the configuration or the command line is wrong
    +-- StoreError              the agent's own files cannot be read or written
    +-- TransportError          a transport cannot do what was asked
    |   +-- RetryLater          not now: the transport says when to try again
    |   +-- Refused             this one parcel will never be taken; others may
    |   +-- Fatal               the transport cannot go on: the agent stops, unhealthy
    +-- EngineError             a model runtime failed, is missing, or ran out of something

Every error has a ``code`` for machines, a one-sentence ``message`` for people, and, where there
is one, a ``hint`` that says the way out. Secrets never appear in any of them.
"""

from __future__ import annotations


class ClawbotError(Exception):
    """An error with a code for machines, a sentence for people and, if known, the way out."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(ClawbotError):
    """The configuration, the environment or the command line is wrong."""


class StoreError(ClawbotError):
    """The agent's own files cannot be read or written (disk full, read-only, locked, damaged)."""


class TransportError(ClawbotError):
    """A transport cannot do what was asked."""


class RetryLater(TransportError):
    """Nothing was sent; the same parcel may be tried again after ``after_s`` seconds."""

    def __init__(self, code: str, message: str, after_s: float) -> None:
        super().__init__(code, message)
        self.after_s = after_s


class Refused(TransportError):
    """The other side will never take this parcel: it is set aside, the queue goes on."""


class Fatal(TransportError):
    """The transport cannot go on (dead token, wrong password): stop, unhealthy, exit non-zero."""


class EngineError(ClawbotError):
    """A model runtime failed. ``retryable`` says whether another peer or a later try may succeed."""

    def __init__(self, code: str, message: str, hint: str = "", *, retryable: bool = True) -> None:
        super().__init__(code, message, hint)
        self.retryable = retryable
