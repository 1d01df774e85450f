"""Every MUST is checked: by a vector, or, where none can show it, by a test of the reference."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

import pytest
import yaml

from tests.vectors.requirements import (
    FILE,
    LISTED,
    checked_by,
    requirements,
    text,
    unobservable,
    vectors_on_disk,
)
from tests.vectors.writing import SPEC

CHECKOUT = SPEC.parent
# What nothing checks, as far as is known. Who adds a test or a vector takes its requirement from here.
UNCHECKED = ["ART-5", "TASK-36", "VER-3", "VER-5"]


@cache
def checked() -> dict[str, list[str]]:
    return checked_by(vectors_on_disk())


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of a file's tests, those of a class behind its name. Empty if there is no such file."""
    path = CHECKOUT / file
    return frozenset(_tests(ast.parse(path.read_text("utf-8")).body)) if path.is_file() else frozenset()


def _tests(body: list[ast.stmt], prefix: str = "") -> list[str]:
    found = []
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found += _tests(node.body, f"{prefix}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found.append(prefix + node.name)
    return found


def test_every_must_is_checked() -> None:
    checks = checked().keys() | {name for name, reason in unobservable().items() if reason.tests}
    unchecked = [item.id for item in requirements() if item.level == "MUST" and item.id not in checks]
    assert sorted(unchecked) == UNCHECKED, "add a vector, or a test to tests/vectors/unobservable.toml"


def test_what_nothing_checks_is_said() -> None:
    told = {name: reason.why for name, reason in unobservable().items() if not reason.tests}
    assert sorted(told) == UNCHECKED
    assert all(why.startswith("Nothing checks this: ") for why in told.values())


def test_vectors_and_reasons_name_requirements_there_are() -> None:
    known = {item.id for item in requirements()}
    assert sorted(checked().keys() - known) == []
    assert sorted(unobservable().keys() - known) == []


def test_reasons_stand_in_the_order_of_the_text() -> None:
    order = [item.id for item in requirements()]
    for why in {reason.why for reason in unobservable().values()}:
        names = [name for name, reason in unobservable().items() if reason.why == why]
        assert names == sorted(names, key=order.index)


def test_every_requirement_of_the_text_is_found() -> None:
    written = "".join(
        path.read_text("utf-8") for path in SPEC.rglob("*.md") if path.parent.name in ("spec", "bindings")
    )
    found = [item.id for item in requirements()]
    assert len(found) == len(set(found))
    assert {name for name in found if f"**[{name}]**" not in written} == set()
    assert written.count("\n**[") == len(found)


@pytest.mark.parametrize("name", sorted(unobservable()))
def test_tests_are_there(name: str) -> None:
    reason = unobservable()[name]
    assert len(set(reason.tests)) == len(reason.tests)
    for test in reason.tests:
        file, _, node = test.partition("::")
        assert node in names_in(file), test


def test_the_file_is_current() -> None:
    assert FILE.read_bytes() == text(vectors_on_disk()), "run python -m tests.vectors"


def test_the_file_says_what_it_was_made_from() -> None:
    told: dict[str, dict[str, Any]] = yaml.safe_load(text(vectors_on_disk()))
    assert list(told) == [item.id for item in requirements()]
    for item in requirements():
        entry, vectors, reason = told[item.id], checked().get(item.id, []), unobservable().get(item.id)
        assert (entry["level"], entry["file"]) == (item.level, item.file)
        assert (SPEC / item.file).is_file()
        assert entry.get("vectors", []) == vectors[:LISTED]
        assert entry.get("more", 0) == max(0, len(vectors) - LISTED)
        assert (entry.get("why"), entry.get("tests")) == (
            (reason.why, list(reason.tests)) if reason is not None else (None, None)
        )


def test_lines_are_short_enough_to_read() -> None:
    assert max(map(len, FILE.read_text("utf-8").splitlines())) <= 140
