"""Rooms that are replaced, truly or not, and what a peer makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bots.transports import Parcel
from bots.transports.matrix import addresses
from tests.matrix_client import MatrixClient
from tests.transports.conftest import Peer
from tests.transports.resident import PATIENCE_S


async def upgrade(client: MatrixClient, room_id: str, version: str = "12") -> str:
    answer = await client.request("POST", f"/rooms/{room_id}/upgrade", {"new_version": version})
    return str(answer["replacement_room"])


async def tombstone(client: MatrixClient, room_id: str, target: object) -> None:
    """What a person with power over the room can write, though there is nothing behind it."""
    content = {"body": "This room was replaced.", "replacement_room": target}
    await client.send_state(room_id, "m.room.tombstone", "", content)


async def successor(client: MatrixClient, room_id: str, **options: Any) -> str:
    """A room that says of itself that it replaces another."""
    said = {"predecessor": {"room_id": room_id, "event_id": "$last"}}
    return await client.create_room(creation_content=said, **({"preset": "public_chat"} | options))


def rooms_of(peer: Peer) -> set[str]:
    return {addresses.room_id(room.uri) for room in peer.transport.rooms()}


def parcel(room_id: str, txn: str = "1") -> Parcel:
    return Parcel(txn=txn, plane="room", room=addresses.room_uri(room_id), body="hello")


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "is not followed" in record.getMessage()]


async def alarmed(peer: Peer, anybody: MatrixClient, caplog: pytest.LogCaptureFixture, times: int = 1) -> None:
    """Once the peer has said that it does not follow."""
    async with asyncio.timeout(PATIENCE_S):
        while len(refusals(caplog)) < times:
            await anybody.sync(timeout_ms=50)


async def in_rooms(peer: Peer, anybody: MatrixClient, *expected: str) -> None:
    """Once the peer is in these rooms, and no others."""
    async with asyncio.timeout(PATIENCE_S):
        while rooms_of(peer) != {*expected}:
            await anybody.sync(timeout_ms=50)
