"""The live sources without a homeserver: which way is taken, an agent's socket, its end, and what it refuses."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bots.cli.selection import Selection
from bots.config import Config
from bots.control import ControlServer, socket_path
from bots.paths import Paths
from bots.service import Service
from bots.transports import Delivery
from bots.transports.matrix.config import MatrixConfig
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, identity_of
from tests.agent.virtual_time import until
from tests.proto.authoring import ROOM as ROOM_URI
from tui.arrivals import Arrival
from tui.checking import check
from tui.sources import Link, Source, SourceError
from tui.sources.live import LiveOptions, open_source
from tui.sources.live.agent import AgentSource
from tui.sources.live.login import Login
from tui.sources.live.observer import Observer, _Reading

HOMESERVER = "http://127.0.0.1:9"
USER = "@me:example.org"
ROOM = "#mesh:example.org"


class Screen:
    """Takes what a source delivers while the block runs."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.arrivals: list[Arrival] = []
        self.links: list[Link] = []
        self.batches = 0
        self.rooms: set[str] = set()  # what the source said it watches whenever something was delivered

    async def __aenter__(self) -> Screen:
        self._running = asyncio.ensure_future(self.source.run(self._deliver, self.links.append))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    def _deliver(self, arrivals: Sequence[Arrival]) -> None:
        self.batches += 1
        self.rooms.add(self.source.room)
        self.arrivals += arrivals

    @property
    def states(self) -> list[str]:
        return [link.state for link in self.links]

    async def error(self) -> SourceError:
        """Why it ended by itself."""
        async with asyncio.timeout(20):
            with pytest.raises(SourceError) as caught:
                await self._running
        return caught.value


