"""The agent's own socket: for its owner alone, one request a connection, and nobody's work once the client is gone."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bots.control import ControlServer, call, socket_path
from bots.errors import ClawbotError, ConfigError
from bots.events import MessageSeen, Notice, StageText, TaskEnded, TaskOpened, TaskQuestion
from bots.requests import (
    AgentStatus,
    Answer,
    AnyAnswer,
    AnyRequest,
    Ask,
    Cancel,
    Peers,
    PeerSeen,
    Status,
    Tasks,
    TaskSeen,
    Watch,
)
from bots.service import Service
from clawnet_proto.families import presence, task
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import QUESTION, Member, Room
from tests.agent.virtual_time import until

HANGING = (3600.0,)
WORDS = 'Say "a mesh".'


@pytest.fixture
def state() -> Iterator[Path]:
    """A private folder with a name short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="claw") as folder:
        yield Path(folder)


class Beside:
    """A running agent with its socket, in a room with a worker."""

    def __init__(self, room: Room, ada: Member, engine: ScriptedEngine, path: Path) -> None:
        self.room = room
        self.ada = ada
        self.engine = engine
        self.path = path

    async def answers(self, request: AnyRequest) -> list[AnyAnswer]:
        return [answer async for answer in call(self.path, request)]


@asynccontextmanager
async def beside(tmp_path: Path, state: Path, engine: ScriptedEngine) -> AsyncIterator[Beside]:
    async with asyncio.timeout(30), Room(tmp_path) as room:
        ada = await room.join("ada")
        await room.join("bert", engine)
        path = socket_path(state)
        async with ControlServer(Service(ada.agent), path):
            yield Beside(room, ada, engine, path)


