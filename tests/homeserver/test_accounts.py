"""The file of accounts, and passwords from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.errors import ConfigError
from bots.homeserver import accounts


def test_accounts_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    passwords = {"alice": 'quote " and \\ and \x7f and \t', "b.o/b=": "grüße 🦞", "c": ""}
    accounts.save(path, passwords, homeserver="http://127.0.0.1:1", server_name="localhost:1")
    assert accounts.load(path) == passwords
    assert accounts.load(tmp_path / "none.toml") == {}


def test_accounts_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    accounts.save(path, {"alice": "secret"}, homeserver="", server_name="")
    path.chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        accounts.load(path)
    assert caught.value.code == "homeserver_accounts_exposed"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["passwords = 1", "[passwords]\nalice = 1", "[password]\n", "[", "\xff"])
def test_accounts_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        accounts.load(path)
    assert caught.value.code == "homeserver_accounts_invalid"


def test_a_password_may_come_from_the_environment() -> None:
    environment = {"CLAWBOT_PASSWORD_BOB_2": "secret"}
    assert accounts.from_environment("bob-2", environment) == "secret"
    assert accounts.from_environment("alice", environment) == ""
