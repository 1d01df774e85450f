"""The tables of the chapters, read as they stand: what each member of an envelope and of a body may be.

So the vectors of the schema follow the text itself, and neither the JSON schemas nor any implementation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.vectors.writing import SPEC

MOST = 2**53 - 1
_CHAPTERS = ("02-messages", "04-identity", "06-presence", "07-handshake", "08-task", "16-artifacts")


@dataclass(frozen=True)
class Shape:
    """What a value may be. ``low`` and ``high`` bound a text's characters, an integer, or how many items there are."""

    kind: str
    """text, integer, boolean, array, object (a record), map (Token to anything), or any"""
    low: int = 0
    high: int = MOST
    pattern: str = ""
    words: tuple[str, ...] = ()
    item: Shape | None = None
    records: tuple[str, ...] = ()
    """The record that an object is; several where its member ``part`` says which."""


@dataclass(frozen=True)
class Field:
    """A member of a record."""

    name: str
    shape: Shape
    optional: bool


Record = dict[str, Field]

# How long a text may be is told by its bounds alone, so that each check can be left out by itself.
_TOKEN = "[a-z0-9][a-z0-9_.-]*"
NAMED = {
    "Count": Shape("integer"),
    "Millis": Shape("integer"),
    "Attempt": Shape("integer", 1, 1000),
    "Version": Shape("text", 1, 4, "[1-9][0-9]*"),
    "Name": Shape("text", 1, 64),
    "Token": Shape("text", 1, 64, _TOKEN),
    "Line": Shape("text", 0, 300),
    "Text": Shape("text", 0, 16000),
    "Uri": Shape("text", 3, 300),
    "Did": Shape("text", 56, 56),
    "Digest": Shape("text", 43, 43),
    "Nonce": Shape("text", 22, 22),
    "Key32": Shape("text", 43, 43, "[A-Za-z0-9_-]*[AEIMQUYcgkosw048]"),
    "Sealed": Shape("text", 1, 32000, "[A-Za-z0-9_-]+"),
    "Signature": Shape("text", 86, 86),
    "StageId": Shape("text", 1, 32, "[a-z0-9][a-z0-9_-]*"),
    "StageRef": Shape("text", 1, 32),
    "StageKind": Shape("text", words=("generate", "chat", "embed", "echo")),
    "true/false": Shape("boolean"),
    "object": Shape("any"),
}
"""The field types of chapter 02. An envelope fits its schema whatever its body is (SIG-9), so that is any value."""


def _bounds(words: str) -> tuple[int, int]:
    """``up to 8``, ``at most 300``, ``1 to 16``, ``56``."""
    numbers = [int(number) for number in re.findall(r"\d+", words)]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    return (0 if words.startswith(("up to", "at most")) else numbers[0]), numbers[0]


def shape_of(text: str) -> Shape:
    """The shape that a cell of the column *type* describes. Raises KeyError if it can not be read."""
    if text in NAMED:
        return NAMED[text]
    if text.startswith("`"):
        return Shape("text", words=tuple(re.findall(r"`(.*?)`", text)))
    if found := re.fullmatch(r"(?:text of )?((?:at most )?\d+(?: to \d+)?) characters", text):
        return Shape("text", *_bounds(found[1]))
    if found := re.fullmatch(r"\d+ to \d+", text):
        return Shape("integer", *_bounds(text))
    if found := re.fullmatch(r"object of (\d+ to \d+) members", text):
        return Shape("map", *_bounds(found[1]), pattern=_TOKEN)
    if found := re.fullmatch(r"((?:up to )?\d+(?: to \d+)?) (?:of |texts of )?(.*)", text):
        return Shape("array", *_bounds(found[1]), item=shape_of(found[2]))
    return Shape("object", records=tuple(text.split(", ")))


def _read() -> tuple[dict[str, Record], dict[str, str]]:
    """All records by name, and for each message type the name of its body's record."""
    records: dict[str, Record] = {}
    bodies: dict[str, str] = {}
    for chapter in _CHAPTERS:
        heading = ""
        current: Record | None = None
        for line in (SPEC / f"{chapter}.md").read_text("utf-8").splitlines():
            if line.startswith("#"):
                heading = line.strip("# `")
            if found := re.fullmatch(r"\| (?!Carrier)([A-Z][A-Za-z]+) \| type \| meaning \|", line):
                current = records.setdefault(found[1], {})
                if "." in heading:
                    bodies.setdefault(heading, found[1])
            elif found := re.fullmatch(r"\| `([a-z0-9_]+)` \| (.*?) \| .*\|", line):
                if current is not None:
                    text, comma, _ = found[2].partition(", optional")
                    current[found[1]] = Field(found[1], shape_of(text), bool(comma))
            elif not line.startswith("|"):
                current = None
    return records, bodies


