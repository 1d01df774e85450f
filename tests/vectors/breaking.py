"""Breaking one demand of the tables in a sample, so that everything else about it still holds."""

from __future__ import annotations

import copy
from typing import Any

from tests.vectors.samples import ADDRESS, BODIES, HEIRS, link, public_input
from tests.vectors.shapes import RECORDS, Check, Shape

Body = dict[str, Any]

# What only breaks together with something else: a rule of the chapter, or the form of canonical text.
UNREACHABLE = {
    ("Result", "text", "high"),  # TASK-38 bounds its bytes
    ("Input", "text", "high"),  # TASK-4
    ("DataPart", "source", "low"),  # TASK-2: it names an input or a stage, whose names fit
    ("DataPart", "source", "high"),
    ("DataPart", "source", "type"),
    ("Artifact", "bytes", "low"),  # ART-1 ties bytes and chunks together
    ("Artifact", "bytes", "high"),
    ("Artifact", "chunks", "low"),
    ("Artifact", "chunks", "high"),
    ("Envelope", "extensions", "line-feed"),  # no key of canonical text has one
}

# Where the first sample that has the member would break a rule of the chapter too.
_VARIANTS = {("Request", "privacy"): 2, ("Input", "digest"): 2, ("Result", "output_digest"): 2}

_WRONG: dict[str, list[Any]] = {
    "text": [1, ["text"], True, {}],
    "integer": ["1", True, [1], {}],
    "boolean": [1, "true", []],
    "array": [{}, "text", 1],
    "object": [[], "text", 1],
    "map": [[], "text", 1],
}
_NO_MATCH = {
    "[1-9][0-9]*": ["x", "01", "0", "1.0", "-1", " 1"],
    "[a-z0-9][a-z0-9_.-]*": ["Upper", "two words", "-x", ".x", "_x", "\u00e9", "a/b"],
    "[A-Za-z0-9_-]*[AEIMQUYcgkosw048]": ["A" * 42 + "B", "A" * 42 + "=", "+" * 42 + "A"],
    "[A-Za-z0-9_-]+": ["c2VhbGVk=", "c2Vh bGVk", "c2V+bGVk"],
    "[a-z0-9][a-z0-9_-]*": ["Draft", "a.b", "-a", "_a", "a b", "\u00e9"],
}


class Breaker:
    """Breaks one sample after the other; of several ways to break a demand it takes them in turn."""

    def __init__(self) -> None:
        self._turn = 0

    def _next(self, ways: list[Any]) -> Any:
        self._turn += 1
        return ways[self._turn % len(ways)]

    def broken(self, holder: Body, check: Check) -> str:
        """Breaks a demand in the record ``holder``; says in words how."""
        if check.what == "extra":
            holder["extra"] = 1
            return "a member that the table does not name"
        if check.what == "missing":
            del holder[check.field]
            return f"{check.field} is missing"
        name, _, inside = check.field.partition("[")
        shape = RECORDS[check.record][name].shape
        if inside:
            assert shape.item is not None
            words, value = self._value(check, shape.item, holder[name][0])
            holder[name] = [value, *holder[name][1:]]
            return f"an item of {name} {words}"
        words, holder[name] = self._value(check, shape, holder[name])
        return f"{name} {words}"

    def _value(self, check: Check, shape: Shape, old: Any) -> tuple[str, Any]:
        if check.what == "type":
            if (check.record, check.field) == ("Artifact", "chunks"):
                return "is an object", {"a": 1, "b": 2}
            value = self._next(_WRONG[shape.kind])
            kinds = {bool: "a boolean", int: "an integer", str: "a text", list: "an array", dict: "an object"}
            return f"is {kinds[type(value)]}", value
        if check.what == "word":
            return "is another word", self._next(["other", shape.words[0].capitalize(), shape.words[0] + " ", ""])
        if check.what == "line-feed":
            return "ends with a line feed", old + "\n"
        if check.what == "pattern":
            text = "-x" if shape.kind == "map" else self._next(_NO_MATCH[shape.pattern])
            return f"is not of its form: {text}", {text: 1} if shape.kind == "map" else text
        if check.what == "low":
            return _low(shape, old)
        return _high(check, shape, old)


def _low(shape: Shape, old: Any) -> tuple[str, Any]:
    if shape.kind == "integer":
        return f"is {shape.low - 1}", shape.low - 1
    if shape.kind == "text":
        return f"has {shape.low - 1} characters", (old[: shape.low - 2] + "A")[: shape.low - 1]
    return "is empty", {} if shape.kind == "map" else []


def _high(check: Check, shape: Shape, old: Any) -> tuple[str, Any]:
    if shape.kind == "integer":
        return f"is {shape.high + 1}", shape.high + 1
    if shape.kind == "text":
        filling = "9" if shape.pattern.startswith("[1-9]") else "A" if "A-Z" in shape.pattern else "a"
        return f"has {shape.high + 1} characters", old + filling * (shape.high + 1 - len(old))
    if shape.kind == "map":
        return f"has {shape.high + 1} members", {f"x{number}": 1 for number in range(shape.high + 1)}
    return f"has {shape.high + 1} items", many(check.record, check.field, old, shape.high + 1)


def many(record: str, field: str, items: list[Any], count: int) -> list[Any]:
    """That many items of a member, distinct where a rule wants them so."""
    if (record, field) == ("Request", "inputs"):
        return [public_input(f"question-{number}", "Why?") for number in range(count)]
    if (record, field) == ("Request", "stages"):
        return [items[0] | {"id": f"stage-{number}"} for number in range(count)]
    if field == "chain":
        return [link(number) for number in range(1, min(count, len(HEIRS)) + 1)]
    filling = items[0] if items else {"stop": "x", "capabilities": "echo", "addresses": ADDRESS}.get(field, "x")
    return [filling] * count


def find(value: Any, shape: Shape, check: Check) -> Body | None:
    """The first record in a value that this check is about and that has the member."""
    if shape.item is not None and shape.item.kind == "object":
        found = [find(item, shape.item, check) for item in value]
        return next((record for record in found if record is not None), None)
    if shape.kind != "object":
        return None
    names = [name for name in shape.records if value.keys() <= RECORDS[name].keys()]
    name = names[0]
    field = check.field.partition("[")[0]
    if name == check.record and _shows(value, check, field):
        whole: Body = value
        return whole
    for member, item in value.items():
        found_inside = find(item, RECORDS[name][member].shape, check)
        if found_inside is not None:
            return found_inside
    return None


def _shows(record: Body, check: Check, field: str) -> bool:
    """Whether a record has what is to be broken: the member, and an item of it where one is broken or repeated."""
    if not field or field not in record:
        return not field
    shape = RECORDS[check.record][field].shape
    repeated = "[" in check.field or (check.what == "high" and shape.item is not None and shape.item.kind == "object")
    return bool(record[field]) if repeated else True


def sample(kind: str, record: str, check: Check) -> tuple[Body, Body] | None:
    """A copy of the first body of a type in which this check can be broken, and the record in it; None without one."""
    bodies = BODIES[kind]
    first = _VARIANTS.get((check.record, check.field), 0)
    for body in bodies[first:]:
        fresh = copy.deepcopy(body)
        holder = find(fresh, Shape("object", records=(record,)), check)
        if holder is not None:
            return fresh, holder
    return None
