"""Who is in our rooms: whoever announced itself to us (spec/bindings/activitypub.md, "Room")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from bots.database import Database
from bots.transports.activitypub.names import origin, site
from clawnet_proto.families import presence
from clawnet_proto.message import Message

COUNTS_MS: Final = 6 * 3_600_000  # how long an announce counts at most
_MOST: Final = 256  # of a room
_OF_SITE: Final = 16
_REVOKED_KEPT: Final = 4096


class Members:
    """The announces and leaves that count, in the actor's database. For ``wanted`` addresses there is always space."""

    def __init__(self, database: Database, wanted: Callable[[str], bool]) -> None:
        self._database = database
        self._wanted = wanted

    def heard(self, room: str, address: str, message: Message, now_ms: int) -> None:
        """A message that an address has said in a room itself: perhaps it comes by it, or goes."""
        body = message.body
        if isinstance(body, presence.Announce):
            if any(own.uri == address for own in body.addresses):
                until_ms = min(message.envelope.expires_ms, now_ms + COUNTS_MS)
                self._enter(room, address, message.sender, body.revision, until_ms, now_ms)
        elif isinstance(body, presence.Leave):
            self._leave(room, address, message.sender, body.revision)
        elif message.type == "identity.revoke":
            self._revoke(message.sender)

    def _enter(self, room: str, address: str, did: str, revision: int, until_ms: int, now_ms: int) -> None:
        if until_ms <= now_ms or self._database.value("SELECT 1 FROM revoked WHERE did = ?", (did,)) is not None:
            return
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT did, revision, here FROM members WHERE room = ? AND address = ?", (room, address)
            )
            known, newest, here = rows[0] if rows else ("", -1, 0)
            if known == did and (newest > revision or (newest == revision and not here)):
                return
            if not rows and not self._space(room, address, now_ms):
                return
            self._database.execute(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, 1)", (room, address, did, revision, until_ms)
            )

    def _leave(self, room: str, address: str, did: str, revision: int) -> None:
        """It is kept for as long as the announce that it ends would have counted."""
        self._database.execute(
            "UPDATE members SET here = 0, revision = ? WHERE room = ? AND address = ? AND did = ? AND revision <= ?",
            (revision, room, address, did, revision),
        )

    def _revoke(self, did: str) -> None:
        with self._database.transaction():
            self._database.execute("UPDATE members SET here = 0 WHERE did = ?", (did,))
            self._database.execute("INSERT OR IGNORE INTO revoked (did) VALUES (?)", (did,))
            self._database.execute(
                "DELETE FROM revoked WHERE seq <= (SELECT max(seq) FROM revoked) - ?", (_REVOKED_KEPT,)
            )

    def forget(self, address: str) -> None:
        """This actor is no more."""
        self._database.execute("DELETE FROM members WHERE address = ?", (address,))

    def of(self, room: str, now_ms: int) -> Sequence[str]:
        """The addresses of a room's members, but for ours."""
        rows = self._database.rows(
            "SELECT address FROM members WHERE room = ? AND here AND until_ms > ? ORDER BY address", (room, now_ms)
        )
        return [str(address) for (address,) in rows]

    def has_origin(self, origin_: str, now_ms: int) -> bool:
        """Whether a member of any room is of this origin."""
        rows = self._database.rows("SELECT DISTINCT address FROM members WHERE here AND until_ms > ?", (now_ms,))
        return any(origin(address) == origin_ for (address,) in rows)

    def is_member(self, room: str, address: str, now_ms: int) -> bool:
        """Whether an address is one of them."""
        found = self._database.value(
            "SELECT 1 FROM members WHERE room = ? AND address = ? AND here AND until_ms > ?", (room, address, now_ms)
        )
        return found is not None

    def count(self, room: str, now_ms: int) -> int:
        """How many there are."""
        return int(
            self._database.value(
                "SELECT count(*) FROM members WHERE room = ? AND here AND until_ms > ?", (room, now_ms)
            )
        )

    def _space(self, room: str, address: str, now_ms: int) -> bool:
        """Whether there is space for one more; nobody makes place but who is gone anyhow."""
        self._database.execute("DELETE FROM members WHERE until_ms <= ?", (now_ms,))
        known = [str(one) for (one,) in self._database.rows("SELECT address FROM members WHERE room = ?", (room,))]
        if self._wanted(address):
            return True
        return len(known) < _MOST and sum(site(one) == site(address) for one in known) < _OF_SITE
