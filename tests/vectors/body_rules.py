"""Vectors of the rules that a body's members obey together: TASK-1 to TASK-4, TASK-37, TASK-38 and ART-1."""

from __future__ import annotations

import copy
from typing import Any

from tests.vectors.samples import (
    ARTIFACT,
    ARTIFACT_RESULT,
    BODIES,
    LEAST_REQUEST,
    LEAST_RESULT,
    LEAST_STAGE,
    PARAMETERS,
    REQUEST,
    SEALED_REQUEST,
    SEALED_RESULT,
    Body,
    envelope,
    public_input,
    some_id,
)
from tests.vectors.writing import ALICE, LIMITS, Subject, b64, digest, message_id, text_of

BYTES, CHUNK = LIMITS["inline_text_bytes"], LIMITS["chunk_bytes"]


def _data(source: str) -> Body:
    return {"part": "data", "source": source, "form": "line"}


def _stage(name: str, *sources: str) -> Body:
    return LEAST_STAGE | {"id": name, "prompt": [_data(source) for source in sources] or LEAST_STAGE["prompt"]}


def _request(**members: Any) -> Body:
    return LEAST_REQUEST | members


def _output(text: str, **members: Any) -> Body:
    return LEAST_RESULT | {"text": text, "output_digest": digest(text.encode())} | members


def artifact(length: int, chunks: int) -> Body:
    """An artifact of that many bytes in that many chunks."""
    chunk = ARTIFACT["chunks"][0]
    return {"digest": some_id("all bytes"), "bytes": length, "chunks": [chunk] * chunks}


def _artifact_result(length: int, chunks: int) -> Body:
    return ARTIFACT_RESULT | {"artifact": artifact(length, chunks)}


def _award(**members: Any) -> Body:
    item = {"source": "question", "digest": some_id("sealed question")} | members
    return BODIES["task.award"][0] | {"inputs": [item]}


_TWICE = [public_input("question", "Why?"), public_input("question", "How?")]
_SEALED = SEALED_REQUEST["inputs"][0]
_E = "\u00e9"

