"""A room of a hub, read along without an account or a key."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bots.cli import OK
from bots.cli import main as clawbot
from tests.agent.virtual_time import until
from tests.hub.conftest import RealClock, Running
from tests.hub.puppet import GONE, Puppet, caught_up, message
from tests.hub.visitor import Clock, Visitor
from tests.tui.test_live_source import Screen
from tui.arrivals import Arrival
from tui.checking import check
from tui.cli import USAGE
from tui.cli import main as clawtui
from tui.record import Progress, record
from tui.sources import Link, SourceError
from tui.sources.live import LiveOptions, hub, open_source
from tui.sources.live.agent import AgentSource
from tui.sources.live.hub import HubObserver
from tui.tail import Lines, tail

NOWHERE = "http://127.0.0.1:9"
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def nobody_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agents and no settings of whoever runs the tests; nobody waits long for a hub that comes back."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for variable in [name for name in os.environ if name.startswith("CLAWNET_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(hub, "_BACKOFF_S", (0.02, 0.1))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Running]:
    clock = RealClock(time.time_ns() // 1_000_000 - round(time.monotonic() * 1000))
    running = Running(tmp_path / "hub.sqlite", clock)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def puppet() -> AsyncIterator[Puppet]:
    async def welcome(_: web.Request) -> web.StreamResponse:
        return web.json_response({"members": []})

    puppet = Puppet()
    puppet.answer = welcome
    await puppet.start()
    yield puppet
    await puppet.stop()


@asynccontextmanager
async def visitor(served: Running, name: str = "ada") -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession() as session:
        yield Visitor(name, served.base, session, Clock(time.time_ns() // 1_000_000))


async def announced(served: Running, who: Visitor) -> str:
    """Said in the room; the event it became."""
    status, answer = await who.say(served.room(), who.announce(served.room()))
    assert status == 200
    return str(answer["results"][0]["event"])


def watching(base: str, room: str = "clawnet") -> HubObserver:
    source = open_source(LiveOptions(hub=base, room=room))
    assert isinstance(source, HubObserver)
    return source


def events(screen: Screen) -> list[str]:
    return [arrival.event_id for arrival in screen.arrivals]


class TestWhichWay:
    @pytest.mark.parametrize(
        "options, code",
        [
            (LiveOptions(hub=NOWHERE), "source.incomplete"),
            (LiveOptions(hub=NOWHERE, room="clawnet", homeserver="https://example.org"), "source.ambiguous"),
            (LiveOptions(hub=NOWHERE, room="clawnet", user="@me:example.org"), "source.ambiguous"),
            (LiveOptions(hub="hub.example.org", room="clawnet"), "hub.url"),
            (LiveOptions(hub="http://example.org", room="clawnet"), "hub.url"),
            (LiveOptions(hub=NOWHERE, room="Claw Net"), "http.room_name"),
        ],
    )
    def test_what_is_missing_is_said_with_the_way_out(self, options: LiveOptions, code: str) -> None:
        with pytest.raises(SourceError) as caught:
            open_source(options)
        assert caught.value.code == code and caught.value.usage
        assert caught.value.message.endswith(".") and caught.value.hint

    def test_a_hub_alone_makes_an_observer_that_is_asked_for_nothing(self) -> None:
        def prompt(user: str) -> str:
            raise AssertionError(user)

        source = open_source(LiveOptions(hub="https://Hub.example.org/", room="clawnet"), prompt)
        assert isinstance(source, HubObserver) and source.key is None
        assert (source.title, source.room) == ("clawnet at hub.example.org", "https://hub.example.org/rooms/clawnet")
        assert watching(NOWHERE, "matrix:roomid/mesh:example.org").room == "matrix:roomid/mesh:example.org"

    def test_an_agent_at_a_hub_is_asked_for_no_password_either(self) -> None:
        def prompt(user: str) -> str:
            raise AssertionError(user)

        source = open_source(LiveOptions(name="ada", hub=NOWHERE, room="clawnet"), prompt)
        assert isinstance(source, AgentSource) and source.key is not None
        assert source.title == "clawnet through ada"

    def test_a_room_of_an_agent_on_several_transports_is_found_by_its_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "config" / "clawnet" / "ada"
        folder.mkdir(parents=True)
        matrix = (
            '[matrix]\nhomeserver = "http://127.0.0.1:9"\nuser = "@ada:example.org"\nrooms = ["#mesh:example.org"]\n'
        )
        (folder / "config.toml").write_text(f'{matrix}[http]\nhub = "{NOWHERE}"\nrooms = ["clawnet"]\n')
        for room in ("clawnet", "#mesh:example.org"):
            source = open_source(LiveOptions(name="ada", room=room))
            assert isinstance(source, AgentSource) and source.title == f"{room} through ada"
            assert source._selection.config.matrix.rooms == ("#mesh:example.org",)
            assert source._selection.config.http.rooms == ("clawnet",)

    async def test_an_observer_neither_asks_nor_cancels(self) -> None:
        source = watching(NOWHERE)
        for saying in (source.cancel("task"), anext(source.ask("Why?"))):
            with pytest.raises(SourceError) as caught:
                await saying
            assert caught.value.code == "source.read_only" and "--name" in caught.value.hint


class TestReading:
    async def test_what_was_said_and_what_is_said(self, served: Running) -> None:
        async with visitor(served) as ada, Screen(watching(served.base)) as screen:
            before = await announced(served, ada)
            await until(lambda: screen.states[-1:] == ["live"], PATIENCE_S)
            after = await announced(served, ada)
            await until(lambda: after in events(screen), PATIENCE_S)
            assert events(screen) == [before, after]
            assert screen.rooms == {served.room()}
            arrival = screen.arrivals[0]
            assert (arrival.transport, arrival.plane, arrival.sender) == ("http", "room", ada.address)
            outcomes = [outcome for each in screen.arrivals for outcome in check(each, None).outcomes]
            assert [getattr(outcome, "type", "") for outcome in outcomes] == ["presence.announce"] * 2
            assert screen.links == [Link("connecting", f"Connecting to {served.base}."), Link("live")]
        # Who only reads is nobody there.
        assert served.hub.roster(served.room()).addresses == [ada.address]

    async def test_a_hub_that_goes_away_and_comes_back(self, served: Running) -> None:
        async with visitor(served) as ada, Screen(watching(served.base)) as screen:
            first = await announced(served, ada)
            await until(lambda: screen.states[-1:] == ["live"], PATIENCE_S)
            await served.stop()
            await until(lambda: screen.states[-1] == "stale", PATIENCE_S)
            assert screen.links[-1].detail.endswith(" Trying again.")
            await served.start()
            second = await announced(served, ada)
            await until(lambda: second in events(screen) and screen.states[-1] == "live", PATIENCE_S)
            assert events(screen) == [first, second]

    async def test_a_hub_that_is_not_there_yet(self, served: Running) -> None:
        await served.stop()
        async with Screen(watching(served.base)) as screen:
            await until(lambda: len(screen.links) >= 2, PATIENCE_S)
            assert screen.links[1].state == "connecting" and screen.links[1].detail.endswith(" Trying again.")
            assert f"The hub {served.base} cannot be reached" in screen.links[1].detail
            await served.start()
            await until(lambda: screen.states[-1] == "live", PATIENCE_S)
            assert "stale" not in screen.states

    async def test_a_hub_that_has_no_such_room(self, served: Running) -> None:
        async with Screen(watching(served.base, f"{served.base}/peers/nobody")) as screen:
            error = await screen.error()
        assert error.code == "http.not_found" and error.hint and not error.usage

    async def test_who_is_slow_holds_it_back(self, served: Running) -> None:
        taken: list[Arrival] = []
        room = asyncio.Event()

        async def ready() -> None:
            await room.wait()

        async with visitor(served) as ada:
            wanted = [await announced(served, ada) for _ in range(110)]
            reading = asyncio.ensure_future(watching(served.base).run(taken.extend, lambda _: None, ready))
            await until(lambda: taken, PATIENCE_S)
            held = len(taken)
            wanted.append(await announced(served, ada))
            assert len(taken) == held < len(wanted) - 1
            room.set()
            await until(lambda: len(taken) >= len(wanted), PATIENCE_S)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert [arrival.event_id for arrival in taken] == wanted

    async def test_what_no_hub_says_is_left_out_and_told(self, puppet: Puppet) -> None:
        stranger = message("e-1", sender="https://elsewhere.example/peers/x")
        puppet.streams = [(stranger + message("e-2") + caught_up("e-2"), False)]
        async with Screen(watching(puppet.base)) as screen:
            await until(lambda: screen.states[-1:] == ["live"], PATIENCE_S)
            assert events(screen) == ["e-2"]
            assert screen.links[-1].detail == "1 left out: no messages of a hub"

    async def test_what_the_hub_had_dropped_before_it_was_read_is_told(self, puppet: Puppet) -> None:
        puppet.streams = [
            (message("e-1") + caught_up("e-1"), True),
            (GONE, True),
            (message("e-9") + caught_up("e-9"), False),
        ]
        async with Screen(watching(puppet.base)) as screen:
            await until(lambda: "e-9" in events(screen) and screen.states[-1] == "live", PATIENCE_S)
            assert screen.links[-1].detail == "some missed"


class TestWhatIsMadeOfIt:
    async def test_a_recording_is_replayed_and_verified(
        self, served: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "r.jsonl"
        async with visitor(served) as ada, visitor(served, "bert") as bert:
            for who in (ada, bert, ada):
                await announced(served, who)
            stop, progress = asyncio.Event(), Progress(path)
            source = watching(served.base)
            recording = asyncio.ensure_future(record(source, progress, clock=lambda: 1, stop=stop))
            await until(lambda: progress.events == 3, PATIENCE_S)
            stop.set()
            await recording
        assert clawbot(["verify", str(path)]) == OK
        assert "3 bound. Every line and signature is intact." in capfd.readouterr().out
        told = subprocess.run(
            [sys.executable, "-m", "tui.cli", "tail", "--replay", str(path)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert len(told) == 3 and all(" bound " in line and "presence.announce" in line for line in told)

    async def test_lines_are_printed_as_they_come(self, served: Running) -> None:
        out = io.StringIO()
        async with visitor(served) as ada:
            await announced(served, ada)
            tailing = asyncio.ensure_future(tail(watching(served.base), Lines(), out, told=lambda _: None))
            await until(lambda: out.getvalue().endswith("\n"), PATIENCE_S)
            tailing.cancel()
            await asyncio.gather(tailing, return_exceptions=True)
        assert " bound " in out.getvalue()

    @pytest.mark.parametrize("command", ["tail", "record"])
    def test_every_command_takes_it(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert clawtui([command, "--hub", NOWHERE]) == USAGE
        assert "--room is missing" in capsys.readouterr().err
