"""Vectors of the bodies: each type in its least and its greatest form, each demand of the tables, each rule."""

from __future__ import annotations

import copy
from typing import Any

from tests.vectors.body_rules import add_rules
from tests.vectors.breaking import UNREACHABLE, Breaker, sample
from tests.vectors.greatest import GREATEST
from tests.vectors.samples import BODIES, OTHERS, envelope, signer, some_id
from tests.vectors.shapes import BODIES as RECORD_OF
from tests.vectors.shapes import RECORDS, Check, Shape, checks
from tests.vectors.writing import TYPES, Subject, Vector, b64, message_id, text_of


def _request(kind: str, body: dict[str, Any], **members: Any) -> tuple[Vector, Vector]:
    """What is asked of a testee, and what it answers if nothing is wrong."""
    value = envelope(kind, body, **members)
    text = text_of(value)
    carrier = signer(kind, body).carrier(text)
    answer = {"id": message_id(text.encode()), "sender": value["sender"], "kid": value["kid"], "type": kind}
    return {"carrier": b64(carrier)}, answer


def records_of(kind: str) -> list[str]:
    """The record of a type's body, and all records inside it."""
    found: list[str] = []

    def visit(shape: Shape) -> None:
        for name in shape.records:
            if name not in found:
                found.append(name)
                for field in RECORDS[name].values():
                    visit(field.shape)
        if shape.item is not None:
            visit(shape.item)

    visit(Shape("object", records=(RECORD_OF[kind],)))
    return found


def _forms(subject: Subject) -> None:
    for kind, bodies in BODIES.items():
        for number, body in enumerate(bodies):
            request, answer = _request(kind, body)
            form = "as short as can be" if number == 0 else f"in form {number + 1}"
            subject.ok(f"{kind} {form}", "MSG-11 SIG-9", "verify", request, answer)
    for kind, about, body in GREATEST:
        request, answer = _request(kind, body)
        subject.ok(f"{kind} with {about}", "MSG-11 LIM-1 TERM-6", "verify", request, answer)


_SAID = {
    "seal_key": "ID-8 TERM-1",
    "next_key_digest": "ID-7",
    "commitment": "ID-19",
    "recipients": "LIM-1",
    "chain": "LIM-1",
    "versions": "VER-1",
    "version": "VER-1",
}
"""What the chapters require of single members."""


def _requirements(check: Check) -> str:
    if check.what == "extra":
        return "MSG-11 MSG-24 VER-7"
    if check.field in _SAID:
        return f"MSG-11 {_SAID[check.field]}"
    return "MSG-11 MSG-16" if check.what == "line-feed" else "MSG-11"


def _demands(subject: Subject) -> None:
    breaker = Breaker()
    seen: set[str] = set()
    for kind in BODIES:
        for record in records_of(kind):
            for check in checks(record):
                # A record that several types share is broken in each detail once, and in each type by a member more.
                if (record in seen and check.what != "extra") or (record, check.field, check.what) in UNREACHABLE:
                    continue
                found = sample(kind, RECORD_OF[kind], check)
                if found is None:
                    raise ValueError(f"no sample of {kind} shows {check}")
                body, holder = found
                words = breaker.broken(holder, check)
                request, _ = _request(kind, body)
                place = "" if record == RECORD_OF[kind] else f" in {record}"
                about = f"{kind}{place}: {words}"
                vector = subject.error(about, _requirements(check), "verify", request, "schema.body", check.name)
                vector["id"] = f"bodies-{kind}-{record}-{check.field or 'record'}-{check.what}".replace("[]", "-item")
            seen.add(record)


def _rows(subject: Subject) -> None:
    """Recipients, thread and answers of each type."""
    for kind, bodies in BODIES.items():
        row, body = TYPES[kind], copy.deepcopy(bodies[0])
        faults: list[tuple[str, str, dict[str, Any], str]] = []
        if row["recipients"] == "none":
            faults.append(("with a recipient", "MSG-18", {"recipients": [OTHERS[0].did]}, "recipients-of-none-pass"))
        if row["recipients"] == "one":
            two = {"recipients": [other.did for other in OTHERS]}
            faults.append(("without recipients", "MSG-18", {"recipients": None}, "missing-recipients-pass"))
            faults.append(("with two recipients", "MSG-18", two, "two-recipients-pass"))
        for name in ("thread", "answers"):
            if row[name] == "required":
                faults.append((f"without {name}", "MSG-19", {name: None}, f"missing-{name}-passes"))
            else:
                faults.append((f"with {name}", "MSG-19", {name: some_id(name)}, f"forbidden-{name}-passes"))
        for about, requirement, members, kills in faults:
            value = envelope(kind, body)
            value = {name: item for name, item in (value | members).items() if item is not None}
            carrier = signer(kind, body).carrier(value)
            request = {"carrier": b64(carrier)}
            subject.error(f"{kind} {about}", f"{requirement} SIG-9", "verify", request, "schema.body", kills)


def build() -> Subject:
    """All vectors of the subject."""
    subject = Subject("bodies", "the bodies of all types: their forms, what each member may be, and their own rules")
    _forms(subject)
    _demands(subject)
    _rows(subject)
    add_rules(subject)
    return subject
