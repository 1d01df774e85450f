"""What is in deploy/ names programs, files, keys and options that exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest

from bots.cli import _parser
from bots.config import Config

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY = CHECKOUT / "deploy"
SYSTEM, USER, CONTAINER = DEPLOY / "clawbot.service", DEPLOY / "clawbot@.service", DEPLOY / "Containerfile"
# Seconds the agent may need after its grace: the last messages are sent, its echo awaited, its worker ended.
_GOODBYE_S = 15
_SECRET = re.compile(r"(?i)password\s*=\s*\S|syt_|access_token|BEGIN [A-Z ]*PRIVATE KEY")


class Unit:
    """A systemd unit: every key with all its values."""

    def __init__(self, path: Path) -> None:
        self.sections: list[str] = []
        self.values: dict[str, list[str]] = {}
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("["):
                self.sections.append(line.strip("[]"))
            elif line and not line.startswith("#"):
                key, equals, value = line.partition("=")
                assert equals, line
                self.values.setdefault(key, []).append(value)

    def __getitem__(self, key: str) -> str:
        (value,) = self.values[key]
        return value


def instructions(path: Path) -> list[tuple[str, str]]:
    """A container file's instructions, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE))
    return [(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def arguments(words: list[str]) -> list[str]:
    """What stands behind the program."""
    assert Path(words[0]).name == "clawbot"
    return words[1:]


@pytest.mark.parametrize("path", [SYSTEM, USER], ids=lambda path: path.name)
def test_a_unit_runs_a_command_that_exists(path: Path) -> None:
    unit = Unit(path)
    assert unit.sections == ["Unit", "Service", "Install"]
    options = _parser().parse_args(arguments(shlex.split(unit["ExecStart"])))
    assert (options.command, options.log_format) == ("run", "json")
    # It ends with these for what a new start does not mend.
    assert unit["RestartPreventExitStatus"] == "2 3"


@pytest.mark.parametrize("path", [SYSTEM, USER], ids=lambda path: path.name)
def test_a_unit_leaves_the_agent_its_time_to_stop(path: Path) -> None:
    unit = Unit(path)
    assert unit["KillSignal"] == "SIGTERM"
    assert unit["KillMode"] == "mixed"  # its model must not die while it still finishes
    assert int(unit["TimeoutStopSec"]) >= Config().limits.grace_seconds + _GOODBYE_S


def test_the_system_service_gets_its_secrets_as_credentials() -> None:
    unit = Unit(SYSTEM)
    given = {value.partition(":")[0] for value in unit.values["LoadCredential"]}
    used = set(re.findall(r"%d/(\S+)", SYSTEM.read_text("utf-8")))
    assert given == used == {"config.toml", "password"}
    assert unit["DynamicUser"] == "yes"


def test_the_system_service_can_do_little() -> None:
    unit = Unit(SYSTEM)
    for key in (
        "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectKernelTunables",
        "ProtectKernelModules", "ProtectControlGroups", "RestrictSUIDSGID", "LockPersonality", "RestrictRealtime",
    ):  # fmt: skip
        assert unit[key] == "yes", key
    assert unit["ProtectSystem"] == "strict"
    assert unit["CapabilityBoundingSet"] == ""
    assert unit["UMask"] == "0077"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_itself_finds_no_fault(tmp_path: Path) -> None:
    # The program need not be installed here: what is checked is everything else.
    program = tmp_path / "clawbot"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / SYSTEM.name
    unit.write_text(SYSTEM.read_text("utf-8").replace("/opt/clawnet/bin/clawbot", str(program)))
    checked = _systemd_analyze("verify", "--man=no", str(unit))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    if "--offline" in _systemd_analyze("--help").stdout:
        exposed = _systemd_analyze("security", "--offline=true", "--threshold=20", "--no-pager", str(unit))
        assert exposed.returncode == 0, exposed.stdout


def _systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True)


def test_the_container_copies_what_is_there() -> None:
    for word, rest in instructions(CONTAINER):
        if word == "COPY" and not rest.startswith("--from="):
            *sources, _ = rest.split()
            for source in sources:
                assert (CHECKOUT / source).exists(), source
    # All that is needed to build the wheel is copied.
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    copied = {name for word, rest in instructions(CONTAINER) if word == "COPY" for name in rest.split()[:-1]}
    needed = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    assert needed | {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]} <= copied
    extras = re.search(r"'\.\[([a-z,]+)\]'", CONTAINER.read_text("utf-8"))
    assert extras is not None
    assert set(extras.group(1).split(",")) <= set(project["project"]["optional-dependencies"])


def test_the_container_runs_commands_that_exist() -> None:
    found = dict(instructions(CONTAINER))
    entry, command = json.loads(found["ENTRYPOINT"]), json.loads(found["CMD"])
    assert _parser().parse_args(arguments([*entry, *command])).command == "run"
    check = json.loads(found["HEALTHCHECK"].partition("CMD ")[2])
    assert _parser().parse_args(arguments(check)).command == "status"
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_the_container_is_an_ordinary_user_on_a_named_base() -> None:
    found = instructions(CONTAINER)
    user = next(rest for word, rest in reversed(found) if word == "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    python = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    for base in (rest for word, rest in found if word == "FROM"):
        version = re.fullmatch(r"docker\.io/library/python:(3\.\d+)-slim(?: AS \w+)?", base)
        assert version is not None, base
        assert tuple(map(int, version.group(1).split("."))) >= tuple(map(int, python.removeprefix(">=").split(".")))


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_no_secret_is_in_any_of_them_and_every_variable_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not _SECRET.search(text)
    known = {
        f"CLAWNET_{section.name}_{key.name}".upper()
        for section in msgspec.structs.fields(Config)
        for key in msgspec.structs.fields(section.type)
    }
    assert set(re.findall(r"CLAWNET_[A-Z_]+", text)) <= known | {"CLAWNET_MATRIX_PASSWORD_FILE"}
