"""Which key speaks for which identity, as far as a hub was told (spec/04-identity.md, spec/bindings/http.md)."""

from __future__ import annotations

from collections.abc import Sequence

from bots.store.database import Database


class Keys:
    """Keys that were changed to, ``most`` of them and ``most_of_network`` of one network address.

    What was proven first stays: who steals a key that was given up cannot name another one after it. Nothing is
    ever dropped for something newer.
    """

    def __init__(self, database: Database, most: int, most_of_network: int) -> None:
        self._database = database
        self._most = most
        self._most_of_network = most_of_network

    def rotated(self, did: str, chain: Sequence[str], network: str) -> bool:
        """An identity has proven that these are its keys after the first.

        Returns whether that is true now: not if it contradicts what was proven before, or there is no space.
        """
        known = self._chain(did)
        if any(old != new for old, new in zip(known, chain, strict=False)):
            return False
        fresh = chain[len(known) :]
        if not fresh:
            return True
        if any(self._database.value("SELECT 1 FROM keys WHERE key = ?", (key,)) is not None for key in fresh):
            return False  # it speaks for another one
        if not self._space("keys", len(fresh), network):
            return False
        with self._database.transaction():
            for generation, key in enumerate(fresh, start=len(known) + 1):
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
        did = str(self._database.value("SELECT did FROM keys WHERE key = ?", (key,)) or key)
        last = (self._chain(did) or [did])[-1]
        revoked = self._database.value("SELECT 1 FROM revoked WHERE key = ? AND since_ms <= ?", (key, now_ms))
        return did if key == last and revoked is None else ""

    def _chain(self, did: str) -> list[str]:
        return [
            str(key) for (key,) in self._database.rows("SELECT key FROM keys WHERE did = ? ORDER BY generation", (did,))
        ]

    def _space(self, table: str, count: int, network: str) -> bool:
        total = self._database.value(f"SELECT count(*) FROM {table}")
        own = self._database.value(f"SELECT count(*) FROM {table} WHERE network = ?", (network,))
        return bool(total + count <= self._most and own + count <= self._most_of_network)
