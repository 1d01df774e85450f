"""An encrypted room at a real homeserver, and what is sent and received there."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from bots.transports import Delivery, Parcel
from bots.transports.matrix import addresses
from tests.conftest import NewClient
from tests.matrix_client import MatrixClient
from tests.transports.conftest import NewPeer, Peer

MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}
CARRIER = json.dumps({"clawnet": "1", "kid": "did:key:zTest", "env": "{}", "sig": "c2ln"})


async def encrypted_room(founder: MatrixClient, *invited: str) -> str:
    state = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}]
    return await founder.create_room(preset="private_chat", invite=list(invited), initial_state=state)


def parcel(room_id: str, body: str, **more: Any) -> Parcel:
    more.setdefault("carriers", (CARRIER,))
    return Parcel(txn=f"txn of {body}"[:60], plane="room", room=addresses.room_uri(room_id), body=body, **more)


async def arrived(peer: Peer, body: str) -> Delivery:
    await peer.until(lambda: bool(found(peer, body)))
    return found(peer, body)[0]


def found(peer: Peer, body: str) -> list[Delivery]:
    return [delivery for delivery in peer.received if body in json.loads(delivery.event)["content"].get("body", "")]


async def joined(peer: Peer, room_id: str) -> None:
    await peer.until(lambda: any(room.uri == addresses.room_uri(room_id) for room in peer.transport.rooms()))


class Two(NamedTuple):
    """Two peers in a room that a person has made."""

    founder: MatrixClient
    anna: Peer
    bert: Peer
    room_id: str


async def two(new_client: NewClient, new_peer: NewPeer, *, annas: str | None = None, berts: str | None = None) -> Two:
    """They have joined. ``annas`` and ``berts`` are the homeservers they go by, where it is not the real one."""
    founder = await new_client("founder")
    settings: list[dict[str, Any]] = [{} if by is None else {"homeserver": by} for by in (annas, berts)]
    anna = await new_peer("anna", owner=founder.user_id, **settings[0])
    bert = await new_peer("bert", owner=founder.user_id, **settings[1])
    room_id = await encrypted_room(founder, anna.account.user_id, bert.account.user_id)
    await joined(anna, room_id)
    await joined(bert, room_id)
    return Two(founder, anna, bert, room_id)


async def encrypted_events(client: MatrixClient, room_id: str) -> list[dict[str, Any]]:
    return [event for event in await client.messages(room_id) if event["type"] == "m.room.encrypted"]
