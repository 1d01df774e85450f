"""``clawbot actor``: the handle to follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bots import cli

HOST = ("--activitypub", "https://Agent.example.org/")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CLAWNET_AGENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["actor", "--name", "ada", *HOST, "--follow", "@bert@agent.example.net"]) == cli.OK
    assert capsys.readouterr().out.splitlines() == [
        "handle:  @ada@agent.example.org",
        "actor:   https://agent.example.org/actor",
        "listens: 127.0.0.1:8480",
        "follows: @bert@agent.example.net",
    ]


def test_for_programs_by_what_init_has_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "--name", "ada", *HOST]) == cli.OK
    assert capsys.readouterr().out.splitlines()[-1] == "clawbot run --name ada"
    assert cli.main(["actor", "--json"]) == cli.OK
    assert json.loads(capsys.readouterr().out) == {
        "handle": "@ada@agent.example.org",
        "actor": "https://agent.example.org/actor",
        "listen": "127.0.0.1:8480",
        "follow": [],
    }


@pytest.mark.parametrize(
    "arguments, word",
    [
        ((), "--activitypub"),
        (("--activitypub", "agent.example.org"), "https://"),
        ((*HOST, "--follow", "bert"), "@name"),
    ],
)
def test_what_is_missing_or_wrong(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str) -> None:
    assert cli.main(["actor", "--name", "ada", *arguments]) == cli.USAGE
    said = capsys.readouterr()
    assert word in said.err and not said.out and "\n" not in said.err.strip()
