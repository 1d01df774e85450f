"""The reader of CAN-13, step by step, each check of which can be left out by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from tests.vectors.writing import LIMITS

MUTANTS = (
    "empty-text-passes", "byte-order-mark-skipped", "text-after-value-passes", "white-space-skipped",
    "any-space-skipped", "null-passes", "capital-literals-pass", "short-literals-pass", "literals-may-go-on",
    "not-a-number-passes", "undefined-passes", "great-integers-pass", "minus-zero-passes", "leading-zeros-pass",
    "fractions-pass", "exponents-pass", "bare-full-stop-passes", "bare-exponent-passes", "bare-minus-passes",
    "plus-sign-passes", "bare-fraction-passes", "hexadecimal-passes", "foreign-digits-pass", "escaped-solidus-passes",
    "needless-escapes-pass", "long-escapes-pass", "upper-case-escapes-pass", "escaped-pairs-pass",
    "lone-surrogates-pass", "raw-controls-pass", "unknown-escapes-pass", "short-escapes-pass", "unclosed-strings-pass",
    "apostrophes-pass", "unclosed-values-pass", "any-bracket-closes", "trailing-commas-pass", "empty-items-pass",
    "missing-commas-pass", "missing-colons-pass", "missing-values-pass", "bare-keys-pass", "comments-pass",
    "any-key-passes", "empty-keys-pass", "long-keys-pass", "duplicate-keys-pass", "only-neighbours-compared",
    "key-order-unchecked", "depth-unbounded", "nodes-unbounded", "order-before-duplicates", "order-before-characters",
    "nodes-after-token", "bytes-decoded-on-the-way",
)  # fmt: skip
"""Readers that lack one check, or make two in the wrong order."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SHORT = {'"': '"', "\\": "\\", "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}
_LITERALS = {"true": True, "false": False}
_END = ""


class Unreadable(Exception):
    """The code of the first fault, without ``canonical.``."""


def _fault(code: str) -> NoReturn:
    raise Unreadable(code)


