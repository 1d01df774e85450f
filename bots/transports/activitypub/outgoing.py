"""What we said and what of it waits to be taken: each activity once, with one delivery for each inbox."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from bots.database import Database
from bots.errors import RetryLater
from bots.transports.activitypub.names import site
from bots.transports.activitypub.notes import Document

log = logging.getLogger(__name__)

PUBLIC_KEPT: Final = 200  # posts
_DELIVERED_KEPT_MS: Final = 3_600_000  # after which nobody asks for the same parcel again
_WAITING_MOST: Final = 20_000  # deliveries
_WAITING_OF_SITE: Final = 1_000
_CAUSED_MOST: Final = 2_000  # of them by strangers, who leave the rest to what we have to say
_CAUSED_OF_SITE: Final = 32
_FULL_S: Final = 60.0  # when to come again
_PRUNED_EVERY: Final = 16  # activities
_PRUNED_AT_ONCE: Final = 256


class Waiting(msgspec.Struct, frozen=True):
    """A delivery that is due: an activity for one inbox."""

    seq: int
    lane: str
    inbox: str
    document: str  # JSON text
    expires_ms: int


class Backlog(msgspec.Struct, frozen=True):
    """What waits for one server."""

    lane: str
    waiting: int  # deliveries
    inbox: str  # that the oldest of them is for
    since_ms: int  # when that one began to wait


class Post(msgspec.Struct, frozen=True):
    """A public activity."""

    seq: int
    document: str  # JSON text


class Outgoing:
    """The activities of one actor, in its database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since = 0  # it was pruned
        self._looked_at = 0  # the last activity that was looked at then

    def said(self, txn: str) -> Document | None:
        """The activity that a parcel became, None if it is none yet."""
        found = self._database.value("SELECT document FROM activities WHERE txn = ?", (txn,))
        return None if found is None else dict(json.loads(found))

    def add(
        self,
        key: str,
        document: str,
        inboxes: Mapping[str, str],
        *,
        now_ms: int,
        expires_ms: int,
        txn: str | None = None,
        public: bool = False,
        announces: str = "",
        answers: str = "",
        caused: bool = False,
        attachments: Mapping[str, str] | None = None,
    ) -> None:
        """Keep an activity, with a delivery for each inbox; ``inboxes`` gives the lane of each.

        ``announces`` is the room in which it says who we are, ``answers`` the actor whose Follow it answers: an earlier
        answer that waits goes no more. ``caused`` is what strangers make us say. ``attachments`` are texts by their
        digest. A host that too much waits for already gets no more: it is not there. Raises RetryLater if nothing more
        may wait at all, or if it is for such hosts alone.
        """
        with self._database.transaction():
            self._prune(now_ms)
            if answers:
                self._delete("answers = ?", (answers,))
            fitting = self._fitting(inboxes, caused=caused)
            if inboxes and not (fitting or public):
                raise _full()
            activity = self._database.execute(
                "INSERT INTO activities (key, txn, public, announces, answers, made_ms, expires_ms, document)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (key, txn, int(public), announces, answers, now_ms, expires_ms, document),
            ).lastrowid
            for digest, content in (attachments or {}).items():
                self._database.execute(
                    "INSERT INTO attachments VALUES (?, ?, ?)"
                    " ON CONFLICT (digest) DO UPDATE SET activity = excluded.activity",
                    (digest, activity, content),
                )
            for inbox, lane in fitting.items():
                self._database.execute(
                    "INSERT OR IGNORE INTO deliveries (lane, site, inbox, caused, activity, since_ms)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (lane, site(inbox), inbox, int(caused), activity, now_ms),
                )

    def add_delivery(self, key: str, inbox: str, lane: str, now_ms: int) -> None:
        """Let an activity that is kept go to one more inbox, of whoever asks for it. Raises RetryLater."""
        if not self._fitting({inbox: lane}, caused=True):
            raise _full()
        self._database.execute(
            "INSERT OR IGNORE INTO deliveries (lane, site, inbox, caused, activity, since_ms)"
            " SELECT ?, ?, ?, 1, seq, ? FROM activities WHERE key = ?",
            (lane, site(inbox), inbox, now_ms, key),
        )

    def _fitting(self, inboxes: Mapping[str, str], *, caused: bool) -> Mapping[str, str]:
        """Those of them that more may wait for. Raises RetryLater if nothing more may wait at all."""
        if self.waiting + len(inboxes) > _WAITING_MOST or (caused and self._count("caused = 1") >= _CAUSED_MOST):
            raise _full()
        most, which = (_CAUSED_OF_SITE, " AND caused = 1") if caused else (_WAITING_OF_SITE, "")
        full = {one for one in {*map(site, inboxes)} if self._count(f"site = ?{which}", one) >= most}
        if full:
            log.warning("Too much waits already for %s", ", ".join(sorted(full)))
        return {inbox: lane for inbox, lane in inboxes.items() if site(inbox) not in full}

    def _count(self, where: str, *parameters: str) -> int:
        return int(self._database.value(f"SELECT count(*) FROM deliveries WHERE {where}", parameters))

    def announces(self, now_ms: int, *, public: bool) -> Sequence[str]:
        """The keys of the newest activities by which we said who we are, one a room, that stand; or the public ones."""
        rows = self._database.rows(
            "SELECT key, max(seq) FROM activities WHERE announces <> '' AND expires_ms > ? AND public >= ?"
            " GROUP BY announces",
            (now_ms, int(public)),
        )
        return [str(key) for key, _ in rows]

    # -- delivering ------------------------------------------------------------------------------------------

    def lanes(self) -> Sequence[str]:
        """The servers that something waits for. It steps from one to the next, past all that waits for each."""
        rows = self._database.rows(
            "WITH RECURSIVE found (lane) AS (SELECT min(lane) FROM deliveries UNION ALL"
            " SELECT (SELECT min(lane) FROM deliveries WHERE lane > found.lane) FROM found WHERE lane IS NOT NULL)"
            " SELECT lane FROM found WHERE lane IS NOT NULL"
        )
        return [str(lane) for (lane,) in rows]

    def backlogs(self) -> Sequence[Backlog]:
        """What waits for each server."""
        rows = self._database.rows(
            "SELECT deliveries.lane, count, inbox, since_ms FROM"
            " (SELECT lane, count(*) AS count, min(seq) AS first FROM deliveries GROUP BY lane)"
            " JOIN deliveries ON deliveries.seq = first"
        )
        return [Backlog(*row) for row in rows]

    def next(self, lane: str, passed_over: Collection[str] = ()) -> Waiting | None:
        """What a server is to get next, but not at the inboxes that are ``passed_over``."""
        rows = self._database.rows(
            "SELECT deliveries.seq, lane, inbox, document, expires_ms"
            " FROM deliveries JOIN activities ON activities.seq = activity"
            " WHERE lane = ? AND inbox NOT IN (SELECT value FROM json_each(?)) ORDER BY deliveries.seq LIMIT 1",
            (lane, json.dumps([*passed_over])),
        )
        return Waiting(*rows[0]) if rows else None

    def done(self, seq: int) -> None:
        """A delivery was taken, or never will be. Forgotten by a power failure, it is made once more."""
        with self._database.transaction(durable=False):
            self._database.execute("DELETE FROM deliveries WHERE seq = ?", (seq,))

    def drop_inboxes(self, inboxes: Collection[str]) -> None:
        """Nothing goes to these any more."""
        with self._database.transaction(durable=False):
            for inbox in inboxes:
                self._database.execute("DELETE FROM deliveries WHERE inbox = ?", (inbox,))

    @property
    def waiting(self) -> int:
        """How many deliveries wait."""
        return int(self._database.value("SELECT count(*) FROM deliveries"))

    # -- reading ---------------------------------------------------------------------------------------------

    def public(self, key: str) -> str | None:
        """A public activity as JSON text."""
        found = self._database.value("SELECT document FROM activities WHERE public AND key = ?", (key,))
        return None if found is None else str(found)

    def attachment(self, digest: str) -> str | None:
        """The text that is named by a digest."""
        found = self._database.value("SELECT content FROM attachments WHERE digest = ?", (digest,))
        return None if found is None else str(found)

    def posts(self, before: int, most: int) -> Sequence[Post]:
        """Public activities before one, the newest first; 0: from the newest on."""
        rows = self._database.rows(
            "SELECT seq, document FROM activities WHERE public AND (? = 0 OR seq < ?) ORDER BY seq DESC LIMIT ?",
            (before, before, most),
        )
        return [Post(*row) for row in rows]

    @property
    def public_count(self) -> int:
        return int(self._database.value("SELECT count(*) FROM activities WHERE public"))

    # -- bounds ----------------------------------------------------------------------------------------------

    def _prune(self, now_ms: int) -> None:
        """Forget what was taken by all, of public posts all but the newest, and what nobody needs to take any more.

        Some of it each time, so that it never takes long.
        """
        self._since += 1
        if self._since % _PRUNED_EVERY != 1:
            return
        self._database.execute(
            "DELETE FROM deliveries WHERE seq IN (SELECT deliveries.seq FROM activities"
            " JOIN deliveries ON activity = activities.seq WHERE expires_ms <= ? LIMIT ?)",
            (now_ms, _PRUNED_AT_ONCE),
        )
        delivered = "NOT EXISTS (SELECT 1 FROM deliveries WHERE activity = activities.seq)"
        rows = self._database.rows(
            "SELECT seq FROM activities WHERE seq > ? ORDER BY seq LIMIT ?", (self._looked_at, _PRUNED_AT_ONCE)
        )
        since, self._looked_at = self._looked_at, rows[-1][0] if len(rows) == _PRUNED_AT_ONCE else 0
        self._delete(
            f"seq > ? AND seq <= ? AND NOT public AND made_ms < ? AND {delivered}",
            (since, rows[-1][0] if rows else since, now_ms - _DELIVERED_KEPT_MS),
        )
        self._delete(
            f"public AND {delivered} AND seq <= coalesce("
            "(SELECT seq FROM activities WHERE public ORDER BY seq DESC LIMIT 1 OFFSET ?), 0)",
            (PUBLIC_KEPT,),
        )

    def _delete(self, where: str, parameters: tuple[int | str, ...]) -> None:
        self._database.execute(f"DELETE FROM activities WHERE {where}", parameters)


def _full() -> RetryLater:
    return RetryLater("activitypub.full", "Too much waits for servers that do not take it.", _FULL_S)
