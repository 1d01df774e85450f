"""An observer in an encrypted room: what it reads, what it cannot, and that it goes on as the same device."""

from __future__ import annotations

import asyncio
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bots.transports.matrix import wire
from tests.conftest import NewAccount, NewClient
from tests.end_to_end.agent_process import Running, start_all
from tests.end_to_end.conftest import MODEL, NO_MODEL, AtHome, NewAgent
from tests.end_to_end.watcher import Watcher, refused, watching
from tests.matrix_client import Account, MatrixClient
from tests.terminals import Emulated, ended, shows
from tests.transports.encryption_person import EncryptingPerson
from tui.sources import Link
from tui.sources.live import LiveOptions, agent, open_source, unread

MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}
ENCRYPTED = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}]
JUNK = {**MEGOLM, "ciphertext": "AwgA", "session_id": "nobodys", "sender_key": "k", "device_id": "NONE"}
CLAWTUI = (sys.executable, "-m", "tui.cli")


def observing(account: Account, room: str) -> LiveOptions:
    return LiveOptions(homeserver=account.homeserver, user=account.user_id, room=room)


def details(watcher: Watcher) -> str:
    """What is told of the link now."""
    return watcher.links[-1].detail if watcher.links else ""


async def devices_of(client: MatrixClient, user: str) -> dict[str, Any]:
    """The devices of a user that others encrypt to, with their keys."""
    answer = await client.request("POST", "/keys/query", {"device_keys": {user: []}})
    return {name: device["keys"] for name, device in answer["device_keys"].get(user, {}).items()}


def knows(person: EncryptingPerson, account: Account) -> int:
    """How many devices of an account they would encrypt to."""
    return len(list(person.client.device_store.active_user_devices(account.user_id)))


async def test_people_are_read_from_its_joining_on_and_again_after_a_restart(
    new_account: NewAccount,
    new_client: NewClient,
    tmp_path: Path,
    at_home: AtHome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unread, "HOLD_S", 0.2)
    founder, account = await new_client("founder"), await new_account("observer")
    room_id = await founder.create_room(preset="public_chat")
    at_home(tmp_path, account.password)
    async with EncryptingPerson(await new_account("paula"), tmp_path / "paula") as paula:
        await paula.client.join(room_id)
        await paula.until(lambda: room_id in paula.client.rooms)
        await paula.say(room_id, "in the open")
        async with watching(observing(account, room_id)) as watcher:
            await watcher.until(lambda: "in the open" in watcher.words)
            # The room turns encrypted while it looks on.
            await founder.send_state(room_id, "m.room.encryption", "", MEGOLM)
            await paula.until(lambda: knows(paula, account) == 1)
            keys = await devices_of(founder, account.user_id)
            await paula.say(room_id, "hidden one")
            await watcher.until(lambda: "hidden one" in watcher.words)
            assert details(watcher) == ""
            # What nobody can read is there, and counted.
            await founder.send(room_id, "m.room.encrypted", JUNK)
            await watcher.until(lambda: details(watcher) == "unreadable: 1 waiting")
            await watcher.until(lambda: "nobodys" in watcher.arrivals[-1].event)
            await founder.send_text(room_id, "in the name of anybody")
            await watcher.until(lambda: details(watcher).endswith("; 1 unencrypted left out"))
            assert "in the name of anybody" not in watcher.words
            await beside_it(account, room_id, paula, founder, at_home, tmp_path)
        await paula.say(room_id, "said while nobody looked on")
        at_home(tmp_path, "")
        async with watching(observing(account, room_id)) as watcher:
            await watcher.until(lambda: "said while nobody looked on" in watcher.words)
            await paula.say(room_id, "hidden two")
            await watcher.until(lambda: watcher.words[-1] == "hidden two")
            assert watcher.words == [
                "in the open",
                "hidden one",
                "for both",
                "said while nobody looked on",
                "hidden two",
            ]
            told = "unreadable: 1 waiting; 1 unencrypted left out"
            await watcher.until(lambda: details(watcher) == told)
    now = await devices_of(founder, account.user_id)
    assert len(now) == 2 and keys.items() <= now.items()
    events = await founder.messages(room_id)
    assert {event["type"] for event in events if event["sender"] == account.user_id} == {"m.room.member"}
    kept = [path for path in (tmp_path / ".local").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}


