"""Every message as a plain line."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawnet_proto.rendering import short
from tests.proto import samples
from tests.proto.authoring import ROOM, Author
from tests.tui.watched import Errand, Given, Watched, write_recording
from tui.arrivals import Arrival
from tui.filters import FilterError, parse
from tui.recording import Recording
from tui.sources import Link, SourceError
from tui.tail import Lines, main, tail, tail_recording


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lines show local time."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def errand() -> Errand:
    return Errand()


class Pipe(io.StringIO):
    """A stream that remembers how much was written when it was flushed, and breaks after some lines."""

    def __init__(self, lines: int = -1) -> None:
        super().__init__()
        self.flushed = 0
        self._left = lines

    def write(self, text: str) -> int:
        if self._left == 0:
            raise BrokenPipeError
        self._left -= 1
        assert self.flushed == self.tell()
        return super().write(text)

    def flush(self) -> None:
        self.flushed = self.tell()


def printed(arrivals: list[Arrival], **options: Any) -> list[str]:
    lines = Lines(**options)
    return [line for arrival in arrivals for line in lines.of(arrival)]


def ignore(_: Link) -> None:
    pass


class TestALine:
    def test_says_when_what_verdict_which_type_who_and_what(self, errand: Errand) -> None:
        lines = printed(errand.arrivals)
        assert errand.award.message is not None and errand.relayed.message is not None
        assert lines[0].endswith(" presence.announce ada: is here: ai writer, can generate, echo with gemma3-270m; "
                                 "shook hands with 1")  # fmt: skip
        assert lines[4] == f"08:00:00 bound {short(errand.award.message.id)} task.award carol: awards draft to ada"
        assert lines[6] == "08:00:00 unsigned - words lee:example.org: Has anybody seen my cat?"
        assert lines[7].startswith("08:00:00 invalid - - bob:example.org: signature.invalid: ")
        assert lines[8].startswith(f"08:00:00 relayed {short(errand.relayed.message.id)} presence.announce bob: ")
        assert lines[9].split()[1] == "unbound"
        assert len(lines) == 10

    def test_has_nothing_that_moves_or_colours(self) -> None:
        watched, eve = Watched(), Author("eve")
        watched.say(eve, samples.announce(eve, name="e\x1b[2J\u202ev\ne\r"))
        watched.words("ring\x07 \x1b]0;title\x07\nsecond line\u2028third", sender="matrix:u/\x1bx\u202e:example.org")
        lines = printed(watched.arrivals)
        assert len(lines) == 2 and all(line.isprintable() for line in lines)

    def test_names_why_a_message_does_not_count(self, errand: Errand) -> None:
        watched = Watched()
        watched.arrivals = [errand.arrivals[0], errand.arrivals[4]]  # the award, without its request
        assert printed(watched.arrivals)[-1].endswith("(state.waiting)")

    def test_tells_the_verdict_as_it_is_known_then(self, errand: Errand) -> None:
        announce, start = errand.arrivals[0], errand.arrivals[5]
        assert [line.split()[1] for line in printed([start, announce], room=ROOM)] == ["unbound", "bound"]

    def test_for_programs_is_an_object(self, errand: Errand) -> None:
        lines = printed(errand.arrivals, as_json=True)
        assert all(line.isascii() and line.isprintable() for line in lines)
        award, words = json.loads(lines[4]), json.loads(lines[6])
        assert errand.award.message is not None
        assert award == {
            "id": errand.award.message.id,
            "verdict": "bound",
            "code": "",
            "type": "task.award",
            "sender": errand.carol.did,
            "name": "carol",
            "address": errand.carol.address,
            "thread": errand.task_id,
            "task": errand.task_id,
            "line": "awards draft to ada",
            "received_ms": errand.award.at_ms,
            "sent_ms": errand.award.message.envelope.sent_ms,
        }
        assert (words["id"], words["sender"], words["verdict"]) == ("", "", "unsigned")

    @pytest.mark.parametrize(
        "text, count",
        [("type:task", 3), ("from:ada", 2), ("verdict:invalid", 1), ("role:reviewer", 2), ("state:working", 2)],
    )
    def test_comes_only_if_it_fits_the_filter(self, errand: Errand, text: str, count: int) -> None:
        assert len(printed(errand.arrivals, shown=parse(text))) == count


class TestASource:
    async def test_is_printed_line_by_line_until_it_ends(self, errand: Errand) -> None:
        pipe, links = Pipe(), list[Link]()
        source = Given(errand.arrivals[:4], errand.arrivals[4:])
        await tail(source, Lines(), pipe, told=links.append)
        assert pipe.getvalue().splitlines() == printed(errand.arrivals)
        assert pipe.flushed == pipe.tell()
        assert [link.state for link in links] == ["live", "ended"]

    async def test_that_fails_is_printed_up_to_there(self, errand: Errand) -> None:
        pipe = Pipe()
        with pytest.raises(SourceError, match="It is gone"):
            await tail(Given(errand.arrivals, error=SourceError("x", "It is gone.")), Lines(), pipe, told=ignore)
        assert len(pipe.getvalue().splitlines()) == 10

    async def test_is_ended_when_nobody_reads_any_more(self, errand: Errand) -> None:
        source = Given(*[[arrival] for arrival in errand.arrivals], stays=True)
        with pytest.raises(BrokenPipeError):
            await tail(source, Lines(), Pipe(lines=3), told=ignore)
        assert not source.delivered.is_set() or source.cancelled

    async def test_is_ended_with_its_reader(self, errand: Errand) -> None:
        source = Given(errand.arrivals, stays=True)
        pipe = Pipe()
        running = asyncio.ensure_future(tail(source, Lines(), pipe, told=ignore))
        await source.delivered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert source.cancelled


class TestARecording:
    def test_is_printed_as_it_was_received(self, errand: Errand, tmp_path: Path) -> None:
        recording = Recording.open(write_recording(tmp_path / "r.jsonl", errand.arrivals))
        pipe = Pipe()
        assert tail_recording(recording, Lines(), pipe) is None
        recording.close()
        assert pipe.getvalue().splitlines() == printed(errand.arrivals)

    def test_that_is_damaged_is_printed_up_to_the_fault(
        self, errand: Errand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = write_recording(tmp_path / "r.jsonl", errand.arrivals)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:5], lines[5].replace(b'"received_ms":', b'"received_ms":1'), *lines[6:]]))
        assert run(replay=str(path)) == 1
        out, err = capsys.readouterr()
        assert out.splitlines() == printed(errand.arrivals[:4])
        assert err.count("\n") == 1 and "line 6" in err and err.startswith("clawtui: ")

    def test_that_is_whole_ends_with_0_and_obeys_the_options(
        self, errand: Errand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = write_recording(tmp_path / "r.jsonl", errand.arrivals)
        assert run(replay=str(path), filter="type:award", json=True) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["type"] == "task.award" and err == ""

    def test_with_a_filter_that_makes_no_sense_is_not_opened(self) -> None:
        with pytest.raises(FilterError):
            run(replay="/nowhere", filter="colour:red")

    def test_ends_quietly_when_its_reader_does(self, errand: Errand, tmp_path: Path) -> None:
        path = write_recording(tmp_path / "r.jsonl", errand.arrivals * 300)
        command = [sys.executable, "-m", "tui.cli", "tail", "--replay", str(path)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.curdir}
        )
        assert process.stdout is not None and process.stderr is not None
        with process:
            assert b"presence.announce ada: " in process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0

    def test_a_terminal_of_few_letters_gets_what_it_can_show(self, errand: Errand) -> None:
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding="latin-1")
        watched = Watched()
        watched.words("漢字 für alle")
        lines = Lines()

        class One:
            fault = None

            def read(self, place: int, _: int) -> list[Arrival]:
                return watched.arrivals[place:]

        tail_recording(One(), lines, out)  # type: ignore[arg-type]
        assert raw.getvalue().decode("latin-1").endswith("?? für alle\n")


class TestALiveRoom:
    def test_tells_how_the_link_is_apart_from_the_lines(
        self, errand: Errand, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(options(), lambda _: Given(errand.arrivals)) == 0
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 10
        assert err.splitlines() == ["clawtui: live: all is[2J well", "clawtui: ended"]


def options(**given: Any) -> argparse.Namespace:
    return argparse.Namespace(**({"replay": None, "room": None} | given))


def run(**given: Any) -> int:
    def no_source(_: argparse.Namespace) -> Given:
        raise AssertionError("a recording needs no source")

    return main(options(**given), no_source)
