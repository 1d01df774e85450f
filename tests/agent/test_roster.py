"""Whom an agent counts upon, from its first moment on."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.agent.simulated import Room
from tests.agent.virtual_time import in_virtual_time
from tests.proto.authoring import ROOM


@in_virtual_time
async def test_who_asks_before_the_first_sync_keeps_nobody_out_after_it(tmp_path: Path) -> None:
    """Until then nobody knows who is joined. A command of the owner may ask as early as that."""
    async with Room(tmp_path) as room:
        ada, bert = await room.crowd("ada", "bert")
        await ada.crash()
        account = room.network.account(ada.address)
        account.reachable = False
        agent = ada.open()
        running = asyncio.ensure_future(agent.run())
        try:
            await asyncio.sleep(1)
            assert agent.live_peers(ROOM) == ()
            account.reachable = True
            account.arrived.set()
            while not agent.transport.online:
                assert agent.live_peers(ROOM) == ()
                await asyncio.sleep(0)
            assert {peer.did for peer in agent.live_peers(ROOM)} == {ada.did, bert.did}
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            agent.store.close()
