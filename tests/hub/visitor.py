"""Somebody who talks to a hub over HTTP, written from spec/bindings/http.md."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clawnet_proto.families import presence
from tests.proto.authoring import Author
from tests.proto.samples import announce


class Clock:
    """Time as a test wants it."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.now_ms()

    def now_s(self) -> float:
        return self.now_ms() / 1000

    unix_s = now_s


class Visitor:
    """An author with an account at a hub: its key."""

    def __init__(self, name: str, base: str, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.author = Author(name)
        self.base = base
        self.address = f"{base}/peers/{self.author.did}"
        self._session = session
        self._clock = clock
        self._revision = 0

    def announce(self, room: str, **fields: Any) -> bytes:
        self._revision += 1
        body = announce(self.author, self._revision, addresses=(presence.Address(uri=self.address),))
        return self.author.carrier(body, room=room, sent_ms=self._clock.ms, **fields)

    async def say(self, url: str, *carriers: bytes, signed: bool = False) -> tuple[int, Any]:
        return await self.post(url, b'{"carriers":[' + b",".join(carriers) + b"]}", signed=signed)

    async def post(
        self, url: str, body: bytes, *, signed: bool = False, proof: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        if signed:
            proof = self.proof("POST", url, body)
        headers = {"Content-Type": "application/json", **(proof or {})}
        async with self._session.post(url, data=body, headers=headers) as response:
            return response.status, json.loads(await response.read())

    async def read(self, url: str, *, signed: bool = False, **query: str) -> tuple[int, Any]:
        target = url + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
        headers = {"Accept": "application/json"} | (self.proof("GET", target, b"") if signed else {})
        async with self._session.get(target, headers=headers) as response:
            return response.status, json.loads(await response.read())

    @asynccontextmanager
    async def stream(self, url: str, *, after: str = "", signed: bool = False) -> AsyncIterator[Stream]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        headers |= self.proof("GET", url, b"") if signed else {}
        async with self._session.get(url, headers=headers) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield Stream(response)

    def proof(
        self, method: str, url: str, body: bytes, *, created: int | None = None, more: str = "", date: str = ""
    ) -> dict[str, str]:
        """A request's signature, made without any code of ours. It has ``more`` parameters, and covers a ``date``."""
        covered = '"@method" "@target-uri"' + (' "content-digest"' if body else "") + (' "date"' if date else "")
        described = f'({covered});created={created or self._clock.ms // 1000};keyid="{self.author.did}"{more}'
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        lines = [f'"@method": {method}', f'"@target-uri": {url}', *([f'"content-digest": {digest}'] if body else [])]
        lines += [f'"date": {date}'] if date else []
        base = "\n".join([*lines, f'"@signature-params": {described}']).encode()
        signature = Ed25519PrivateKey.from_private_bytes(self.author.key.seed).sign(base)
        return {
            "Signature-Input": f"me={described}",
            "Signature": f"me=:{base64.b64encode(signature).decode()}:",
            **({"Content-Digest": digest} if body else {}),
            **({"Date": date} if date else {}),
        }


class Stream:
    """Server-sent events as they come: (id, event, data)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.members: set[str] = set()
        self.told: list[tuple[str, int, bool]] = []  # (event, how many addresses, more) about members
        self._coming: list[str] = []

    async def next(self) -> tuple[str, str, Any]:
        fields: dict[str, str] = {}
        while True:
            line = (await self._response.content.readline()).decode()
            if not line:
                raise ConnectionError("the stream is over")
            line = line.removesuffix("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields and not line:
                found = fields.get("id", ""), fields["event"], json.loads(fields["data"])
                fields = {}
                if found[1] in ("members", "joined", "left"):
                    self._tell(found[1], **found[2])
                    continue
                return found

    def _tell(self, kind: str, members: list[str], *, more: bool = False) -> None:
        self.told.append((kind, len(members), more))
        if kind == "members":
            self._coming.extend(members)
            if not more:
                self.members, self._coming = set(self._coming), []
        elif kind == "joined":
            self.members |= set(members)
        else:
            self.members -= set(members)
