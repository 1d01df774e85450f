"""What was too long for a message of ours, for a day: chunks by their digest, bounded."""

from __future__ import annotations

from typing import Final

from bots.database import Database
from clawnet_proto.signing import digest

KEPT_MS: Final = 86_400_000
_BYTES_MOST: Final = 128 << 20


class Chunks:
    """Of one actor, in its database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, data: bytes, now_ms: int) -> str:
        """Keep a chunk from now on, and return its digest; the oldest make place for it."""
        name = digest(data)
        with self._database.transaction():
            self._database.execute("DELETE FROM chunks WHERE kept_ms <= ?", (now_ms - KEPT_MS,))
            self._database.execute(
                "INSERT INTO chunks (digest, data, kept_ms) VALUES (?, ?, ?)"
                " ON CONFLICT (digest) DO UPDATE SET kept_ms = excluded.kept_ms",
                (name, data, now_ms),
            )
            while self._database.value("SELECT sum(length(data)) FROM chunks") > _BYTES_MOST:
                self._database.execute(
                    "DELETE FROM chunks WHERE digest = (SELECT digest FROM chunks ORDER BY kept_ms LIMIT 1)"
                )
        return name

    def get(self, name: str, now_ms: int) -> bytes | None:
        """A chunk by its digest."""
        found = self._database.value(
            "SELECT data FROM chunks WHERE digest = ? AND kept_ms > ?", (name, now_ms - KEPT_MS)
        )
        return None if found is None else bytes(found)
