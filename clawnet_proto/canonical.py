"""Canonical text (spec/03-canonical-text.md): one object, one byte string.

``encode`` writes it. ``parse`` reads it strictly and names the first fault in reading order, so
that every implementation reports the same one. Messages take a faster way through typed decoding
and re-encoding (``carrier``); what fails there comes here to learn why.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from clawnet_proto.errors import LocalProtocolError, RemoteProtocolError
from clawnet_proto.specification import LIMITS

Value: TypeAlias = str | int | bool | list["Value"] | dict[str, "Value"]

_KEY = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]*')
_SHORT_ESCAPES = {'"': '"', "\\": "\\", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LONG_ESCAPE = re.compile(r"u00[01][0-9a-f]")
_ANY_ESCAPE = re.compile(r'["\\/bfnrt]|u[0-9a-fA-F]{4}')
_SHORTENED = frozenset("\b\f\n\r\t")
_WHITESPACE = " \t\n\r\ufeff"

_encoder = msgspec.json.Encoder(order="sorted")


def encode(value: Value) -> bytes:
    """The canonical text of a value, as UTF-8. Raises LocalProtocolError if it has none."""
    _check(value, 1, [0])
    return _encoder.encode(value)


def _check(value: object, depth: int, count: list[int]) -> None:
    count[0] += 1
    if count[0] > LIMITS.nodes:
        raise LocalProtocolError("canonical.nodes")
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > LIMITS.integer:
            raise LocalProtocolError("canonical.number", f"{value.bit_length()} bits")
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise LocalProtocolError("canonical.string")
    elif isinstance(value, list | dict):
        if depth > LIMITS.depth:
            raise LocalProtocolError("canonical.depth")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str) or not _KEY.fullmatch(key):
                    raise LocalProtocolError("canonical.key", repr(key))
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1, count)
    elif value is None:
        raise LocalProtocolError("canonical.null")
    elif isinstance(value, float):
        raise LocalProtocolError("canonical.number", repr(value))
    else:
        raise LocalProtocolError("canonical.syntax", type(value).__name__)


def parse(text: str) -> Value:
    """Read canonical text. Raises RemoteProtocolError with the code of its first fault."""
    reader = _Reader(text)
    value = reader.value(1)
    if reader.at != len(text):
        raise RemoteProtocolError("canonical.whitespace", f"something follows the value at {reader.at}")
    return value


class _Reader:
    """A recursive-descent reader; the depth limit bounds its recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nodes = 0

    def fault(self, code: str) -> RemoteProtocolError:
        return RemoteProtocolError(code, f"at character {self.at}")

    def peek(self) -> str:
        """The next character, "" at the end; white space is a fault wherever a token is due."""
        character = self.text[self.at : self.at + 1]
        if character and character in _WHITESPACE:
            raise self.fault("canonical.whitespace")
        return character

    def take(self, character: str) -> None:
        if self.peek() != character:
            raise self.fault("canonical.syntax")
        self.at += 1

    def value(self, depth: int) -> Value:
        self.nodes += 1
        if self.nodes > LIMITS.nodes:
            raise self.fault("canonical.nodes")
        character = self.peek()
        if character == '"':
            return self.string()
        if character == "{" or character == "[":
            if depth > LIMITS.depth:
                raise self.fault("canonical.depth")
            return self.object(depth) if character == "{" else self.array(depth)
        if character == "-" or character.isdigit():
            return self.integer()
        for word, meaning in (("true", True), ("false", False)):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return meaning
        raise self.fault("canonical.null" if self.text.startswith("null", self.at) else "canonical.syntax")

    def integer(self) -> int:
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise self.fault("canonical.syntax")
        digits = number.group()
        # The length is looked at first: converting a long run of digits is slow.
        if not _INTEGER.fullmatch(digits) or digits == "-0" or len(digits) > 17:
            raise self.fault("canonical.number")
        value = int(digits)
        if abs(value) > LIMITS.integer:
            raise self.fault("canonical.number")
        self.at = number.end()
        return value

    def string(self) -> str:
        self.at += 1
        pieces = []
        while True:
            plain = _PLAIN.match(self.text, self.at)
            assert plain is not None
            pieces.append(plain.group())
            self.at = plain.end()
            character = self.text[self.at : self.at + 1]
            if character == '"':
                self.at += 1
                return "".join(pieces)
            if character == "":
                raise self.fault("canonical.syntax")
            if character != "\\":
                raise self.fault("canonical.string")
            self.at += 1
            pieces.append(self.escape())

    def escape(self) -> str:
        short = _SHORT_ESCAPES.get(self.text[self.at : self.at + 1])
        if short is not None:
            self.at += 1
            return short
        long = _LONG_ESCAPE.match(self.text, self.at)
        if long is None:
            known = _ANY_ESCAPE.match(self.text, self.at)
            raise self.fault("canonical.string" if known else "canonical.syntax")
        character = chr(int(long.group()[1:], 16))
        if character in _SHORTENED:
            raise self.fault("canonical.string")
        self.at = long.end()
        return character

    def array(self, depth: int) -> list[Value]:
        self.at += 1
        items: list[Value] = []
        if self.peek() == "]":
            self.at += 1
            return items
        while True:
            items.append(self.value(depth + 1))
            if self.peek() == "]":
                self.at += 1
                return items
            self.take(",")

    def object(self, depth: int) -> dict[str, Value]:
        self.at += 1
        members: dict[str, Value] = {}
        last = ""
        if self.peek() == "}":
            self.at += 1
            return members
        while True:
            if self.peek() != '"':
                raise self.fault("canonical.syntax")
            key = self.string()
            if not _KEY.fullmatch(key):
                raise self.fault("canonical.key")
            if key in members:
                raise self.fault("canonical.duplicate_key")
            if key < last:
                raise self.fault("canonical.order")
            last = key
            self.take(":")
            members[key] = self.value(depth + 1)
            if self.peek() == "}":
                self.at += 1
                return members
            self.take(",")