async def raw(path: Path, data: bytes) -> list[Any]:
    """What the socket says to these bytes, as JSON lines."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        writer.write_eof()
        lines = (await reader.read()).splitlines()
        writer.close()
        return [json.loads(line) for line in lines]


class TestSocket:
    async def test_it_is_for_the_owner_alone_and_gone_afterwards(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine([WORDS])) as scene:
            assert stat.S_IMODE(scene.path.stat().st_mode) == 0o600
            assert stat.S_ISSOCK(scene.path.stat().st_mode)
        assert not scene.path.exists()

    async def test_what_a_killed_agent_left_is_no_hindrance(self, tmp_path: Path, state: Path) -> None:
        socket_path(state).touch()
        async with beside(tmp_path, state, ScriptedEngine([WORDS])) as scene:
            assert [type(answer) for answer in await scene.answers(Status())] == [AgentStatus]

    async def test_a_folder_that_is_open_to_others(self, tmp_path: Path, state: Path) -> None:
        state.chmod(0o750)
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            with pytest.raises(ConfigError, match="open to others") as caught:
                async with ControlServer(Service(ada.agent), socket_path(state)):
                    pass
            assert f"chmod 700 {state}" in caught.value.hint

    async def test_a_path_too_long_for_a_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with tempfile.TemporaryDirectory(prefix="claw") as folder:
            monkeypatch.setattr(tempfile, "tempdir", folder)
            state = tmp_path / ("x" * 120)
            path = socket_path(state)
            assert len(os.fsencode(path)) <= 100
            assert path == socket_path(state) != socket_path(tmp_path / ("y" * 120))
            async with beside(tmp_path, state, ScriptedEngine([WORDS])) as scene:
                assert stat.S_IMODE(scene.path.parent.stat().st_mode) == 0o700
                assert len(await scene.answers(Status())) == 1

    async def test_where_nobody_listens(self, state: Path) -> None:
        with pytest.raises(ConnectionError):
            async for _ in call(socket_path(state), Status()):
                pass

    async def test_when_the_agent_stops_those_who_watch_hear_the_end(self, tmp_path: Path, state: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            path = socket_path(state)
            heard: list[AnyAnswer] = []
            async with ControlServer(Service(ada.agent), path):
                watching = asyncio.ensure_future(_hear(call(path, Watch()), heard))
                await until(lambda: heard, 20)
            async with asyncio.timeout(20):
                await watching
            assert [type(event) for event in heard] == [Notice]


async def _hear(stream: AsyncIterator[AnyAnswer], heard: list[AnyAnswer]) -> None:
    async for event in stream:
        heard.append(event)


class TestMalformed:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\n",
            b"hello\n",
            b"{}\n",
            b"[]\n",
            b'{"command":"dance"}\n',
            b'{"command":"status","extra":1}\n',
            b'{"command":"ask"}\n',
            b'{"command":"ask","question":7}\n',
            b'{"command":"ask","question":"\xff"}\n',
            b'{"command":"ask","question":"' + b"x" * (1 << 20) + b'"}\n',
            b'{"command":"ask","question":"x","stages":' + b"[" * 50_000 + b"\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ],
        ids=lambda data: str(data[:24]),
    )
    async def test_it_is_refused_in_one_line_and_the_next_client_is_served(
        self, tmp_path: Path, state: Path, data: bytes
    ) -> None:
        async with beside(tmp_path, state, ScriptedEngine([WORDS])) as scene:
            answers = await raw(scene.path, data)
            assert [answer["code"] for answer in answers] == ["request.malformed"]
            assert answers[0]["event"] == "error"
            assert len(await scene.answers(Status())) == 1

    @pytest.mark.parametrize(
        "request_, code, words",
        [
            (Ask(question="?", room="#elsewhere"), "room.unknown", "The agent is not in #elsewhere. It is in: #mesh."),
            (Ask(question="?", stages=("dance",)), "ask.stage", "There is no stage dance."),
            (Ask(question="?", stages=()), "schema.body", "That cannot be sent"),
            (Ask(question="?", to="nobody"), "peer.unknown", "There is nobody called nobody."),
            (Ask(question="é" * 8001), "ask.too_long", "16002 bytes"),
            (Ask(question="?", max_tokens=9000), "request.malformed", "`$.max_tokens`"),
            (Ask(question="?", timeout_s=0), "request.malformed", "`$.timeout_s`"),
            (Cancel(task="abc"), "task.not_open", "No open task of ours begins with abc."),
            (Answer(task="abc", text="yes"), "task.not_open", "No open task"),
        ],
    )
    async def test_what_makes_no_sense_is_said_in_one_sentence(
        self, tmp_path: Path, state: Path, request_: AnyRequest, code: str, words: str
    ) -> None:
        async with beside(tmp_path, state, ScriptedEngine([WORDS])) as scene:
            with pytest.raises(ClawbotError) as caught:
                await scene.answers(request_)
            assert caught.value.code == code
            assert words in str(caught.value) and "\n" not in str(caught.value)
            assert scene.ada.agent.requester.open_tasks() == ()
            assert scene.room.network.posted("task.request") == []


class TestAsk:
    async def test_it_streams_until_the_end(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a", " mesh"])) as scene:
            answers = await scene.answers(Ask(question=QUESTION))
            assert isinstance(answers[0], Notice)
            assert answers[0].text == "#mesh is public: anyone who joins can read the question and the answer."
            opened = next(answer for answer in answers if isinstance(answer, TaskOpened))
            said = next(
                answer for answer in answers if isinstance(answer, MessageSeen) and answer.type == "task.request"
            )
            assert answers.index(opened) > 0 and said.ours
            assert "".join(answer.text for answer in answers if isinstance(answer, StageText)) == "a mesh"
            last = answers[-1]
            assert isinstance(last, TaskEnded)
            assert (last.task, last.outcome, last.text) == (opened.task, "completed", "a mesh")

    @pytest.mark.parametrize("private", [True, False])
    async def test_who_will_be_able_to_read_it_is_said_before_anything_is_sent(
        self, tmp_path: Path, state: Path, private: bool
    ) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a mesh"])) as scene:
            scene.room.network.public = False
            async with aclosing(call(scene.path, Ask(question=QUESTION, private=private))) as stream:
                first = await anext(stream)
                assert isinstance(first, Notice)
                expected = "Sealed: only the agents" if private else "The 2 members of #mesh can read"
                assert first.text.startswith(expected)
                assert isinstance([answer async for answer in stream][-1], TaskEnded)

    async def test_a_client_that_goes_away_cancels_its_task(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(HANGING)) as scene:
            async with aclosing(call(scene.path, Ask(question=QUESTION))) as stream:
                async for event in stream:
                    if isinstance(event, TaskOpened):
                        break
                await until(lambda: scene.engine.running, 20)
            await until(lambda: scene.engine.canceled, 20)
            await until(lambda: not scene.ada.agent.requester.open_tasks(), 20)
            assert len(scene.room.network.posted("task.cancel")) == 1

    async def test_two_clients_at_once(self, tmp_path: Path, state: Path) -> None:
        engine = ScriptedEngine(lambda prompt: [prompt.rpartition("Question: ")[2]])
        async with beside(tmp_path, state, engine) as scene:
            both = await asyncio.gather(*(scene.answers(Ask(question=text)) for text in ("first?", "second?")))
            for text, answers in zip(("first?", "second?"), both, strict=True):
                (ended,) = [answer for answer in answers if isinstance(answer, TaskEnded)]
                assert text in ended.text
                assert len({answer.task for answer in answers if isinstance(answer, TaskOpened)}) == 1

    async def test_one_client_that_goes_away_leaves_the_other_alone(self, tmp_path: Path, state: Path) -> None:
        engine = ScriptedEngine(lambda prompt: HANGING if "hang" in prompt else [0.2, "done"])
        async with beside(tmp_path, state, engine) as scene:
            async with aclosing(call(scene.path, Ask(question="hang?"))) as stream:
                await anext(stream)
                await until(lambda: engine.running, 20)
                asking = asyncio.ensure_future(scene.answers(Ask(question="quick?")))
                await until(lambda: len([*scene.ada.agent.requester.open_tasks()]) == 2, 20)
            last = (await asking)[-1]
            assert isinstance(last, TaskEnded) and last.outcome == "completed"


class TestLook:
    async def test_status_peers_and_tasks(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a mesh"])) as scene:
            await scene.answers(Ask(question=QUESTION))
            (status,) = await scene.answers(Status())
            assert isinstance(status, AgentStatus)
            assert (status.name, status.online, status.rooms, status.engine) == ("ada", True, ("#mesh",), "none")
            peers = await scene.answers(Peers())
            assert [(peer.name, peer.me, peer.models) for peer in peers if isinstance(peer, PeerSeen)] == [
                ("ada", True, ()),
                ("bert", False, ("scripted",)),
            ]
            (seen,) = await scene.answers(Tasks())
            assert isinstance(seen, TaskSeen)
            assert (seen.state, seen.ours, seen.title) == ("completed", True, QUESTION)
            assert [(stage.stage, stage.state, stage.name) for stage in seen.stages] == [
                ("answer", "completed", "bert")
            ]
            assert await scene.answers(Tasks(prefix=seen.task[:6])) != await scene.answers(Tasks(prefix="no such"))

    async def test_those_who_left_are_shown_to_who_asks_for_everyone(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a mesh"])) as scene:
            bert = scene.room.members["bert"]
            await bert.stop()
            await until(lambda: not scene.ada.mesh.peers[bert.did].live(scene.room.network.now_ms()), 20)
            assert len(await scene.answers(Peers())) == 1
            everyone = await scene.answers(Peers(everyone=True))
            assert [peer.live for peer in everyone if isinstance(peer, PeerSeen)] == [True, False]

    async def test_hostile_names_are_harmless_in_every_answer(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a mesh"])) as scene:
            eve = scene.room.stranger("eve")
            eve.announce(name="\x1b[2J\x07\u202e@room", models=(presence.ModelCard(name="\x1b[2J", kinds=("chat",)),))
            await until(lambda: eve.did in scene.ada.mesh.peers, 20)
            for request_ in (Peers(everyone=True), Tasks(), Status()):
                for answer in await scene.answers(request_):
                    shown = {name: str(value) for name, value in msgspec.structs.asdict(answer).items()}
                    assert all(value.isprintable() for value in shown.values()), shown

    async def test_cancel_and_answer_by_the_beginning_of_an_id(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(HANGING)) as scene:
            eve = scene.room.stranger("eve")
            eve.announce(
                capabilities=("generate",),
                models=(presence.ModelCard(name="eve-1", kinds=("generate",)),),
                load=presence.Load(running=0, waiting=0, slots=1),
            )
            await until(lambda: eve.did in scene.ada.mesh.peers, 20)
            async with aclosing(call(scene.path, Ask(question=QUESTION, to="eve"))) as stream:
                async for event in stream:
                    if isinstance(event, TaskOpened):
                        break
                await until(lambda: eve.heard("task.award"), 20)
                award = eve.heard("task.award")[0]
                ask = task.Ask(stage="answer", attempt=1, question="For whom?")
                thread = str(award.envelope.thread)
                eve.post(eve.says(ask, recipients=(scene.ada.did,), thread=thread, answers=award.id))
                async for event in stream:
                    if isinstance(event, TaskQuestion):
                        break
                with pytest.raises(ClawbotError, match="cannot be sent"):
                    await scene.answers(Answer(task=thread[:6], text="x" * 20_000))
                assert isinstance((await scene.answers(Answer(task=thread[:6], text="For me.")))[0], Notice)
                await until(lambda: eve.heard("task.reply"), 20)
                await scene.answers(Cancel(task=thread[:6]))
                last = [answer async for answer in stream][-1]
                assert isinstance(last, TaskEnded) and last.outcome == "canceled"

    async def test_watching_shows_what_happens_and_ends_with_the_watcher(self, tmp_path: Path, state: Path) -> None:
        async with beside(tmp_path, state, ScriptedEngine(["a mesh"])) as scene:
            async with aclosing(call(scene.path, Watch())) as stream:
                first = await anext(stream)
                assert isinstance(first, Notice) and first.text == "Watching #mesh."
                observers = len(scene.ada.agent._observers)
                asking = asyncio.ensure_future(scene.answers(Ask(question=QUESTION)))
                seen: list[str] = []
                async for event in stream:
                    if isinstance(event, MessageSeen):
                        seen.append(event.type)
                    if isinstance(event, TaskEnded):
                        break
                await asking
            assert {"task.request", "task.award", "task.result"} <= set(seen)
            await until(lambda: len(scene.ada.agent._observers) < observers, 20)
