"""A member that floods the room: agents stay small, serve the others, and forget nothing of theirs."""

from __future__ import annotations

import asyncio
import time

from bots.homeserver import Homeserver
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.end_to_end.conftest import NO_MODEL, NewAgent
from tests.flood.flooder import Flooder, Selective, load, p95
from tests.flood.scene import Asker, answered_in, did_of, seen_by
from tests.flood.spam import EVERYTHING, Rogue

QUIET_S = 2.0
FLOOD_S = 12.0
PER_SECOND = 1000.0  # messages
# Generous: what matters is that none of these grows with the flood.
ANSWERED_S = 20.0
RSS_MB = 250.0
STORE_MB = 150.0
LOG_LINES = 200


async def test_a_flood_harms_nobody_but_its_author(
    homeserver: Homeserver, new_account: NewAccount, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    rogue_client = await new_client("rogue")
    account = await new_account("asker")
    async with Selective(account, deaf_to=[rogue_client.user_id]) as client:
        room_id = await new_room(client, rogue_client)
        agents = [
            await new_agent(
                name, room_id, *NO_MODEL,
                limits_tasks_per_minute_address="6000", limits_listed=account.user_id,
            )
            for name in ("ada", "bert", "cora")
        ]  # fmt: skip
        for agent in agents:
            agent.start()
        await asyncio.gather(*(agent.ready() for agent in agents))
        await asyncio.gather(*(agent.sees(*(other.name for other in agents)) for agent in agents))
        dids = [await did_of(agent) for agent in agents]
        asker, gone = Asker(client, room_id, "asker"), Asker(client, room_id, "gone")
        await gone.announce()
        await gone.revoke()
        await asker.announce()
        opened = [await asker.open() for _ in agents]
        await answered_in(asker, dids, QUIET_S)

        address = f"matrix:u/{rogue_client.user_id.removeprefix('@')}"
        room = f"matrix:roomid/{room_id.removeprefix('!')}"
        rogue = Rogue(room, address, rogue_client.device_id, lambda: time.time_ns() // 1_000_000)
        rogue.overheard, rogue.foreign_tasks = list(asker.overheard), opened
        flooder = Flooder(rogue_client, room_id, rogue, [agent.account.user_id for agent in agents])
        await flooder.announce()
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(answered_in(asker, dids, FLOOD_S))
            flood = await flooder.flood(FLOOD_S, PER_SECOND, EVERYTHING, (*EVERYTHING, Rogue.progress))
        took = asking.result()
        assert flood.messages > 500, "that was no flood"
        assert p95(took) < ANSWERED_S

        for agent, did, task_id in zip(agents, dids, opened, strict=True):
            # What was open before can still be done: by this agent, and as nobody else's.
            await asker.post(asker.award(task_id, did))
            assert (await asker.done(task_id)).sender == did
            peers = await seen_by(agent)
            assert peers[gone.key.did].standing == "revoked"
            assert peers[asker.key.did].live
            assert all(peers[other].live for other in dids)
            held = load(agent)
            assert held.rss_mb < RSS_MB
            assert held.store_mb < STORE_MB
            assert held.log_lines < LOG_LINES
            assert agent.log.count("Traceback") == 0

        # What is kept for the next start is not the flooder's alone.
        ada = agents[0]
        assert await ada.stop() == 0
        ada.start()
        await ada.ready()
        peers = await seen_by(ada)
        assert peers[gone.key.did].standing == "revoked"
        assert all(peers[did].live for did in (asker.key.did, *dids))
        assert (await asker.ask(dids[0])).sender == dids[0]
