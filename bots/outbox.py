"""The durable queue between the agent and a transport.

An entry is acknowledged once its row is committed. Entries that wait for the same destination and
belong to the same conversation are put into one batch; batch and transaction id are committed
before the first try, and every retry, also after a restart, is the same batch under the same id.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import msgspec

from bots.backoff import delay_s
from bots.clock import Clock
from bots.errors import Refused, RetryLater
from bots.store import Batch, Entry, Lane, Store
from bots.transports import Parcel, Plane

__all__ = ["Entry", "Outbox", "OutboxHealth", "RefusedHook"]

log = logging.getLogger(__name__)

RefusedHook = Callable[[Sequence[Entry], Refused], None]

CARRIERS_PER_BATCH = 16
CONTENT_BYTES = 55_000  # soft: an entry that is larger by itself is still tried
SERVER_ERRORS = 8  # tries before a batch that makes the other side fail is set aside

_FRAME_BYTES = 1_000  # what an event's content needs beside carriers and lines
_LOOK_AHEAD = 256  # entries of a lane looked at when a batch is formed
_CONCURRENT: dict[Plane, int] = {"room": 4, "direct": 8}


class Sender(Protocol):
    """A transport, as far as an outbox needs it."""

    name: str

    async def send(self, parcel: Parcel) -> str:
        """As ``Transport.send``."""


class OutboxHealth(msgspec.Struct, frozen=True):
    """How the queue is doing."""

    queued: int  # entries not yet taken by the other side
    oldest_s: float  # age of the oldest of them, in seconds
    refused: int  # entries set aside


class Outbox:
    """The queue of one transport. ``run`` must be going for anything to be sent.

    What is queued outlives a run, so it is kept with the times of the wall clock; what was added in this run expires
    by the monotonic one. ``refused`` is called with the entries that were set aside and the reason. A transport says
    by the last part of a ``RetryLater`` code what happened: ``rate_limited`` holds back the whole plane,
    ``server_error`` counts against the batch, and anything else holds back that destination alone. Of ``Refused``,
    ``bad_content`` and ``too_large`` make the entries of a batch go one by one, so that a bad one never takes others
    down with it.
    """

    def __init__(
        self,
        store: Store,
        transport: Sender,
        clock: Clock,
        *,
        refused: RefusedHook | None = None,
        backoff_s: tuple[float, float] = (1.0, 60.0),
        token: Callable[[], str] = lambda: secrets.token_urlsafe(18),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._rows = store.outgoing
        self._transport = transport
        self._name = transport.name
        self._clock = clock
        self._refused = refused
        self._backoff_s = backoff_s
        self._token = token
        self._chance = chance
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._running = False
        self._busy: dict[Lane, asyncio.Task[None]] = {}
        self._held: dict[Lane | Plane, float] = {}  # until when, by the loop's clock
        self._tries: dict[Lane | Plane, int] = {}
        self._failure: BaseException | None = None
        self._due: dict[int, int] = {}  # row that was added in this run -> when it expires, by the monotonic clock
        self.newest: dict[str, str] = {}  # room -> the event that our newest words there became

    def add(self, *entries: Entry) -> None:
        """Commit entries, all or none; what one call or one transaction adds travels together.

        Raises ValueError for an entry that no transport could send, StoreError if it cannot be kept.
        """
        for entry in entries:
            if entry.plane == "room" and not (entry.room and (entry.line or entry.carrier)):
                raise ValueError("an entry for a room needs the room, and a carrier or a line")
            if entry.plane == "direct" and not (entry.address and entry.carrier):
                raise ValueError("an entry for a peer needs the peer's address and a carrier")
        with self._store.transaction():
            self._add(entries)
            if self._running and self._store.durable:
                self._store.before_commit(self._form_free)
            self._store.after_commit(self._wake.set)

    def _add(self, entries: Sequence[Entry]) -> None:
        now_ms, monotonic_ms = self._clock.now_ms(), self._clock.monotonic_ms()
        rows = self._rows.add(self._name, entries, now_ms)
        lives = {row: entry.expires_ms - now_ms for row, entry in zip(rows, entries, strict=True) if entry.expires_ms}
        due = {row: monotonic_ms + life_ms for row, life_ms in lives.items()}
        self._store.after_commit(partial(self._due.update, due))

    async def run(self) -> None:
        """Send what is queued until cancelled. Raises Fatal, StoreError."""
        self._running = True
        try:
            while True:
                self._wake.clear()
                self._start_sends()
                await self._wait()
                if self._failure is not None:
                    raise self._failure
        finally:
            self._running = False
            tasks = list(self._busy.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is queued; False if that took too long. ``run`` must be going."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.health().queued:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def nudge(self) -> None:
        """Try again at once what waits after a failure: the other side is known to be back.

        What a rate limit holds back stays held back.
        """
        for key in [key for key in self._held if isinstance(key, Lane)]:
            del self._held[key]
            self._tries.pop(key, None)
        self._wake.set()

    def health(self) -> OutboxHealth:
        """Counters for people and supervisors."""
        queued, oldest_ms, refused = self._rows.counts(self._name)
        age_ms = 0 if oldest_ms is None else max(0, self._clock.now_ms() - oldest_ms)
        return OutboxHealth(queued, age_ms / 1000, refused)

    # --- choosing ---

    def _start_sends(self) -> None:
        if dropped := self._rows.drop(self._name, self._expired()):
            log.info("%d queued messages expired before they could be sent", len(dropped))
            self._forget(dropped)
            self._settled.set()
        for lane in self._free_lanes():
            batch = self._rows.open_batch(self._name, lane) or self._form(lane)
            self._busy[lane] = asyncio.create_task(self._send(batch), name=f"send {batch.txn}")

    def _expired(self) -> set[int]:
        """The rows that need not be sent any more."""
        monotonic_ms = self._clock.monotonic_ms()
        expired = {row for row, due_ms in self._due.items() if due_ms <= monotonic_ms}
        # Of an earlier run only the wall clock tells how long ago it was.
        expired.update(row for row in self._rows.expired(self._name, self._clock.now_ms()) if row not in self._due)
        return expired

    def _forget(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._due.pop(row, None)

    def _free_lanes(self) -> Iterator[Lane]:
        """The destinations that something waits for and that can take it now."""
        now = asyncio.get_running_loop().time()
        self._held = {key: until for key, until in self._held.items() if until > now}
        for lane in self._rows.lanes(self._name):
            if lane in self._busy or lane in self._held or lane.plane in self._held:
                continue
            if sum(busy.plane == lane.plane for busy in self._busy) < _CONCURRENT[lane.plane]:
                yield lane

    def _form_free(self) -> None:
        """Form batches in the transaction that adds what is in them: that spares waiting for the disk once more."""
        for lane in self._free_lanes():
            if self._rows.open_batch(self._name, lane) is None:
                self._form(lane)

    async def _wait(self) -> None:
        soonest = min(self._held.values(), default=None)
        try:
            async with asyncio.timeout_at(soonest):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _form(self, lane: Lane) -> Batch:
        waiting = self._rows.waiting(self._name, lane, _LOOK_AHEAD)
        _, head = waiting[0]
        root = self._root(head)
        members = waiting[:1]
        size, mention = _FRAME_BYTES + _size(head), head.mention
        for row, entry in [] if head.alone else waiting[1:]:
            if (entry.conversation, self._root(entry)) != (head.conversation, root):
                continue
            size += _size(entry)
            fits = size <= CONTENT_BYTES and len(members) < CARRIERS_PER_BATCH
            alike = bool(entry.carrier) == bool(head.carrier)
            rivals = bool(mention and entry.mention) and mention != entry.mention
            if entry.alone or rivals or not (fits and alike):
                break  # a later one must not overtake it within its conversation
            members.append((row, entry))
            mention = mention or entry.mention
        # Urgency chose the batch; inside it, causes stand before their effects.
        members.sort(key=lambda member: member[0])
        return self._rows.form(self._name, lane, self._token(), root, members)

    def _root(self, entry: Entry) -> str:
        if entry.root or not entry.conversation or entry.plane == "direct":
            return entry.root
        return self._store.thread_root(self._name, entry.conversation) or ""

    # --- sending ---

    async def _send(self, batch: Batch) -> None:
        try:
            event_id = await self._transport.send(_parcel(batch))
            self._took(batch, event_id)
        except RetryLater as error:
            self._postpone(batch, error)
        except Refused as error:
            self._set_aside(batch, error)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failure = error
        finally:
            del self._busy[batch.lane]
            self._wake.set()
            self._settled.set()

    def _took(self, batch: Batch, event_id: str) -> None:
        conversation = batch.entries[0][1].conversation
        # Forgotten, it would be sent once more under the same transaction id.
        with self._store.transaction(durable=False):
            self._rows.sent(batch)
            if event_id and conversation and self._store.thread_root(self._name, conversation) is None:
                self._store.set_thread_root(self._name, conversation, batch.root or event_id)
        self._forget(row for row, _ in batch.entries)
        if event_id:
            self.newest[batch.lane.room] = event_id
        self._tries.pop(batch.lane, None)
        self._tries.pop(batch.lane.plane, None)

    def _postpone(self, batch: Batch, error: RetryLater) -> None:
        kind = error.code.rpartition(".")[2]
        if kind == "server_error" and self._rows.server_error(batch) >= SERVER_ERRORS:
            self._set_aside(batch, Refused(error.code, error.message))
            return
        key: Lane | Plane = batch.lane.plane if kind == "rate_limited" else batch.lane
        tries = self._tries.get(key, 0)
        if tries == 0:
            log.info("%s, trying again later", error)
        self._tries[key] = tries + 1
        delay_s = error.after_s if error.after_s > 0 else self._delay_s(tries)
        self._held[key] = asyncio.get_running_loop().time() + delay_s

    def _delay_s(self, tries: int) -> float:
        return delay_s(tries, self._backoff_s, self._chance)

    def _set_aside(self, batch: Batch, error: Refused) -> None:
        self._tries.pop(batch.lane, None)
        if len(batch.entries) > 1 and error.code.rpartition(".")[2] in ("bad_content", "too_large"):
            self._rows.dissolve(batch)
            return
        self._rows.refuse(batch, f"{error.code}: {error.message}")
        self._forget(row for row, _ in batch.entries)
        log.error("%d messages were set aside: %s", len(batch.entries), error)
        if self._refused is not None:
            self._refused([entry for _, entry in batch.entries], error)


def _parcel(batch: Batch) -> Parcel:
    entries = [entry for _, entry in batch.entries]
    return Parcel(
        txn=batch.txn,
        plane=batch.lane.plane,
        room=batch.lane.room,
        address=batch.lane.address,
        device=batch.lane.device,
        carriers=tuple(entry.carrier for entry in entries if entry.carrier),
        body="\n".join(entry.line for entry in entries if entry.line),
        thread_root=batch.root,
        mention=next((entry.mention for entry in entries if entry.mention), ""),
    )


def _size(entry: Entry) -> int:
    """Bytes the entry takes in an event's content, escapes and separators counted."""
    line = json.dumps(entry.line, ensure_ascii=False)
    return len((entry.carrier + line).encode("utf-8", "surrogatepass")) + 4
