"""What the live sources show of real agents in a real room: all of it, signed, and again after what broke."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bots.homeserver import Homeserver
from bots.transports.matrix.addresses import room_uri
from clawnet_proto.families import task
from clawnet_proto.mesh import Mesh as Fold
from clawnet_proto.message import Message
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent, plain_client
from tests.matrix_client import MatrixClient
from tui.arrivals import Arrival
from tui.checking import check
from tui.sources import Link, Source, SourceError
from tui.sources.live import LiveOptions, open_source

SEEN_S = 45.0
_LOOK_S = 0.02


class Watcher:
    """What one sees through a source: raw events, those that verify, and their fold."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.arrivals: list[Arrival] = []
        self.links: list[Link] = []
        self.messages: list[tuple[Message, str]] = []  # with the plane
        self.codes: list[str] = []  # of what does not verify
        self.fold: Fold | None = None

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            self.arrivals.append(arrival)
            for outcome in check(arrival, self.source.key).outcomes:
                if isinstance(outcome, Message):
                    self.fold = self.fold or Fold(outcome.envelope.room)
                    self.fold.add(outcome, arrival.sender)
                    self.messages.append((outcome, arrival.plane))
                elif isinstance(outcome, Exception):
                    self.codes.append(outcome.code)

    @property
    def states(self) -> list[str]:
        """How the link went, each state once in a row."""
        states: list[str] = []
        for link in self.links:
            if not states or states[-1] != link.state:
                states.append(link.state)
        return states

    def live(self) -> set[str]:
        """Names of the peers that are bound and live."""
        peers = self.fold.peers.values() if self.fold else ()
        return {peer.name for peer in peers if peer.bound and peer.live(self.arrivals[-1].received_ms)}

    def closed(self, task_id: str) -> bool:
        view = self.fold.task(task_id) if self.fold else None
        return view is not None and view.state == "completed"

    def about(self, task_id: str, plane: str) -> list[Message]:
        """The messages of a task that came on one plane."""
        found = [message for message, on in self.messages if on == plane]
        return [message for message in found if task_id in (message.id, message.envelope.thread)]

    async def until(self, condition: Callable[[], object], timeout_s: float = SEEN_S) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the state of a fold is no event
                await asyncio.sleep(_LOOK_S)

    def all_bound(self, task_id: str) -> bool:
        assert self.fold is not None
        return {self.fold.binding(message) for message in self.about(task_id, "room")} == {"bound"}


@asynccontextmanager
async def watching(options: LiveOptions) -> AsyncIterator[Watcher]:
    watcher = Watcher(open_source(options))
    running = asyncio.ensure_future(watcher.source.run(watcher.deliver, watcher.links.append))
    try:
        yield watcher
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def refused(options: LiveOptions) -> SourceError:
    """What a source says that cannot go on."""
    with pytest.raises(SourceError) as caught:
        async with asyncio.timeout(SEEN_S):
            await open_source(options).run(lambda arrivals: None, lambda link: None)
    return caught.value


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], None]:
    """Be somebody with this home and this password."""

    def enter(home: Path, password: str) -> None:
        for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CLAWNET_AGENT_NAME", "CLAWNET_MATRIX_PASSWORD"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("HOME", str(home))
        if password:
            monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", password)

    return enter


AtHome = Callable[[Path, str], None]


