"""Saying by DNS-SD that we are here, and hearing who else is (RFC 6762, RFC 6763; spec/bindings/lan.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final

import zeroconf
from zeroconf import IPVersion, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from bots.transports.lan.interfaces import Interface
from bots.transports.lan.records import TYPE, Record, is_instance, properties, record

log = logging.getLogger(__name__)

_ASKED_AT_ONCE: Final = 64  # instances whose records are still to come
_ANSWER_MS: Final = 3000

# Of everybody who sends nonsense it would say so.
logging.getLogger("zeroconf").setLevel(logging.CRITICAL)


class Discovery:
    """Between ``open`` and ``close`` we are to be found, if we have a port, and ``found`` is told of others.

    Goodbyes are not heeded: anybody can say them for anybody, and who is gone does not answer anyway.
    """

    def __init__(self, did: str, found: Callable[[Record], None]) -> None:
        self._did = did
        self._found = found
        self._responder: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._asking: dict[str, asyncio.Task[None]] = {}  # by instance
        self._registering: asyncio.Task[None] | None = None
        self._own = ""

    async def open(self, own: Sequence[Interface], port: int, rooms: Sequence[str]) -> None:
        """Take part in the networks of these interfaces; ``port`` 0: only listen. Raises OSError."""
        await self.close()
        addresses = [one.address for one in own]
        self._responder = AsyncZeroconf(interfaces=addresses, ip_version=IPVersion.V4Only)
        await self._responder.zeroconf.async_wait_for_start()
        self._browser = AsyncServiceBrowser(self._responder.zeroconf, [TYPE], handlers=[self._changed])
        if port:
            self._own = f"clawnet-{secrets.token_hex(4)}"
            info = AsyncServiceInfo(
                TYPE,
                f"{self._own}.{TYPE}",
                port,
                addresses=[socket.inet_aton(address) for address in addresses],
                properties=properties(self._did, rooms),
                server=f"{self._own}.local.",
            )
            self._registering = asyncio.create_task(self._register(self._responder, info))

    async def close(self) -> None:
        """Say goodbye, and listen no more."""
        responder, self._responder = self._responder, None
        tasks = [*self._asking.values(), *filter(None, [self._registering])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._asking, self._registering = {}, None
        if self._browser is not None:
            await self._browser.async_cancel()
            self._browser = None
        if responder is not None:
            with contextlib.suppress(OSError):
                await responder.async_close()

    async def _register(self, responder: AsyncZeroconf, info: AsyncServiceInfo) -> None:
        try:
            # A name that somebody else has is changed; the rest of our record stays what it is.
            await (await responder.async_register_service(info, allow_name_change=True))
        except (zeroconf.Error, OSError) as error:
            log.warning("We cannot say on the local network that we are here (%s): we look for others.", error)

    def _changed(
        self, zeroconf: zeroconf.Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed or not is_instance(name) or name in self._asking:
            return
        if len(self._asking) >= _ASKED_AT_ONCE:
            # Whoever floods us with names must not be sure to keep all others out.
            self._asking.pop(random.choice(list(self._asking))).cancel()
        task = self._asking[name] = asyncio.ensure_future(self._ask(zeroconf, name))
        task.add_done_callback(lambda done: self._asked(name, done))

    def _asked(self, name: str, task: asyncio.Task[None]) -> None:
        if self._asking.get(name) is task:
            del self._asking[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("What %r is cannot be read: %r", name, error)

    async def _ask(self, zeroconf: zeroconf.Zeroconf, name: str) -> None:
        info = AsyncServiceInfo(TYPE, name)
        if not await info.async_request(zeroconf, _ANSWER_MS):
            return
        found = record(info.properties, info.parsed_addresses(IPVersion.V4Only), info.port)
        if found is not None and found.did != self._did:
            self._found(found)
