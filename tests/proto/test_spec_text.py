"""The specification's text agrees with its data, its schemas and itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from clawnet_proto import canonical, transcript
from clawnet_proto.artifact import Artifact, Chunk
from clawnet_proto.carrier import Carrier
from clawnet_proto.envelope import Envelope
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import BODIES, identity, presence, task
from clawnet_proto.families.task_prompt import render
from clawnet_proto.sealed_carrier import SealedCarrier
from clawnet_proto.specification import ERRORS, LIMITS, STATES, TYPES, directory

FOLDER = directory()
FILES = {path.relative_to(FOLDER).as_posix(): path.read_text("utf-8") for path in sorted(FOLDER.rglob("*.md"))}
PREFIX = {
    "01-terms.md": "TERM", "02-messages.md": "MSG", "03-canonical-text.md": "CAN", "04-identity.md": "ID",
    "05-signatures.md": "SIG", "06-presence.md": "PRE", "07-handshake.md": "HS", "08-task.md": "TASK",
    "09-errors.md": "ERR", "10-fold.md": "FOLD", "11-transcript.md": "TR", "12-limits.md": "LIM",
    "15-sealing.md": "SEAL", "16-artifacts.md": "ART", "17-versions.md": "VER",
    "18-bridging.md": "BR",
    "bindings/matrix.md": "MX", "bindings/http.md": "HTTP", "bindings/lan.md": "LAN",
    "bindings/activitypub.md": "AP",
}  # fmt: skip
HEAD = re.compile(r"^\*\*\[([A-Z]+-[1-9][0-9]*)\]\*\* ")
REFERENCE = re.compile(r"\[([A-Z]+-[1-9][0-9]*)\](?!\*\*)(?:\(([^)]*)\))?")
LINK = re.compile(r"\]\(([^)#]+)\)")


def tables(text: str) -> list[list[list[str]]]:
    """Every table of a text: its rows of cells, head first, rule left out."""
    found = []
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.M):
        lines = block.splitlines()
        found.append([cells(line) for line in (lines[0], *lines[2:])])
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def table(file: str, *head: str) -> list[list[str]]:
    """The rows of the one table of a file whose head begins with these cells."""
    found = [rows for rows in tables(FILES[file]) if tuple(rows[0][: len(head)]) == head]
    assert len(found) == 1, f"{file}: {len(found)} tables {head}"
    return found[0]


def blocks(text: str) -> list[str]:
    """Paragraphs and list items, without fenced code."""
    return [block for block in re.sub(r"```.*?```", "", text, flags=re.S).split("\n\n") if block.strip()]


def code(cell: str) -> str:
    return cell.strip("`")


def requirements() -> list[tuple[str, str]]:
    return [
        (file, match.group(1)) for file, text in FILES.items() for block in blocks(text) if (match := HEAD.match(block))
    ]


def test_every_file_is_listed_in_the_table_of_chapters() -> None:
    linked = set(LINK.findall(FILES["README.md"]))
    parts = ("vectors/", "testees/")
    assert {file for file in FILES if not file.startswith(parts)} - {"README.md"} <= linked
    assert set(PREFIX) <= set(FILES)


def test_requirement_ids_are_unique_and_of_their_chapter() -> None:
    found = requirements()
    ids = [name for _, name in found]
    assert len(ids) == len(set(ids))
    for file, name in found:
        assert name.partition("-")[0] == PREFIX[file]
    rows = table("README.md", "chapter", "ids")[1:]
    chapters = {row[0].partition("(")[2].rstrip(")"): row[1] for row in rows}
    assert {file: prefix for file, prefix in chapters.items() if prefix} == PREFIX


def test_requirement_ids_ascend() -> None:
    for prefix in PREFIX.values():
        numbers = [int(name.partition("-")[2]) for _, name in requirements() if name.startswith(f"{prefix}-")]
        assert numbers == sorted(numbers)
        assert numbers


@pytest.mark.parametrize("file", sorted(FILES))
def test_every_must_has_an_id(file: str) -> None:
    for block in blocks(FILES[file]):
        if "key words MUST" in block:
            continue
        if re.search(r"\bMUST\b|\bSHALL\b|\bREQUIRED\b", block):
            assert HEAD.match(block), block


@pytest.mark.parametrize("file", sorted(FILES))
def test_references_lead_somewhere(file: str) -> None:
    known = {name: where for where, name in requirements()}
    text = re.sub(r"```.*?```", "", FILES[file], flags=re.S)
    for name, target in REFERENCE.findall(text):
        if file == "README.md":
            continue  # there an id is an example
        assert name in known, name
        where = (FOLDER / file).parent / target if target else FOLDER / file
        assert where.resolve() == (FOLDER / known[name]).resolve(), f"{name} is in {known[name]}"
    for target in LINK.findall(text):
        assert ((FOLDER / file).parent / target).exists(), target


def test_error_table() -> None:
    rows = table("09-errors.md", "code", "stage")[1:]
    told = [[code(row[0]), *row[1:4], row[4].partition("]")[0].strip("["), row[5]] for row in rows]
    assert told == [
        [name, rule.stage, rule.disposition, "yes" if rule.retryable else "no", rule.reference, rule.meaning]
        for name, rule in ERRORS.items()
    ]


def test_order_of_checks_names_every_code_in_its_stage() -> None:
    listed = {
        name: row[0]
        for row in table("05-signatures.md", "stage", "what is checked")[1:]
        for name in re.findall(r"`([a-z_.]+)`", row[2])
    }
    assert listed == {name: rule.stage for name, rule in ERRORS.items()}


def test_every_code_is_explained_where_it_is_raised() -> None:
    explained = "".join(text for file, text in FILES.items() if file != "09-errors.md")
    for name in ERRORS:
        assert f"`{name}`" in explained, name


def test_type_table() -> None:
    rows = table("02-messages.md", "type", "planes")[1:]
    assert [[code(row[0]), *row[1:]] for row in rows] == [
        [
            name, ", ".join(rule.planes), rule.sender, rule.recipients, rule.thread, rule.answers,
            str(rule.lifetime_ms), str(rule.skew_ms), rule.expired, rule.unbound,
        ]
        for name, rule in TYPES.items()
    ]  # fmt: skip


def test_every_type_has_a_heading_in_the_chapter_of_its_family() -> None:
    chapter = {
        "identity": "04-identity.md", "presence": "06-presence.md", "handshake": "07-handshake.md",
        "task": "08-task.md",
    }  # fmt: skip
    for name, rule in TYPES.items():
        assert re.search(rf"^##+ `{re.escape(name)}`$", FILES[chapter[rule.family]], re.M), name


@pytest.mark.parametrize("machine, file", [("attempt", "08-task.md"), ("handshake", "07-handshake.md")])
def test_state_tables(machine: str, file: str) -> None:
    rule = STATES[machine]
    first = rule.order[0] if rule.order else "send_hello"
    head, *rows = table(file, "state", f"`{first}`")
    events = [code(cell) for cell in head[1:]]
    told = {
        code(row[0]): {event: code(cell) for event, cell in zip(events, row[1:], strict=True) if cell != "-"}
        for row in rows
    }
    assert told == {state: dict(after) for state, after in rule.transitions.items()}
    assert next(iter(told)) == rule.initial
    if rule.order:
        assert events == list(rule.order)
    # A terminal state is one that no message leaves.
    final = {"cancel", "lapse"}
    assert {state for state, after in told.items() if set(after) <= final} == set(rule.terminal)


def test_limits_table() -> None:
    rows = table("12-limits.md", "limit", "value")[1:]
    assert [(code(row[0]), int(row[1])) for row in rows] == list(msgspec.structs.asdict(LIMITS).items())


STRUCTS: list[Any] = [
    Carrier, Envelope, transcript.Header, transcript.Entry, *BODIES.values(),
    presence.Address, presence.ModelCard, presence.Compute, presence.Load, presence.Limits,
    presence.Confirmed,
    task.TextPart, task.DataPart, task.Parameters, task.Needs, task.Stage, task.Input, task.Preferences,
    identity.Link, Artifact, Chunk, SealedCarrier,
    task.OnBehalfOf, task.StageOffer, task.SealedInput, task.InputDigest, task.Usage, task.Accepted,
]  # fmt: skip


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_field_tables(struct: Any) -> None:
    """Each struct has one table of its fields, which says what is optional."""
    found = [
        rows for text in FILES.values() for rows in tables(text) if rows[0] == [struct.__name__, "type", "meaning"]
    ]
    assert len(found) == 1
    told = [(code(row[0]), row[1].endswith("optional")) for row in found[0][1:]]
    tag = struct.__struct_config__.tag_field
    fields = [(field.encode_name, field.default is UNSET) for field in msgspec.structs.fields(struct)]
    assert sorted(told) == sorted(([(tag, False)] if tag else []) + fields)


def test_every_schema_belongs_to_a_table() -> None:
    names = {path.stem for path in (FOLDER / "schemas").glob("*.json")}
    assert names == {"carrier", "transcript.header", "transcript.entry", *TYPES}


def test_examples_of_canonical_text() -> None:
    for text, expected in table("03-canonical-text.md", "text", "code")[1:]:
        if "zeros" in text:
            text = "[" + ",".join("0" * 4096) + "]"
        if not expected:
            canonical.parse(code(text))
            continue
        with pytest.raises(RemoteProtocolError) as caught:
            canonical.parse(code(text))
        assert f"`{caught.value.code}`" == expected, text


def test_example_of_a_block() -> None:
    pattern = r"With the source `draft` and the text `(.*?)`:\n\n```\n(.*?)\n```"
    example = re.search(pattern, FILES["08-task.md"], re.S)
    assert example is not None
    stage = task.Stage(
        id="revise",
        kind="echo",
        prompt=(task.DataPart(source="draft", form="block"),),
        parameters=task.Parameters(max_tokens=1, temperature_milli=0, top_p_milli=1000, seed=0, stop=()),
    )
    assert render(stage, {"draft": example.group(1)}) == example.group(2)


def test_data_files_named_in_the_readme_exist() -> None:
    for name in ("types.json", "states.json", "errors.json", "limits.json"):
        json.loads(Path(FOLDER / name).read_bytes())
        assert f"({name})" in FILES["README.md"]
