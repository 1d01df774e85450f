"""What arrives, written into a recording."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import resource
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.proto.authoring import NOW_MS
from tests.tui.watched import Errand, Given
from tui.arrivals import Arrival
from tui.record import Progress, _show, main, record
from tui.recording import Recording
from tui.sources import Link, SourceError


@pytest.fixture(scope="module")
def errand() -> Errand:
    return Errand()


def recorded(path: Path) -> list[Arrival]:
    """What a recording holds, which must be whole."""
    recording = Recording.open(path)
    try:
        found = list(recording.read(0, 1000))
        assert recording.fault is None and len(found) == len(recording)
    finally:
        recording.close()
    return found


async def run(source: Given, path: Path, **options: Any) -> Progress:
    progress = Progress(path)
    stop = options.pop("stop", None) or asyncio.Event()
    await record(source, progress, clock=lambda: NOW_MS, stop=stop, **options)
    return progress


class TestARecording:
    async def test_holds_what_arrived_for_its_owner_alone(self, errand: Errand, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        progress = await run(Given(errand.arrivals[:3], errand.arrivals[3:]), path)
        assert recorded(path) == errand.arrivals
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (progress.events, progress.link.state) == (len(errand.arrivals), "ended")
        assert progress.bytes == sum(len(arrival.event) for arrival in errand.arrivals)

    async def test_ends_when_it_is_stopped(self, errand: Errand, tmp_path: Path) -> None:
        source, stop = Given(errand.arrivals, stays=True), asyncio.Event()
        running = asyncio.ensure_future(run(source, tmp_path / "r.jsonl", stop=stop))
        await source.delivered.wait()
        stop.set()
        assert (await running).events == len(errand.arrivals)
        assert source.cancelled
        assert recorded(tmp_path / "r.jsonl") == errand.arrivals

    async def test_ends_when_its_time_is_over(self, errand: Errand, tmp_path: Path) -> None:
        source = Given(errand.arrivals, stays=True)
        await run(source, tmp_path / "r.jsonl", seconds=0.01)
        assert source.cancelled
        assert recorded(tmp_path / "r.jsonl") == errand.arrivals

    async def test_keeps_what_came_before_the_source_failed(self, errand: Errand, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="It is gone"):
            await run(Given(errand.arrivals, error=SourceError("x", "It is gone.")), tmp_path / "r.jsonl")
        assert recorded(tmp_path / "r.jsonl") == errand.arrivals

    async def test_is_not_kept_if_nothing_arrived(self, tmp_path: Path) -> None:
        assert (await run(Given(), tmp_path / "r.jsonl")).events == 0
        assert list(tmp_path.iterdir()) == []

    async def test_never_takes_the_place_of_a_file(self, errand: Errand, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        path.write_text("mine")
        for source in (Given(errand.arrivals), Given()):
            with pytest.raises(SourceError, match="exists already"):
                await run(source, path)
        assert path.read_text() == "mine"

    async def test_of_a_full_disk_ends_with_whole_lines(self, errand: Errand, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that may grow no more is a full disk
        source = Given(*[[arrival] for arrival in errand.arrivals], stays=True)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))
            with pytest.raises(SourceError, match="Free some space") as caught:
                await run(source, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        assert caught.value.code == "record.failed"
        found = recorded(path)
        assert 0 < len(found) < len(errand.arrivals)
        assert found == errand.arrivals[: len(found)]


class TestTheCommand:
    def options(self, path: Path, **given: Any) -> argparse.Namespace:
        return argparse.Namespace(output=str(path), **given)

    def test_says_how_to_watch_it(self, errand: Errand, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "r.jsonl"
        assert main(self.options(path), lambda _: Given(errand.arrivals)) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert f"{len(errand.arrivals)} events" in err and f"clawtui --replay {path}" in err

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_is_ended_by_a_signal(self, errand: Errand, tmp_path: Path, number: signal.Signals) -> None:
        class Signalled(Given):
            async def run(self, *args: Any) -> None:
                asyncio.get_running_loop().call_later(0, os.kill, os.getpid(), number)
                await super().run(*args)

        path = tmp_path / "r.jsonl"
        assert main(self.options(path), lambda _: Signalled(errand.arrivals, stays=True)) == 0
        assert recorded(path) == errand.arrivals
        path.unlink()
        assert main(self.options(path), lambda _: Signalled(stays=True)) == 130
        assert not path.exists()

    def test_says_what_is_kept_when_the_room_is_lost(
        self, errand: Errand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path, error = tmp_path / "r.jsonl", SourceError("x", "It is gone.")
        with pytest.raises(SourceError):
            main(self.options(path), lambda _: Given(errand.arrivals, error=error))
        assert f"clawtui --replay {path}" in capsys.readouterr().err

    @pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
    def test_takes_some_time(self, tmp_path: Path, seconds: float) -> None:
        with pytest.raises(SourceError) as caught:
            main(self.options(tmp_path / "r.jsonl", seconds=seconds), lambda _: Given())
        assert caught.value.usage

    async def test_tells_on_a_terminal_how_far_it_is(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        progress = Progress(Path("r.jsonl"), events=1234, bytes=5_600_000, link=Link("stale", "gone\x1b[2J\n away"))
        for stream, shown in ((io.StringIO(), False), (Terminal(), True)):
            showing = asyncio.ensure_future(_show(progress, stream))
            await asyncio.sleep(0)
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            text = stream.getvalue()
            assert ("1,234 events, 5.6 MB in r.jsonl, stale gone[2J away" in text) is shown
            assert text.replace("\r\x1b[K", "").isprintable()
