"""What a room knows of one identity (spec/10-fold.md); ``mesh`` keeps it up."""

from __future__ import annotations

import msgspec

from clawnet_proto.families import presence
from clawnet_proto.key_history import KeyHistory, Standing
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES


class Peer(msgspec.Struct, kw_only=True):
    """What the room knows of one identity."""

    did: str
    keys: KeyHistory
    announce: Message | None = None  # the highest revision, from a bound address if there is one
    bound: bool = False  # an address the announce names has sent it
    addresses: set[str] = msgspec.field(default_factory=set)  # proven by bound announces
    known: set[str] = msgspec.field(default_factory=set)  # addresses it ever proved, by any key, that remember it
    left_revision: int = -1
    sent: dict[str, int] = msgspec.field(default_factory=dict)  # the latest sent_ms by each key of its chain
    newest: tuple[int, frozenset[str]] = (-1, frozenset())  # the highest revision seen, ids of its announces

    @property
    def standing(self) -> Standing:
        """Whether its keys are in order: "good", "disputed" or "revoked"."""
        return self.keys.standing

    @property
    def last_sent_ms(self) -> int:
        """When it last spoke by the key it has now."""
        return self.sent.get(self.keys.key, 0)

    @property
    def equivocates(self) -> bool:
        """It signed two announces with one revision."""
        return len(self.newest[1]) > 1

    @property
    def body(self) -> presence.Announce | None:
        return None if self.announce is None else self.announce.body

    @property
    def name(self) -> str:
        return self.did[-8:] if self.body is None else self.body.name

    def heard(self, message: Message) -> None:
        """Note when it spoke. Of each key by itself: a dispute may give an earlier one its place back."""
        kid = message.envelope.kid
        if kid in self.keys.chain:
            self.sent[kid] = max(self.sent.get(kid, 0), message.envelope.sent_ms)

    def copy(self) -> Peer:
        return msgspec.structs.replace(
            self, keys=self.keys.copy(), addresses=self.addresses.copy(), known=self.known.copy(), sent=self.sent.copy()
        )

    def live(self, now_ms: int) -> bool:
        """It announced itself, has not left, and its announce has neither expired nor come from the future."""
        if self.announce is None or self.announce.body.revision <= self.left_revision:
            return False
        envelope = self.announce.envelope
        return envelope.sent_ms - TYPES[envelope.type].skew_ms <= now_ms < envelope.expires_ms
