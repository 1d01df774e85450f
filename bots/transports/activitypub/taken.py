"""What was taken already, so that nothing counts twice: activities by id, messages by who sent them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from bots.database import Database
from clawnet_proto.signing import digest

_KEPT: Final = 50_000
_PRUNED_EVERY: Final = 500


class Taken:
    """The newest ids, in the actor's database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since = 0

    def __contains__(self, key: str) -> bool:
        return self._database.value("SELECT 1 FROM taken WHERE id = ?", (_short(key),)) is not None

    def all(self, keys: Collection[str]) -> bool:
        """Whether every one was taken; not so of none."""
        return bool(keys) and all(key in self for key in keys)

    def note(self, keys: Iterable[str]) -> None:
        """These are taken now. A power failure may bring some of them twice, never lose one."""
        with self._database.transaction(durable=False):
            for key in keys:
                self._database.execute("INSERT OR IGNORE INTO taken (id) VALUES (?)", (_short(key),))
                self._since += 1
            if self._since >= _PRUNED_EVERY:
                self._since = 0
                self._database.execute("DELETE FROM taken WHERE seq <= (SELECT max(seq) FROM taken) - ?", (_KEPT,))

    def clear(self) -> None:
        """Whatever was taken may come again."""
        self._database.execute("DELETE FROM taken")


def _short(key: str) -> str:
    """However long strangers make their ids, each takes the same space."""
    return digest(key.encode())
