"""The bridge's own announces: what it is, and every address that it posts from (spec/18-bridging.md, BR-8)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from bots.author import KEYS_LIFETIME_MS, Author
from bots.clock import Clock
from bots.identity import Identity
from bots.outbox import Entry
from bots.store import Store
from clawnet_proto import PROTOCOL_VERSION, __version__
from clawnet_proto.families import presence
from clawnet_proto.rendering import line
from clawnet_proto.wire import Record

LIFETIME_MS = 2 * 3_600_000
_RENEW_MS = LIFETIME_MS // 2


class Presence:
    """Signs them. ``addresses`` are all of the bridge, ``places`` what it carries the room between."""

    def __init__(
        self, own: Identity, name: str, room: str, addresses: Sequence[str], places: Sequence[str], store: Store,
        clock: Clock, entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:  # fmt: skip
        self._author = Author(own, clock.now_ms, entropy, lambda message: None)
        self._name = name
        self._room = room
        self._addresses = tuple(presence.Address(uri=uri) for uri in addresses)
        self._places = places
        self._store = store
        self._clock = clock
        self._revision = -1
        self._said_ms = 0  # by the monotonic clock

    @property
    def due(self) -> bool:
        """Whether it is time to announce."""
        return self._revision < 0 or self._clock.monotonic_ms() - self._said_ms >= _RENEW_MS

    def renew(self) -> None:
        """Announce at the next occasion: somebody has lost it."""
        self._said_ms -= _RENEW_MS

    def announce(self) -> Sequence[Entry]:
        """What to post on every side; before a key that is not our first goes the word for it."""
        # Never lower than before, even if the clock was set back.
        self._revision = max(self._clock.now_ms(), int(self._store.fact("revision") or 0) + 1)
        self._store.set_fact("revision", str(self._revision))
        self._said_ms = self._clock.monotonic_ms()
        rotation = self._author.rotation
        ahead = [] if rotation is None else [self._entry(rotation, KEYS_LIFETIME_MS)]
        return [*ahead, self._entry(self._body(), LIFETIME_MS)]

    def leave(self) -> Sequence[Entry]:
        """The last word; nothing if there was none before."""
        if self._revision < 0:
            return []
        return [self._entry(presence.Leave(revision=self._revision, reason="stopping"), LIFETIME_MS)]

    def _entry(self, body: Record, lifetime_ms: int) -> Entry:
        data, message = self._author.sign(self._room, body, lifetime_ms=lifetime_ms)
        words = f"{self._name}: {line(message, lambda did: self._name)}"
        if isinstance(body, presence.Announce):
            words += f". {body.description}"
        return Entry(
            plane="room", room=self._room, carrier=data.decode(), line=words, expires_ms=message.envelope.expires_ms
        )

    def _body(self) -> presence.Announce:
        own = self._author.identity
        return presence.Announce(
            revision=self._revision,
            name=self._name,
            kind="system",
            role="bridge",
            description=f"Carries this room between {' and '.join(self._places)}."[:300],
            software=f"clawbot/{__version__}",
            versions=(PROTOCOL_VERSION,),
            addresses=self._addresses,
            next_key_digest=own.next_key_digest,
            seal_key=own.seal.public,
            capabilities=(),
            models=(),
            wants=(),
            offers=(),
            load=presence.Load(running=0, waiting=0, slots=0),
            limits=presence.Limits(open_to="nobody", prompt_bytes=0, output_tokens=0, tokens_per_minute=0),
            confirmed=(),
        )
