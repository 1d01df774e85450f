"""A person's client in encrypted rooms: matrix-nio as it comes, which shares no code of ours above vodozemac."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nio import AsyncClient, AsyncClientConfig, MegolmEvent, RoomMessage
from nio.store import SqliteStore

from tests.matrix_client import Account

PATIENCE_S = 30.0


class EncryptingPerson:
    """One logged-in device. What it could read stands in ``read``, what it could not in ``unread``."""

    def __init__(self, account: Account, directory: Path) -> None:
        self.user_id = account.user_id
        self.read: list[Any] = []
        self.unread: list[Any] = []
        self._password = account.password
        directory.mkdir(parents=True, exist_ok=True)
        config = AsyncClientConfig(store=SqliteStore, encryption_enabled=True, store_sync_tokens=True)
        self.client = AsyncClient(account.homeserver, account.user_id, store_path=str(directory), config=config)
        self.client.add_event_callback(self._read, RoomMessage)
        self.client.add_event_callback(self._unread, MegolmEvent)

    async def __aenter__(self) -> Self:
        await self.client.login(self._password)
        await self.sync()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    async def _read(self, room: Any, event: Any) -> None:
        self.read.append(event)

    async def _unread(self, room: Any, event: Any) -> None:
        self.unread.append(event)

    async def sync(self, timeout_ms: int = 0) -> None:
        """One sync, and what a client does after it."""
        await self.client.sync(timeout_ms)
        if self.client.should_upload_keys:
            await self.client.keys_upload()
        if self.client.should_query_keys:
            await self.client.keys_query()
        if self.client.should_claim_keys:
            await self.client.keys_claim(self.client.get_users_for_key_claiming())
        await self.client.send_to_device_messages()

    async def until(self, ready: Callable[[], Any]) -> None:
        """Sync until something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not ready():
                await self.sync(1_000)

    async def say(self, room_id: str, text: str, **content: Any) -> str:
        """Send words as a person does: encrypted, if the room is."""
        answer = await self.client.room_send(
            room_id,
            "m.room.message",
            {"msgtype": "m.text", "body": text, **content},
            ignore_unverified_devices=True,
        )
        return str(answer.event_id)

    def bodies(self) -> list[str]:
        return [event.body for event in self.read]
