"""Which keys may speak for an identity (spec/04-identity.md, ID-24 and ID-25).

A pure function of the set of rotates, revokes and announces, whatever their order. Kept small for every peer: of
a key at most two commitments are remembered, for two are enough to end the chain.
"""

from __future__ import annotations

from typing import Literal

from clawnet_proto.families.identity import Link, Revoke, Rotate
from clawnet_proto.keys import decode_did
from clawnet_proto.message import Message
from clawnet_proto.signing import digest

Standing = Literal["good", "disputed", "revoked"]


class KeyHistory:
    """The chain of one identity, from its first key to the last that is proven."""

    __slots__ = ("_commitments", "_ends", "_revokes", "chain", "disputed")

    def __init__(self, did: str) -> None:
        self.chain = [did]
        self.disputed = False
        self._commitments: dict[str, set[str]] = {}  # key -> digests of the keys it named, at most two
        self._ends: dict[str, dict[str, int]] = {}  # key -> since when it says nothing more, by each key's word
        self._revokes: dict[str, int] = {}  # key -> since when, by its word

    @property
    def key(self) -> str:
        """The last key of the chain: the one in use."""
        return self.chain[-1]

    @property
    def standing(self) -> Standing:
        if self.disputed:
            return "disputed"
        return "revoked" if self.key in self._revokes else "good"

    @property
    def trivial(self) -> bool:
        """Nothing but the first key, and no doubt about it."""
        return len(self.chain) == 1 and self.standing == "good"

    def add(self, message: Message) -> bool:
        """Learn from a rotate, a revoke, or an announce by a key of the chain. Whether anything changed."""
        before = (len(self.chain), self.disputed, *self._cuts())
        body = message.body
        if isinstance(body, Rotate | Revoke):
            self._follow(body.chain, message.envelope.kid)
        kid = message.envelope.kid
        if kid in self.chain:
            if isinstance(body, Revoke):
                self._revokes[kid] = min(body.since_ms, self._revokes.get(kid, body.since_ms))
            else:
                self._commit(kid, body.next_key_digest)
        return before != (len(self.chain), self.disputed, *self._cuts())

    def judge(self, kid: str, sent_ms: int) -> str | None:
        """The code of the stage *authority* for a message by ``kid``, or None if it may be acted upon."""
        if kid not in self.chain:
            return "key.disputed" if self.disputed else "key.unproven"
        cut = self._cut(kid)
        if cut is not None and sent_ms >= cut:
            return "key.not_authorized"
        return None if kid == self.key and self.standing == "good" else "key.retired"

    def _follow(self, links: tuple[Link, ...], kid: str) -> None:
        """Take over a proven chain, as far as ours does not end before in a dispute."""
        before = self.chain[0]
        for generation, link in enumerate(links, start=1):
            self._commit(before, digest(decode_did(link.key)))
            if len(self.chain) == generation and not self.disputed:
                self.chain.append(link.key)
            if len(self.chain) <= generation or self.chain[generation] != link.key:
                return
            before = link.key
        # The whole chain is ours now, so kid is in it: keys that fork off leave nothing behind.
        for key, link in zip(self.chain, links, strict=False):
            ends = self._ends.setdefault(key, {})
            ends[kid] = min(link.since_ms, ends.get(kid, link.since_ms))

    def _commit(self, key: str, named: str) -> None:
        """A second commitment of a key ends the chain with it."""
        known = self._commitments.setdefault(key, set())
        if len(known) < 2:
            known.add(named)
        if len(known) > 1:
            self.disputed = True
            del self.chain[self.chain.index(key) + 1 :]

    def _cut(self, kid: str) -> int | None:
        """The moment from which a key of the chain says nothing more: only the last key's word counts."""
        moments = [self._revokes[self.key]] if self.key in self._revokes else []
        if kid != self.key and self.key in self._ends.get(kid, {}):
            moments.append(self._ends[kid][self.key])
        return min(moments, default=None)

    def _cuts(self) -> tuple[int | None, ...]:
        return tuple(self._cut(kid) for kid in self.chain)

    def copy(self) -> KeyHistory:
        """An independent copy."""
        other = KeyHistory(self.chain[0])
        other.chain, other.disputed = self.chain.copy(), self.disputed
        other._commitments = {key: named.copy() for key, named in self._commitments.items()}
        other._ends = {key: ends.copy() for key, ends in self._ends.items()}
        other._revokes = self._revokes.copy()
        return other
