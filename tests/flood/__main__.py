"""Flood real agents, and tell what they held and how long others waited."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from bots.homeserver import Homeserver
from tests.end_to_end.agent_process import AgentProcess
from tests.flood import alone
from tests.flood.flooder import Flood, Flooder, Load, Selective, load, p95
from tests.flood.scene import Asker, answered_in, did_of
from tests.flood.spam import EVERYTHING, GARBAGE, SIGNED, Rogue, Spam
from tests.matrix_client import Account, MatrixClient

_EXAMPLES = """\
examples:
  python -m tests.flood                          a minute of each kind of flood, through a real homeserver
  python -m tests.flood --seconds 10 --rate 200  a first look
  python -m tests.flood --record docs/flood.md   write the page that tells the last result
"""
_KINDS: dict[str, tuple[Spam, ...]] = {
    "garbage": tuple(GARBAGE),
    "validly signed": tuple(SIGNED),
    "both": (*EVERYTHING, Rogue.progress),
}
_ALONE_S = 12
_PAGE = """\
# A flood

One member of a room posts as much as the homeserver takes: garbage, forged signatures, carriers that are deep or big,
announces and revocations of ever new identities, requests, awards, results in tasks of others, words in tasks that
never were, and copies of what others said, sixteen carriers to an event, every eighth event directly to the agents.
Three agents, processes of their own, are asked meanwhile by another member, one question after another.
`make flood ARGS="--record docs/flood.md"` writes this page; `make test` does a short one and checks the bounds.

What is kept of a room is bounded ([limits](../spec/12-limits.md)), and where a bound is reached whoever brought most
makes room ([FOLD-9](../spec/10-fold.md)). The same holds for what an agent has received and not handled, for what it
keeps for its next start (20,000 events, 64 MiB), and for what it defers. Each sender gets a turn, whoever has waited
longest first. Offers, handshakes and log lines have a share for each address.

{figures}
"""


class Result(NamedTuple):
    """One flood."""

    kind: str
    quiet_s: list[float]
    flooded_s: list[float]
    flood: Flood
    before: list[Load]
    after: list[Load]


def main() -> int:
    """0 if everybody was answered."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.flood",
        description="Flood real agents through a real homeserver, and tell what it cost them and the others.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each flood (60)")
    parser.add_argument("--rate", type=float, default=1000.0, help="messages a second, if the homeserver can (1000)")
    parser.add_argument("--record", type=Path, metavar="PATH", help="write the page of the documentation here")
    arguments = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())
    figures = "\n".join(
        [
            _heading(arguments.seconds, arguments.rate),
            "",
            *_table_alone({kind: alone.cost(_ALONE_S, spam) for kind, spam in _KINDS.items()}),
            "",
            *_table(asyncio.run(_measure(arguments.seconds, arguments.rate))),
        ]
    )
    print(figures)
    if arguments.record:
        arguments.record.write_text(_PAGE.format(figures=figures), "utf-8")
    return 0


async def _measure(seconds: float, rate: float) -> list[Result]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flood-")))
        homeserver = await stack.enter_async_context(Homeserver(folder / "homeserver"))
        return [await _one(homeserver, folder / str(at), kind, seconds, rate) for at, kind in enumerate(_KINDS)]


