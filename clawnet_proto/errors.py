"""One tree of errors; the codes are those of ``spec/errors.json`` (spec/09-errors.md).

ProtocolError               something is not as the specification says
+-- LocalProtocolError      we were about to send it
+-- RemoteProtocolError     a peer sent it
KeyFileError                a key file is missing, malformed or open to others
TranscriptError             a line of a transcript is damaged
"""

from __future__ import annotations

from clawnet_proto.specification import ERRORS


class ProtocolError(Exception):
    """A message breaks a rule. ``code`` is a key of ``spec/errors.json``."""

    def __init__(self, code: str, detail: str = "") -> None:
        rule = ERRORS[code]
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.stage = rule.stage
        self.disposition = rule.disposition
        self.retryable = rule.retryable
        self.reference = rule.reference

    def __str__(self) -> str:
        meaning = ERRORS[self.code].meaning
        return f"{self.code}: {meaning}" + (f" ({self.detail})" if self.detail else "")


class LocalProtocolError(ProtocolError):
    """We were about to break a rule: nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """A peer, or whoever carried its message, broke a rule."""


class KeyFileError(Exception):
    """A key file is missing, malformed, or readable by others."""


class TranscriptError(Exception):
    """A line of a transcript is damaged. ``line`` counts from 1."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}")
        self.line = line
        self.detail = detail
