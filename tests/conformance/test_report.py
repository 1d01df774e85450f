"""What people and programs are told of a run."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bots.conformance import report
from bots.conformance.run import Outcome, run
from bots.conformance.vectors import load
from clawnet_proto import specification
from tests.conformance.samples import Vector, folder, program, trace, uri

WRONG = 'def answer(request):\n    say({"ok": {"uri": "\\x1b[2J\\ud800"}} if boom(request) else right(request))\n'


def outcome(tmp_path: Path, code: str, subjects: Mapping[str, Sequence[Vector]]) -> Outcome:
    return run(load(folder(tmp_path / "vectors", subjects)), program(tmp_path, code), timeout_s=60)


@pytest.fixture
def mixed(tmp_path: Path) -> Outcome:
    """Something passed, failed, unsupported, and skipped."""
    unsupported = uri(
        "x", id="prompt", op="prompt", request={"parts": [], "sources": {}}, expect={"ok": {"prompt": ""}}
    )
    subjects = {"names": [uri("a"), uri("boom", about="<&> \x00")], "prompts": [unsupported]}
    return outcome(tmp_path, WRONG, subjects)


def test_the_summary_counts_by_subject(mixed: Outcome) -> None:
    told = [str(chapter) for chapter in report.chapters(mixed.results)]
    assert told == ["names: 1 passed, 1 failed", "prompts: 1 unsupported"]
    assert str(report.total(mixed.results)) == "total: 1 passed, 1 failed, 1 unsupported"


def test_the_summary_names_the_chapter(tmp_path: Path) -> None:
    found = outcome(tmp_path, "", {"canonical": [uri("a")], "matrix": [uri("b")], "names": [uri("c")]})
    told = [str(chapter) for chapter in report.chapters(found.results)]
    assert told == ["canonical (03): 1 passed", "matrix (bindings/matrix): 1 passed", "names: 1 passed"]
    assert set(report.summary_json(found)["chapters"]) == {"canonical", "matrix", "names"}


def test_every_subject_has_a_chapter_and_every_chapter_is_there() -> None:
    text = specification.directory()
    assert {file.subject for file in load(text / "vectors")} == report.CHAPTERS.keys()
    for chapter in report.CHAPTERS.values():
        assert len([*text.glob(f"{chapter}-*.md"), *text.glob(f"{chapter}.md")]) == 1


def test_a_long_answer_is_told_with_its_length(tmp_path: Path) -> None:
    code = 'def answer(request):\n    say({"error": "x" * 100_000})\n'
    found = outcome(tmp_path, code, {"names": [uri("a")]})
    told = list(report.lines(found.results[0]))
    assert told[-1] == f'  got       error "{"x" * 113} … {"x" * 39}" (100008 characters)'
    assert report.as_json(found.results[0])["failure"]["got_characters"] == 100_008
    assert len(report.junit(found, 1.0)) < 5000


def test_a_long_place_is_shortened(tmp_path: Path) -> None:
    code = 'def answer(request):\n    say({"ok": {"a" * 100_000: 1}})\n'
    told = list(report.lines(outcome(tmp_path, code, {"names": [uri("a")]}).results[0]))
    assert max(map(len, told)) < 300


def test_a_failure_tells_all_one_needs(mixed: Outcome) -> None:
    told = list(report.lines(mixed.results[1]))
    assert told[0] == "uri-boom: <&> \x00 [MX-1]"
    assert "  asked     matrix.uri" in told
    assert '    id      "@boom:example.org"' in told
    assert '  expected  "matrix:u/boom:example.org" at /uri' in told
    assert told[-1] == '  got       "\\u001b[2J\\ud800"'


def test_junit(mixed: Outcome) -> None:
    root = ElementTree.fromstring(report.junit(mixed, 1.5))
    assert root.attrib["tests"] == "3" and root.attrib["failures"] == "2"
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert list(cases["uri-a: the address of a"]) == []
    (failure,) = cases["uri-boom: <&> \ufffd"]
    assert failure.tag == "failure" and "matrix:u/boom" in failure.attrib["message"]
    assert [suite.attrib["name"] for suite in root.iter("testsuite")] == ["names", "prompts"]


def test_faults_of_the_testee_itself_are_a_case_of_their_own(tmp_path: Path) -> None:
    found = outcome(tmp_path, "import atexit; atexit.register(os._exit, 3)\n", {"names": [uri("a")]})
    root = ElementTree.fromstring(report.junit(found, 1.0))
    assert (root.attrib["tests"], root.attrib["failures"]) == ("2", "1")
    assert report.summary_json(found)["faults"] == found.faults
    assert not report.summary_json(found)["passed"]


def test_json(mixed: Outcome) -> None:
    told: list[dict[str, Any]] = [json.loads(json.dumps(report.as_json(result))) for result in mixed.results]
    assert [item["verdict"] for item in told] == ["passed", "failed", "unsupported"]
    assert told[1]["failure"]["where"] == "/uri"
    summary = report.summary_json(mixed)
    assert summary["chapters"]["names"]["failed"] == summary["total"]["failed"] == 1
    assert summary["passed"] is False


def test_a_trace_tells_the_order_in_which_it_failed(tmp_path: Path) -> None:
    code = (
        'def answer(request):\n    say(right(request) if request["op"] != "mesh.state" else {"error": "state.full"})\n'
    )
    (result,) = outcome(tmp_path, code, {"traces": [trace("x", "y")]}).results
    told = list(report.lines(result))
    assert told[1] == "  order     0, 1 (in 2 of 2 orders)"
    assert told[2] == "  asked     mesh.state, request 4"


@pytest.mark.parametrize(
    "name, value, shown",
    [
        ("text", base64.urlsafe_b64encode(b'{"a":1}').rstrip(b"=").decode(), r'"{\"a\":1}"'),
        (
            "text",
            base64.urlsafe_b64encode("\ufeff\u2028\n\t".encode() + b"xx").rstrip(b"=").decode(),
            r'"\ufeff\u2028\n\txx"',
        ),
        ("text", "_w", "_w"),
        ("text", "", '""'),
        ("rooms", ["a", "b"], '["a","b"]'),
        ("did", "x" * 500, f'"{"x" * 119} … {"x" * 39}" (502 characters)'),
    ],
)
def test_requests_are_shortened(name: str, value: object, shown: str) -> None:
    assert report.shortened(name, value) == shown