async def _one(homeserver: Homeserver, folder: Path, kind: str, seconds: float, rate: float) -> Result:
    """A room of its own, with agents of its own, for each kind."""
    async with AsyncExitStack() as stack:
        number = folder.name
        rogue_client = await stack.enter_async_context(MatrixClient(await _account(homeserver, f"rogue{number}")))
        account = await _account(homeserver, f"asker{number}")
        client = await stack.enter_async_context(Selective(account, deaf_to=[rogue_client.user_id]))
        room_id = await client.create_room(preset="public_chat")
        await rogue_client.join(room_id)
        agents = [await _agent(homeserver, folder, f"{name}{number}", room_id, account) for name in ("a", "b", "c")]
        for agent in agents:
            stack.callback(agent.close)
            agent.start()
        await asyncio.gather(*(agent.ready() for agent in agents))
        dids = [await did_of(agent) for agent in agents]
        asker = Asker(client, room_id, "asker")
        await asker.announce()
        quiet_s = await answered_in(asker, dids, min(seconds, 20.0))
        rogue = Rogue(
            f"matrix:roomid/{room_id.removeprefix('!')}", f"matrix:u/{rogue_client.user_id.removeprefix('@')}",
            rogue_client.device_id, lambda: time.time_ns() // 1_000_000,
        )  # fmt: skip
        rogue.overheard, rogue.foreign_tasks = list(asker.overheard), [await asker.open()]
        flooder = Flooder(rogue_client, room_id, rogue, [agent.account.user_id for agent in agents])
        await flooder.announce()
        before = [load(agent) for agent in agents]
        asking = asyncio.create_task(answered_in(asker, dids, seconds))
        flood = await flooder.flood(seconds, rate, _KINDS[kind], _KINDS[kind])
        flooded_s = await asking
        return Result(kind, quiet_s, flooded_s, flood, before, [load(agent) for agent in agents])


async def _account(homeserver: Homeserver, name: str) -> Account:
    password = f"the password of {name}"
    return Account(homeserver.url, name, await homeserver.register(name, password), password)


async def _agent(homeserver: Homeserver, folder: Path, name: str, room: str, friend: Account) -> AgentProcess:
    home = folder / name
    home.mkdir(parents=True)
    settings = {
        "CLAWNET_LIMITS_LISTED": friend.user_id,
        "CLAWNET_LIMITS_TASKS_PER_MINUTE_ADDRESS": "6000",
        "CLAWNET_LIMITS_TASKS_PER_MINUTE_HOMESERVER": "6000",
    }
    agent = AgentProcess(await _account(homeserver, name), home, folder / "cache", settings)
    await agent.init(room, "--engine", "none")
    return agent


def _heading(seconds: float, rate: float) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {seconds:g} s of each kind, {rate:g} messages a second wanted; "
        f"{platform.system()} with {os.cpu_count()} cores and {memory:.0f} GB, which the homeserver, the flooder and "
        f"three agents share; Python {platform.python_version()}; load {os.getloadavg()[0]:.0f} before the start."
    )


def _table_alone(costs: dict[str, alone.Cost]) -> Iterator[str]:
    yield "The full 1,000 messages a second straight into one agent, in a simulated room:"
    yield ""
    yield "| flood | of one core | a message | its store | questions of others answered |"
    yield "|---|---|---|---|---|"
    for kind, cost in costs.items():
        cells = (
            kind, f"{cost.cpu_share:.0%}", f"{cost.microseconds:.0f} µs", f"{cost.store_mb:.0f} MB",
            f"{cost.answered} of {cost.asked}",
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield "Through a real Synapse, of the three agents the one that holds most:"
    yield ""
    heads = (
        "flood", "messages/s that the homeserver took", "answer before (95 %)", "meanwhile (95 %)", "memory before",
        "after", "of one core", "store", "log lines",
    )  # fmt: skip
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for result in results:
        spans = zip(result.before, result.after, strict=True)
        share = max(after.cpu_s - before.cpu_s for before, after in spans) / result.flood.seconds
        cells = (
            result.kind, f"{result.flood.messages / result.flood.seconds:.0f}",
            f"{p95(result.quiet_s):.2f} s", f"{p95(result.flooded_s):.2f} s",
            f"{max(held.rss_mb for held in result.before):.0f} MB",
            f"{max(held.rss_mb for held in result.after):.0f} MB", f"{share:.0%}",
            f"{max(held.store_mb for held in result.after):.0f} MB",
            f"{max(held.log_lines for held in result.after)}",
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
