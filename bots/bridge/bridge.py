"""The loop of a bridge: what arrives on one side is judged, remembered, and queued for the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from bots.bridge.counts import Counts, Report
from bots.bridge.judging import UnprovenKey, judge
from bots.bridge.ledger import Copy, Ledger, Waiting
from bots.bridge.newcomers import Newcomers
from bots.bridge.presence import Presence
from bots.bridge.side import Side, relayed, task_of
from bots.bridge.unproven import Arrival, Unproven
from bots.clock import Clock
from bots.complaints import Complaints
from bots.errors import ClawbotError, Fatal, Refused, StoreError
from bots.outbox import Entry
from bots.parts import until_one_ends
from bots.quota import Buckets
from bots.store import Store
from bots.transports import Delivery, Departure
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.freshness import is_in_time
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean
from clawnet_proto.specification import TYPES

log = logging.getLogger(__name__)

PER_MINUTE: Final = 120  # messages of one address
HOLD_MS: Final = 1_000  # for whoever is on both sides to say it there itself
SPREAD_MS: Final = 1_000  # so that one of two bridges sees what the other has carried
_TICK_S: Final = 0.25
_BATCH: Final = 200
_AT_ONCE: Final = 16  # messages given to an outbox
_FEW: Final = (
    4  # messages: an outbox that has so many gets no more; more than that share events, whatever their threads
)
_GOODBYE_S: Final = 5.0


class Bridge:
    """One room on several sides. ``own`` is the bridge's identity, a did; its files stay its opener's.

    ``enter`` comes before ``run``, which goes on until ``stop`` or until a side cannot go on. ``ready`` is set once
    everything that was there has arrived from all sides.
    """

    room: str  # its URI
    sides: tuple[Side, ...]
    _presence: Presence
    _mesh: Mesh
    _newcomers: Newcomers
    _addresses: frozenset[str]  # that we post from

    def __init__(self, own: str, store: Store, ledger: Ledger, clock: Clock) -> None:
        self.counts = Counts()
        self.ready = asyncio.Event()
        self._own = own
        self._by_name: dict[str, Side] = {}
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._limits = Buckets(PER_MINUTE)
        self._unproven = Unproven()
        self._complaints = Complaints(log, clock.monotonic_ms)
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failure: ClawbotError | None = None
        self._past = True  # whether something of before our time is not settled yet
        self._caught_up: set[str] = set()  # sides of which we know all that was there when we came
        self._opened_ms = clock.monotonic_ms()
        self._lost_ms: dict[str, int] = {}  # side -> when it was last reached no more

    def enter(self, room: str, sides: Sequence[Side], presence: Presence, bridges: Collection[str] = ()) -> None:
        """Which room it is, what carries it, and the addresses of other bridges whose copies are as good as ours."""
        self.room, self.sides, self._presence = room, tuple(sides), presence
        self._mesh = Mesh(room, frozenset(bridges))
        self._newcomers = Newcomers(self._mesh)
        self._by_name = {side.name: side for side in sides}
        self._addresses = frozenset(side.address for side in sides)

    # -- what transports tell --------------------------------------------------------------------------------

    def went(self, name: str, online: bool) -> None:
        """A side was reached, or is reached no more."""
        if not online:
            self._lost_ms[name] = self._clock.monotonic_ms()
        if online and name in self._by_name:
            self._by_name[name].outbox.nudge()
        self._woken.set()

    def left(self, departure: Departure) -> None:
        """We are in a room no more."""
        if self._by_name and departure.room == self.room:
            why = f"The bridge is no longer in {clean(departure.name)} ({departure.code})."
            self._fail(Fatal("bridge.left", why, "Let it in again, or name the room that took its place."))

    def missing(self) -> None:
        """A side does not count us among its members."""
        self._presence.renew()
        self._woken.set()

    def refused(self, name: str) -> Callable[[Sequence[Entry], Refused], None]:
        """What counts the messages that a side will never take."""

        def count(entries: Sequence[Entry], _error: Refused) -> None:
            self.counts.refused[name] += len(entries)

        return count

    def _fail(self, error: ClawbotError) -> None:
        self._failure = self._failure or error
        self.stop()

    # -- life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry until stopped. Raises ClawbotError when it cannot go on."""
        self._refold()
        self._store.subscribe(self._woken.set)
        self._store.on_fault(self._fail)
        try:
            await until_one_ends(
                *(side.transport.run() for side in self.sides),
                *(side.outbox.run() for side in self.sides),
                self._pump(),
                self._stopping.wait(),
                last=self._say_goodbye,
            )
        finally:
            await asyncio.gather(*(side.transport.close() for side in self.sides))

    def stop(self) -> None:
        """End ``run`` politely: every side is told. What is queued goes at the next start."""
        self._stopping.set()
        self._woken.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def report(self) -> Report:
        """How much was carried so far."""
        sides = {}
        for side in self.sides:
            outbox = side.outbox.health()
            lost_ms = self._lost_ms.get(side.name, self._opened_ms)
            sides[side.name] = self.counts.of_side(
                side.name,
                waiting=self._ledger.waiting(side.name) + outbox.queued,
                online=side.online,
                offline_s=0.0 if side.online else (self._clock.monotonic_ms() - lost_ms) / 1000,
                oldest_s=outbox.oldest_s,
                caught_up=side.name in self._caught_up,
            )
        return Report(
            at_ms=self._clock.now_ms(), sides=sides, limited=self.counts.limited, not_carried=self.counts.not_carried
        )

    async def _say_goodbye(self) -> None:
        """Leave politely. Raises what we cannot go on for, if that is why we stop."""
        if self._failure is not None:
            raise self._failure
        self._say(self._presence.leave())
        flushed = await asyncio.gather(*(side.outbox.flush(_GOODBYE_S) for side in self.sides))
        if not all(flushed):
            log.warning("What is still queued is sent at the next start")

    def _refold(self) -> None:
        """Know again whose keys are whose, and what they are called."""
        for _, delivery in self._store.history():
            side = self._by_name.get(delivery.transport)
            for carrier in side.carriers(delivery) if side and delivery.room == self.room else ():
                with contextlib.suppress(RemoteProtocolError, ValueError, TypeError, RecursionError):
                    self._judge(delivery, carrier)

    async def _pump(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            while batch := self._store.unhandled(_BATCH):
                self._take(batch)
                await asyncio.sleep(0)
            self._advance()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._woken.wait()

    # -- what arrives ----------------------------------------------------------------------------------------

    def _take(self, batch: Sequence[tuple[int, Delivery]]) -> None:
        # What a power failure takes back is taken anew: what is queued for a side is durable.
        with self._store.transaction(durable=False):
            for _, delivery in batch:
                if delivery.plane == "room" and delivery.room == self.room and delivery.transport in self._by_name:
                    side = self._by_name[delivery.transport]
                    for carrier in side.carriers(delivery):
                        self._arrived(Arrival(side, delivery, carrier))
            self._store.handled(seq for seq, delivery in batch if delivery.plane == "room")
            self._store.forget(seq for seq, delivery in batch if delivery.plane != "room")

    def _arrived(self, arrival: Arrival) -> None:
        side, delivery, carrier = arrival
        try:
            text, message = self._judge(delivery, carrier)
            if not self._is_new(side, delivery, message):
                return
            self._carry(side, delivery, text, message)
            if TYPES[message.type].family == "identity":
                for late in self._unproven.release(message.sender):
                    self._arrived(late)
        except RemoteProtocolError as error:
            self._refuse(side, delivery, error)
            if isinstance(error, UnprovenKey):
                self._unproven.keep(error.sender, arrival)
        except StoreError:
            raise
        except Exception:
            # A fault of ours must not let one message stop all others.
            log.exception("a carrier of %s from %s", delivery.event_id, delivery.sender)

    def _judge(self, delivery: Delivery, carrier: object) -> tuple[str, Message]:
        try:
            return judge(carrier, self._mesh, delivery.sender, self._clock.now_ms(), self._own, self._addresses)
        finally:
            self._newcomers.saw(delivery.sender, delivery.received_ms)

    def _copy(self, delivery: Delivery, message: Message) -> Copy:
        """How good a copy it is: whoever just copies a message keeps us from nothing (BR-3)."""
        by = delivery.sender
        if by in self._addresses:
            return Copy.OURS
        counts = by in self._mesh.bridges or message.sender in self._mesh.claimants(by)
        return Copy.COUNTS if counts else Copy.ANYBODYS

    def _refuse(self, side: Side, delivery: Delivery, error: RemoteProtocolError) -> None:
        if not delivery.live or delivery.sender == side.address:
            return
        self.counts.not_carried[error.code] += 1
        subject = {"event_id": delivery.event_id, "address": delivery.sender, "code": error.code}
        what = (clean(delivery.event_id), delivery.sender, clean(str(error)))
        text = f"a message of %s from %s on {side.name} is not carried: %s"
        self._complaints.say(logging.INFO, delivery.sender, text, *what, extra=subject)

    def _is_new(self, side: Side, delivery: Delivery, message: Message) -> bool:
        """Note that a message is on a side; whether that is news, and may be news for the others."""
        if message.sender == self._own:
            return False
        copy, expires_ms, now_ms = self._copy(delivery, message), message.envelope.expires_ms, self._clock.now_ms()
        if not self._ledger.note(message.id, side.name, delivery.sender, copy, expires_ms, now_ms):
            return False
        proven = self._mesh.peers[message.sender].addresses
        if (copy or not proven) and self._ledger.withdraw(message.id, side.name):
            self.counts.there[side.name] += 1
        # What we have brought here ourselves came from there.
        return delivery.sender != side.address

    def _carry(self, side: Side, delivery: Delivery, text: str, message: Message) -> None:
        """Queue a message for every side that it is not on yet."""
        now_ms, ledger, best = self._clock.now_ms(), self._ledger, Copy.ANYBODYS
        if self._copy(delivery, message) is Copy.COUNTS:
            self._thread(side, delivery, message)
            best = Copy.OURS
        others = [
            other for other in self.sides if other is not side and not ledger.is_noted(message.id, other.name, best)
        ]
        if not others:
            return
        if delivery.live and not self._limits.take(delivery.sender, 1, self._clock.monotonic_ms()):
            self._limit(delivery)
            return
        item = Waiting(
            message=message.id,
            owner=f"{side.name} {delivery.sender}",
            task=task_of(message),
            entry=relayed(message, text, self._mesh, side),
            newcomer=self._newcomers.is_new(delivery.sender, now_ms),
            # A key that was given up is given up, whenever that was said.
            context=not delivery.live and TYPES[message.type].family != "identity",
        )
        self._past |= item.context
        for other in others:
            if dropped := ledger.add(other.name, item, now_ms + self._hold_ms(message)):
                self._drop(other, dropped)

    def _thread(self, side: Side, delivery: Delivery, message: Message) -> None:
        """What is said of a task stands in the thread where it was asked for."""
        root = side.transport.thread_root(delivery) if message.type == "task.request" else ""
        if root and self._store.thread_root(side.name, message.id) is None:
            self._store.set_thread_root(side.name, message.id, root)

    def _limit(self, delivery: Delivery) -> None:
        self.counts.limited += 1
        if self.counts.limited.bit_count() == 1:
            text = "%d messages are not carried, for their senders say more than may be of one; the last of them is %s"
            log.warning(text, self.counts.limited, delivery.sender)

    def _drop(self, side: Side, count: int) -> None:
        before = self.counts.dropped[side.name]
        self.counts.dropped[side.name] += count
        if before.bit_length() != self.counts.dropped[side.name].bit_length():
            text = "more is to be carried to %s than it takes: %d messages are dropped"
            log.warning(text, side.name, self.counts.dropped[side.name])

    def _hold_ms(self, message: Message) -> int:
        """How long to wait: alike for nobody and no message, and always the same."""
        return HOLD_MS + sha256(f"{self._own} {message.id}".encode()).digest()[0] * SPREAD_MS // 256

    # -- what is due -----------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Hand to each side what is due, and as much as it takes."""
        if any(side.room is not None and side.room.encrypted for side in self.sides):
            self._fail(encrypted(self.room))
            return
        self._caught_up |= {side.name for side in self.sides if side.ready}
        if len(self._caught_up) == len(self.sides):
            if self._past:
                self._settle()
            self.ready.set()
        if self._caught_up and self._presence.due:
            with self._store.transaction():
                self._say(self._presence.announce())
        for side in self.sides:
            # What came while it could not be read is known by then: no copy is sent of what is there.
            if side.online and side.name in self._caught_up:
                self._feed(side)

    def _feed(self, side: Side) -> None:
        if side.outbox.health().queued >= _FEW:
            return
        with self._store.transaction():
            entries = self._ledger.take(side.name, self._clock.now_ms(), _AT_ONCE)
            if len(entries) > _FEW:
                entries = [msgspec.structs.replace(entry, conversation="", alone=False) for entry in entries]
            if entries:
                side.outbox.add(*entries)
                self.counts.carried[side.name] += len(entries)

    def _settle(self) -> None:
        """Of the past only what still matters is carried: who is here, and tasks that go on (BR-7)."""
        now_ms = self._clock.now_ms()
        announces = {peer.announce.id for peer in self._mesh.peers.values() if peer.announce and peer.live(now_ms)}

        def still_matters(message: str, task: str) -> bool:
            view = self._mesh.task(task) if task else None
            if view is None:
                return message in announces
            return not view.finished and is_in_time(view.request, now_ms)

        self._ledger.settle(still_matters)
        self._past = False

    def _say(self, entries: Sequence[Entry]) -> None:
        for side in self.sides if entries else ():
            side.outbox.add(*entries)


def encrypted(room: str) -> Fatal:
    """Why an encrypted room is not carried."""
    return Fatal(
        "bridge.encrypted",
        f"The room {room} is encrypted: what is said there would be readable elsewhere.",
        "Carry a room that is not encrypted.",
    )
