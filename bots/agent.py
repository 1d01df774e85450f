"""The agent: one identity, one store, its transports, perhaps one engine, and a behaviour for each family.

``python -m bots.agent`` is ``clawbot run``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from importlib import import_module
from typing import Any

from msgspec import UNSET

from bots.artifacts import Artifacts
from bots.audit.witness import Audit, Deed
from bots.author import KEYS_LIFETIME_MS, Author
from bots.behaviours import USUAL, Posting
from bots.behaviours.executor import ExecutorBehaviour
from bots.behaviours.handshake import HandshakeBehaviour
from bots.behaviours.people import PeopleBehaviour
from bots.behaviours.presence import PresenceBehaviour
from bots.behaviours.requester import RequesterBehaviour
from bots.clock import SYSTEM, Clock
from bots.clock_watch import ClockWatch
from bots.config import Config
from bots.departures import Departures
from bots.engines import Engine, Model
from bots.envelopes import Envelopes
from bots.errors import ClawbotError, Refused, StoreError
from bots.events import AnyEvent, Notice
from bots.handling import Handling
from bots.identity import Identity
from bots.intake import Intake, seen
from bots.key_changes import KeyChanges
from bots.key_watch import KeyWatch
from bots.model_watch import ModelWatch
from bots.outbox import Entry
from bots.outboxes import Outboxes
from bots.parcels import Parcels
from bots.parts import until_one_ends
from bots.recorder import Recorder
from bots.roster import Roster
from bots.store import Store
from bots.transports import Room, Transport
from bots.transports.together import Together
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.presence import Address
from clawnet_proto.mesh import Mesh, Peer
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import Record

log = logging.getLogger(__name__)

_GOODBYE_S = 10.0
_ECHO_S = 2.0

OpenTransports = Callable[["Agent"], Sequence[Transport]]


class Agent:
    """A running agent; also the ``Context`` of its behaviours.

    ``run`` goes on until ``stop`` is called or the transport cannot go on. ``synced`` is set once what the
    room's history holds is folded and our announce is on its way, ``barred`` once we know that none of the
    configured rooms will have us. ``entropy`` gives so many bytes that nobody can foresee.
    """

    def __init__(
        self,
        config: Config,
        identity: Identity,
        store: Store,
        engine: Engine | None,
        open_transports: OpenTransports,
        *,
        recorder: Recorder | None = None,
        clock: Clock = SYSTEM,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.clock = clock
        self.clock_watch = ClockWatch(clock, self._tell)
        self._author = Author(identity, self.now_ms, entropy, self.note)
        self.audit: Audit | None = None
        self.config = config
        self.store = store
        self.engine = engine
        self.synced = asyncio.Event()
        self.barred = asyncio.Event()
        self._meshes: dict[str, Mesh] = {}
        self._observers: list[Callable[[AnyEvent], None]] = []
        self._listeners: list[Callable[[bytes, str], None]] = []
        self._work: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._recorder = recorder
        self._watch = ModelWatch(engine, self._tell, self.spawn)
        self._envelopes = Envelopes(store, self.mesh)
        self._parcels = Parcels(config.agent.name, self.mesh)
        self._key_watch = KeyWatch(self._meshes, lambda: self.identity, self._tell)
        self._failure: BaseException | None = None
        self.departures = Departures(self)
        self.transport = Together(open_transports(self))
        self.artifacts = Artifacts(self.transport, asyncio.sleep)
        self.outbox = Outboxes(store, self.transport, clock, refused=self._set_aside)
        self.roster = Roster(self.transport, self.mesh, self.now_ms)
        self.intake = Intake(
            identity, self.transport, self.mesh, clock, self.notify, self._opened, self._key_watch.heard
        )
        self.handshakes = HandshakeBehaviour(self, self._current_announce)
        self.presence = PresenceBehaviour(self, self.handshakes)
        self.requester = RequesterBehaviour(self, self.handshakes)
        self.executor = ExecutorBehaviour(self, self.presence)
        self.people = PeopleBehaviour(self, self.requester)
        self.keys = KeyChanges(self, self._author)
        self.handling = Handling(self, self._woken, self._watch.renew, self._recorder)

    # -- what behaviours may use -----------------------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        """Who we are, and the key we have in use now."""
        return self._author.identity

    @property
    def rotation(self) -> Record | None:
        return self._author.rotation

    def addresses(self, room: str) -> tuple[Address, ...]:
        return tuple(_address(way) for way in self.transport.carrying(room))

    def address_towards(self, address: Address) -> Address:
        return _address(self.transport.towards(address.uri) or self.transport.ways[0])

    def direct_address(self, room: str, did: str) -> Address | None:
        speaking, known = self.transport.carrying(room), self.mesh(room).direct_addresses(did)
        reached = [(address, way) for address in known if (way := self.transport.towards(address.uri)) in speaking]
        return min(reached, key=lambda item: not (item[1] and item[1].online), default=(None, None))[0]

    @property
    def models(self) -> Sequence[Model]:
        """The models we can run now."""
        return self._watch.models

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def monotonic_ms(self) -> int:
        return self.clock.monotonic_ms()

    @property
    def clock_fault(self) -> str:
        return self.clock_watch.fault

    def mesh(self, room: str) -> Mesh:
        """The fold of a room. Raises RemoteProtocolError ``room.mismatch`` for one we were never in."""
        mesh = self._meshes.get(room)
        if mesh is None:
            if all(known.uri != room for known in self.transport.rooms()):
                raise RemoteProtocolError("room.mismatch", "a room we are not in")
            mesh = self._meshes[room] = Mesh(room, frozenset(self.config.trust.bridges))
            self._key_watch.enter(mesh)
        return mesh

    def meshes(self) -> Sequence[Mesh]:
        """The folds of all rooms that we were in since the start."""
        return tuple(self._meshes.values())

    def live_peers(self, room: str) -> Sequence[Peer]:
        return self.roster.live_peers(room)

    def hearing(self, room: str, address: str) -> Sequence[Peer]:
        return self.roster.hearing(room, address)

    def has_left(self, room: str, did: str) -> bool:
        return self.roster.has_left(room, did)

    def acted_upon(self, message: Message) -> bool:
        return self.intake.acted_upon(message)

    def rooms(self) -> Sequence[Room]:
        return self.transport.rooms()

    def post(
        self,
        room: str,
        body: Record,
        *,
        lifetime_ms: int,
        recipients: Sequence[str] = (),
        thread: str = "",
        answers: str = "",
        posting: Posting = USUAL,
    ) -> Message:
        data, message = self._author.sign(
            room, body, lifetime_ms=lifetime_ms, recipients=recipients, thread=thread, answers=answers
        )
        mesh = self.mesh(room)
        direct = TYPES[message.type].planes == ("direct",)
        to = posting.to or (self.direct_address(room, recipients[0]) if direct else None)
        if direct and to is None:
            raise ClawbotError("peer.unreachable", "That peer has announced no address for direct messages.")
        travels = data if to is None else self._envelopes.seal(message, data)
        froms = self.addresses(room) if to is None else (self.address_towards(to),)
        for own in froms:
            mesh.add(message, own.uri)
        self.outbox.add(self._parcels.entry(message, travels, to, posting))
        if to is not None:
            for listener in list(self._listeners):
                listener(data, to.uri)
        self.notify(
            seen(message, mesh, verdict="bound", plane="direct" if direct else "room",
                 address=froms[0].uri, at_ms=message.envelope.sent_ms, ours=True)
        )  # fmt: skip
        self.wake()
        return message

    def post_again(self, message: Message, to: Address) -> None:
        behind = Posting(priority=2)
        entries = [self._parcels.entry(message, self._author.sign_again(message), to, behind)]
        if message.type == "presence.announce" and (rotation := self._author.rotation) is not None:
            # Whoever can read the announce must be able to prove its key.
            data, ahead = self._author.sign(message.envelope.room, rotation, lifetime_ms=KEYS_LIFETIME_MS)
            entries.insert(0, self._parcels.entry(ahead, data, to, behind))
        self.outbox.add(*entries)

    def say(self, room: str, text: str, *, root: str = "", conversation: str = "", mention: str = "") -> None:
        words = Entry(plane="room", room=room, line=text, root=root, conversation=conversation, mention=mention)
        self.note(words)
        self.outbox.add(words)

    def notify(self, event: AnyEvent) -> None:
        for observer in list(self._observers):
            observer(event)

    def observe(self, observer: Callable[[AnyEvent], None]) -> Callable[[], None]:
        """Call ``observer`` for every event from now on; returns what ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer) if observer in self._observers else None

    def attend(self, audit: Audit) -> None:
        """Let ``audit`` note all that we do from now on, until we end."""
        self.audit = audit
        self.observe(audit.told)
        _ = self.spawn(audit.run())

    def note(self, deed: Deed) -> None:
        """Let the audit log, if there is one, know of a deed."""
        if self.audit is not None:
            self.audit.note(deed)

    def overhear(self, listener: Callable[[bytes, str], None]) -> Callable[[], None]:
        """Call ``listener`` with every direct message of ours: its carrier before it was sealed, and its address.

        Returns what ends that. What we say in a room comes back from there.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._worked)
        return task

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoreError):
            self._store_failed(error)
        elif error is not None:
            log.error("work failed", exc_info=error)

    def _store_failed(self, error: StoreError) -> None:
        """Without its store the agent cannot keep a promise any more, and what it has in memory may be on no disk."""
        self._failure = self._failure or error
        self.stop()

    def shut_out(self, rooms: Collection[str]) -> None:
        """These of the configured rooms will not have us."""
        if set(rooms) >= set(self.config.matrix.rooms) and not self.rooms():
            self.barred.set()

    def wake(self) -> None:
        self._woken.set()

    def _current_announce(self, room: str) -> Message | None:
        return self.presence.current(room)

    def _opened(self, transport: str, conversation: str, root: str) -> None:
        """Answers about a task stand in the thread its request was seen in."""
        if root and self.store.thread_root(transport, conversation) is None:
            self.store.set_thread_root(transport, conversation, root)

    def _tell(self, text: str) -> None:
        self.notify(Notice(at_ms=self.now_ms(), text=text))
        self.wake()

    def _set_aside(self, entries: Sequence[Entry], error: Refused) -> None:
        self._tell(f"{len(entries)} messages could not be sent: {error}")

    # -- life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fold what was, connect, and take part until stopped. Raises ClawbotError when it cannot go on."""
        engine = asyncio.ensure_future(self._watch.start())
        try:
            self.handling.refold()
            if self._recorder is not None:
                self._recorder.begin(created_ms=self.now_ms(), recorder=self.transport.address)
            self.store.subscribe(self.wake)
            self.store.on_fault(self._store_failed)
            await self._live(engine)
        finally:
            work = [engine, *self._work]
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self.transport.close()
            if self.engine is not None:
                await self.engine.close()
            if self._recorder is not None:
                self._recorder.close()

    @property
    def ready(self) -> bool:
        """Whether we take part: what the rooms' history holds is folded, and who is joined is known."""
        return self.handling.ready

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """End ``run`` politely: work is finished or handed back, rooms are told."""
        self._stopping.set()
        self.wake()

    async def _live(self, engine: asyncio.Future[None]) -> None:
        await until_one_ends(
            self.transport.run(),
            self.outbox.run(),
            self.handling.run(engine),
            self._stopping.wait(),
            last=self._say_goodbye,
        )

    async def _say_goodbye(self) -> None:
        """Leave politely. Raises what we cannot go on for, if that is why we stop."""
        if self._failure is not None:
            raise self._failure
        if self.identity.revocation is None:
            await self.executor.finish(self.config.limits.grace_seconds)
            if self.ready:
                self.presence.leave("stopping")
        if not await self.outbox.flush(_GOODBYE_S):
            log.warning("What is not sent yet is sent at the next start (messages: %d)", self.outbox.health().queued)
        if self._recorder is not None:
            await self._record_the_rest(self._recorder)

    async def _record_the_rest(self, recorder: Recorder) -> None:
        """Our last words belong into the transcript, too, and they arrive like everybody's."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ECHO_S):
                while not self._arrived(self.outbox.newest()):
                    self._woken.clear()
                    await self._woken.wait()
        for _, delivery in self.store.unhandled():
            recorder.record(delivery)

    def _arrived(self, events: Iterable[str]) -> bool:
        return set(events) <= {delivery.event_id for _, delivery in self.store.unhandled()}


def _address(way: Transport) -> Address:
    return Address(uri=way.address, device=way.device or UNSET)


if __name__ == "__main__":
    # The command line stands above the agent: named, not imported, so that nothing here depends on it.
    sys.exit(import_module("bots.cli").main(["run", *sys.argv[1:]]))
