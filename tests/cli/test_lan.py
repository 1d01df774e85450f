"""What the command line has for the local network."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bots.cli import CANNOT, FAILED, OK, USAGE, main
from bots.cli.selection import by_transport, require_account, select


def rooms(*arguments: str) -> dict[str, list[str] | None]:
    from bots.cli import _parser

    return by_transport(_parser().parse_args(["run", *arguments]))


def test_rooms_belong_to_the_transport_that_they_look_like() -> None:
    assert rooms("--lan", "--room", "den") == {"lan": ["den"]}
    assert rooms("--lan", "--room", "den", "--room", "#a:example.org") == {
        "lan": ["den"],
        "matrix": ["#a:example.org"],
    }
    assert rooms("--lan", "--homeserver", "https://example.org", "--room", "#a:example.org", "--room", "lan:den") == {
        "matrix": ["#a:example.org"],
        "lan": ["lan:den"],
    }
    assert rooms("--lan", "--hub", "http://127.0.0.1:1", "--room", "a", "--room", "lan:den") == {
        "http": ["a"],
        "lan": ["lan:den"],
    }
    assert rooms("--lan") == {"lan": None}


def test_an_agent_of_the_local_network_needs_no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bots.cli import _parser

    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert main(["init", "--name", "ada", "--lan", "--room", "den"]) == OK
    (path,) = tmp_path.rglob("config.toml")
    written = tomllib.loads(path.read_text("utf-8"))["lan"]
    assert (written["enabled"], written["rooms"]) == (True, ["den"])
    selection = select(_parser().parse_args(["run", "--name", "ada"]))
    require_account(selection)
    assert selection.config.lan.rooms == ("den",)


def test_looking_around(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "--interface", "none"]) == CANNOT
    assert "in no local network" in capsys.readouterr().err
    assert main(["discover", "--seconds", "0"]) == USAGE
    assert main(["discover", "--interface", "lo", "--seconds", "0.01"]) == FAILED
    assert "Nobody is there." in capsys.readouterr().out