async def test_an_observer_sees_it_all_and_sends_nothing(
    homeserver: Homeserver,
    mesh: Mesh,
    new_account: NewAccount,
    new_client: NewClient,
    new_room: NewRoom,
    tmp_path: Path,
    at_home: AtHome,
) -> None:
    account, founder = await new_account("observer"), await new_client("founder")
    options = LiveOptions(homeserver=account.homeserver, user=account.user_id, room=mesh.room)
    at_home(tmp_path, account.password)
    elsewhere = await new_room(founder, public=False)
    await founder.invite(elsewhere, account.user_id)
    async with MatrixClient(account) as client:
        await founder.send(await new_room(founder, client), "m.room.message", {"msgtype": "m.text", "body": "private"})
    async with watching(options) as watcher:
        # What the room's past says of who is there, and then what happens.
        await watcher.until(lambda: {agent.name for agent in mesh.agents} <= watcher.live())
        assert watcher.states == ["connecting", "live"]
        asked = await mesh.agents[0].clawbot("ask", "What is honey?", "--max-tokens", "8", "--json")
        (answer,) = asked.of("answer")
        await watcher.until(lambda: watcher.closed(answer["task"]))
        assert watcher.all_bound(answer["task"])
        assert not watcher.codes
        assert {event.room for event in watcher.arrivals} == {room_uri(mesh.room_id)}
        assert watcher.source.key is None
        with pytest.raises(SourceError) as caught:
            await anext(watcher.source.ask("Why?"))
        assert caught.value.code == "source.read_only" and "--name" in caught.value.hint
        await founder.join(mesh.room)
        events = await founder.messages(mesh.room_id)
        ours = [event["type"] for event in events if event["sender"] == account.user_id]
        assert set(ours) <= {"m.room.member"}
        invited = await founder.state(elsewhere, "m.room.member", account.user_id)
        assert invited["membership"] == "invite"
    (login,) = tmp_path.rglob("*session.json")
    assert stat.S_IMODE(login.stat().st_mode) == 0o600
    assert stat.S_IMODE(login.parent.stat().st_mode) == 0o700
    # The next time nobody is asked for the password, and another room is as good.
    at_home(tmp_path, "")
    missing = await refused(
        LiveOptions(homeserver=account.homeserver, user=account.user_id, room="#nowhere:" + homeserver.server_name)
    )
    assert missing.code == "matrix.no_such_room"
    await founder.request("PUT", f"/rooms/{elsewhere}/state/m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    sealed = await refused(LiveOptions(homeserver=account.homeserver, user=account.user_id, room=elsewhere))
    assert sealed.code == "source.encrypted"


async def test_an_observer_that_is_put_out_of_the_room(
    new_account: NewAccount, new_client: NewClient, new_room: NewRoom, tmp_path: Path, at_home: AtHome
) -> None:
    account, founder = await new_account("observer"), await new_client("founder")
    at_home(tmp_path, account.password)
    room_id = await new_room(founder)
    watcher = Watcher(open_source(LiveOptions(homeserver=account.homeserver, user=account.user_id, room=room_id)))
    running = asyncio.ensure_future(watcher.source.run(watcher.deliver, watcher.links.append))
    await watcher.until(lambda: watcher.states == ["connecting", "live"])
    await founder.request("POST", f"/rooms/{room_id}/kick", {"user_id": account.user_id})
    with pytest.raises(SourceError) as caught:
        async with asyncio.timeout(SEEN_S):
            await running
    assert caught.value.code == "source.left"


async def test_a_wrong_password_and_none(new_account: NewAccount, tmp_path: Path, at_home: AtHome) -> None:
    account = await new_account("observer")
    options = LiveOptions(homeserver=account.homeserver, user=account.user_id, room="#any:localhost")
    at_home(tmp_path, "wrong")
    assert (await refused(options)).code == "matrix.wrong_password"
    at_home(tmp_path, "")
    assert (await refused(options)).code == "matrix.password_needed"


async def test_an_agent_that_is_opened_here_asks_and_one_that_runs_is_looked_through(
    mesh: Mesh, new_agent: NewAgent, at_home: AtHome
) -> None:
    person = await new_agent("person", mesh.room, *NO_MODEL, "--kind", "human")
    at_home(person.home, person.account.password)
    options = LiveOptions(name=person.name)
    async with watching(options) as watcher:
        await asks(watcher, mesh, "What is honey?")
    person.start()
    await person.ready()
    async with watching(options) as watcher:
        await asks(watcher, mesh, "What is bread?")
        assert watcher.states == ["connecting", "live"]
        before, left = len(watcher.arrivals), leaves(watcher)
        assert await person.stop() == 0
        await watcher.until(lambda: watcher.states[-1] == "stale")
        person.start()
        await watcher.until(lambda: watcher.states[-1] == "live")
        # What was remembered comes again, and with it what was said in between.
        earlier = {event.event_id for event in watcher.arrivals[:before]}
        await watcher.until(lambda: earlier <= {event.event_id for event in watcher.arrivals[before:]})
        await watcher.until(lambda: leaves(watcher) - left)
    assert await person.stop() == 0


async def asks(watcher: Watcher, mesh: Mesh, question: str) -> None:
    """Ask through a source that holds a key, and see it travel."""
    await watcher.until(lambda: {agent.name for agent in mesh.agents} <= watcher.live())
    said = [sentence async for sentence in watcher.source.ask(question)]
    task_id = said[0]
    assert any("can read the question" in sentence for sentence in said[1:])
    assert said[-2].startswith("Answered by ") and said[-1].strip()
    await watcher.until(lambda: watcher.closed(task_id))
    assert watcher.all_bound(task_id)
    # Sealed to us on their way, and opened with our key.
    assert {message.type for message in watcher.about(task_id, "direct")} >= {"task.offer", "task.start"}
    assert any(isinstance(message.body, task.Result) for message in watcher.about(task_id, "room"))
    assert not watcher.codes
    with pytest.raises(SourceError) as caught:
        await watcher.source.cancel(task_id)
    assert caught.value.code == "task.not_open"


def leaves(watcher: Watcher) -> set[str]:
    """How often we have left, as message ids."""
    assert watcher.source.key is not None
    me = watcher.source.key.did
    return {message.id for message, _ in watcher.messages if (message.type, message.sender) == ("presence.leave", me)}


async def test_the_homeserver_goes_away_and_comes_back(tmp_path: Path, new_agent: NewAgent, at_home: AtHome) -> None:
    async with Homeserver(tmp_path / "server") as homeserver:
        async with plain_client(homeserver, "founder") as founder:
            room_id = await founder.create_room(preset="public_chat", room_alias_name="room")
            room = f"#room:{homeserver.server_name}"
            agent = await new_agent("ada", room, *NO_MODEL, homeserver=homeserver)
            user = await homeserver.register("observer", "secret")
            agent.start()
            await agent.ready()
            at_home(agent.home, "secret")
            async with (
                watching(LiveOptions(homeserver=homeserver.url, user=user, room=room)) as observer,
                watching(LiveOptions(name=agent.name)) as beside,
            ):
                both = (observer, beside)
                for watcher in both:
                    await watcher.until(lambda watcher=watcher: watcher.live() == {agent.name})  # type: ignore[misc]
                await homeserver.kill()
                for watcher in both:
                    await watcher.until(lambda watcher=watcher: watcher.states[-1] == "stale")  # type: ignore[misc]
                    assert watcher.links[-1].detail.startswith(homeserver.url)
                    assert watcher.live() == {agent.name}
                await homeserver.start()
                said = await founder.send(room_id, "m.room.message", {"msgtype": "m.text", "body": "Here again"})
                for watcher in both:
                    await watcher.until(lambda watcher=watcher: watcher.arrivals[-1].event_id == said)  # type: ignore[misc]
                    assert watcher.states == ["connecting", "live", "stale", "live"]
                events = await founder.messages(room_id)
                spoken = {event["event_id"] for event in events if event["type"] == "m.room.message"}
                for watcher in both:
                    assert {event.event_id for event in watcher.arrivals if event.plane == "room"} == spoken
        assert await agent.stop() == 0
