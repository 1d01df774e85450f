"""Chunks of artifacts that a hub keeps for a while: one SQLite file, bounded (spec/bindings/http.md, HTTP-17)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from bots.database import Database, Schema

_LEAST: Final = 4096  # bytes that a chunk counts for, at least: rows take space, too
_AT_ONCE: Final = 64  # chunks

_SCHEMA: Final = Schema(
    0x436C4368,  # "ClCh"
    (
        (
            """
            CREATE TABLE chunks (
                digest TEXT PRIMARY KEY,
                data BLOB NOT NULL
            ) STRICT
            """,
            # Who stored it, each for itself: nobody can make a hub drop what another one has stored, too.
            """
            CREATE TABLE holders (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                digest TEXT NOT NULL REFERENCES chunks (digest),
                did TEXT NOT NULL,
                network TEXT NOT NULL,
                bytes INTEGER NOT NULL,
                stored_ms INTEGER NOT NULL,
                UNIQUE (digest, did)
            ) STRICT
            """,
            "CREATE INDEX holders_did ON holders (did, seq, bytes)",
            "CREATE INDEX holders_network ON holders (network, seq, bytes)",
        ),
    ),
)


class ChunkBounds(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, at most; a chunk counts for each who stored it."""

    bytes: int = 1 << 30
    bytes_of_network: int = 128 << 20
    bytes_of_peer: int = 32 << 20
    age_ms: int = 86_400_000


_USUAL: Final = ChunkBounds()


class Chunks:
    """The file at ``path``; one process at a time. Raises StoreError, here and in every method."""

    def __init__(self, path: Path, bounds: ChunkBounds = _USUAL) -> None:
        self._database = Database(path, _SCHEMA)
        self._bounds = bounds
        self._held = self._counted()  # bytes, by all who hold chunks

    def _counted(self) -> int:
        return int(self._database.value("SELECT sum(bytes) FROM holders") or 0)

    def close(self) -> None:
        self._database.close()

    def put(self, digest: str, data: bytes, did: str, network: str, now_ms: int) -> None:
        """Keep a chunk for a peer, a day from now on; what is oldest makes place for it."""
        database, bounds = self._database, self._bounds
        size = max(len(data), _LEAST)
        held = self._held
        try:
            with database.transaction():
                self._expire(now_ms)
                database.execute("INSERT OR IGNORE INTO chunks VALUES (?, ?)", (digest, data))
                again = database.execute("DELETE FROM holders WHERE digest = ? AND did = ?", (digest, did)).rowcount
                database.execute(
                    "INSERT INTO holders (digest, did, network, bytes, stored_ms) VALUES (?, ?, ?, ?, ?)",
                    (digest, did, network, size, now_ms),
                )
                self._held += 0 if again else size
                self._shrink("did", did, bounds.bytes_of_peer)
                self._shrink("network", network, bounds.bytes_of_network)
                while self._held > bounds.bytes:
                    self._drop_some(self._largest())
        except BaseException:
            self._held = held
            raise

    def get(self, digest: str, now_ms: int) -> bytes | None:
        """The bytes, None if they are not there, or not any more."""
        found = self._database.value(
            "SELECT data FROM chunks WHERE digest = ?1 AND EXISTS"
            " (SELECT 1 FROM holders WHERE holders.digest = ?1 AND stored_ms > ?2)",
            (digest, now_ms - self._bounds.age_ms),
        )
        return None if found is None else bytes(found)

    def _expire(self, now_ms: int) -> None:
        self._drop(
            "SELECT seq, digest, bytes FROM holders WHERE stored_ms <= ? ORDER BY seq LIMIT ?",
            (now_ms - self._bounds.age_ms, _AT_ONCE),
        )

    def _shrink(self, whose: str, name: str, most: int) -> None:
        """Drop the oldest of one peer, or of one network, until the rest is within its bound."""
        while int(self._database.value(f"SELECT sum(bytes) FROM holders WHERE {whose} = ?", (name,)) or 0) > most:
            self._drop(f"SELECT seq, digest, bytes FROM holders WHERE {whose} = ? ORDER BY seq LIMIT 1", (name,))

    def _largest(self) -> str:
        """The network that holds most."""
        return str(
            self._database.value(
                "SELECT network FROM holders GROUP BY network ORDER BY sum(bytes) DESC, network LIMIT 1"
            )
        )

    def _drop_some(self, network: str) -> None:
        """Drop the oldest of a network: more than needed at the moment, for to see who holds most takes a while."""
        self._drop(
            "SELECT seq, digest, bytes FROM holders WHERE network = ? ORDER BY seq"
            " LIMIT max(1, min(?, (SELECT count(*) FROM holders WHERE network = ?) / 2))",
            (network, _AT_ONCE, network),
        )

    def _drop(self, chosen: str, parameters: tuple[int | str, ...]) -> None:
        """Some hold what they stored no more; what nobody holds is gone."""
        for seq, digest, size in self._database.rows(chosen, parameters):
            self._held -= size
            self._database.execute("DELETE FROM holders WHERE seq = ?", (seq,))
            self._forget(digest)

    def _forget(self, digest: str) -> None:
        self._database.execute(
            "DELETE FROM chunks WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM holders WHERE digest = ?1)", (digest,)
        )
