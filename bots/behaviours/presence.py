"""Announce who we are and what we can do, sparingly; leave politely (spec/06-presence.md)."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict

import msgspec
from msgspec import UNSET

from bots.author import KEYS_LIFETIME_MS
from bots.behaviours import USUAL, Context, Posting, Received
from bots.behaviours.handshake import HandshakeBehaviour
from bots.events import Notice
from bots.store import Store
from clawnet_proto import PROTOCOL_VERSION, __version__
from clawnet_proto.families import presence
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean

log = logging.getLogger(__name__)

LIFETIME_MS = 2 * 3600 * 1000
_CONFLICTS_TOLD = 1024
# Newly confirmed peers alone are worth an announce only so often.
_CONFIRMED_EVERY_MS = 600_000
_FIRST_CONFIRMED_AFTER_MS = 5_000
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
        self._conflicts: OrderedDict[tuple[str, str], None] = OrderedDict()  # told, by room and address
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

    def advance(self, now_ms: int) -> None:
        if not self._ready:
            return
        joined = {room.uri for room in self._context.rooms()}
        for room in self._current.keys() - joined:
            del self._current[room]
        for room in sorted(joined):
            if self._due(room, now_ms):
                self._announce(room, now_ms)

    def _due(self, room: str, now_ms: int) -> bool:
        current = self._current.get(room) or self._remembered(room, now_ms)
        if current is None:
            return True
        self._current[room] = current
        own = self._context.mesh(room).peers.get(self._context.identity.did)
        if own is not None and own.left_revision >= current.body.revision:
            return True  # the leave of an earlier run, which arrived only now
        age = now_ms - current.envelope.sent_ms
        if age > LIFETIME_MS // 2:
            return True
        body = self._body(room, current.body.revision)
        if _material(body) != _material(current.body):
            return True
        fresh = {item.peer for item in body.confirmed} - {item.peer for item in current.body.confirmed}
        first, full = not current.body.confirmed, len(current.body.confirmed) >= _CONFIRMED_NAMED
        return bool(fresh) and not full and age > (_FIRST_CONFIRMED_AFTER_MS if first else _CONFIRMED_EVERY_MS)

    def _remembered(self, room: str, now_ms: int) -> Message | None:
        """An announce of an earlier run that still stands: a restart alone is no news."""
        own = self._context.identity
        peer = self._context.mesh(room).peers.get(own.did)
        if peer is None or peer.announce is None or not (peer.bound and peer.live(now_ms)):
            return None
        return peer.announce if peer.announce.envelope.kid == own.key.did else None

    def renew(self) -> None:
        """Our key has changed: say so, and who we are, in every room."""
        for room in sorted(self._current):
            self._announce(room, self._context.now_ms(), Posting(priority=0))

    def _announce(self, room: str, now_ms: int, posting: Posting = USUAL) -> None:
        context, store = self._context, self._context.store
        # Never lower than before, even if the clock was set back.
        revision = max(now_ms, last_announced_ms(store) + 1)
        # In one transaction, and so in one event.
        with store.transaction():
            store.set_fact("revision", str(revision))
            if (rotation := context.rotation) is not None:
                context.post(room, rotation, lifetime_ms=KEYS_LIFETIME_MS, posting=posting)
            body = self._body(room, revision)
            self._current[room] = context.post(room, body, lifetime_ms=LIFETIME_MS, posting=posting)

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
            addresses=(context.address,),
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
