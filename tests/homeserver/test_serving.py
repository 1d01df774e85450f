"""What the embedded homeserver serves, to whom, and the accounts and rooms made there."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bots.errors import ConfigError
from bots.homeserver import Homeserver
from tests.conftest import NewClient, NewRoom
from tests.homeserver.outside import status_of
from tests.matrix_client import Account, MatrixClient, MatrixError

# --- what it serves ---


async def test_two_people_talk(new_client: NewClient, new_room: NewRoom) -> None:
    alice, bob = await new_client("alice"), await new_client("bob")
    room = await new_room(alice, bob)

    sent = await alice.send_text(room, "good morning")
    received = await bob.wait_for_text("good morning")
    assert (received["event_id"], received["sender"]) == (sent, alice.user_id)

    await bob.send_to_device(alice.user_id, alice.device_id, "net.clawnet.test", {"n": 1})
    direct = await alice.wait_for_to_device(lambda event: event["type"] == "net.clawnet.test")
    assert (direct["sender"], direct["content"]) == (bob.user_id, {"n": 1})

    assert sent in [event["event_id"] for event in await bob.messages(room)]


async def test_media_can_be_stored(new_client: NewClient) -> None:
    alice = await new_client("alice")
    answer = await alice.request("POST", "/_matrix/media/v3/upload", data=b"\0tensor")
    server_name, media_id = answer["content_uri"].removeprefix("mxc://").split("/")
    url = f"{alice.account.homeserver}/_matrix/client/v1/media/download/{server_name}/{media_id}"
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        assert await response.read() == b"\0tensor"


async def test_raised_limits_let_bursts_through(new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room = await new_room(alice)
    await asyncio.gather(*(alice.send_text(room, str(number)) for number in range(40)))


async def test_default_limits_are_synapses_own(tmp_path: Path) -> None:
    async with Homeserver(tmp_path, rate_limits="default") as homeserver:
        user_id = await homeserver.register("alice", "secret")
        async with MatrixClient(Account(homeserver.url, "alice", user_id, "secret")) as alice:
            room = await alice.create_room(preset="public_chat")
            sent: list[str] = []

            async def burst() -> None:
                while len(sent) < 30:
                    sent.append(await alice.send_text(room, str(len(sent))))

            with pytest.raises(MatrixError) as caught:
                await burst()
            assert caught.value.status == 429
            assert caught.value.errcode == "M_LIMIT_EXCEEDED"
            assert caught.value.retry_after_ms > 0
            assert 8 <= len(sent) <= 12


async def test_strangers_cannot_register(homeserver: Homeserver) -> None:
    assert await status_of("POST", f"{homeserver.url}/_matrix/client/v3/register") == 403


async def test_it_does_not_federate(homeserver: Homeserver, new_client: NewClient) -> None:
    assert await status_of("GET", f"{homeserver.url}/_matrix/federation/v1/version") == 404
    alice = await new_client("alice")
    with pytest.raises(MatrixError):
        await alice.join("#room:elsewhere.example")


async def test_it_listens_on_loopback_alone(homeserver: Homeserver) -> None:
    port = int(homeserver.url.rsplit(":", 1)[1])
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("this system has one loopback address")
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # would be taken if the server listened on every address


# --- accounts and rooms ---


async def test_registering_twice_is_the_same_as_once(homeserver: Homeserver) -> None:
    first = await homeserver.register("twice", "secret")
    assert first == f"@twice:{homeserver.server_name}"
    assert await homeserver.register("twice", "secret") == first
    with pytest.raises(ConfigError) as caught:
        await homeserver.register("twice", "another")
    assert caught.value.code == "homeserver_user_exists"
    assert "another" not in str(caught.value).replace("another password", "").replace("another name", "")


@pytest.mark.parametrize("name", ["", "Alice", "a b", "@alice:localhost", "a" * 300])
async def test_names_that_cannot_be(homeserver: Homeserver, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await homeserver.register(name, "secret")
    assert caught.value.code == "homeserver_name_invalid"


@pytest.mark.parametrize("announce_state", [False, True])
async def test_a_room_is_public_and_made_once(
    homeserver: Homeserver, new_client: NewClient, announce_state: bool
) -> None:
    await homeserver.register("keeper", "secret")
    alias = f"lobby-{announce_state}".lower()
    options: dict[str, Any] = {"creator": "keeper", "password": "secret", "announce_state": announce_state}
    room = await homeserver.create_room(alias, **options)
    assert await homeserver.create_room(alias, **options) == room

    alice = await new_client("alice")
    listed = await alice.request("GET", "/publicRooms")
    assert room in [entry["room_id"] for entry in listed["chunk"]]
    assert await alice.join(f"#{alias}:{homeserver.server_name}") == room
    assert await alice.members(room) == {f"@keeper:{homeserver.server_name}", alice.user_id}
    assert (await alice.state(room, "m.room.history_visibility"))["history_visibility"] == "shared"

    announce = alice.send_state(room, "net.clawnet.announce", alice.user_id, {"n": 1})
    if announce_state:
        await announce
        levels = await alice.state(room, "m.room.power_levels")
        assert levels["events"].pop("net.clawnet.announce") == 0
        assert levels["events"]["m.room.power_levels"] == 100
    else:
        with pytest.raises(MatrixError) as caught:
            await announce
        assert caught.value.status == 403
    with pytest.raises(MatrixError):
        await alice.send_state(room, "m.room.name", "", {"name": "mine"})
