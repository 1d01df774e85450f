"""What the live sources show of real agents in a real room: all of it, signed, and again after what broke."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from bots.homeserver import Homeserver
from bots.transports.matrix.addresses import room_uri
from clawnet_proto.families import task
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.end_to_end.conftest import NO_MODEL, AtHome, Mesh, NewAgent, plain_client
from tests.end_to_end.watcher import SEEN_S, Watcher, refused, watching
from tests.matrix_client import MatrixClient
from tui.sources import SourceError
from tui.sources.live import LiveOptions, open_source


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


async def test_an_observer_that_is_put_out_of_the_room(
    new_account: NewAccount, new_client: NewClient, new_room: NewRoom, tmp_path: Path, at_home: AtHome
) -> None:
    account, founder = await new_account("observer"), await new_client("founder")
    at_home(tmp_path, account.password)
    room_id = await new_room(founder)
    async with MatrixClient(account) as client:
        await new_room(founder, client)  # another one is no comfort
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
