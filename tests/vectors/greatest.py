"""Bodies whose members are as long, great and many as the tables allow."""

from __future__ import annotations

from typing import Any

from tests.vectors.breaking import many
from tests.vectors.samples import ANNOUNCE, BODIES, LEAST_REQUEST, LEAST_RESULT, LEAST_STAGE, REQUEST, rotate, some_id
from tests.vectors.shapes import MOST, RECORDS, Shape

# Four bytes in UTF-8 and two units in UTF-16, but one character (TERM-6).
FACE = "\U0001f600"


def _greatest(shape: Shape, old: Any, record: str, field: str) -> Any:
    """The greatest value of a shape, made from one that a sample has."""
    if shape.words or shape.kind in ("boolean", "any"):
        return old
    if shape.kind == "integer":
        return shape.high
    if shape.kind == "text":
        if shape.low == shape.high:
            return old
        if not shape.pattern:
            return FACE * shape.high
        return ("9" if shape.pattern.startswith("[1-9]") else "z") * shape.high
    if shape.kind == "object":
        return greatest(shape.records[0], old)
    item = shape.item
    assert item is not None
    one = greatest(item.records[0], old[0]) if item.kind == "object" else _greatest(item, old[0], record, field)
    return many(record, field, [one], shape.high)


def greatest(record: str, sample: dict[str, Any]) -> dict[str, Any]:
    """A record with every member at its greatest."""
    fields = RECORDS[record]
    return {name: _greatest(fields[name].shape, item, record, name) for name, item in sample.items()}


_PARTS = [{"part": "text", "text": "x"}, {"part": "data", "source": "question", "form": "block"}]
_FULL_PARAMETERS = greatest("Parameters", REQUEST["stages"][1]["parameters"])
_ATTEMPT = {"stage": "s" * 32, "attempt": 1000}
_LONG = "x" * 16000

GREATEST: list[tuple[str, str, dict[str, Any]]] = [
    ("identity.rotate", "a chain of 16", rotate(16)),
    ("identity.revoke", "a chain of 16", {"chain": rotate(16)["chain"], "since_ms": MOST, "reason": FACE * 300}),
    ("presence.announce", "all members at their greatest", greatest("Announce", ANNOUNCE)),
    ("presence.leave", "all members at their greatest", greatest("Leave", BODIES["presence.leave"][1])),
    ("handshake.hello", "all members at their greatest", greatest("Hello", BODIES["handshake.hello"][1])),
    ("handshake.accept", "all members at their greatest", greatest("Accept", BODIES["handshake.accept"][1])),
    ("handshake.confirm", "all members at their greatest", greatest("Confirm", BODIES["handshake.confirm"][0])),
    ("task.request", "as many inputs and stages as can be", LEAST_REQUEST | {
        "title": FACE * 300,
        "inputs": many("Request", "inputs", [], 8),
        "stages": many("Request", "stages", [LEAST_STAGE], 16),
        "lease_ms": 3_600_000,
        "hops": 8,
        "preferences": greatest("Preferences", REQUEST["preferences"]),
        "on_behalf_of": greatest("OnBehalfOf", REQUEST["on_behalf_of"]),
    }),
    ("task.request", "a prompt of 32 parts and the longest names", LEAST_REQUEST | {
        "inputs": [LEAST_REQUEST["inputs"][0], LEAST_REQUEST["inputs"][0] | {"name": "i" * 32}],
        "stages": [LEAST_STAGE | {"id": "s" * 32, "prompt": _PARTS * 16, "parameters": _FULL_PARAMETERS,
                                  "needs": greatest("Needs", REQUEST["stages"][1]["needs"])}],
    }),
    ("task.request", "a text part of 16000 characters", LEAST_REQUEST | {
        "stages": [LEAST_STAGE | {"prompt": [{"part": "text", "text": _LONG}]}]
    }),
    ("task.offer", "all members at their greatest", greatest("Offer", BODIES["task.offer"][1])),
    ("task.award", "sixteen sealed inputs", _ATTEMPT | {
        "lease_ms": 3_600_000,
        "inputs": [{"source": FACE * 32, "digest": some_id("sealed question"), "sealed": "c2Vh"}] * 16,
    }),
    ("task.award", "a sealed input of 32000 characters", BODIES["task.award"][0] | {
        "inputs": [{"source": "question", "digest": some_id("sealed question"), "sealed": "A" * 32000}],
    }),
    ("task.start", "all members at their greatest", greatest("Start", BODIES["task.start"][1])),
    ("task.progress", "a text of 16000 characters", _ATTEMPT | {
        "index": MOST, "tokens": MOST, "offset": MOST, "text": _LONG
    }),
    ("task.progress", "text and sealed, which the fold judges", BODIES["task.progress"][1] | {"sealed": "c2VhbGVk"}),
    ("task.ask", "a question of 16000 characters", _ATTEMPT | {"question": _LONG}),
    ("task.ask", "a question of 10000 characters in 20000 bytes", _ATTEMPT | {"question": "\u00e9" * 10_000}),
    ("task.reply", "a text of 16000 characters", _ATTEMPT | {"text": _LONG}),
    ("task.reply", "no text", _ATTEMPT | {"text": ""}),
    ("task.result", "sixteen inputs and all other members at their greatest", LEAST_RESULT | _ATTEMPT | {
        "inputs": [{"source": FACE * 32, "digest": some_id("input")}] * 16,
        "model": FACE * 64,
        "model_digest": FACE * 71,
        "parameters": _FULL_PARAMETERS,
        "media_type": FACE * 64,
        "usage": dict.fromkeys(LEAST_RESULT["usage"], MOST),
    }),
    ("task.fail", "all members at their greatest", greatest("Fail", BODIES["task.fail"][0]) | {"retryable": True}),
    ("task.cancel", "a reason of 300 characters", {"reason": FACE * 300}),
    ("task.close", "all members at their greatest", greatest("Close", BODIES["task.close"][1])),
]  # fmt: skip