RECORDS, BODIES = _read()


@dataclass(frozen=True)
class Check:
    """One thing that is demanded of a member: ``missing``, ``type``, ``low``, ``high``, ``pattern``, ``line-feed``,
    ``word``; or of a record: ``extra``."""

    record: str
    field: str
    what: str

    @property
    def name(self) -> str:
        """The name of the verifier that lacks this check."""
        place = f"{self.record}.{self.field}" if self.field else self.record
        return f"schema-{place}-{self.what}-unchecked"


def demands(place: str, field: str, shape: Shape) -> Iterator[Check]:
    """What is demanded of a value of this shape, and can be broken by canonical text."""
    if shape.kind == "any":
        return
    yield Check(place, field, "type")
    if shape.words:
        yield Check(place, field, "word")
        return
    if shape.low > 0 or shape.kind == "integer":
        yield Check(place, field, "low")
    if shape.high < MOST and shape.kind != "boolean":
        yield Check(place, field, "high")
    if shape.pattern:
        yield Check(place, field, "pattern")
        if shape.low != shape.high:
            yield Check(place, field, "line-feed")
    if shape.item is not None and shape.item.kind != "object":
        yield from demands(place, f"{field}[]", shape.item)


def checks(record: str) -> Iterator[Check]:
    """All checks of one record, without those of the records inside it."""
    yield Check(record, "", "extra")
    for field in RECORDS[record].values():
        if not field.optional:
            yield Check(record, field.name, "missing")
        yield from demands(record, field.name, field.shape)


_TYPES: dict[str, type | tuple[type, ...]] = {
    "text": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "map": dict,
}


class Fitting:
    """Whether values fit their tables. ``lacking`` names a check that is left out."""

    def __init__(self, lacking: str = "") -> None:
        self._lacking = lacking

    def _broken(self, record: str, field: str, what: str) -> bool:
        if what == "missing" and self._lacking == "required-unread":
            return True
        return Check(record, field, what).name == self._lacking

    def fits(self, record: str, value: Any) -> bool:
        """Whether a value is such a record, all the way down."""
        if not isinstance(value, dict):
            return False
        fields = RECORDS[record]
        if not value.keys() <= fields.keys() and not self._broken(record, "", "extra"):
            return False
        for field in fields.values():
            if field.name in value:
                if not self._value(record, field.name, field.shape, value[field.name]):
                    return False
            elif not field.optional and not self._broken(record, field.name, "missing"):
                return False
        return True

    def _value(self, record: str, name: str, shape: Shape, value: Any) -> bool:
        if shape.kind == "any":
            return True
        good = isinstance(value, _TYPES[shape.kind]) and (shape.kind != "integer" or not isinstance(value, bool))
        if not good:
            return self._broken(record, name, "type")
        if shape.words:
            return value in shape.words or self._broken(record, name, "word")
        size = value if shape.kind == "integer" else len(value) if shape.kind != "boolean" else shape.low
        if size < shape.low and not self._broken(record, name, "low"):
            return False
        if size > shape.high and not self._broken(record, name, "high"):
            return False
        if shape.kind == "object":
            return self._fits_one(shape.records, value)
        texts = list(value) if shape.kind == "map" else [value]
        if shape.pattern and not all(self._matches(record, name, shape, text) for text in texts):
            return False
        item = shape.item
        return item is None or all(self._value(record, f"{name}[]", item, one) for one in value)

    def _fits_one(self, records: tuple[str, ...], value: Any) -> bool:
        if len(records) == 1:
            return self.fits(records[0], value)
        # A union is told apart by its tag, so the rest is judged by the record that the tag names.
        tagged = [record for record in records if value.get("part") in RECORDS[record]["part"].shape.words]
        return any(self.fits(record, value) for record in tagged or records)

    def _matches(self, record: str, name: str, shape: Shape, text: str) -> bool:
        if not text or re.fullmatch(shape.pattern, text) or self._broken(record, name, "pattern"):
            return True
        # Python's $ also matches before a line feed at the end (MSG-16).
        return self._broken(record, name, "line-feed") and re.search(f"^(?:{shape.pattern})$", text) is not None
