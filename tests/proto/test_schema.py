"""The JSON Schemas in ``spec/schemas`` say what the code does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from clawnet_proto import schema
from clawnet_proto.carrier import sign
from clawnet_proto.families import BODIES, TYPE_OF, presence
from clawnet_proto.specification import ERRORS, STATES, TYPES, directory
from clawnet_proto.transcript import Writer
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.proto.faults import VALUES, copy

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in (directory() / "schemas").glob("*.json")}


def valid(name: str, value: Any) -> bool:
    return Draft202012Validator(SCHEMAS[name]).is_valid(value)


def test_the_schemas_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema.main([]) == 0, capsys.readouterr().err


def test_stale_and_superfluous_schemas_are_named_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schema, "directory", lambda: tmp_path)
    assert schema.main([]) == 1
    assert schema.main(["--write"]) == 0
    assert schema.main([]) == 0
    (tmp_path / "schemas" / "carrier.json").write_text("{}\n")
    (tmp_path / "schemas" / "task.dance.json").write_text("{}\n")
    capsys.readouterr()
    assert schema.main([]) == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        "spec/schemas/carrier.json",
        "spec/schemas/task.dance.json",
    ]
    assert schema.main(["--write"]) == 0
    assert schema.main([]) == 0


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert "\\Z" not in json.dumps(SCHEMAS[name])  # Python's, not JSON Schema's


@pytest.mark.parametrize("name", VALUES)
def test_each_message_fits_its_schema_and_no_other(name: str) -> None:
    assert [kind for kind in BODIES if valid(kind, VALUES[name])] == [name.split(maxsplit=1)[0]]


def objects(value: Any) -> list[dict[str, Any]]:
    """All objects in a message."""
    found = [value] if isinstance(value, dict) else []
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            found.extend(objects(item))
    return found


@pytest.mark.parametrize("name", VALUES)
def test_each_object_is_closed(name: str) -> None:
    value = copy(VALUES[name])
    assert objects(value)
    for holder in objects(value):
        holder["zzz"] = 1
        assert not valid(name.split(maxsplit=1)[0], value)
        del holder["zzz"]
    assert valid(name.split(maxsplit=1)[0], value)


@pytest.mark.parametrize("name", VALUES)
def test_no_member_may_be_null(name: str) -> None:
    value = copy(VALUES[name])
    for holder in objects(value):
        for key in list(holder):
            kept, holder[key] = holder[key], None
            assert not valid(name.split(maxsplit=1)[0], value), key
            holder[key] = kept


def test_carriers_and_transcripts_fit_their_schemas(alice: Author) -> None:
    carrier = json.loads(sign(alice.key, alice.envelope(presence.Leave(revision=1)))[0])
    writer = Writer()
    header = json.loads(writer.header(created_ms=NOW_MS, recorder=alice.address))
    entry = json.loads(
        writer.entry(
            transport="matrix",
            plane="room",
            room=ROOM,
            sender=alice.address,
            event_id="$event",
            event="{}",
            received_ms=NOW_MS,
        )
    )
    for name, value in (("carrier", carrier), ("transcript.header", header), ("transcript.entry", entry)):
        assert valid(name, value)
        assert not valid(name, value | {"extra": 1})
        assert not any(valid(name, {key: value[key] for key in value if key != lost}) for lost in value)


def test_the_tables_name_the_same_things() -> None:
    assert set(TYPES) == set(BODIES) == set(TYPE_OF.values())
    assert set(SCHEMAS) == set(BODIES) | {"carrier", "transcript.header", "transcript.entry"}
    assert {rule.family for rule in TYPES.values()} == {kind.split(".")[0] for kind in TYPES}
    assert all(code == code.lower() and "." in code for code in ERRORS)
    for table in STATES.values():
        events = {event for events in table.transitions.values() for event in events}
        reached = {state for events in table.transitions.values() for state in events.values()}
        assert reached | {table.initial} == set(table.transitions)
        assert set(table.terminal) < set(table.transitions)
        assert not table.order or set(table.order) == events
