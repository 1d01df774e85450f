"""Where an agent keeps its files: the XDG folders, for nobody else's eyes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.errors import ConfigError
from bots.paths import config_home, known_agents, make_private, paths_of, state_home


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return tmp_path


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestBases:
    def test_without_variables_they_are_below_the_home(self, home: Path) -> None:
        assert config_home() == home / ".config/clawnet"
        assert state_home() == home / ".local/state/clawnet"

    def test_the_variables_count(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", f"{home}/c")
        monkeypatch.setenv("XDG_STATE_HOME", f"{home}/s")
        paths = paths_of("ada")
        assert paths.config == home / "c/clawnet/ada/config.toml"
        assert paths.state == home / "s/clawnet/ada"
        assert {path.parent for path in (paths.keys, paths.store, paths.socket)} == {paths.state}

    @pytest.mark.parametrize("value", ["", "relative", "./here"])
    def test_a_relative_one_is_ignored(self, home: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert config_home() == home / ".config/clawnet"


class TestNames:
    @pytest.mark.parametrize("name", ["ada", "Ada-2", "a.b_c", "0", "a" * 64])
    def test_a_name_is_a_file_name(self, name: str) -> None:
        assert paths_of(name).state.name == name

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "../ada", "a/b", "a b", "-x", ".hidden", "a" * 65, "ä", "a\n", "a\0"]
    )
    def test_anything_else_is_refused(self, name: str) -> None:
        with pytest.raises(ConfigError, match="cannot name an agent") as caught:
            paths_of(name)
        assert caught.value.code == "config.name"

    def test_known_agents_are_those_with_a_configuration(self) -> None:
        assert known_agents() == []
        for name in ("bert", "ada"):
            path = paths_of(name).config
            path.parent.mkdir(parents=True)
            path.touch()
        (config_home() / "empty").mkdir()
        assert known_agents() == ["ada", "bert"]


@pytest.mark.usefixtures("_open_umask")
class TestPrivacy:
    def test_every_folder_it_makes_is_for_the_owner_alone(self, home: Path) -> None:
        make_private(home / "a/b/c")
        assert [mode(home / path) for path in ("a", "a/b", "a/b/c")] == [0o700] * 3

    def test_what_is_there_stays_as_it_is(self, home: Path) -> None:
        (home / "a").mkdir(mode=0o755)
        make_private(home / "a/b")
        make_private(home / "a/b")
        assert (mode(home / "a"), mode(home / "a/b")) == (0o755, 0o700)

    def test_a_file_in_the_way(self, home: Path) -> None:
        (home / "a").touch()
        for folder in (home / "a", home / "a/b"):
            with pytest.raises(ConfigError, match="cannot be made") as caught:
                make_private(folder)
            assert caught.value.code == "config.folder"
