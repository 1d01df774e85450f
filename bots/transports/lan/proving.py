"""Asking a node who it is (spec/bindings/lan.md, LAN-6 to LAN-8)."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import aiohttp
from yarl import URL

from bots.transports.lan.candidates import Endpoint
from clawnet_proto import base64url
from clawnet_proto.bindings import lan
from clawnet_proto.bindings.lan import Proof, Proven
from clawnet_proto.errors import RemoteProtocolError

_ANSWER_MOST: Final = 1 << 15  # bytes
_TOTAL_S: Final = 5.0
_CONNECT_S: Final = 3.0


class Unproven(Exception):
    """Who answers there, if anybody does, has not shown that it is this node."""


def base(endpoint: Endpoint, did: str) -> str:
    """The URL that all of a node's begin with (LAN-6)."""
    return f"http://{endpoint}/{did}"


async def ask(
    session: aiohttp.ClientSession, endpoint: Endpoint, did: str, reader: str, port: int = 0
) -> tuple[Proof, Proven]:
    """Have a node prove to ``reader`` that it is ``did``; ``port`` is that of the reader's own node.

    Raises Unproven.
    """
    nonce = base64url.encode(os.urandom(32))
    query = {"reader": reader, "nonce": nonce} | ({"port": str(port)} if port else {})
    url = URL(f"{base(endpoint, did)}/proof", encoded=True).with_query(query)
    limits = aiohttp.ClientTimeout(total=_TOTAL_S, sock_connect=_CONNECT_S)
    try:
        async with session.get(url, timeout=limits, allow_redirects=False) as response:
            if response.status != 200 or response.content_type != "application/json":
                raise Unproven(f"it answers {response.status}")
            data = bytearray()
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > _ANSWER_MOST:
                    raise Unproven("its answer is too large")
    except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        raise Unproven(type(error).__name__) from error
    try:
        return lan.read(bytes(data), node=did, reader=reader, at=str(endpoint), nonce=nonce)
    except RemoteProtocolError as error:
        raise Unproven(str(error)) from None
