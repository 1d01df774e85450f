"""The configuration: file, then environment, then command line; what does not fit is named."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bots.config import Config, load, template
from bots.errors import ConfigError

MINIMUM: dict[str, Any] = {
    "name": "ada",
    "kind": "ai",
    "role": "writer",
    "homeserver": "",
    "hub": "",
    "hub_rooms": [],
    "user": "",
    "rooms": [],
    "actor_host": "",
    "follow": [],
    "lan": False,
    "lan_rooms": ["clawnet"],
    "owner": "",
    "engine": "auto",
    "model_path": "",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLAWNET_")]:
        monkeypatch.delenv(name)


def test_without_a_file_there_are_the_defaults() -> None:
    assert load(None) == Config()


class TestFile:
    def test_what_it_says_counts_and_the_rest_is_default(self, path: Path) -> None:
        path.write_text('[agent]\nname = "ada"\nwants = ["reviews"]\n[limits]\nconcurrency = 3\n')
        config = load(path)
        assert (config.agent.name, config.agent.wants, config.limits.concurrency) == ("ada", ("reviews",), 3)
        assert config.requests == Config().requests

    @pytest.mark.parametrize(
        "text, words",
        [
            ("[agent]\nnmae = 'ada'", "unknown key `nmae` in agent"),
            ("[agnet]\nname = 'ada'", "unknown key `agnet`"),
            ("[limits]\nconcurrency = '3'", "Expected `int`, got `str` in limits.concurrency"),
            ("[limits]\nconcurrency = 0", "in limits.concurrency"),
            ("[limits]\nserve = 'friends'", "in limits.serve"),
            (
                "[agent]\nrole = 'two words'",
                "one word of small letters, digits, dots and dashes is wanted in agent.role",
            ),
            ("[agent]\nname = ''", "in agent.name"),
            ("[matrix]\nrooms = '#mesh:example.org'", "in matrix.rooms"),
            ("[matrix]\nrooms = [7]", "in matrix.rooms[0]"),
            ("[requests]\nlease_ms = 10", "in requests.lease_ms"),
            ("agent = 7", "in agent"),
        ],
    )
    def test_what_does_not_fit_is_named(self, path: Path, text: str, words: str) -> None:
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.code == "config.invalid"
        assert str(path) in caught.value.message and words in caught.value.message
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("data", [b"[agent\n", b"name = \xff", b"a = 1\na = 2"])
    def test_what_is_no_toml(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        with pytest.raises(ConfigError, match="is not TOML") as caught:
            load(path)
        assert caught.value.code == "config.syntax"

    def test_a_file_that_is_not_there(self, path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            load(path)
        assert (caught.value.code, "clawbot init" in caught.value.hint) == ("config.unreadable", True)

    def test_a_folder_instead_of_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            load(tmp_path)


class TestPrecedence:
    def test_the_later_source_wins(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text('[agent]\nname = "file"\nrole = "file"\nregion = "file"\n')
        monkeypatch.setenv("CLAWNET_AGENT_ROLE", "environment")
        monkeypatch.setenv("CLAWNET_AGENT_REGION", "environment")
        agent = load(path, {"agent": {"region": "flag"}}).agent
        assert (agent.name, agent.role, agent.region) == ("file", "environment", "flag")

    def test_a_flag_that_was_not_given_changes_nothing(self, path: Path) -> None:
        path.write_text('[agent]\nname = "ada"\n')
        assert load(path, {"agent": {"name": None}, "matrix": {"user": None}}).agent.name == "ada"

    @pytest.mark.parametrize(
        "variable, text, value",
        [
            ("CLAWNET_MATRIX_HOMESERVER", "https://example.org", "https://example.org"),
            ("CLAWNET_MATRIX_ROOMS", "#a:example.org, !b:example.org ,", ("#a:example.org", "!b:example.org")),
            ("CLAWNET_MATRIX_ROOMS", "", ()),
            ("CLAWNET_LIMITS_CONCURRENCY", "4", 4),
            ("CLAWNET_LIMITS_SERVE", "listed", "listed"),
            ("CLAWNET_ENGINE_USE", "none", "none"),
        ],
    )
    def test_every_key_has_a_variable(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: object
    ) -> None:
        monkeypatch.setenv(variable, text)
        section, key = variable.removeprefix("CLAWNET_").lower().split("_", 1)
        assert getattr(getattr(load(None), section), key) == value

    @pytest.mark.parametrize("text", ["many", "0", "1.5", ""])
    def test_a_variable_that_does_not_fit_is_named(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("CLAWNET_LIMITS_CONCURRENCY", text)
        with pytest.raises(ConfigError, match="concurrency"):
            load(None)

    def test_a_password_is_no_key_and_never_shown(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", "geheim")
        assert "geheim" not in repr(load(None))
        path.write_text('[matrix]\npassword = "geheim"\n')
        with pytest.raises(ConfigError, match="unknown key `password` in matrix") as caught:
            load(path)
        assert "geheim" not in str(caught.value)


class TestTemplate:
    def test_it_parses_to_what_it_was_given_and_the_defaults(self, path: Path) -> None:
        path.write_text(template(MINIMUM))
        config = load(path)
        assert (config.agent.name, config.agent.role) == ("ada", "writer")
        default = Config()
        assert config.limits == default.limits
        assert config.people == default.people
        assert config.requests == default.requests
        assert config.engine == default.engine
        assert config.matrix == default.matrix

    def test_it_names_every_key(self) -> None:
        tables = tomllib.loads(template(MINIMUM))
        for section in msgspec.structs.fields(Config):
            keys = {field.name for field in msgspec.structs.fields(section.type)}
            assert set(tables[section.name]) >= keys - {"device_name"}, section.name

    @pytest.mark.parametrize("name", ['Ada "the" Bot', "back\\slash", "{braces}", "naïve 🐾", "tab\there"])
    def test_any_name_survives(self, path: Path, name: str) -> None:
        values = MINIMUM | {"name": name, "rooms": ["#a:example.org", "!b"]}
        path.write_text(template(values), "utf-8")
        config = load(path)
        assert (config.agent.name, config.matrix.rooms) == (name, ("#a:example.org", "!b"))