async def beside_it(
    account: Account, room_id: str, paula: EncryptingPerson, founder: MatrixClient, at_home: AtHome, home: Path
) -> None:
    """One more observer with the same account: a device of its own, which reads from its own coming on."""
    before = await devices_of(founder, account.user_id)
    async with watching(observing(account, room_id)) as watcher:
        await watcher.until(lambda: details(watcher) == "unreadable: 2 before")
        assert "in the open" in watcher.words and "hidden one" not in watcher.words
        after = await devices_of(founder, account.user_id)
        assert before.items() < after.items() and len(after) == 2
        await paula.until(lambda: knows(paula, account) == 2)
        await paula.say(room_id, "for both")
        await watcher.until(lambda: "for both" in watcher.words)


async def test_what_is_said_in_one_room_while_it_looks_on_in_another(
    new_account: NewAccount, new_client: NewClient, tmp_path: Path, at_home: AtHome
) -> None:
    founder, account = await new_client("founder"), await new_account("observer")
    rooms = [await founder.create_room(preset="public_chat", initial_state=ENCRYPTED) for _ in range(2)]
    at_home(tmp_path, account.password)
    async with EncryptingPerson(await new_account("paula"), tmp_path / "paula") as paula:
        for room_id in rooms:
            await paula.client.join(room_id)
        for said, room_id in enumerate(rooms):
            async with watching(observing(account, room_id)) as watcher:
                await watcher.until(lambda watcher=watcher: watcher.states == ["connecting", "live"])  # type: ignore[misc]
                await paula.until(lambda: knows(paula, account) == 1)
                for other in rooms[: said + 1]:
                    paula.client.invalidate_outbound_session(other)  # each time under a key of its own
                    await paula.say(other, f"number {said}")
                await watcher.until(lambda watcher=watcher, said=said: f"number {said}" in watcher.words)  # type: ignore[misc]
                # By the next sync the homeserver has forgotten the keys that it gave with the last one.
                await paula.say(room_id, "and more")
                await watcher.until(lambda watcher=watcher: watcher.words[-1] == "and more")  # type: ignore[misc]
        async with watching(observing(account, rooms[0])) as watcher:
            await watcher.until(lambda: watcher.words == ["number 0", "and more", "number 1"])
            assert details(watcher) == ""


async def test_a_login_whose_keys_are_gone(
    new_account: NewAccount, new_client: NewClient, tmp_path: Path, at_home: AtHome
) -> None:
    founder, account = await new_client("founder"), await new_account("observer")
    room_id = await founder.create_room(preset="public_chat", initial_state=ENCRYPTED)
    at_home(tmp_path, account.password)
    async with watching(observing(account, room_id)) as watcher:
        await watcher.until(lambda: watcher.states == ["connecting", "live"])
    for file in tmp_path.rglob("matrix-encryption.*"):
        file.unlink()
    error = await refused(observing(account, room_id))
    assert error.code == "source.keys_lost" and str(tmp_path) in error.hint