class Reader:
    """Reads one text. ``lacks`` says whether the check of a name is left out."""

    def __init__(self, text: str, lacks: Callable[[str], bool]) -> None:
        self._text, self._lacks = text, lacks
        self._at = self._count = 0

    def read(self) -> Any:
        """The value. Raises :class:`Unreadable`."""
        if not self._text and self._lacks("empty-text-passes"):
            return {}
        value = self._value(1)
        if self._at < len(self._text) and not self._lacks("text-after-value-passes"):
            _fault("whitespace")
        return value

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _expect(self) -> str:
        """The next character, which is not white; "" at the end."""
        while True:
            here = self._peek()
            if here == "\ufeff":
                if not self._lacks("byte-order-mark-skipped"):
                    _fault("whitespace")
            elif here and here in " \t\n\r":
                if not self._lacks("white-space-skipped"):
                    _fault("whitespace")
            elif here == "/" and self._lacks("comments-pass"):
                self._at = self._text.index("*/", self._at) + 1
            elif not (here.isspace() and self._lacks("any-space-skipped")):
                return here
            self._at += 1

    def _value(self, depth: int) -> Any:
        self._count += 1
        full = self._count > LIMITS["nodes"] and not self._lacks("nodes-unbounded")
        if full and not self._lacks("nodes-after-token"):
            _fault("nodes")
        here = self._expect()
        if full and (here.isdigit() or here in '"[{tfn-'):
            _fault("nodes")
        if here == '"' or (here == "'" and self._lacks("apostrophes-pass")):
            return self._string()
        if here and here in "[{":
            if depth > LIMITS["depth"] and not self._lacks("depth-unbounded"):
                _fault("depth")
            self._at += 1
            return self._object(depth) if here == "{" else self._array(depth)
        if here == "-" or (here and here in "0123456789") or (here.isdecimal() and self._lacks("foreign-digits-pass")):
            return self._number()
        return self._literal(here)

    def _literal(self, here: str) -> Any:
        for word, value in _LITERALS.items():
            if self._take(word) or (self._lacks("capital-literals-pass") and self._take(word.capitalize())):
                if self._lacks("literals-may-go-on"):
                    self._at = re.compile("[a-z]*").match(self._text, self._at).end()  # type: ignore[union-attr]
                return value
            if self._lacks("short-literals-pass") and self._take(word[:-1]):
                return value
        if self._take("null"):
            if not self._lacks("null-passes"):
                _fault("null")
            self._at = re.compile("[a-z]*").match(self._text, self._at).end()  # type: ignore[union-attr]
            return None
        for name, words in (("not-a-number-passes", ("NaN", "Infinity")), ("undefined-passes", ("undefined",))):
            if self._lacks(name) and any(self._take(word) for word in words):
                return 0
        if self._lacks("plus-sign-passes") and self._take("+"):
            return self._number()
        if self._lacks("bare-fraction-passes") and re.match(r"\.[0-9]", self._text[self._at : self._at + 2]):
            self._at += 2
            return 0
        if (here and here in ",}]" and self._lacks("missing-values-pass")) or (
            not here and self._lacks("unclosed-values-pass")
        ):
            return 0
        return _fault("syntax")

    def _number(self) -> Any:
        found = _NUMBER.match(self._text, self._at)
        if self._lacks("foreign-digits-pass"):
            found = re.compile(r"-?\d+").match(self._text, self._at)
        if self._lacks("hexadecimal-passes"):
            found = re.compile(r"0x[0-9a-f]+").match(self._text, self._at) or found
        if found is None:
            if self._take("-Infinity" if self._lacks("not-a-number-passes") else "\0"):
                return 0
            if self._lacks("bare-minus-passes") and self._take("-"):
                return 0
            _fault("syntax")
        self._at = found.end()
        for name, mark in (("bare-full-stop-passes", "."), ("bare-exponent-passes", "e")):
            if self._lacks(name):
                self._take(mark)
        digits = found[0]
        if digits.startswith("0x"):
            return 0
        fraction, exponent = found.groups() if found.re is _NUMBER else (None, None)
        if fraction or exponent:
            if not self._lacks("fractions-pass" if fraction else "exponents-pass"):
                _fault("number")
            return 0.5
        bare = digits.removeprefix("-")
        if len(bare) > 1 and bare[0] == "0" and not self._lacks("leading-zeros-pass"):
            _fault("number")
        if digits == "-0" and not self._lacks("minus-zero-passes"):
            _fault("number")
        if (len(bare) > 20 or int(bare) > LIMITS["integer"]) and not self._lacks("great-integers-pass"):
            _fault("number")
        return int(digits) if len(bare) < 4000 else 0

    def _string(self) -> str:
        ending = self._peek()
        self._at += 1
        parts: list[str] = []
        while True:
            here = self._peek()
            self._at += 1
            if here == ending or (not here and self._lacks("unclosed-strings-pass")):
                return "".join(parts)
            if not here:
                _fault("syntax")
            if (here < " " and not self._lacks("raw-controls-pass")) or "\ud800" <= here <= "\udfff":
                _fault("string")
            parts.append(self._escape() if here == "\\" else here)

    def _escape(self) -> str:
        """The character of an escape; the backslash has been read."""
        here = self._peek()
        self._at += 1
        if here in _SHORT and here:
            return _SHORT[here]
        if here == "/":
            return "/" if self._lacks("escaped-solidus-passes") else _fault("string")
        if here == "u":
            return self._unicode()
        if not here and self._lacks("unclosed-strings-pass"):
            return ""
        return here if self._lacks("unknown-escapes-pass") else _fault("syntax")

    def _unicode(self) -> str:
        digits = self._text[self._at : self._at + 4]
        if not re.fullmatch("[0-9a-fA-F]{4}", digits):
            if self._lacks("short-escapes-pass") or (self._lacks("foreign-digits-pass") and digits.isdecimal()):
                self._at += len(digits.partition('"')[0])
                return "?"
            _fault("syntax")
        self._at += 4
        character = chr(int(digits, 16))
        if "\ud800" <= character <= "\udfff":
            return self._surrogate(character)
        if character >= " " and character not in _SHORT.values():
            name = "needless-escapes-pass"
        elif character in _SHORT.values():
            name = "long-escapes-pass"
        elif digits != digits.lower():
            name = "upper-case-escapes-pass"
        else:
            return character
        return character if self._lacks(name) else _fault("string")

    def _surrogate(self, first: str) -> str:
        second = re.compile(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})").match(self._text, self._at)
        if first < "\udc00" and second:
            if not self._lacks("escaped-pairs-pass"):
                _fault("string")
            self._at = second.end()
            return chr(0x10000 + ((ord(first) - 0xD800) << 10) + int(second[1], 16) - 0xDC00)
        return first if self._lacks("lone-surrogates-pass") else _fault("string")

    def _closed(self, bracket: str) -> bool:
        """Whether an array or object ends here."""
        here = self._expect()
        if here == bracket or (here and here in "]}" and self._lacks("any-bracket-closes")):
            self._at += 1
            return True
        return not here and self._lacks("unclosed-values-pass")

    def _more(self, bracket: str) -> bool:
        """After a member or item: whether another one follows."""
        if self._closed(bracket):
            return False
        if self._take(","):
            while self._lacks("empty-items-pass") and self._take(","):
                pass
            return not (self._lacks("trailing-commas-pass") and self._closed(bracket))
        if self._peek() and self._lacks("missing-commas-pass"):
            return True
        return _fault("syntax")

    def _array(self, depth: int) -> list[Any]:
        items: list[Any] = []
        if self._closed("]"):
            return items
        if self._lacks("empty-items-pass"):
            self._take(",")
        while True:
            items.append(self._value(depth + 1))
            if not self._more("]"):
                return items

    def _object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        last = _END
        if self._closed("}"):
            return members
        while True:
            key = self._key()
            self._check_key(key, last, members)
            last = key
            if self._expect() != ":" and not self._lacks("missing-colons-pass"):
                if not self._peek() and self._lacks("unclosed-values-pass"):
                    return members
                _fault("syntax")
            self._take(":")
            members[key] = self._value(depth + 1)
            if not self._more("}"):
                return members

    def _key(self) -> str:
        here = self._expect()
        if here == '"':
            return self._string()
        if here and self._lacks("bare-keys-pass"):
            found = re.compile("[a-z0-9]+").match(self._text, self._at)
            if found:
                self._at = found.end()
                return found[0]
        return _fault("syntax")

    def _check_key(self, key: str, last: str, members: dict[str, Any]) -> None:
        disordered = bool(last) and key < last and not self._lacks("key-order-unchecked")
        if disordered and self._lacks("order-before-characters"):
            _fault("order")
        if not key and not self._lacks("empty-keys-pass"):
            _fault("key")
        if len(key) > LIMITS["key_characters"] and not self._lacks("long-keys-pass"):
            _fault("key")
        if not re.fullmatch("[a-z0-9_.-]*", key) and not self._lacks("any-key-passes"):
            _fault("key")
        if disordered and self._lacks("order-before-duplicates"):
            _fault("order")
        known = key == last if self._lacks("only-neighbours-compared") else key in members
        if known and not self._lacks("duplicate-keys-pass"):
            _fault("duplicate_key")
        if disordered:
            _fault("order")
