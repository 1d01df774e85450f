"""``clawbot identity`` on the files alone: no network, no running agent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bots import cli
from bots.store import Store

Json = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Json]:
    """Run a command of ada's owner; its status, and its first JSON line."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(*arguments: str) -> Json:
        status = cli.main(arguments)
        written = capsys.readouterr()
        first = written.out.splitlines()[0] if written.out else "{}"
        value = json.loads(first) if first.startswith("{") else {"text": written.out}
        return {"status": status, "err": written.err, **value}

    return run


def test_show_and_rotate(run: Callable[..., Json], tmp_path: Path) -> None:
    run("init", "--name", "ada")
    before = run("identity", "show", "--json")
    assert (before["status"], before["rotations"], before["key"]) == (cli.OK, [], before["did"])
    after = run("identity", "rotate", "--yes", "--json")
    assert after["did"] == before["did"]
    assert after["key"] != before["key"]
    assert after["next_key_digest"] != before["next_key_digest"]
    assert run("identity", "show", "--json")["key"] == after["key"]
    shown = run("identity", "show")["text"]
    assert before["did"] in shown and after["key"] in shown and "given up" in shown
    # The record tells nobody anything; the keys are elsewhere.
    folder = tmp_path / "state" / "clawnet" / "ada" / "keys"
    for key in folder.glob("*.key"):
        assert key.read_text().partition(":")[2].strip() not in shown


def test_without_a_yes_nothing_is_changed(run: Callable[..., Json]) -> None:
    run("init", "--name", "ada")
    for action in ("rotate", "revoke"):
        refused = run("identity", action)
        assert refused["status"] == cli.USAGE
        assert "--yes" in refused["err"]
    assert run("identity", "show", "--json")["rotations"] == []


def test_without_keys_it_says_how_to_get_some(run: Callable[..., Json]) -> None:
    refused = run("identity", "rotate", "--yes", "--name", "nobody")
    assert refused["status"] == cli.USAGE
    assert "clawbot init --name nobody" in refused["err"]


def test_not_while_the_agent_is_starting(run: Callable[..., Json], tmp_path: Path) -> None:
    run("init", "--name", "ada")
    store = Store.open(tmp_path / "state" / "clawnet" / "ada" / "store.sqlite")
    try:
        refused = run("identity", "rotate", "--yes")
    finally:
        store.close()
    assert refused["status"] == cli.CANNOT
    assert run("identity", "show", "--json")["rotations"] == []


def test_revoking_needs_an_account_to_say_it_with(run: Callable[..., Json]) -> None:
    run("init", "--name", "ada")
    refused = run("identity", "revoke", "--yes")
    assert refused["status"] == cli.USAGE
    assert "homeserver" in refused["err"]
