"""What the stage *schema* demands of a body beyond its tables (SIG-9); each check can be left out by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from tests.vectors.breaking import UNREACHABLE
from tests.vectors.shapes import BODIES, RECORDS, Check, Fitting, checks
from tests.vectors.writing import LIMITS, TYPES, digest

_ROW_MUTANTS = (
    "recipients-of-none-pass", "missing-recipients-pass", "two-recipients-pass", "missing-thread-passes",
    "missing-answers-passes", "forbidden-thread-passes", "forbidden-answers-passes",
)  # fmt: skip
_RULE_MUTANTS = (
    "repeated-inputs-pass", "repeated-stages-pass", "stage-may-hide-input", "unknown-sources-pass", "own-source-passes",
    "later-sources-pass", "public-input-without-text-passes", "sealed-input-with-text-passes", "input-text-unbounded",
    "input-bytes-unbounded", "input-digests-unchecked", "texts-before-digests", "digests-decoded",
    "result-without-output-passes", "result-with-two-outputs-passes", "award-input-without-content-passes",
    "award-input-with-two-contents-passes", "output-text-unbounded", "output-bytes-unbounded",
    "output-digests-unchecked", "digest-of-normalised-text", "digest-of-trimmed-text",
    "artifact-with-more-chunks-passes", "artifact-with-fewer-chunks-passes", "award-artifacts-unchecked",
)  # fmt: skip
_SHAPE_MUTANTS = tuple(
    check.name
    for record in RECORDS
    for check in checks(record)
    if (check.record, check.field, check.what) not in UNREACHABLE
)
BODY_MUTANTS = ("body-form-unchecked", "required-unread", *_ROW_MUTANTS, *_RULE_MUTANTS, *_SHAPE_MUTANTS)
_UNBOUNDED = {"Result": "output-text-unbounded", "Input": "input-text-unbounded"}


class BodyJudge:
    """Judges the body of an envelope that fits its own schema. ``lacks`` says whether a check is left out."""

    def __init__(self, broken: str, lacks: Callable[[str], bool]) -> None:
        # What bounds a text in characters is not seen alone: a text that breaks it breaks the bound in bytes too.
        lacking = next((Check(name, "text", "high").name for name in _UNBOUNDED if lacks(_UNBOUNDED[name])), broken)
        self._fitting = Fitting(lacking)
        self._lacks = lacks

    def judge(self, envelope: dict[str, Any]) -> str:
        """The code of the first fault, "" if there is none."""
        kind, body = envelope["type"], envelope["body"]
        shaped = isinstance(body, dict) or not self._lacks("body-form-unchecked")
        if (shaped and not self._fitting.fits(BODIES[kind], body)) or not self._row_holds(envelope):
            return "schema.body"
        if kind == "task.request":
            return self._request(body)
        if kind == "task.award":
            return self._award(body)
        return self._result(body) if kind == "task.result" else ""

    def _row_holds(self, envelope: dict[str, Any]) -> bool:
        row, count = TYPES[envelope["type"]], len(envelope.get("recipients", ()))
        if row["recipients"] == "none" and count and not self._lacks("recipients-of-none-pass"):
            return False
        if row["recipients"] == "one" and not count and not self._lacks("missing-recipients-pass"):
            return False
        if row["recipients"] == "one" and count > 1 and not self._lacks("two-recipients-pass"):
            return False
        for name in ("thread", "answers"):
            if row[name] == "required" and name not in envelope and not self._lacks(f"missing-{name}-passes"):
                return False
            if row[name] == "forbidden" and name in envelope and not self._lacks(f"forbidden-{name}-passes"):
                return False
        return True

    def _request(self, body: dict[str, Any]) -> str:
        inputs: list[str] = []
        for item in body["inputs"]:
            if item.get("name") in inputs and not self._lacks("repeated-inputs-pass"):
                return "schema.body"
            inputs.append(item.get("name"))
        stages: list[str] = []
        later = [stage.get("id") for stage in body["stages"]] if self._lacks("later-sources-pass") else []
        for stage in body["stages"]:
            name = stage.get("id")
            if name in inputs and not self._lacks("stage-may-hide-input"):
                return "schema.body"
            if name in stages and not self._lacks("repeated-stages-pass"):
                return "schema.body"
            known = [*inputs, *stages, *later, *([name] if self._lacks("own-source-passes") else [])]
            sources = [part["source"] for part in stage["prompt"] if part.get("part") == "data"]
            if not all(source in known for source in sources) and not self._lacks("unknown-sources-pass"):
                # A verifier that only lacks the order of stages still knows that a source must be somewhere.
                return "schema.body"
            stages.append(name)
        return self._inputs(body)

    def _inputs(self, body: dict[str, Any]) -> str:
        public = body["privacy"] == "public"
        if self._lacks("texts-before-digests") and not all("text" in item for item in body["inputs"] if public):
            return "schema.body"
        for item in body["inputs"]:
            if public and "text" not in item and not self._lacks("public-input-without-text-passes"):
                return "schema.body"
            if not public and "text" in item and not self._lacks("sealed-input-with-text-passes"):
                return "schema.body"
            code = self._text(item, "digest", "input")
            if code:
                return code
        return ""

    def _text(self, holder: dict[str, Any], name: str, what: str) -> str:
        """TASK-4 and TASK-38."""
        if "text" not in holder:
            return ""
        text = holder["text"].encode()
        unbounded = self._lacks(f"{what}-bytes-unbounded") or self._lacks(f"{what}-text-unbounded")
        if len(text) > LIMITS["inline_text_bytes"] and not unbounded:
            return "schema.body"
        if what == "output" and self._lacks("digest-of-normalised-text"):
            text = unicodedata.normalize("NFC", holder["text"]).encode()
        if what == "output" and self._lacks("digest-of-trimmed-text"):
            text = holder["text"].strip().encode()
        right, told = digest(text), holder[name]
        if self._lacks("digests-decoded") and told[:-1] == right[:-1]:
            return ""
        return "" if told == right or self._lacks(f"{what}-digests-unchecked") else "digest.mismatch"

    def _award(self, body: dict[str, Any]) -> str:
        for item in body.get("inputs", ()):
            count = ("sealed" in item) + ("artifact" in item)
            if count == 0 and not self._lacks("award-input-without-content-passes"):
                return "schema.body"
            if count > 1 and not self._lacks("award-input-with-two-contents-passes"):
                return "schema.body"
            if not self._chunks_fit(item) and not self._lacks("award-artifacts-unchecked"):
                return "schema.body"
        return ""

    def _result(self, body: dict[str, Any]) -> str:
        count = sum(name in body for name in ("text", "sealed", "artifact"))
        if count == 0 and not self._lacks("result-without-output-passes"):
            return "schema.body"
        if count > 1 and not self._lacks("result-with-two-outputs-passes"):
            return "schema.body"
        return self._text(body, "output_digest", "output") or ("" if self._chunks_fit(body) else "schema.body")

    def _chunks_fit(self, holder: dict[str, Any]) -> bool:
        """ART-1."""
        if "artifact" not in holder:
            return True
        artifact = holder["artifact"]
        count = -(-artifact["bytes"] // LIMITS["chunk_bytes"])
        if len(artifact["chunks"]) > count:
            return self._lacks("artifact-with-more-chunks-passes")
        return len(artifact["chunks"]) >= count or self._lacks("artifact-with-fewer-chunks-passes")
