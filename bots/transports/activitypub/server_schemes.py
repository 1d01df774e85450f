"""Which signature scheme each server took last, kept over restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bots.database import Database
from bots.transports.activitypub.schemes import SCHEMES, Scheme

_KEPT: Final = 4096  # servers


class ServerSchemes:
    """A ``schemes.Memory`` in the actor's database. ``clock`` gives Unix milliseconds."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    def scheme(self, origin: str) -> Scheme:
        """The scheme to begin with."""
        found = self._database.value("SELECT scheme FROM schemes WHERE origin = ?", (origin,))
        return next((scheme for scheme in SCHEMES if scheme == found), SCHEMES[0])

    def worked(self, origin: str, scheme: Scheme) -> None:
        """A server took a request signed so."""
        known = self._database.value("SELECT scheme FROM schemes WHERE origin = ?", (origin,))
        if known == scheme:
            return
        with self._database.transaction(durable=False):
            self._database.execute("INSERT OR REPLACE INTO schemes VALUES (?, ?, ?)", (origin, scheme, self._clock()))
            self._database.execute(
                "DELETE FROM schemes WHERE origin NOT IN (SELECT origin FROM schemes ORDER BY since_ms DESC LIMIT ?)",
                (_KEPT,),
            )
