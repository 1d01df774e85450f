"""``spec/requirements.yaml``: for each requirement its level, the vectors that check it, or why none can.

Ids and levels are read from the text of the specification, vectors from what the generators made, and what no vector
can show from ``unobservable.toml``: there each section is a reason, with the tests of the reference that check it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.vectors import SUBJECTS
from tests.vectors.writing import FOLDER, SPEC, Vector

FILE = SPEC / "requirements.yaml"
TABLE = Path(__file__).with_name("unobservable.toml")
LISTED = 20

_HEAD = """\
# For each requirement, in the order of the text: its level, the vectors that check it (at most 20 are listed, then how
# many more there are), and where a vector cannot show it, why, with the tests of the reference that do. Generated with
# the vectors (make vectors) from the text, from vectors/*.json and from tests/vectors/unobservable.toml.
"""
_ID = re.compile(r"\*\*\[([A-Z]+-[1-9][0-9]*)\]\*\* ")
_LEVELS = {
    "MUST": re.compile(r"\b(MUST|SHALL|REQUIRED)\b"),
    "SHOULD": re.compile(r"\b(SHOULD|RECOMMENDED)\b"),
    "MAY": re.compile(r"\b(MAY|OPTIONAL)\b"),
}
_WIDTH = 118


@dataclass(frozen=True)
class Requirement:
    """``level`` is the strongest word in it: ``MUST``, ``SHOULD``, ``MAY`` or, without any, ``text``."""

    id: str
    level: str
    file: str


@dataclass(frozen=True)
class Reason:
    """Why no vector shows a requirement, or not all of it; ``tests`` are node ids of pytest without parameters."""

    why: str
    tests: tuple[str, ...]


def requirements() -> list[Requirement]:
    """All requirements of the specification, in its order: the chapters, then the bindings."""
    found = []
    for path in (*sorted(SPEC.glob("[0-9]*.md")), *sorted(SPEC.glob("bindings/*.md"))):
        text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.S)
        for block in text.split("\n\n"):
            if (head := _ID.match(block)) is not None:
                level = next((level for level, words in _LEVELS.items() if words.search(block)), "text")
                found.append(Requirement(head[1], level, path.relative_to(SPEC).as_posix()))
    return found


def vectors_on_disk() -> list[Vector]:
    """The vectors of ``spec/vectors/``, in the order of the subjects; a file that is not there yet has none."""
    paths = [FOLDER / f"{name}.json" for name in SUBJECTS]
    return [vector for path in paths if path.exists() for vector in json.loads(path.read_bytes())["vectors"]]


def checked_by(vectors: Iterable[Vector]) -> dict[str, list[str]]:
    """For each requirement that a vector names, the ids of its vectors."""
    found: dict[str, list[str]] = {}
    for vector in vectors:
        for name in vector["requirements"]:
            found.setdefault(name, []).append(vector["id"])
    return found


def unobservable() -> dict[str, Reason]:
    """The hand-written table. Raises ValueError if a requirement stands in it twice."""
    found: dict[str, Reason] = {}
    for why, section in tomllib.loads(TABLE.read_text("utf-8")).items():
        for name, tests in section.items():
            if name in found:
                raise ValueError(f"{TABLE.name}: {name} stands there twice")
            found[name] = Reason(why, tuple(tests))
    return found


def text(vectors: Iterable[Vector]) -> bytes:
    """The bytes of ``requirements.yaml``."""
    checked, reasons = checked_by(vectors), unobservable()
    entries = [_entry(item, checked.get(item.id, []), reasons.get(item.id)) for item in requirements()]
    return (_HEAD + "\n" + "\n".join(entries)).encode()


def _entry(requirement: Requirement, vectors: list[str], reason: Reason | None) -> str:
    lines = [f"{requirement.id}:", f"  level: {requirement.level}", f"  file: {requirement.file}"]
    if vectors:
        lines += _folded("  vectors: [", vectors[:LISTED])
        if len(vectors) > LISTED:
            lines.append(f"  more: {len(vectors) - LISTED}")
    if reason is not None:
        lines.append(f"  why: {json.dumps(reason.why)}")
        lines += ["  tests:", *(f"    - {test}" for test in reason.tests)] if reason.tests else ["  tests: []"]
    return "\n".join(lines) + "\n"


def _folded(start: str, words: list[str]) -> list[str]:
    """A flow sequence, broken where a line would grow too long."""
    lines = [start]
    for number, word in enumerate(words):
        piece = word + ("]" if number == len(words) - 1 else ",")
        if lines[-1] != start and len(lines[-1]) + 1 + len(piece) > _WIDTH:
            lines.append("    " + piece)
        else:
            lines[-1] += piece if lines[-1] == start else f" {piece}"
    return lines
