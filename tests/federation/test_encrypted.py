"""An encrypted room on two homeservers, and while they are apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from bots.homeserver import Homeserver
from bots.transports import Parcel
from bots.transports.matrix import addresses
from tests.federation.conftest import Islands, NewPerson
from tests.matrix_client import Account
from tests.transports.conftest import Peer

MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}


class NewPeer(Protocol):
    async def __call__(self, homeserver: Homeserver, name: str, owner: str) -> Peer: ...


@pytest.fixture
async def new_peer(tmp_path: Path) -> AsyncIterator[NewPeer]:
    """An agent's transport on one of the servers."""
    async with AsyncExitStack() as stack:

        async def make(homeserver: Homeserver, name: str, owner: str) -> Peer:
            password = f"the password of {name}"
            user = await homeserver.register(f"encrypted-{name}", password)
            account = Account(homeserver.url, f"encrypted-{name}", user, password)
            peer = Peer(account, tmp_path / name, {"owner": owner})
            stack.push_async_callback(peer.stop)
            await peer.start()
            return peer

        yield make


def words(room_id: str, body: str) -> Parcel:
    return Parcel(txn=body, plane="room", room=addresses.room_uri(room_id), body=body)


def heard(peer: Peer, body: str) -> bool:
    return any(f'"body":"{body}"' in delivery.event for delivery in peer.received)


async def test_what_was_said_apart_is_read_once_together(
    islands: Islands, new_person: NewPerson, new_peer: NewPeer
) -> None:
    founder = await new_person(islands.a, "founder")
    anna = await new_peer(islands.a, "anna", founder.user_id)
    bert = await new_peer(islands.b, "bert", founder.user_id)
    state = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}]
    invited = [anna.account.user_id, bert.account.user_id]
    room_id = await founder.create_room(preset="private_chat", invite=invited, initial_state=state)
    room = addresses.room_uri(room_id)
    await anna.until(lambda: anna.transport.is_member(room, bert.address))
    await bert.until(lambda: bert.transport.is_member(room, anna.address))
    await anna.transport.send(words(room_id, "from a"))
    await bert.until(lambda: heard(bert, "from a"))
    await bert.transport.send(words(room_id, "from b"))
    await anna.until(lambda: heard(anna, "from b"))

    islands.cut()
    await anna.restart()  # so that a new session is to be told to who cannot be reached
    await anna.transport.send(words(room_id, "alone on a"))
    await bert.transport.send(words(room_id, "alone on b"))
    await anna.until(lambda: heard(anna, "alone on a"))
    await bert.until(lambda: heard(bert, "alone on b"))
    islands.heal()
    await anna.transport.send(words(room_id, "together again"))
    await bert.until(lambda: heard(bert, "alone on a") and heard(bert, "together again"))
    await anna.until(lambda: heard(anna, "alone on b"))
    for peer in (anna, bert):
        health = peer.transport.encryption
        assert (health.unreadable, health.given_up) == (0, 0)
