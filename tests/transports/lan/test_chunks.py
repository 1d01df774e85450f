"""Chunks of artifacts between nodes."""

from __future__ import annotations

import secrets

import pytest

from bots.errors import Refused, RetryLater
from clawnet_proto.bindings import lan as binding
from clawnet_proto.signing import digest
from tests.proto.authoring import Author
from tests.transports.worlds import LanWorld


async def test_a_chunk_is_had_from_who_keeps_it(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    data = secrets.token_bytes(300_000)
    uri = await ada.transport.store_chunk(data)
    assert uri == f"{ada.address}/chunks/{digest(data)}"
    for one in (ada, bert):
        assert await one.transport.fetch_chunk(uri, len(data)) == data
        assert await one.transport.fetch_chunk(uri, 1000) == data[:1001]
    await ada.restart()
    assert await ada.transport.fetch_chunk(uri, len(data)) == data


async def test_what_is_no_chunk_on_this_network(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    there = [binding.chunk_uri(binding.identity(one.address), digest(b"none")) for one in (ada, bert)]
    for uri, code in [
        *((uri, "lan.no_chunk") for uri in there),
        (there[0] + "x", "lan.bad_address"),
        (f"http://127.0.0.1:8700/chunks/{digest(b'none')}", "lan.bad_address"),
        (f"{ada.address}/../proof", "lan.bad_address"),
    ]:
        with pytest.raises(Refused) as caught:
            await ada.transport.fetch_chunk(uri, 1000)
        assert caught.value.code == code
    with pytest.raises(RetryLater) as later:
        await ada.transport.fetch_chunk(binding.chunk_uri(Author("nobody").did, digest(b"none")), 1000)
    assert later.value.code == "lan.unreachable"
