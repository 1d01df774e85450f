"""What came of a run: for people as lines, for programs as JSON and JUnit XML."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import msgspec

from bots.conformance.judge import written
from bots.conformance.operations import BYTES
from bots.conformance.run import Failure, Outcome, Result
from clawnet_proto import base64url

_SHOWN = 160  # characters of a value for people
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORDS = {"not_run": "not run"}

# Where in spec/ the text stands that the vectors of a subject are mostly about.
CHAPTERS: Mapping[str, str] = {
    "arrive": "05",
    "artifact": "16",
    "bodies": "02",
    "canonical": "03",
    "carrier": "02",
    "did": "04",
    "envelope": "02",
    "handshake": "07",
    "identity": "04",
    "matrix": "bindings/matrix",
    "prompt": "08",
    "rank": "08",
    "sealing": "15",
    "sign": "05",
    "signature": "05",
    "traces": "10",
    "transcript": "11",
}


class Chapter(msgspec.Struct, kw_only=True):
    """The verdicts of one subject."""

    subject: str
    counts: Counter[str]

    def __str__(self) -> str:
        told = [f"{self.counts[word]} {_WORDS.get(word, word)}" for word in _ORDER if self.counts[word]]
        place = f" ({CHAPTERS[self.subject]})" if self.subject in CHAPTERS else ""
        return f"{self.subject}{place}: {', '.join(told)}"

    @property
    def bad(self) -> bool:
        return any(self.counts[word] for word in ("failed", "unsupported", "not_run"))


_ORDER = ("passed", "failed", "unsupported", "skipped", "not_run")


def chapters(results: Sequence[Result]) -> list[Chapter]:
    """The verdicts by subject, in the order in which they were run."""
    found: dict[str, Chapter] = {}
    for result in results:
        chapter = found.setdefault(result.subject, Chapter(subject=result.subject, counts=Counter()))
        chapter.counts[result.verdict] += 1
    return list(found.values())


def total(results: Sequence[Result]) -> Chapter:
    """The verdicts of all."""
    return Chapter(subject="total", counts=Counter(result.verdict for result in results))


def lines(result: Result) -> Iterator[str]:
    """A result that counts against the testee, for people; the first line names it."""
    vector = result.vector
    yield f"{vector.id}: {vector.about} [{', '.join(vector.requirements)}]"
    if result.verdict == "unsupported":
        yield f"  unsupported, but its class needs {vector.op or 'all operations of this conversation'}"
    if result.failure is not None:
        yield from _failure(result, result.failure)


def _expected(failure: Failure) -> str:
    return f"expected {_short(failure.expected, failure.expected_characters)}"


def _failure(result: Result, failure: Failure) -> Iterator[str]:
    if failure.order:
        order = ", ".join(str(index) for index in failure.order)
        yield f"  order     {order} (in {result.failed_orders} of {result.orders} orders)"
    step = f", request {failure.step + 1}" if failure.step or failure.order else ""
    about = f": {failure.about}" if failure.about else ""
    yield f"  asked     {failure.op}{step}{about}"
    for name, value in failure.request.items():
        yield f"    {name:<8}{shortened(name, value)}"
    place = f" at {_short(failure.where)}" if failure.where else ""
    yield f"  expected  {_short(failure.expected, failure.expected_characters)}{place}"
    yield f"  got       {_short(failure.got, failure.got_characters)}"
    for line in failure.stderr:
        yield f"  stderr    {_short(line)}"


def shortened(name: str, value: object) -> str:
    """A member of a request for people: bytes that are text are shown as text."""
    if name in BYTES and isinstance(value, str):
        try:
            data = base64url.decode(value)
            return _short(written(data.decode("utf-8"))) if data else '""'
        except ValueError:
            return _short(value)
    return _short(written(value))


def _short(text: str, characters: int = 0) -> str:
    """Not too long, and without anything that a terminal would swallow; ``characters`` if text was cut before."""
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN * 3 // 4]} … {text[-_SHOWN // 4 :]}"
    visible = "".join(character if character.isprintable() else _escaped(character) for character in shown)
    return visible if shown is text else f"{visible} ({characters or len(text)} characters)"


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def as_json(result: Result) -> dict[str, Any]:
    """A result as one object."""
    vector = result.vector
    found: dict[str, Any] = {
        "kind": "vector",
        "id": vector.id,
        "subject": result.subject,
        "verdict": result.verdict,
        "about": vector.about,
        "requirements": vector.requirements,
    }
    if result.orders:
        found |= {"orders": result.orders, "failed_orders": result.failed_orders}
    if result.failure is not None:
        found["failure"] = msgspec.structs.asdict(result.failure)
    return found


def summary_json(outcome: Outcome) -> dict[str, Any]:
    """The whole run as one object."""
    return {
        "kind": "summary",
        "passed": outcome.passed,
        "faults": outcome.faults,
        "total": _counts(total(outcome.results)),
        "chapters": {chapter.subject: _counts(chapter) for chapter in chapters(outcome.results)},
    }


def _counts(chapter: Chapter) -> Mapping[str, int]:
    return {word: chapter.counts[word] for word in _ORDER}


def junit(outcome: Outcome, elapsed_s: float) -> bytes:
    """The run as JUnit XML: a suite a subject, a case a vector."""
    root = ElementTree.Element("testsuites", name="conformance", time=f"{elapsed_s:.3f}")
    tests = failures = skipped = 0
    for chapter in chapters(outcome.results):
        cases = [result for result in outcome.results if result.subject == chapter.subject]
        suite = ElementTree.SubElement(root, "testsuite", name=chapter.subject)
        _count(suite, len(cases), sum(case.bad for case in cases), chapter.counts["skipped"])
        tests, failures, skipped = tests + len(cases), failures + _bad(cases), skipped + chapter.counts["skipped"]
        for result in cases:
            _case(suite, result)
    if outcome.faults:
        suite = ElementTree.SubElement(root, "testsuite", name="testee")
        _count(suite, len(outcome.faults), len(outcome.faults), 0)
        tests, failures = tests + len(outcome.faults), failures + len(outcome.faults)
        for number, fault in enumerate(outcome.faults, 1):
            case = ElementTree.SubElement(suite, "testcase", classname="testee", name=f"testee-{number}")
            ElementTree.SubElement(case, "failure", message=_xml(fault))
    _count(root, tests, failures, skipped)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _bad(results: Sequence[Result]) -> int:
    return sum(result.bad for result in results)


def _count(element: ElementTree.Element, tests: int, failures: int, skipped: int) -> None:
    element.attrib |= {"tests": str(tests), "failures": str(failures), "errors": "0", "skipped": str(skipped)}


def _case(suite: ElementTree.Element, result: Result) -> None:
    vector = result.vector
    case = ElementTree.SubElement(
        suite, "testcase", classname=result.subject, name=_xml(f"{vector.id}: {vector.about}")
    )
    if result.bad:
        text = list(lines(result))
        message = result.verdict if result.failure is None else _expected(result.failure)
        ElementTree.SubElement(case, "failure", message=_xml(message)).text = _xml("\n".join(text))
    elif result.verdict == "skipped":
        ElementTree.SubElement(case, "skipped", message="its class does not need it")


def _xml(text: str) -> str:
    """Text without the characters that XML cannot say."""
    return _NOT_IN_XML.sub("\ufffd", text)
