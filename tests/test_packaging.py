"""The wheel that people install: what is in it, and that the tests pass against it that may depend on it.

It is built as an index would get it (sdist first, the wheel from that) and installed into an
environment of its own, outside the checkout. Only its dependencies are lent from the environment
that runs these tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGES = ("clawnet_proto", "bots", "tui")


def run(*command: str | Path, cwd: Path) -> str:
    """Run to the end, outside the caller's Python settings; the test fails with what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}"
    return done.stdout


def build(*options: str, to: Path) -> Path:
    """Build in the running environment, which has the build backend, so that no network is needed."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", to, *options, CHECKOUT, cwd=to)
    (wheel,) = to.glob("*.whl")
    return wheel


def files(folder: Path) -> set[str]:
    """All files below a folder, as paths from it, without what Python compiled."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the sdist."""
    return build(to=tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def isolated(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment with the wheel in it, which cannot see the checkout."""
    home = tmp_path_factory.mktemp("isolated")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    run(
        sys.executable, "-m", "pip", "--python", python, "--isolated", "--disable-pip-version-check",
        "install", "--no-deps", "--no-index", wheel, cwd=home,
    )  # fmt: skip
    # A path file lends the folders it names, but not the folders that their own path files name:
    # so the dependencies are seen, and an editable install of the checkout is not.
    (site_packages,) = home.glob("lib/python*/site-packages")
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site_packages / "lent.pth").write_text("".join(f"{folder}\n" for folder in sorted(lent)))
    return home


def test_the_wheel_holds_the_packages_and_the_specification_and_nothing_else(wheel: Path) -> None:
    expected = {f"{package}/{name}" for package in PACKAGES for name in files(CHECKOUT / package)}
    expected |= {f"clawnet_proto/spec/{name}" for name in files(CHECKOUT / "spec")}
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert shipped == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= shipped


def test_the_sdist_builds_the_wheel_that_the_checkout_builds(wheel: Path, tmp_path: Path) -> None:
    assert build("--wheel", to=tmp_path).read_bytes() == wheel.read_bytes()


def test_the_installed_packages_are_the_ones_imported(isolated: Path, tmp_path: Path) -> None:
    program = (
        "import bots, clawnet_proto, tui\n"
        "from clawnet_proto import specification\n"
        "print(*(package.__file__ for package in (clawnet_proto, bots, tui)), sep='\\n')\n"
        "print(specification.directory() / 'types.json')"
    )
    printed = run(isolated / "bin" / "python", "-c", program, cwd=tmp_path)
    paths = [Path(line) for line in printed.splitlines()]
    assert len(paths) == 4
    for path in paths:
        assert path.is_relative_to(isolated)
        assert path.is_file()


@pytest.mark.parametrize("command", ["clawbot", "clawtui"])
def test_the_command_answers(command: str, isolated: Path, tmp_path: Path) -> None:
    assert f"usage: {command}" in run(isolated / "bin" / command, "--help", cwd=tmp_path)


# What may depend on how it is installed: files that are read, commands, processes that are started, what is drawn.
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "parts",
    [
        ("tests/proto/test_schema.py", "tests/proto/test_spec_example.py", "tests/proto/test_worker.py"),
        ("tests/cli", "tests/store", "tests/agent/test_config.py", "tests/agent/test_control.py"),
        ("tests/tui/test_snapshots.py", "tests/tui/test_web.py"),
        ("tests/end_to_end/test_pipeline.py",),  # a real homeserver, a real model
    ],
    ids=["protocol", "agent", "screens", "mesh"],
)
def test_what_may_depend_on_it_passes_against_the_wheel(isolated: Path, tmp_path: Path, parts: tuple[str, ...]) -> None:
    shutil.copytree(CHECKOUT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    # For the generator of the vectors, which is to know nothing of the package; that has its own copy in the wheel.
    shutil.copytree(CHECKOUT / "spec", tmp_path / "spec", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)  # for pytest's settings
    output = run(isolated / "bin" / "python", "-m", "pytest", "-q", *parts, cwd=tmp_path)
    assert " passed" in output
