from __future__ import annotations

import asyncio
import json

from bots.transports.activitypub.self_check import fault
from tests.transports.activitypub.server_of_tests import RawServer, answer


async def test_a_document_in_pieces_is_ours() -> None:
    server = RawServer()
    await server.start()
    actor = f"{server.base}/actor"
    whole = answer(200, json.dumps({"summary": "a" * 3000, "id": actor}).encode(), "application/activity+json")

    async def pieces(_method: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(whole), 500):
            writer.write(whole[start : start + 500])
            await writer.drain()
            for _ in range(20):
                await asyncio.sleep(0)

    server.answers["/actor"] = pieces
    try:
        assert await fault(actor) == ""
        server.answers["/actor"] = answer(200, b"a" * 100_000)
        assert "is not this agent" in await fault(actor)
        server.answers["/actor"] = answer(421)
        assert "Host" in await fault(actor)
    finally:
        await server.stop()
