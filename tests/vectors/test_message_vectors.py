"""The vectors of the message layer, judged by a verifier written from the text and by its broken copies."""

from __future__ import annotations

from functools import cache

import pytest

from tests.vectors.__main__ import generate
from tests.vectors.mutants_message import MUTANTS, STRICTER, Verifier
from tests.vectors.shapes import NAMED, RECORDS, shape_of
from tests.vectors.writing import ERRORS, FOLDER, Vector

SUBJECTS = ("canonical", "did", "signature", "sign", "carrier", "envelope", "bodies", "arrive")
STAGES = dict.fromkeys(("canonical.read", "canonical.write"), ("canonical",)) | {
    "did.encode": ("key",),
    "did.decode": ("key",),
    "signature.verify": ("key", "signature"),
}


@cache
def vectors(name: str) -> list[Vector]:
    return generate([name])[0].vectors


@cache
def all_vectors() -> list[Vector]:
    return [vector for name in SUBJECTS for vector in vectors(name)]


def answer(broken: str, vector: Vector) -> Vector:
    return Verifier(broken).answer(vector["op"], vector["request"])


@pytest.mark.parametrize("name", SUBJECTS)
def test_file_is_what_the_generator_makes(name: str) -> None:
    made = generate([name])[0].text()
    assert made == generate([name])[0].text(), "the generator is not deterministic"
    assert (FOLDER / f"{name}.json").read_bytes() == made, "run python -m tests.vectors"


def test_ids_are_unique() -> None:
    ids = [vector["id"] for vector in all_vectors()]
    assert len(ids) == len(set(ids))


def test_requests_are_unique() -> None:
    """A vector asks nothing that another one asks already."""
    asked: dict[str, list[str]] = {}
    for vector in all_vectors():
        asked.setdefault(repr((vector["op"], vector["request"])), []).append(vector["id"])
    assert [ids for ids in asked.values() if len(ids) > 1] == []


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_intact_verifier_answers_as_expected(name: str) -> None:
    wrong = {vector["id"]: found for vector in vectors(name) if (found := answer("", vector)) != vector["expect"]}
    assert wrong == {}


@pytest.mark.parametrize("name", SUBJECTS)
def test_invalid_vectors_kill_what_they_name(name: str) -> None:
    alive = [
        (vector["id"], vector["kills"])
        for vector in vectors(name)
        if "error" in vector["expect"] and answer(vector["kills"], vector) == vector["expect"]
    ]
    assert alive == []


def test_every_broken_verifier_is_killed() -> None:
    named = {vector["kills"] for vector in all_vectors() if "kills" in vector}
    assert named == set(MUTANTS)
    assert len(set(MUTANTS)) == len(MUTANTS)


@pytest.mark.parametrize("broken", STRICTER)
def test_valid_vectors_expose_what_refuses_too_much(broken: str) -> None:
    assert any(answer(broken, vector) != vector["expect"] for vector in all_vectors() if "ok" in vector["expect"])


def test_stages_are_those_of_the_codes() -> None:
    for vector in all_vectors():
        code = vector["expect"].get("error")
        assert (code is None) == ("stage" not in vector) == ("kills" not in vector), vector["id"]
        if code is not None:
            assert vector["stage"] == ERRORS[code]["stage"], vector["id"]
            assert vector["stage"] in STAGES.get(vector["op"], (vector["stage"],)), vector["id"]


def test_every_code_up_to_time_is_expected_somewhere() -> None:
    """The stages *opening* and *authority*, and chains, are other subjects' affair."""
    expected = {vector["expect"].get("error") for vector in all_vectors()}
    later = {"opening", "authority", "binding", "state"}
    missing = {code for code, row in ERRORS.items() if row["stage"] not in later} - expected
    assert missing == {"identity.broken_chain"}


def test_tables_of_the_chapters_are_read_whole() -> None:
    """Each type that a table names is a field type of chapter 02 or a record with a table of its own."""
    for fields in RECORDS.values():
        for field in fields.values():
            for shape in (field.shape, field.shape.item):
                for record in shape.records if shape else ():
                    assert record in RECORDS, (field.name, record)
    assert shape_of("up to 8 texts of 1 to 64 characters").item == NAMED["Name"]
