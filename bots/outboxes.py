"""All outboxes of an agent, one a transport: what is added goes to those that it is for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from bots.clock import Clock
from bots.errors import Fatal, Refused
from bots.outbox import Entry, Outbox, OutboxHealth, RefusedHook
from bots.store import Store
from bots.transports import Parcel, Transport
from bots.transports.together import Together


class _Guarded:
    """What leaves by a transport: also what was queued before a room was encrypted must not be said in the clear."""

    def __init__(self, way: Transport, all_ways: Together) -> None:
        self.name = way.name
        self._way = way
        self._all = all_ways

    async def send(self, parcel: Parcel) -> str:
        if parcel.plane == "room" and any(way.name != self.name for way in self._all.given):
            speaking = self._all.carrying(parcel.room)
            if self._way not in speaking and any(room.uri == parcel.room for room in self._way.rooms()):
                raise Refused(f"{self.name}.encrypted", "The room is encrypted, and would be readable there.")
        return await self._way.send(parcel)


class Outboxes:
    """What is for a room goes by every transport that carries it, what is for a peer by the one that reaches it."""

    def __init__(self, store: Store, transport: Together, clock: Clock, *, refused: RefusedHook | None = None) -> None:
        self._store = store
        self._transport = transport
        ways = transport.given
        self._each = {way.name: Outbox(store, _Guarded(way, transport), clock, refused=refused) for way in ways}
        store.outgoing.forget_others([way.name for way in ways], clock.now_ms())

    def add(self, *entries: Entry) -> None:
        """Commit entries, all or none, as ``Outbox.add`` does."""
        sorted_: dict[str, list[Entry]] = {}
        for entry in entries:
            for name, own in self._ways(entry).items():
                sorted_.setdefault(name, []).append(own)
        with self._store.transaction():
            for name, own_entries in sorted_.items():
                self._each[name].add(*own_entries)

    def _ways(self, entry: Entry) -> Mapping[str, Entry]:
        """The entry as each transport is to have it, by the transport's name."""
        if len(self._each) == 1:
            return dict.fromkeys(self._each, entry)
        if entry.plane == "direct":
            way = self._transport.towards(entry.address) or self._transport.ways[0]
            return {way.name: entry}
        carrying = self._transport.carrying(entry.room)
        # A thread's root is an event of one transport: of the one on which that person is.
        origin = self._transport.towards(entry.mention) if entry.mention else carrying[0]
        if not entry.carrier:
            return {way.name: entry for way in carrying if way is origin}
        elsewhere = msgspec.structs.replace(entry, root="", mention="")
        return {way.name: entry if way is origin else elsewhere for way in carrying}

    async def run(self) -> None:
        """Send what is queued until cancelled. Raises Fatal, StoreError."""
        try:
            async with asyncio.TaskGroup() as group:
                for name, outbox in self._each.items():
                    group.create_task(self._run(name, outbox))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _run(self, name: str, outbox: Outbox) -> None:
        try:
            await outbox.run()
        except Fatal as error:
            self._transport.give_up(name, error)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is queued; False if that took too long. ``run`` must be going."""
        return all(await asyncio.gather(*(outbox.flush(timeout_s) for outbox in self._each.values())))

    def nudge(self, name: str) -> None:
        """Try again at once what waits for this transport."""
        self._each[name].nudge()

    def health(self) -> OutboxHealth:
        """Counters of all together; the age is of what waits for a transport that is online, if any is."""
        told = {name: outbox.health() for name, outbox in self._each.items()}
        online = [way.name for way in self._transport.ways if way.online] or list(told)
        return OutboxHealth(
            sum(health.queued for health in told.values()),
            max(told[name].oldest_s for name in online),
            sum(health.refused for health in told.values()),
        )

    def newest(self) -> Sequence[str]:
        """The events that our newest words in each room became."""
        return [event for outbox in self._each.values() for event in outbox.newest.values()]
