"""Whatever peers call themselves and say: nothing of it steers the terminal of who reads it."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from bots import cli
from bots.cli.look import show_table
from bots.cli.printing import Printer
from bots.cli.terminal import Painted, printable, write_json, write_line
from bots.events import AnyEvent, MessageSeen, Notice, StageChanged, StageText, TaskEnded, TaskQuestion
from bots.logging_format import TextLines
from bots.requests import Tasks, TaskSeen
from bots.service import Service
from tests.agent.simulated import Room, echo, request
from tests.agent.virtual_time import in_virtual_time, until
from tests.cli.terminal import terminal

HOSTILE = "e\x1b]0;pwned\x07\x9b2J\r\u202e\u2028\x85\x7f\x00ve\n@room"


def test_only_what_is_printable_is_written() -> None:
    stream = io.StringIO()
    write_line(stream, HOSTILE, " naïve 🐾 @ada:example.org")
    line = stream.getvalue()
    assert line.endswith("ve @room naïve 🐾 @ada:example.org\n")
    assert line[:-1].isprintable()


def test_colours_are_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    with terminal() as (stream, screen):
        write_line(stream, "a ", Painted("32", "\x1b[31mb"), " c")
        assert screen.read() == "a \x1b[32m[31mb\x1b[0m c\n"
        monkeypatch.setenv("NO_COLOR", "1")
        write_line(stream, Painted("32", "b"))
        assert screen.read() == "b\n"
    pipe = io.StringIO()
    write_line(pipe, Painted("32", "b"))
    assert pipe.getvalue() == "b\n"


def test_json_is_escaped_for_a_terminal_and_exact_for_a_program(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    event = Notice(at_ms=1, text=HOSTILE + "é → 🐾\U000e0001")
    with terminal() as (stream, screen):
        write_json(stream, event)
        shown = screen.read()
    assert shown.rstrip("\n").isprintable()
    assert "é → 🐾" in shown
    assert json.loads(shown)["text"] == event.text
    write_json(sys.stdout, event)
    assert json.loads(capfdbinary.readouterr().out)["text"] == event.text


@pytest.mark.parametrize(
    "event",
    [
        Notice(at_ms=0, text=HOSTILE),
        TaskQuestion(at_ms=0, task="t", stage="answer", text=HOSTILE),
        StageChanged(at_ms=0, task="t", stage="answer", attempt=1, state="working", name=HOSTILE, detail=HOSTILE),
        TaskEnded(at_ms=0, task="t", outcome="failed", message=HOSTILE),
        MessageSeen(at_ms=0, verdict="bound", id="i", type=HOSTILE, name=HOSTILE, line=HOSTILE),
        MessageSeen(at_ms=0, verdict="invalid", address=HOSTILE, line=HOSTILE),
        StageText(at_ms=0, task="t", stage="answer", attempt=1, offset=0, text=HOSTILE),
        # Nothing but white space is no exception: CR would let the next piece overwrite the line.
        StageText(at_ms=0, task="t", stage="answer", attempt=1, offset=0, text="\r\n\x85\u2028"),
    ],
)
def test_events(event: AnyEvent) -> None:
    stream = io.StringIO()
    Printer(stream, trace=True).show(event)
    assert stream.getvalue().removesuffix("\n").isprintable()


def test_streamed_pieces_keep_their_spaces() -> None:
    stream = io.StringIO()
    printer = Printer(stream, trace=False)
    for text in (" The", " sky", "\n", "is", " ", "blue"):
        printer.show(StageText(at_ms=0, task="t", stage="answer", attempt=1, offset=0, text=text))
    assert stream.getvalue().endswith("│  The sky is blue")


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("NAME", "STATE"), [(HOSTILE, "live"), ("bert", "live")])
    head, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2
    assert all(row.isprintable() and row.index("live") == head.index("STATE") for row in rows)


def test_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["verify", str(tmp_path / "\x1b[2J\x9bmissing")]) == cli.USAGE
    said = capsys.readouterr().err
    assert said.startswith("clawbot: ")
    assert said.removesuffix("\n").isprintable()


def test_logs() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("clawbot", logging.ERROR, "", 1, "from %s", (HOSTILE,), sys.exc_info())
    message, *traceback = TextLines().format(record).split("\n")
    assert message.endswith(f" ERROR clawbot: from {printable(HOSTILE)}")
    assert traceback[0].startswith("Traceback")
    assert all(line.isprintable() for line in traceback)


@in_virtual_time
async def test_names_in_answers(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        (bert,) = await room.crowd("bert")
        eve = room.stranger("eve")
        eve.announce(name=HOSTILE[:60])
        await until(lambda: eve.did in bert.mesh.peers)
        eve.post(eve.says(request(echo())))
        await until(lambda: list(bert.mesh.tasks()))
        (seen,) = [item async for item in Service(bert.agent).answer(Tasks())]
        assert isinstance(seen, TaskSeen)
        assert seen.requester.isprintable()