GOOD: list[tuple[str, str, str, Body]] = [
    ("a stage reads an input and the stage before it", "TASK-2", "task.request",
     _request(stages=[_stage("a"), _stage("b", "question", "a", "question")])),
    ("a chain of three stages", "TASK-2", "task.request",
     _request(stages=[_stage("a"), _stage("b", "a"), _stage("c", "a", "b")])),
    ("an input that no stage reads", "TASK-2", "task.request", _request(stages=[_stage("a")])),
    ("names that differ in one character", "TASK-1", "task.request",
     _request(inputs=[public_input("a", "1"), public_input("a-", "1"), public_input("a_", "1")], stages=[_stage("0")])),
    ("an input of no text", "TASK-4", "task.request", _request(inputs=[public_input("question", "")])),
    ("an input of 16000 bytes", "TASK-4", "task.request", _request(inputs=[public_input("question", "x" * BYTES)])),
    ("an input of 16000 bytes in 8000 characters", "TASK-4 TERM-6", "task.request",
     _request(inputs=[public_input("question", _E * (BYTES // 2))])),
    ("sealed, without texts", "TASK-3", "task.request",
     SEALED_REQUEST | {"inputs": [_SEALED, _SEALED | {"name": "other"}]}),
    ("a text of 16000 bytes", "TASK-38", "task.result", _output("x" * BYTES)),
    ("a text of 16000 bytes in 4000 characters", "TASK-38 TERM-6", "task.result", _output("\U0001f600" * (BYTES // 4))),
    ("a text with a line feed and a NUL", "TASK-38 TERM-3", "task.result", _output("a\n\0b")),
    ("a text that is not normalised", "TASK-38 TERM-3 TERM-7", "task.result", _output("e\u0301 \u00e9")),
    ("an artifact of one byte", "ART-1", "task.result", _artifact_result(1, 1)),
    ("an artifact of one whole chunk", "ART-1", "task.result", _artifact_result(CHUNK, 1)),
    ("an artifact of one chunk and a byte", "ART-1", "task.result", _artifact_result(CHUNK + 1, 2)),
    ("an artifact of 64 whole chunks", "ART-1", "task.result", _artifact_result(64 * CHUNK, 64)),
    ("a sealed text whose digest nobody can check here", "TASK-51", "task.result",
     SEALED_RESULT | {"output_digest": "x" * 43}),
]  # fmt: skip

# about | requirements | type | body | code | the verifier that lacks the check
FAULTY: list[tuple[str, str, str, Body, str, str]] = [
    ("two inputs of one name", "TASK-1", "task.request", _request(inputs=_TWICE), "schema.body",
     "repeated-inputs-pass"),
    ("two stages of one id", "TASK-1", "task.request", _request(stages=[_stage("a"), _stage("a")]), "schema.body",
     "repeated-stages-pass"),
    ("a stage with the name of an input", "TASK-1", "task.request", _request(stages=[_stage("question")]),
     "schema.body", "stage-may-hide-input"),
    ("a source that does not exist", "TASK-2", "task.request", _request(stages=[_stage("a", "nowhere")]),
     "schema.body", "unknown-sources-pass"),
    ("a stage that reads itself", "TASK-2", "task.request", _request(stages=[_stage("a", "a")]), "schema.body",
     "own-source-passes"),
    ("a stage that reads a later one", "TASK-2", "task.request", _request(stages=[_stage("a", "b"), _stage("b")]),
     "schema.body", "later-sources-pass"),
    ("two stages that read each other", "TASK-2", "task.request", _request(stages=[_stage("a", "b"), _stage("b", "a")]),
     "schema.body", "later-sources-pass"),
    ("a source in upper case", "TASK-2 TERM-7", "task.request", _request(stages=[_stage("a"), _stage("b", "A")]),
     "schema.body", "unknown-sources-pass"),
    ("public, an input without text", "TASK-3", "task.request", _request(inputs=[_SEALED]), "schema.body",
     "public-input-without-text-passes"),
    ("sealed, an input with text", "TASK-3", "task.request", _request(privacy="sealed"), "schema.body",
     "sealed-input-with-text-passes"),
    ("sealed, the second input with text", "TASK-3", "task.request",
     SEALED_REQUEST | {"inputs": [_SEALED, public_input("other", "Why?")]}, "schema.body",
     "sealed-input-with-text-passes"),
    ("an input of 16001 bytes in 16001 characters", "TASK-4", "task.request",
     _request(inputs=[public_input("question", "x" * (BYTES + 1))]), "schema.body", "input-text-unbounded"),
    ("an input of 16002 bytes in 8001 characters", "TASK-4 TERM-6", "task.request",
     _request(inputs=[public_input("question", _E * (BYTES // 2 + 1))]), "schema.body", "input-bytes-unbounded"),
    ("an input with the digest of another text", "TASK-4", "task.request",
     _request(inputs=[public_input("question", "Why?") | {"digest": digest(b"How?")}]), "digest.mismatch",
     "input-digests-unchecked"),
    ("the second input with the digest of the first", "TASK-4", "task.request",
     REQUEST | {"inputs": [REQUEST["inputs"][0], REQUEST["inputs"][1] | {"digest": REQUEST["inputs"][0]["digest"]}]},
     "digest.mismatch", "input-digests-unchecked"),
    ("an input with the digest in the other alphabet", "TASK-4 TERM-8", "task.request",
     _request(inputs=[public_input("question", "4") | {"digest": digest(b"4").replace("-", "+").replace("_", "/")}]),
     "digest.mismatch", "input-digests-unchecked"),
    ("an input with spare bits in its digest", "TASK-4 TERM-8", "task.request",
     _request(inputs=[public_input("question", "Why?") | {"digest": digest(b"Why?")[:-1] + "5"}]), "digest.mismatch",
     "digests-decoded"),
    ("a temperature of seven tenths", "TERM-5 CAN-6", "task.request",
     _request(stages=[LEAST_STAGE | {"parameters": PARAMETERS | {"temperature_milli": 0.7}}]), "canonical.number",
     "fractions-pass"),
    ("a temperature in thousandths, and a half of one", "TERM-5 CAN-6", "task.request",
     _request(stages=[LEAST_STAGE | {"parameters": PARAMETERS | {"temperature_milli": 700.5}}]), "canonical.number",
     "fractions-pass"),
    ("a result with neither text nor sealed nor artifact", "TASK-37", "task.result",
     {name: item for name, item in SEALED_RESULT.items() if name != "sealed"}, "schema.body",
     "result-without-output-passes"),
    ("a result with text and sealed", "TASK-37", "task.result", LEAST_RESULT | {"sealed": "c2VhbGVk"}, "schema.body",
     "result-with-two-outputs-passes"),
    ("a result with text and artifact", "TASK-37", "task.result",
     LEAST_RESULT | {"artifact": ARTIFACT}, "schema.body", "result-with-two-outputs-passes"),
    ("a result with sealed and artifact", "TASK-37", "task.result", SEALED_RESULT | {"artifact": ARTIFACT},
     "schema.body", "result-with-two-outputs-passes"),
    ("a result with all three outputs", "TASK-37", "task.result",
     LEAST_RESULT | {"sealed": "c2VhbGVk", "artifact": ARTIFACT}, "schema.body", "result-with-two-outputs-passes"),
    ("an award's input with neither sealed nor artifact", "TASK-37", "task.award", _award(), "schema.body",
     "award-input-without-content-passes"),
    ("an award's input with sealed and artifact", "TASK-37", "task.award",
     _award(sealed="c2VhbGVk", artifact=ARTIFACT), "schema.body", "award-input-with-two-contents-passes"),
    ("a text of 16001 bytes in 16001 characters", "TASK-38", "task.result", _output("x" * (BYTES + 1)), "schema.body",
     "output-text-unbounded"),
    ("a text of 16001 bytes in 15998 characters", "TASK-38 TERM-6", "task.result",
     _output("\U0001f600" + "x" * (BYTES - 3)), "schema.body", "output-bytes-unbounded"),
    ("a text with the digest of another", "TASK-38", "task.result", _output("4", output_digest=digest(b"5")),
     "digest.mismatch", "output-digests-unchecked"),
    ("a text with the digest of its normalised form", "TASK-38 TERM-3", "task.result",
     _output("e\u0301", output_digest=digest(_E.encode())), "digest.mismatch", "digest-of-normalised-text"),
    ("a text with the digest of its trimmed form", "TASK-38 TERM-3", "task.result",
     _output("four\n", output_digest=digest(b"four")), "digest.mismatch", "digest-of-trimmed-text"),
    ("a text with spare bits in its digest", "TASK-38 TERM-8", "task.result",
     _output("Why?", output_digest=digest(b"Why?")[:-1] + "5"), "digest.mismatch", "digests-decoded"),
    ("an artifact of one whole chunk in two chunks", "ART-1", "task.result", _artifact_result(CHUNK, 2), "schema.body",
     "artifact-with-more-chunks-passes"),
    ("an artifact of one chunk and a byte in one chunk", "ART-1", "task.result", _artifact_result(CHUNK + 1, 1),
     "schema.body", "artifact-with-fewer-chunks-passes"),
    ("an artifact of one byte in 64 chunks", "ART-1", "task.result", _artifact_result(1, 64), "schema.body",
     "artifact-with-more-chunks-passes"),
    ("an artifact of 64 chunks in one", "ART-1", "task.result", _artifact_result(64 * CHUNK, 1), "schema.body",
     "artifact-with-fewer-chunks-passes"),
    ("an award's artifact with a chunk too many", "ART-1", "task.award", _award(artifact=artifact(CHUNK, 2)),
     "schema.body", "award-artifacts-unchecked"),
    ("an award's artifact with a chunk too few", "ART-1", "task.award", _award(artifact=artifact(CHUNK + 1, 1)),
     "schema.body", "award-artifacts-unchecked"),
    ("order of rules: a source that does not exist, and a wrong digest", "TASK-4 SIG-9", "task.request",
     _request(stages=[_stage("a", "nowhere")],
              inputs=[public_input("question", "Why?") | {"digest": digest(b"How?")}]), "schema.body",
     "unknown-sources-pass"),
    ("order of rules: a wrong digest, and a second input without text", "TASK-4 SIG-9", "task.request",
     _request(inputs=[public_input("question", "Why?") | {"digest": digest(b"How?")}, _SEALED | {"name": "other"}]),
     "digest.mismatch", "texts-before-digests"),
    ("order of rules: too many bytes, and a wrong digest", "TASK-38 SIG-9", "task.result",
     _output("\U0001f600" + "x" * (BYTES - 3), output_digest=digest(b"")), "schema.body", "output-bytes-unbounded"),
]  # fmt: skip


def add_rules(subject: Subject) -> None:
    """Adds the vectors of the rules."""
    for about, requirements, kind, body in GOOD:
        value = envelope(kind, copy.deepcopy(body))
        text = text_of(value)
        answer = {"id": message_id(text.encode()), "sender": ALICE.did, "kid": ALICE.did, "type": kind}
        subject.ok(f"{kind}: {about}", requirements, "verify", {"carrier": b64(ALICE.carrier(text))}, answer)
    for about, requirements, kind, body, code, kills in FAULTY:
        carrier = ALICE.carrier(envelope(kind, copy.deepcopy(body)))
        subject.error(f"{kind}: {about}", requirements, "verify", {"carrier": b64(carrier)}, code, kills)
