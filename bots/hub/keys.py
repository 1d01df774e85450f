"""Which key speaks for which identity, as far as a hub was told (spec/04-identity.md, spec/bindings/http.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bots.database import Database
from bots.hub.schema import OWN


class Keys:
    """Keys that were changed to, ``most`` of them and ``most_of_network`` of one network address.

    What was proven first stays: who steals a key that was given up cannot name another one after it. Nothing is
    ever dropped for something newer. What finds no space is remembered for a while, of ``passing`` identities.
    """

    def __init__(self, database: Database, most: int, most_of_network: int, passing: int = 0) -> None:
        self._database = database
        self._most = most
        self._most_of_network = most_of_network
        self._most_passing = passing
        self._passing: dict[str, tuple[list[str], str]] = {}  # chain and network, by identity

    def rotated(self, did: str, chain: Sequence[str], network: str) -> bool:
        """An identity has proven that these are its keys after the first.

        Returns whether that is true now: not if it contradicts what was proven before, or there is no space.
        """
        kept, known = self._kept(did), self._chain(did)
        if any(old != new for old, new in zip(known, chain, strict=False)):
            return False
        fresh = chain[len(kept) :]
        if not fresh:
            return True
        if any(self._identity(key) not in ("", did) for key in fresh):
            return False  # it speaks for another one
        if not self._space("keys", len(fresh), network):
            return len(chain) <= len(known) or self._pass(did, chain, network)
        with self._database.transaction():
            for generation, key in enumerate(fresh, start=len(kept) + 1):
                self._database.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", (key, did, generation, network))
        return True

    def revoked(self, did: str, chain: Sequence[str], since_ms: int, network: str) -> bool:
        """An identity has proven that it says nothing more. Returns whether that counts: its key must be the last."""
        if not self.rotated(did, chain, network) or len(chain) < len(self._chain(did)):
            return False
        key = chain[-1] if chain else did
        if not self._space("revoked", 1, network):
            return False
        self._database.execute(
            "INSERT INTO revoked VALUES (?, ?, ?) ON CONFLICT (key)"
            " DO UPDATE SET since_ms = min(since_ms, excluded.since_ms)",
            (key, since_ms, network),
        )
        return True

    def speaker(self, key: str, now_ms: int) -> str:
        """The identity that a key speaks for, "" if it has given that key up, or revoked itself."""
        did = self._identity(key) or key
        last = (self._chain(did) or [did])[-1]
        revoked = self._database.value("SELECT 1 FROM revoked WHERE key = ? AND since_ms <= ?", (key, now_ms))
        return did if key == last and revoked is None else ""

    def _identity(self, key: str) -> str:
        """Who has changed to a key, "" if nobody has."""
        did = self._database.value("SELECT did FROM keys WHERE key = ?", (key,))
        return str(did) if did else next((did for did, (chain, _) in self._passing.items() if key in chain), "")

    def _chain(self, did: str) -> list[str]:
        passing, _ = self._passing.get(did, ([], ""))
        return max(self._kept(did), passing, key=len)

    def _pass(self, did: str, chain: Sequence[str], network: str) -> bool:
        """Remember it while this runs; who came first of the network that takes most of the space makes place."""
        self._passing.pop(did, None)
        if len(self._passing) >= self._most_passing > 0:
            ((crowded, _),) = Counter(network for _, network in self._passing.values()).most_common(1)
            del self._passing[next(one for one, (_, where) in self._passing.items() if where == crowded)]
        if self._most_passing:
            self._passing[did] = list(chain), network
        return bool(self._most_passing)

    def _kept(self, did: str) -> list[str]:
        return [
            str(key) for (key,) in self._database.rows("SELECT key FROM keys WHERE did = ? ORDER BY generation", (did,))
        ]

    def _space(self, table: str, count: int, network: str) -> bool:
        if network == OWN:
            return True
        total = self._database.value(f"SELECT count(*) FROM {table}")
        own = self._database.value(f"SELECT count(*) FROM {table} WHERE network = ?", (network,))
        return bool(total + count <= self._most and own + count <= self._most_of_network)
