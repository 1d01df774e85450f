"""Announce who we are and what we can do, sparingly; leave politely (spec/06-presence.md)."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from hashlib import sha256

import msgspec
from msgspec import UNSET

from bots.author import KEYS_LIFETIME_MS
from bots.behaviours import USUAL, Context, Posting, Received
from bots.behaviours.handshake import HandshakeBehaviour
from bots.events import Notice
from bots.store import Store
from bots.transports import Room
from clawnet_proto import PROTOCOL_VERSION, __version__
from clawnet_proto.families import presence
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean
from clawnet_proto.specification import TYPES

log = logging.getLogger(__name__)

LIFETIME_MS = 2 * 3600 * 1000
_CONFLICTS_TOLD = 1024
# Newly confirmed peers alone are worth an announce only so often.
_CONFIRMED_EVERY_MS = 600_000
_FIRST_CONFIRMED_AFTER_MS = 5_000
# Who comes into an encrypted room cannot read what was said before. By then their devices have keys.
_NEWCOMERS_AFTER_MS = 5_000
_NEWCOMERS_EACH_MS = 250  # a member: all announce within so long after that, each at a moment of its own
_NEWCOMERS_EVERY_MS = 600_000
_NEWCOMERS_MOST = 64  # members: where there are more, what is announced within the hour will do
_CONFIRMED_NAMED = 8  # in one announce; one that names so many waits for its time


def last_announced_ms(store: Store) -> int:
    """The revision of our newest announce: when it was made, by our clock of then, 0 for none."""
    return int(store.fact("revision") or 0)


class PresenceBehaviour:
    """Our announces. ``load`` is asked for the work in hand."""

    def __init__(self, context: Context, handshakes: HandshakeBehaviour) -> None:
        self._context = context
        self._handshakes = handshakes
        self._current: dict[str, Message] = {}
        self._said_ms: dict[str, int] = {}  # by room, by the monotonic clock: when we did, or found that we had
        self._members: dict[str, int] = {}  # by room, who could read our announce
        self._came_ms: dict[str, int] = {}  # by room, since when there are more
        self._conflicts: OrderedDict[tuple[str, str], None] = OrderedDict()  # told, by room and address
        self._turn_ms = sha256(context.identity.did.encode()).digest()[0] * _NEWCOMERS_EACH_MS // 256
        self._ready = False
        self._closed = False
        self.running = 0
        self.waiting = 0

    def open(self) -> None:
        """From now on announces are made: models and address are known."""
        self._ready = True

    def current(self, room: str) -> Message | None:
        """Our announce in a room."""
        return self._current.get(room)

    def on_message(self, received: Received) -> None:
        """Others' announces are folded; that we see a newcomer is the handshake's business."""
        if isinstance(received.message.body, presence.Announce):
            self._handshakes.newcomer(received)
            self._tell_conflict(received.message.envelope.room, received.address)

    def _tell_conflict(self, room: str, address: str) -> None:
        """Tell people, once, of an address that several identities have proven."""
        mesh = self._context.mesh(room)
        claimants = mesh.claimants(address)
        if len(claimants) < 2 or (room, address) in self._conflicts:
            return
        self._conflicts[(room, address)] = None
        if len(self._conflicts) > _CONFLICTS_TOLD:
            self._conflicts.popitem(last=False)
        number = "two" if len(claimants) == 2 else str(len(claimants))
        who = ", ".join(f"{clean(mesh.name_of(did), limit=64)} ({did})" for did in claimants)
        text = f"{address} is claimed by {number} identities: {who}. A new device, or a stolen account: ask its owner."
        log.warning("%s", text)
        self._context.notify(Notice(at_ms=self._context.now_ms(), text=text))

    def advance(self, monotonic_ms: int) -> None:
        if not self._ready:
            return
        joined = {room.uri: room for room in self._context.rooms()}
        for uri in self._current.keys() - joined.keys():
            del self._current[uri]
            self._members.pop(uri, None)
        for uri, room in sorted(joined.items()):
            if self._due(uri, monotonic_ms) or self._for_newcomers(room, monotonic_ms):
                self._announce(uri)

    def _for_newcomers(self, room: Room, monotonic_ms: int) -> bool:
        """Whether some have come, a moment ago, who find no past in this room."""
        known = self._members[room.uri] = min(self._members.get(room.uri, room.members), room.members)
        if not room.encrypted or not known < room.members <= _NEWCOMERS_MOST:
            self._came_ms.pop(room.uri, None)
            return False
        there = monotonic_ms - self._came_ms.setdefault(room.uri, monotonic_ms)
        silent = monotonic_ms - self._said_ms[room.uri]
        if there < _NEWCOMERS_AFTER_MS + room.members * self._turn_ms or silent < _NEWCOMERS_EVERY_MS:
            return False
        del self._members[room.uri], self._came_ms[room.uri]
        return True

    def _due(self, room: str, monotonic_ms: int) -> bool:
        current = self._current.get(room)
        if current is None:
            current = self._remembered(room)
            if current is None:
                return True
            self._current[room], self._said_ms[room] = current, monotonic_ms
        own = self._context.mesh(room).peers.get(self._context.identity.did)
        if own is not None and own.left_revision >= current.body.revision:
            return True  # the leave of an earlier run, which arrived only now
        # How others judge it: half of its life is over, or our clock was set back and it lies in the future.
        age = self._context.now_ms() - current.envelope.sent_ms
        if not -TYPES[current.type].skew_ms <= age <= LIFETIME_MS // 2:
            return True
        body = self._body(room, current.body.revision)
        if _material(body) != _material(current.body):
            return True
        fresh = {item.peer for item in body.confirmed} - {item.peer for item in current.body.confirmed}
        first, full = not current.body.confirmed, len(current.body.confirmed) >= _CONFIRMED_NAMED
        silent = monotonic_ms - self._said_ms[room]
        return bool(fresh) and not full and silent > (_FIRST_CONFIRMED_AFTER_MS if first else _CONFIRMED_EVERY_MS)

    def _remembered(self, room: str) -> Message | None:
        """An announce of an earlier run that still stands: a restart alone is no news."""
        own = self._context.identity
        peer = self._context.mesh(room).peers.get(own.did)
        if peer is None or peer.announce is None or not (peer.bound and peer.live(self._context.now_ms())):
            return None
        return peer.announce if peer.announce.envelope.kid == own.key.did else None

    def renew(self) -> None:
        """Our key has changed: say so, and who we are, in every room."""
        for room in sorted(self._current):
            self._announce(room, Posting(priority=0))

    def _announce(self, room: str, posting: Posting = USUAL) -> None:
        context, store = self._context, self._context.store
        # Never lower than before, even if the clock was set back, or the store is not the one of then.
        own = context.mesh(room).peers.get(context.identity.did)
        known = -1 if own is None else max(own.newest[0], own.left_revision)
        revision = max(context.now_ms(), last_announced_ms(store) + 1, known + 1)
        # In one transaction, and so in one event.
        with store.transaction():
            store.set_fact("revision", str(revision))
            if (rotation := context.rotation) is not None:
                context.post(room, rotation, lifetime_ms=KEYS_LIFETIME_MS, posting=posting)
            body = self._body(room, revision)
            self._current[room] = context.post(room, body, lifetime_ms=LIFETIME_MS, posting=posting)
            self._said_ms[room] = context.monotonic_ms()

    def close(self) -> None:
        """From the next announce on say that nothing more is taken on; it is due now."""
        self._closed = True

    def leave(self, reason: str) -> None:
        """Tell every room that we go."""
        self._ready = False
        for room, current in self._current.items():
            body = presence.Leave(revision=current.body.revision, reason=reason)
            self._context.post(room, body, lifetime_ms=LIFETIME_MS)
        self._current.clear()

    def _body(self, room: str, revision: int) -> presence.Announce:
        context = self._context
        agent, limits = context.config.agent, context.config.limits
        models = tuple(
            presence.ModelCard(
                name=model.name[:64],
                digest=model.digest or UNSET,
                context_tokens=model.context_tokens,
                quantization=model.quantization or UNSET,
                kinds=kinds_of(chat=model.chat, embed=model.embed),
            )
            for model in context.models[:16]
            if not limits.models or model.name in limits.models
        )
        kinds = {"echo", *(kind for model in models for kind in model.kinds)}
        return presence.Announce(
            revision=revision,
            name=agent.name,
            kind=agent.kind,
            role=agent.role,
            description=agent.description or UNSET,
            software=f"clawbot/{__version__}",
            versions=(PROTOCOL_VERSION,),
            addresses=context.addresses(room),
            next_key_digest=context.identity.next_key_digest,
            seal_key=context.identity.seal.public,
            capabilities=tuple(sorted(kinds)),
            models=models,
            wants=agent.wants,
            offers=agent.offers,
            compute=_compute(),
            region=agent.region or UNSET,
            load=presence.Load(running=self.running, waiting=self.waiting, slots=limits.concurrency),
            limits=presence.Limits(
                open_to="nobody" if self._closed else limits.serve,
                prompt_bytes=limits.prompt_bytes,
                output_tokens=limits.output_tokens,
                tokens_per_minute=limits.tokens_per_minute,
            ),
            confirmed=self._handshakes.recent(room),
        )


def kinds_of(*, chat: bool, embed: bool) -> tuple[presence.StageKind, ...]:
    """The kinds of stage a model runs: any can go on with a text."""
    kinds: list[presence.StageKind] = ["generate"]
    if chat:
        kinds.append("chat")
    if embed:
        kinds.append("embed")
    return tuple(kinds)


def _material(body: presence.Announce) -> presence.Announce:
    """An announce without what changes all the time."""
    idle = presence.Load(running=0, waiting=0, slots=body.load.slots)
    return msgspec.structs.replace(body, revision=0, load=idle, confirmed=())


def _compute() -> presence.Compute:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    except (AttributeError, ValueError, OSError):
        memory = 0
    return presence.Compute(cpu_cores=os.cpu_count() or 1, memory_mib=memory)
