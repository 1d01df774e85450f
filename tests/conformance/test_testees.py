"""The three testees that come with the specification pass all its vectors, and agree on what nobody foresaw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bots.conformance.report import lines
from bots.conformance.run import run
from bots.conformance.vectors import VectorFile, load
from clawnet_proto import specification
from tests.conformance import testees
from tests.fuzz import differential


@pytest.fixture(scope="module")
def vectors() -> list[VectorFile]:
    return load(specification.directory() / "vectors")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return testees.commands(tmp_path_factory.mktemp("testees"))


@pytest.fixture(autouse=True)
def around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in testees.environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.timeout(300)  # Go's standard library is compiled first
@pytest.mark.parametrize("language", ["python", "javascript", "go"])
def test_a_testee_passes_all_vectors(language: str, vectors: list[VectorFile], commands: dict[str, list[str]]) -> None:
    outcome = run(vectors, commands[language], timeout_s=60)
    bad = [result for result in outcome.results if result.bad]
    assert not bad, "\n".join(line for result in bad[:10] for line in lines(result))
    assert not outcome.faults
    assert {result.verdict for result in outcome.results} == {"passed"}


@pytest.mark.timeout(300)
def test_the_testees_agree_on_changed_inputs(commands: dict[str, list[str]], tmp_path: Path) -> None:
    asked, found = differential.run(4000, 7, commands, tell=False)
    assert not found, json.dumps([{"asked": item.unit[-1], "answers": dict(item.answers)} for item in found[:3]])
    assert {"verify", "arrive", "mesh.state"} <= set(asked)