@pytest.fixture
def state() -> Iterator[Path]:
    """A private folder with a name short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="claw") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def nobody_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agents, no password, no settings of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for variable in ("CLAWNET_AGENT_NAME", "CLAWNET_MATRIX_PASSWORD", "CLAWNET_MATRIX_HOMESERVER"):
        monkeypatch.delenv(variable, raising=False)


def looking_through(ada: Member, state: Path, room: str = "") -> AgentSource:
    selection = Selection("ada", Paths(state / "config.toml", state), Config())
    return AgentSource(selection, identity_of(ada.name), socket_path(state), room, lambda: "")


@asynccontextmanager
async def beside(tmp_path: Path, state: Path, engine: ScriptedEngine) -> AsyncIterator[tuple[Member, Screen]]:
    """An agent with its socket in a room with a worker, and a screen beside it."""
    async with asyncio.timeout(40), Room(tmp_path) as room:
        ada = await room.join("ada")
        await room.join("bert", engine)
        async with ControlServer(Service(ada.agent), socket_path(state)), Screen(looking_through(ada, state)) as screen:
            await until(lambda: screen.arrivals, 20)
            yield ada, screen


class TestWhichWay:
    def test_importing_it_loads_nothing_of_the_agent(self) -> None:
        code = "import sys, tui.sources.live; print([name for name in sys.modules if name.startswith(('bots', 'nio'))])"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == "[]"

    @pytest.mark.parametrize(
        "options, code",
        [
            (LiveOptions(), "source.no_agent"),
            (LiveOptions(room=ROOM), "source.no_agent"),
            (LiveOptions(homeserver=HOMESERVER, room=ROOM), "source.incomplete"),
            (LiveOptions(user=USER), "source.incomplete"),
            (LiveOptions(homeserver="nonsense", user=USER, room=ROOM), "matrix.homeserver_url"),
            (LiveOptions(homeserver=HOMESERVER, user="me", room=ROOM), "matrix.user_id"),
            (LiveOptions(homeserver=HOMESERVER, user=USER, room="mesh"), "matrix.room_name"),
            (LiveOptions(name="ghost"), "config.incomplete"),
            (LiveOptions(name="../ghost"), "config.name"),
            (LiveOptions(config="/nowhere/config.toml"), "config.unreadable"),
        ],
    )
    def test_what_is_missing_is_said_with_the_way_out(self, options: LiveOptions, code: str) -> None:
        with pytest.raises(SourceError) as caught:
            open_source(options)
        assert caught.value.code == code and caught.value.usage
        assert caught.value.message.endswith(".") and caught.value.hint

    def test_an_account_alone_makes_an_observer(self) -> None:
        source = open_source(LiveOptions(homeserver=HOMESERVER, user=USER, room=ROOM))
        assert isinstance(source, Observer)
        assert source.key is None and source.title == ROOM

    def test_of_several_agents_one_is_to_be_named(self, tmp_path: Path) -> None:
        for name in ("ada", "bert"):
            (tmp_path / "config" / "clawnet" / name).mkdir(parents=True)
            (tmp_path / "config" / "clawnet" / name / "config.toml").touch()
        with pytest.raises(SourceError, match="There are 2 agents here") as caught:
            open_source(LiveOptions())
        assert "ada, bert" in caught.value.hint

    def test_the_password_is_asked_for_at_once_and_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def prompt(user: str) -> str:
            asked.append(user)
            return "secret"

        observe = LiveOptions(homeserver=HOMESERVER, user=USER, room=ROOM)
        own = LiveOptions(name="ada", homeserver=HOMESERVER, user="@ada:example.org")
        for options in (observe, own):
            open_source(options, prompt)
        assert asked == [USER, "@ada:example.org"]
        monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", "secret")
        for options in (observe, own):
            open_source(options, prompt)
        assert len(asked) == 2


class TestSeveralAtOnce:
    OPTIONS = LiveOptions(homeserver=HOMESERVER, user=USER, room=ROOM)

    def test_each_has_a_login_of_its_own_and_finds_it_again(self) -> None:
        asked: list[str] = []

        def prompt(user: str) -> str:
            asked.append(user)
            return "secret"

        def folders(sources: list[Source]) -> list[Path]:
            return [source._login.folder for source in sources if isinstance(source, Observer)]

        sources = [open_source(self.OPTIONS, prompt) for _ in range(3)]
        first = folders(sources)
        assert len(set(first)) == 3 and {path.parent for path in first} == {first[0].parent}
        assert {stat.S_IMODE(file.stat().st_mode) for path in first for file in path.iterdir()} == {0o600}
        assert {stat.S_IMODE(path.stat().st_mode) for path in first} == {0o700}
        assert asked == [USER, *[f"{USER}, for one more login beside the one in use"] * 2]
        del sources
        assert folders([open_source(self.OPTIONS, prompt)]) == first[:1]

    def test_one_more_that_cannot_log_in_is_told_why(self) -> None:
        first = open_source(self.OPTIONS)
        with pytest.raises(SourceError) as caught:
            open_source(self.OPTIONS)
        assert caught.value.code == "source.in_use" and USER in caught.value.message
        assert "CLAWNET_MATRIX_PASSWORD" in caught.value.hint
        del first
        open_source(self.OPTIONS)

    def test_there_are_not_any_number_of_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", "secret")
        sources = [open_source(self.OPTIONS) for _ in range(8)]
        with pytest.raises(SourceError, match="8 processes") as caught:
            open_source(self.OPTIONS)
        assert caught.value.code == "source.in_use"
        assert sources

    async def test_a_login_is_let_go_when_watching_ends(self, tmp_path: Path) -> None:
        login = Login(tmp_path / "login")
        for _ in range(2):
            with login.held() as folder, pytest.raises(SourceError) as caught:
                Login(folder)
            assert caught.value.code == "source.in_use"
        Login(tmp_path / "login").release()


class TestNobodyAnswers:
    async def test_an_observer_goes_on_trying(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", "secret")
        async with Screen(open_source(LiveOptions(homeserver=HOMESERVER, user=USER, room=ROOM))) as screen:
            await until(lambda: len(screen.links) >= 2, 20)
            assert screen.links[-1] == Link("connecting", f"{HOMESERVER} cannot be reached. Trying again.")

    async def test_so_does_an_agent_that_is_opened_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", "secret")
        source = open_source(LiveOptions(name="ada", homeserver=HOMESERVER, user="@ada:example.org", room=ROOM))
        assert source.key is not None and source.title == f"{ROOM} through ada"
        async with Screen(source) as screen:
            await until(lambda: len(screen.links) >= 3, 20)
            assert {link.state for link in screen.links} == {"connecting"}
            assert screen.links[-1].detail.startswith(f"The homeserver {HOMESERVER} cannot be reached")


class TestAnObserver:
    async def test_says_which_room_it_is_before_anything_of_it_is_handed_over(self, tmp_path: Path) -> None:
        config = MatrixConfig(homeserver=HOMESERVER, user=USER, rooms=(ROOM,), reads_only=True)
        observer = Observer(config, Login(tmp_path / "login"), lambda: "")
        assert observer.room == ""
        seen: list[str] = []

        def deliver(_: Sequence[Arrival]) -> None:
            seen.append(observer.room)

        reading = _Reading(config, tmp_path / "login", lambda: "", observer._entered, deliver, lambda _: None)
        event = Delivery(
            transport="matrix", plane="direct", room="", sender="matrix:u/eve:example.org", event_id="", event="{}",
            received_ms=1, live=True,
        )  # fmt: skip
        reading.commit("matrix", [event], "")
        assert observer.room == "" and not seen
        reading.commit("matrix", [msgspec.structs.replace(event, plane="room", room=ROOM_URI)], "")
        assert seen == [ROOM_URI] == [observer.room]
        await reading._transport.close()

    async def test_an_event_that_is_read_in_time_is_not_shown_as_unread(self, tmp_path: Path) -> None:
        config = MatrixConfig(homeserver=HOMESERVER, user=USER, rooms=(ROOM,), reads_only=True)
        shown: list[Arrival] = []
        reading = _Reading(config, tmp_path / "login", str, lambda _: None, shown.extend, lambda _: None)
        content = {"type": "m.room.encrypted", "content": {"ciphertext": "AwgA"}}
        event = Delivery(
            transport="matrix", plane="room", room=ROOM_URI, sender="matrix:u/eve:example.org", event_id="$1",
            event=msgspec.json.encode(content).decode(), received_ms=1, live=True,
        )  # fmt: skip
        read = msgspec.structs.replace(event, event="{}")
        reading.commit("matrix", [event], "")
        assert not shown
        reading.commit("matrix", [read], "")
        reading._unread._hand_over(float("inf"))
        assert [arrival.event for arrival in shown] == ["{}"]
        await reading._transport.close()


class TestBesideAnAgent:
    async def test_what_it_has_seen_and_sees_is_handed_over(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a mesh"])) as (_, screen):
            said = [sentence async for sentence in screen.source.ask("What is a mesh?")]
            task_id, *sentences = said
            assert sentences[0].startswith("#mesh is public")
            assert sentences[-2].startswith("Answered by bert in ") and sentences[-1] == "a mesh"
            await until(lambda: any("task.close" in event.event for event in screen.arrivals), 20)
            outcomes = [outcome for event in screen.arrivals for outcome in check(event, screen.source.key).outcomes]
            assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
            assert {"task.request", "task.offer", "task.close"} <= {getattr(each, "type", "") for each in outcomes}
            assert task_id in {getattr(each, "id", "") for each in outcomes}
            assert screen.states == ["connecting", "live"]
            assert screen.rooms == {ROOM_URI}
            assert screen.batches < len(screen.arrivals)

    async def test_a_task_is_canceled(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine((3600.0,))) as (_, screen):
            asking = screen.source.ask("What is a mesh?")
            task_id = await anext(asking)
            assert "is canceled" in await screen.source.cancel(task_id)
            rest = [sentence async for sentence in asking]
            assert "canceled" in rest[-1]
            with pytest.raises(SourceError) as caught:
                await screen.source.cancel(task_id)
            assert caught.value.code == "task.not_open"

    async def test_whoever_asks_and_goes_away_wants_no_answer(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine((3600.0,))) as (ada, screen):
            asking: Any = screen.source.ask("What is a mesh?")
            await anext(asking)
            assert ada.agent.requester.open_tasks()
            await asking.aclose()
            await until(lambda: not ada.agent.requester.open_tasks(), 20)

    @pytest.mark.parametrize(
        "question, stages, code", [("  ", ("answer",), "ask.empty"), ("?", ("dance",), "ask.stage")]
    )
    async def test_what_cannot_be_asked(
        self, tmp_path: Path, state: Path, question: str, stages: tuple[str, ...], code: str
    ) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a mesh"])) as (_, screen):
            with pytest.raises(SourceError) as caught:
                await anext(screen.source.ask(question, stages=stages))
            assert caught.value.code == code

    async def test_an_agent_that_stops_makes_it_stale_until_one_runs_again(self, tmp_path: Path, state: Path) -> None:
        path = socket_path(state)
        async with asyncio.timeout(40), Room(tmp_path) as room:
            ada = await room.join("ada")
            paul = room.stranger("paul")
            async with Screen(looking_through(ada, state)) as screen:
                async with ControlServer(Service(ada.agent), path):
                    await until(lambda: "live" in screen.states, 20)
                await until(lambda: screen.states[-1] == "stale", 20)
                assert screen.links[-1].detail == "The agent ada was stopped. Trying again."
                with pytest.raises(SourceError) as caught:
                    await anext(screen.source.ask("Why?"))
                assert caught.value.code == "source.agent_gone" and "clawbot run" in caught.value.hint
                said = paul.write("in between")
                async with ControlServer(Service(ada.agent), path):
                    await until(lambda: said in {event.event_id for event in screen.arrivals}, 20)
                    assert screen.states[-1] == "live"

    async def test_a_room_that_the_agent_is_not_in(self, tmp_path: Path, state: Path) -> None:
        async with asyncio.timeout(40), Room(tmp_path) as room:
            ada = await room.join("ada")
            source = looking_through(ada, state, "#elsewhere")
            async with ControlServer(Service(ada.agent), socket_path(state)), Screen(source) as screen:
                error = await screen.error()
        assert error.code == "room.unknown" and error.hint == "It is in: #mesh."

    @pytest.mark.parametrize(
        "line, code",
        [
            (
                b'{"event":"error","at_ms":0,"code":"request.malformed","message":"Not a request."}\n',
                "source.older_agent",
            ),
            (b'{"event":"error","at_ms":0,"code":"internal","message":"It failed."}\n', "internal"),
        ],
    )
    async def test_an_agent_that_cannot_be_followed(self, tmp_path: Path, state: Path, line: bytes, code: str) -> None:
        async with told(tmp_path, state, line) as screen:
            assert (await screen.error()).code == code

    async def test_an_agent_that_is_killed_in_the_middle_of_a_line(self, tmp_path: Path, state: Path) -> None:
        async with told(tmp_path, state, b'{"event":"link","at_ms":0,"online":true}\n{"event":"del') as screen:
            await until(lambda: screen.states[:3] == ["connecting", "live", "stale"], 20)
            await until(lambda: screen.states[3:5] == ["live", "stale"], 20)  # it is asked again
            assert screen.links[2].detail == "The agent ada broke off in the middle of a line. Trying again."

    @pytest.mark.parametrize("line", [b'{"event":"del', b"\x00\xff garbage\n", b"[]\n", b"x" * (1 << 12)])
    async def test_what_an_agent_does_not_say_to_its_end_is_tried_again_and_fails_a_question(
        self, tmp_path: Path, state: Path, line: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bots.control._ANSWER_BYTES", 1 << 10)
        async with told(tmp_path, state, line) as screen:
            await until(lambda: len(screen.links) >= 3, 20)
            assert (
                screen.links[1:3]
                == [Link("connecting", "The agent ada broke off in the middle of a line. Trying again.")] * 2
            )
            for saying in (screen.source.cancel("task"), anext(screen.source.ask("Why?"))):
                with pytest.raises(SourceError) as caught:
                    await saying
                assert caught.value.code == "source.agent_gone"
                assert caught.value.message == "The agent ada broke off in the middle of what it said."

    async def test_the_room_is_known_before_a_direct_message_comes(self, tmp_path: Path, state: Path) -> None:
        direct = (
            b'{"event":"delivered","at_ms":0,"delivery":{"transport":"matrix","plane":"direct","room":"",'
            b'"sender":"matrix:u/eve:example.org","event_id":"","event":"{}","received_ms":1,"live":true}}\n'
        )
        async with told(
            tmp_path, state, b'{"event":"room","at_ms":0,"room":"matrix:roomid/mesh"}\n' + direct
        ) as screen:
            assert screen.source.room == ""
            await until(lambda: screen.arrivals, 20)
            assert screen.rooms == {"matrix:roomid/mesh"}

    async def test_what_went_by_unread_and_what_is_offline_is_told(self, tmp_path: Path, state: Path) -> None:
        lines = [
            b'{"event":"link","at_ms":0,"online":false,"detail":"The homeserver cannot be reached just now."}',
            b'{"event":"link","at_ms":0,"online":true}',
            b'{"event":"missed","at_ms":0,"count":7}',
            b'{"event":"link","at_ms":0,"online":false,"detail":"The homeserver cannot be reached just now."}',
        ]
        async with told(tmp_path, state, b"\n".join(lines) + b"\n") as screen:
            await until(lambda: len(screen.links) >= 5, 20)
        assert screen.links[1:5] == [
            Link("connecting", "The homeserver cannot be reached just now."),
            Link("live"),
            Link("live", "Up to 7 events went by unread: this terminal was too slow."),
            Link("stale", "The homeserver cannot be reached just now."),
        ]


@asynccontextmanager
async def told(tmp_path: Path, state: Path, words: bytes) -> AsyncIterator[Screen]:
    """A screen before something that says this to everybody at an agent's socket, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(words)
        writer.close()
        await writer.wait_closed()

    async with (
        asyncio.timeout(40),
        Room(tmp_path) as room,
        await asyncio.start_unix_server(serve, socket_path(state)),
        Screen(looking_through(room.member("ada"), state)) as screen,
    ):
        yield screen
