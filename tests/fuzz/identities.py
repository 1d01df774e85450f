"""Authors who change their keys, and may do so twice, or speak by an old key again."""

from __future__ import annotations

from typing import Any

from clawnet_proto.envelope import Envelope
from clawnet_proto.families import identity
from clawnet_proto.families.identity import Link, commit
from clawnet_proto.keys import SigningKey
from clawnet_proto.signing import digest
from clawnet_proto.wire import Record
from tests.fuzz.choices import Choices
from tests.proto.authoring import NOW_MS, Author


class Renewable(Author):
    """An identity with the keys it has had; ``key`` is the one that signs now."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._keys = [self.key]
        self._links: list[Link] = []

    def envelope(self, body: Record, *, sent_ms: int = NOW_MS, **fields: Any) -> Envelope[Any]:
        return super().envelope(body, sent_ms=sent_ms, **({"kid": self.key.did} | fields))

    def next_key(self, choices: Choices) -> SigningKey:
        """The key that is to follow the current one; seldom another than it once was."""
        return Author(f"{self.name} {len(self._keys)} {choices.rarely()}").key

    def next_key_digest(self, choices: Choices) -> str:
        """What it names in an announce or a rotate."""
        return digest(self.next_key(choices).public)

    def choose_key(self, choices: Choices) -> None:
        """The newest, seldom one that was given up."""
        self.key = choices.pick(self._keys) if choices.rarely() else self._keys[-1]

    @property
    def rotations(self) -> int:
        return len(self._links)

    def rotate(self, choices: Choices) -> identity.Rotate:
        """To the next key, by which it is signed."""
        key = self._keys[-1]
        following = self.next_key(choices)
        word = commit(key, identity=self.did, generation=len(self._keys), following=following.public)
        self._links.append(Link(key=following.did, commitment=word, since_ms=NOW_MS - choices.below(4)))
        self._keys.append(following)
        self.key = following
        return identity.Rotate(chain=tuple(self._links), next_key_digest=self.next_key_digest(choices))

    def revoke(self, choices: Choices) -> identity.Revoke:
        """The newest key says that it is no longer to be heard."""
        self.key = self._keys[-1]
        return identity.Revoke(chain=tuple(self._links), since_ms=NOW_MS - choices.below(4))

    def step_back(self) -> None:
        """As if the last rotation had not been: another may follow the same key."""
        if self._links:
            self._links.pop()
            self._keys.pop()
            self.key = self._keys[-1]
