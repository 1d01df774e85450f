"""What README and docs/ say is what one gets: keys, commands, events, errors, links."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bots import events
from bots.api import Clawnet
from bots.cli import _parser
from bots.config import Config
from clawnet_proto.specification import ERRORS
from tui import cli as tui_cli

CHECKOUT = Path(__file__).resolve().parent.parent
GUIDES = sorted((CHECKOUT / "docs").glob("*.md"))
PAGES = [CHECKOUT / "README.md", *GUIDES]
LINKED = [*PAGES, CHECKOUT / "CHANGELOG.md", CHECKOUT / "CONTRIBUTING.md"]
TROUBLES = CHECKOUT / "docs" / "troubleshooting.md"

_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PARSERS = {"clawbot": _parser, "clawtui": tui_cli.parser}
# What a command line may begin with: the program that reads the rest, and what comes before that.
_PROGRAMS: dict[str, tuple[str, list[str]]] = {
    "clawbot": ("clawbot", []),
    ".venv/bin/clawbot": ("clawbot", []),
    ".venv/bin/python -m bots.agent": ("clawbot", ["run"]),
    "clawtui": ("clawtui", []),
}


def page_name(page: Path) -> str:
    return page.name


def rows(page: Path, columns: int) -> Iterator[list[str]]:
    """The cells of every table row of a page that has so many columns, headings included."""
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == columns and not line.startswith("|---"):
            yield cells


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The program and the arguments of every command line of ours that stands in a fenced block."""
    for block in _FENCE.findall(page.read_text("utf-8")):
        for line in block.splitlines():
            for beginning, (program, first) in _PROGRAMS.items():
                if line == beginning or line.startswith(f"{beginning} "):
                    lexer = shlex.shlex(line.removeprefix(beginning), posix=True, punctuation_chars=True)
                    lexer.whitespace_split = True
                    words = list(lexer)
                    yield program, first + words[: words.index("|") if "|" in words else None]


def subcommands(program: str) -> dict[str, argparse.ArgumentParser]:
    """Every command and alias, with its parser."""
    parser = _PARSERS[program]()
    (action,) = (item for item in parser._actions if isinstance(item, argparse._SubParsersAction))
    return dict(action.choices)


def anchors(page: Path) -> set[str]:
    """The anchors a forge gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_key_of_the_configuration_is_documented_with_its_default() -> None:
    page = CHECKOUT / "docs" / "agent.md"
    documented = {
        key.strip("`"): tomllib.loads(f"value = {default.strip('`')}")["value"]
        for key, default, _ in rows(page, 3)
        if re.fullmatch(r"`[a-z]+\.[a-z_]+`", key)
    }
    real = {
        f"{section}.{key}": value
        for section, keys in msgspec.json.decode(msgspec.json.encode(Config())).items()
        for key, value in keys.items()
    }
    assert documented == real


@pytest.mark.parametrize("program", _PARSERS)
def test_every_command_and_every_long_flag_is_mentioned(program: str) -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    parsers = subcommands(program)
    flags = {flag for parser in parsers.values() for action in parser._actions for flag in action.option_strings}
    wanted = set(parsers) | {flag for flag in flags if flag.startswith("--")} - {"--help"}
    missing = {word for word in wanted if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_command_lines_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for program, arguments in commands(page):
        try:
            _PARSERS[program]().parse_args(arguments)
        except SystemExit as ended:
            pytest.fail(f"{program} {' '.join(arguments)}: {capsys.readouterr().err} ({ended.code})")


@pytest.mark.parametrize("page", LINKED, ids=page_name)
def test_commands_named_in_a_sentence_exist(page: Path) -> None:
    text = _FENCE.sub("", page.read_text("utf-8"))
    for program in _PARSERS:
        assert set(re.findall(rf"`{program} ([a-z]+)[^`]*`", text)) <= set(subcommands(program))


@pytest.mark.parametrize("page", LINKED, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_event_is_documented_with_its_fields() -> None:
    documented = {
        cells[0].strip("`"): set(re.findall(r"`(\w+)`", cells[1]))
        for cells in rows(CHECKOUT / "docs" / "ask.md", 3)
        if re.fullmatch(r"`\w+`", cells[0])
    }
    kinds = events.Event.__subclasses__()
    ours = [kind for kind in kinds if kind.__module__ == events.__name__]
    assert documented == {str(kind.__struct_config__.tag): set(kind.__struct_fields__) - {"at_ms"} for kind in ours}


def test_codes_and_sentences_of_errors_are_those_of_the_code() -> None:
    files = [path for package in ("bots", "clawnet_proto") for path in sorted((CHECKOUT / package).rglob("*.py"))]
    source = "\n".join(path.read_text("utf-8") for path in files)
    # A sentence written in two pieces is one; a refusal is written small and said with a capital.
    source = re.sub(r'"\s*\n\s*f?"', "", source).lower()
    unknown = []
    for sentence, code, _ in rows(TROUBLES, 3):
        if not re.fullmatch(r"`[a-z_.]+`", code):
            continue
        if code.strip("`") not in ERRORS and f'"{code.strip("`")}"' not in source:
            unknown.append(code)
        if re.fullmatch(r"`[^`]+`", sentence):
            # What is filled in stands as an ellipsis.
            pieces = [piece.strip(" ,.:").lower() for piece in sentence.strip("`").split("…")]
            unknown += [piece for piece in pieces if piece not in source]
    unknown += [cells[0] for cells in rows(TROUBLES, 2) if cells[0] != "code" and cells[0].strip("`") not in ERRORS]
    assert not unknown


def test_every_call_of_the_library_is_documented() -> None:
    text = (CHECKOUT / "docs" / "library.md").read_text("utf-8")
    for name, member in inspect.getmembers(Clawnet, inspect.isfunction):
        if not name.startswith("_"):
            call = re.search(rf"`(?:await |Clawnet\.)?{name}\((.*?)\)`", text)
            assert call is not None, name
            named = set(re.findall(r"(?:^|, )(\w+)", call.group(1)))
            assert named == set(inspect.signature(member).parameters) - {"self"}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_python_in_a_page_compiles(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        compile(block, page.name, "exec")


def test_targets_of_make_exist() -> None:
    text = "\n".join(page.read_text("utf-8") for page in LINKED)
    targets = re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)
