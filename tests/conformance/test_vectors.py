"""Vector files: what is refused, and that all of the specification's fit their schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bots.conformance.operations import OPERATIONS
from bots.conformance.vectors import MANIFEST, SCHEMA, load
from bots.errors import ConfigError
from clawnet_proto import specification
from clawnet_proto.specification import ERRORS
from tests.conformance.samples import Vector, conversation, folder, malformed, trace, uri, uris

FOLDER = specification.directory() / "vectors"
FILES = sorted(path.name for path in FOLDER.glob("*.json") if path.name not in (MANIFEST, SCHEMA))


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    schema = json.loads((FOLDER / SCHEMA).read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_specification_has_vectors_and_the_runner_reads_them_all() -> None:
    files = load(FOLDER)
    assert [f"{file.subject}.json" for file in files] == FILES
    assert sum(len(file.vectors) for file in files) >= 400


@pytest.mark.parametrize("name", FILES)
def test_every_file_fits_the_schema(schema: jsonschema.Draft202012Validator, name: str) -> None:
    file = json.loads((FOLDER / name).read_text("utf-8"))
    # One by one, so that a fault names its vector.
    for vector in file["vectors"]:
        error = jsonschema.exceptions.best_match(schema.iter_errors({**file, "vectors": [vector]}))
        assert error is None, f"{vector['id']}: {error.message}"


def test_the_schema_knows_all_operations_and_stages(schema: jsonschema.Draft202012Validator) -> None:
    definitions = schema.schema["$defs"]  # type: ignore[index]
    assert set(definitions["exchange"]["properties"]["op"]["enum"]) == set(OPERATIONS)
    assert {branch["if"]["properties"]["op"]["const"] for branch in definitions["exchange"]["allOf"]} == set(OPERATIONS)
    assert set(definitions["stage"]["enum"]) == {rule.stage for rule in ERRORS.values()}


def test_every_operation_of_the_specification_is_known() -> None:
    text = (specification.directory() / "testee.md").read_text("utf-8").partition("## Operations")[2]
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    named = {row.strip("`") for row in rows if row.strip("`") in OPERATIONS or "." in row}
    assert named == set(OPERATIONS)


def closed(value: Any, path: str = "") -> None:
    """Every object that lists its members allows no others."""
    if isinstance(value, dict):
        if "properties" in value and value.get("type") == "object":
            assert value.get("additionalProperties") is False, path
        for key, inner in value.items():
            closed(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            closed(inner, f"{path}/{index}")


def test_the_schema_is_closed(schema: jsonschema.Draft202012Validator) -> None:
    closed(schema.schema)


STATE: Vector = {"peers": {}, "conflicts": {}, "live": [], "messages": {}, "tasks": {}}


@pytest.mark.parametrize("vector", [uri("a"), malformed(), conversation("a", "b"), trace("x", state=STATE)])
def test_the_schema_takes_all_forms(schema: jsonschema.Draft202012Validator, vector: Vector) -> None:
    assert schema.is_valid({"subject": "sample", "about": "samples", "vectors": [vector]})


WRONG: dict[str, Vector] = {
    "an unknown member": uri("a", note="x"),
    "no expectation": {name: value for name, value in uri("a").items() if name != "expect"},
    "two expectations": uri("a", expect={"ok": {}, "error": "size.carrier"}),
    "an unknown operation": uri("a", op="guess"),
    "an unknown class": uri("a", **{"class": "king"}),
    "steps beside a request": uri("a", steps=conversation("b")["steps"]),
    "no step": {**conversation("a"), "steps": []},
    "a room without a trace": uri("a", room="matrix:roomid/a"),
    "a trace without a state": {name: value for name, value in trace("x").items() if name != "state"},
    "all orders of seven": trace(*"abcdefg"),
    "no order": trace("x", orders=[]),
}
UNSAID_BY_THE_SCHEMA: dict[str, Vector] = {"an order of what is not there": trace("x", orders=[[0, 1]])}
UNSAID_BY_THE_RUNNER: dict[str, Vector] = {
    "an unknown member of a request": uri("a", request={"id": "@a:b", "x": 1}),
    "an answer of another operation": uri("a", expect={"ok": {"text": ""}}),
    "an error without a stage": {name: value for name, value in malformed().items() if name != "stage"},
    "a stage without an error": uri("a", stage="key"),
    "what opens where nothing is sealed": uri("a", expect={"opens": {"secret": "", "info": "", "plaintext": ""}}),
}


@pytest.mark.parametrize("vector", (WRONG | UNSAID_BY_THE_SCHEMA).values(), ids=(WRONG | UNSAID_BY_THE_SCHEMA).keys())
def test_what_the_runner_refuses(tmp_path: Path, vector: Vector) -> None:
    with pytest.raises(ConfigError, match="cannot be understood") as caught:
        load(folder(tmp_path, {"sample": [vector]}))
    assert caught.value.code == "conformance.vectors"


@pytest.mark.parametrize("vector", (WRONG | UNSAID_BY_THE_RUNNER).values(), ids=(WRONG | UNSAID_BY_THE_RUNNER).keys())
def test_what_the_schema_refuses(schema: jsonschema.Draft202012Validator, vector: Vector) -> None:
    assert not schema.is_valid({"subject": "sample", "about": "samples", "vectors": [vector]})


def drop(path: Path) -> None:
    (path / "b.json").unlink()


def change(path: Path) -> None:
    text = (path / "b.json").read_text()
    (path / "b.json").write_text(text.replace("example.org", "example.net"))


def add(path: Path) -> None:
    (path / "c.json").write_text((path / "b.json").read_text())


def miscount(path: Path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"][1]["vectors"] += 1
    (path / MANIFEST).write_text(json.dumps(manifest))


def garble(path: Path) -> None:
    (path / MANIFEST).write_text("{")


def lose(path: Path) -> None:
    (path / MANIFEST).unlink()


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (drop, "b.json is missing."),
        (change, "b.json is not the one of the manifest."),
        (add, "c.json is not in the manifest."),
        (miscount, "b.json does not hold the 3 vectors of the manifest."),
        (garble, "cannot be understood: "),
        (lose, "manifest.json cannot be read: No such file or directory."),
    ],
)
def test_files_that_differ_from_the_manifest(tmp_path: Path, damage: Callable[[Path], None], sentence: str) -> None:
    path = folder(tmp_path / "vectors", {"a": [uri("a")], "b": uris(2)})
    assert [len(file.vectors) for file in load(path)] == [1, 2]
    damage(path)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert sentence in caught.value.message
    assert "--vectors" in caught.value.hint


def test_two_vectors_with_one_id(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two vectors uri-a"):
        load(folder(tmp_path, {"a": [uri("a")], "b": [uri("a")]}))


def test_a_trace_is_told_in_all_its_orders(tmp_path: Path) -> None:
    (file,) = load(folder(tmp_path, {"a": [trace("x", "y", "z"), trace("x", "y", orders=[[1, 0, 1], [0]], id="some")]}))
    every, some = file.vectors
    orders = [conversation.order for conversation in every.conversations()]
    assert len(orders) == len(set(orders)) == 6
    conversations = list(some.conversations())
    assert [[step.request.get("address") for step in item.steps] for item in conversations] == [
        [None, "y", "x", "y", None],
        [None, "x", None],
    ]
    assert [step.op for step in conversations[1].steps] == ["mesh.reset", "mesh.add", "mesh.state"]
    assert [json.loads(line)["op"] for line in conversations[1].lines] == ["mesh.reset", "mesh.add", "mesh.state"]