async def test_a_screen_that_is_behind_makes_it_wait(
    new_account: NewAccount, new_client: NewClient, tmp_path: Path, at_home: AtHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    sync = wire.sync

    def counted(*arguments: Any) -> wire.Request:
        nonlocal asked
        asked += 1
        return sync(*arguments)

    monkeypatch.setattr(wire, "sync", counted)
    founder, account = await new_client("founder"), await new_account("observer")
    room_id = await founder.create_room(preset="public_chat")
    at_home(tmp_path, account.password)
    room_for_more, waiting = asyncio.Event(), asyncio.Event()
    room_for_more.set()

    async def ready() -> None:
        if not room_for_more.is_set():
            waiting.set()
        await room_for_more.wait()

    watcher = Watcher(open_source(observing(account, room_id)))
    running = asyncio.ensure_future(watcher.source.run(watcher.deliver, watcher.links.append, ready))
    try:
        await watcher.until(lambda: watcher.states == ["connecting", "live"])
        room_for_more.clear()
        await founder.send_text(room_id, "enough")  # ends the poll that is under way
        async with asyncio.timeout(30):
            await waiting.wait()
        before = asked
        said = [f"word {number}" for number in range(105)]  # more than one sync brings
        for word in said:
            await founder.send_text(room_id, word)
        assert (asked, watcher.words) == (before, ["enough"])
        room_for_more.set()
        await watcher.until(lambda: len(watcher.words) > len(said))
        assert watcher.words == ["enough", *said]
        assert Link("live", "") in watcher.links and details(watcher) == ""
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_work_of_agents_on_the_screen_and_in_plain_lines(
    new_agent: NewAgent,
    new_account: NewAccount,
    new_client: NewClient,
    tmp_path: Path,
    at_home: AtHome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent, "_UNREAD_EVERY_S", 0.2)
    founder, account = await new_client("founder"), await new_account("observer")
    room_id = await founder.create_room(preset="public_chat", initial_state=ENCRYPTED)
    asker, worker = await new_agent("asker", room_id, *NO_MODEL), await new_agent("worker", room_id, *MODEL)
    environment = asker.environment | {"HOME": str(tmp_path), "CLAWNET_MATRIX_PASSWORD": account.password}
    who = ("--homeserver", account.homeserver, "--user", account.user_id, "--room", room_id)
    async with tailing(who, environment) as tail:
        await start_all([asker, worker])
        with Emulated([*CLAWTUI, *who], environment) as terminal:
            await shows(terminal, lambda screen: "live" in screen.splitlines()[0])
            finished = await asker.clawbot("ask", "What is honey?", "--max-tokens", "8", "--json")
            assert finished.status == 0, finished
            # The founder, the agents, and the account that looks on.
            assert "its 4 members can read" in finished.err + finished.out
            (answer,) = finished.of("answer")
            await tail.until(lambda line: line["type"] == "task.close")
            of_task = {line["type"]: line for line in tail.lines if line["task"] == answer["task"]}
            assert {"task.request", "task.award", "task.result", "task.close"} <= of_task.keys()
            assert {line["verdict"] for line in of_task.values()} == {"bound"}
            screen = await shows(terminal, lambda screen: "✓ What is honey?" in screen and "closes task" in screen)
            assert "bound" in screen and "invalid" not in screen
            terminal.press("q")
            assert await ended(terminal) == 0
    at_home(asker.home, "")
    async with watching(LiveOptions(name=asker.name)) as watcher:
        await watcher.until(lambda: watcher.closed(answer["task"]))
        await founder.send(room_id, "m.room.encrypted", JUNK)
        await watcher.until(lambda: watcher.links[-1] == Link("live", "unreadable: 1"))
    assert {"asker", "worker"} <= {line["name"].rstrip("0123456789") for line in tail.lines}
    events = await founder.messages(room_id)
    assert {event["type"] for event in events if event["sender"] == account.user_id} == {"m.room.member"}


@asynccontextmanager
async def tailing(who: tuple[str, ...], environment: dict[str, str]) -> AsyncIterator[Running]:
    """``clawtui tail --json``, once it is in the room."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *CLAWTUI, "tail", *who, "--json", stdout=pipe, stderr=pipe, env=environment, limit=1 << 20
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(45):
            while (told := await process.stderr.readline()) != b"clawtui: live\n":
                assert told.startswith(b"clawtui: connecting"), told
        yield Running(process)
    finally:
        process.terminate()
        await process.communicate()
