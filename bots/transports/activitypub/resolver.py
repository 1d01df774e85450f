"""Names to addresses, by threads of its own: whoever has slow name servers holds up no other part of the agent."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

from bots.transports.activitypub.names import site

_THREADS: Final = 4
_WAITING_MOST: Final = 64
_WAITING_OF_DOMAIN: Final = 16
_PATIENCE_S: Final = 10.0  # nobody waits longer for a turn, as no fetch lasts longer
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """The system's resolver. One lookup at a time below one domain: slow name servers hold up their own names."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")
        self._free = asyncio.Semaphore(_THREADS)
        self._turns: dict[str, asyncio.Lock] = {}  # by domain, those that are asked for
        self._asked: Counter[str] = Counter()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a host. Raises OSError."""
        domain = site(f"https://{host}/")
        if self._asked.total() >= _WAITING_MOST or self._asked[domain] >= _WAITING_OF_DOMAIN:
            raise OSError(errno.EAGAIN, "Too many names are looked up at the moment.")
        self._asked[domain] += 1
        turn = self._turns.setdefault(domain, asyncio.Lock())
        try:
            async with AsyncExitStack() as held:
                async with asyncio.timeout(_PATIENCE_S):
                    await held.enter_async_context(turn)
                    await held.enter_async_context(self._free)
                found = await asyncio.get_running_loop().run_in_executor(
                    self._threads,
                    lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG),
                )
        finally:
            self._asked[domain] -= 1
            if not self._asked[domain]:
                del self._asked[domain], self._turns[domain]
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=_NUMERIC)
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
