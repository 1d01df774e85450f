"""A room that is replaced by the homeserver's own upgrade, while somebody looks on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bots.transports.matrix.addresses import room_uri
from tests.agent.virtual_time import until
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.end_to_end.conftest import NO_MODEL, AtHome, NewAgent
from tests.end_to_end.test_watch_encrypted import ENCRYPTED, knows, observing
from tests.end_to_end.watcher import SEEN_S, watching
from tests.matrix_client import Account, MatrixClient
from tests.terminals import Emulated, ended, shows
from tests.transports.encryption_person import EncryptingPerson
from tui.feeds import LiveFeed
from tui.model import Model
from tui.sources import Link
from tui.sources.live import LiveOptions, open_source
from tui.sources.live.moves import REPLACED

CLAWTUI = (sys.executable, "-m", "tui.cli")


async def upgrade(client: MatrixClient, room_id: str) -> str:
    answer = await client.request("POST", f"/rooms/{room_id}/upgrade", {"new_version": "12"})
    return str(answer["replacement_room"])


class Picture:
    """What stands on a screen that looks on."""

    def __init__(self, options: LiveOptions) -> None:
        self.feed = LiveFeed(open_source(options), clock=lambda: time.time_ns() // 1_000_000)

    @property
    def words(self) -> list[str]:
        return words_of(self.feed.model)

    async def until(self, ready: Callable[[], bool]) -> None:
        await until(ready, SEEN_S)


def words_of(model: Model) -> list[str]:
    return [entry.words for entry in model.snapshot(0).entries if entry.words]


@asynccontextmanager
async def picture(options: LiveOptions) -> AsyncIterator[Picture]:
    shown = Picture(options)
    running = asyncio.ensure_future(shown.feed.run())
    try:
        yield shown
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_who_looks_on_goes_along_and_finds_the_new_room_again(
    new_client: NewClient, new_room: NewRoom, new_account: NewAccount, tmp_path: Path, at_home: AtHome
) -> None:
    host, account = await new_client("host"), await new_account("watcher")
    at_home(tmp_path, account.password)
    old = await new_room(host)
    alias = str((await host.state(old, "m.room.canonical_alias"))["alias"])
    await host.send_text(old, "first")
    async with picture(observing(account, old)) as shown:
        feed = shown.feed
        await shown.until(lambda: shown.words == ["first"])
        before = feed.model
        assert (feed.title, before.room, feed.link.detail) == (old, room_uri(old), "")
        new = await upgrade(host, old)
        # Nothing is said there yet, and the picture is empty all the same.
        await shown.until(lambda: feed.model.room == room_uri(new) and feed.link.detail == REPLACED)
        assert feed.link.state == "live" and shown.words == [] and words_of(before) == ["first"]
        await shown.until(lambda: feed.title == alias)
        await host.send_text(old, "nobody is here")
        await host.send_text(new, "second")
        await shown.until(lambda: shown.words == ["second"])
        newest = await upgrade(host, new)
        await host.send_text(newest, "third")
        await shown.until(lambda: shown.words == ["third"] and feed.model.room == room_uri(newest))
    at_home(tmp_path, "")
    async with picture(observing(account, old)) as shown:
        await shown.until(lambda: shown.words == ["third"] and shown.feed.model.room == room_uri(newest))


async def test_an_encrypted_room(
    new_client: NewClient, new_account: NewAccount, tmp_path: Path, at_home: AtHome
) -> None:
    host, account = await new_client("host"), await new_account("watcher")
    at_home(tmp_path, account.password)
    old = await host.create_room(preset="public_chat", initial_state=ENCRYPTED)
    async with EncryptingPerson(await new_account("paula"), tmp_path / "paula") as paula:
        await paula.client.join(old)
        async with picture(observing(account, old)) as shown:
            await paula.until(lambda: old in paula.client.rooms and knows(paula, account) == 1)
            await paula.say(old, "hidden one")
            await shown.until(lambda: shown.words == ["hidden one"])
            new = await upgrade(host, old)
            await shown.until(lambda: shown.feed.model.room == room_uri(new))
            await paula.client.join(new)
            await paula.until(lambda: new in paula.client.rooms and account.user_id in paula.client.rooms[new].users)
            await paula.say(new, "hidden two")
            await shown.until(lambda: shown.words == ["hidden two"])


async def test_a_room_that_says_nothing_of_it_is_not_followed(
    new_client: NewClient, new_room: NewRoom, new_account: NewAccount, tmp_path: Path, at_home: AtHome
) -> None:
    host, account = await new_client("host"), await new_account("watcher")
    at_home(tmp_path, account.password)
    old, other = await new_room(host), await new_room(host)
    async with watching(observing(account, old)) as watcher:
        await host.send_text(old, "before")
        await watcher.until(lambda: watcher.words == ["before"])
        await host.send_state(old, "m.room.tombstone", "", {"body": "", "replacement_room": other})
        await host.send_text(other, "elsewhere")
        await host.send_text(old, "still here")
        await watcher.until(lambda: watcher.words[-1] == "still here")
        assert watcher.source.room == room_uri(old) and "elsewhere" not in watcher.words
        why = "It does not say that it replaces this room."
        await watcher.until(lambda: watcher.links[-1].detail == f"not followed to the room it names: {why}")
        # Another one is; and then that is what is said.
        new = await upgrade(host, old)
        await watcher.until(lambda: watcher.links[-1].detail == REPLACED)
        assert watcher.source.room == room_uri(new)
    assert account.user_id not in await host.members(other)


async def test_beside_an_agent(new_client: NewClient, new_room: NewRoom, new_agent: NewAgent, at_home: AtHome) -> None:
    host = await new_client("host")
    old, other = await new_room(host), await new_room(host)
    agent = await new_agent("ada", old, *NO_MODEL)
    agent.start()
    await agent.ready()
    at_home(agent.home, agent.account.password)
    async with picture(LiveOptions(name=agent.name)) as shown:
        feed = shown.feed
        await host.send_text(old, "first")
        await shown.until(lambda: shown.words == ["first"])
        await host.send_state(old, "m.room.tombstone", "", {"body": "", "replacement_room": other})
        await shown.until(lambda: "is not followed to the room it names: It does not say" in feed.link.detail)
        assert feed.model.room == room_uri(old)
        new = await upgrade(host, old)
        await shown.until(lambda: feed.model.room == room_uri(new) and feed.link == Link("live", REPLACED))
        assert "first" not in shown.words
        await host.send_text(new, "second")
        await shown.until(lambda: shown.words == ["second"])
        await shown.until(lambda: {row.name for row in feed.model.snapshot(0, fresh=True).agents} == {agent.name})
        assert feed.title.endswith(f" through {agent.name}") and old not in feed.title
        # By what it is called now, also when the agent is started anew.
        assert await agent.stop() == 0
        await shown.until(lambda: feed.link.state == "stale")
        agent.start()
        await host.send_text(new, "third")
        await shown.until(lambda: shown.words == ["second", "third"] and feed.link.state == "live")
    assert await agent.stop() == 0


async def test_the_screen_says_so(
    new_client: NewClient, new_room: NewRoom, new_account: NewAccount, tmp_path: Path
) -> None:
    host, account = await new_client("host"), await new_account("watcher")
    old = await new_room(host)
    alias = str((await host.state(old, "m.room.canonical_alias"))["alias"])
    with Emulated([*CLAWTUI, *options(account, old)], environment(tmp_path, account)) as terminal:
        await host.send_text(old, "good morning")
        screen = await shows(terminal, lambda screen: "good morning" in screen)
        assert REPLACED not in screen and alias not in screen
        new = await upgrade(host, old)
        screen = await shows(terminal, lambda screen: REPLACED in screen and alias in screen)
        assert alias in screen.splitlines()[0] and "good morning" not in screen
        await host.send_text(new, "good evening")
        await shows(terminal, lambda screen: "good evening" in screen)
        terminal.press("q")
        assert await ended(terminal) == 0


def options(account: Account, room: str) -> list[str]:
    return ["--homeserver", account.homeserver, "--user", account.user_id, "--room", room]


def environment(home: Path, account: Account) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path.cwd()),
        "CLAWNET_MATRIX_PASSWORD": account.password,
    }
