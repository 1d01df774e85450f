"""Encrypted room events that could not be read yet: kept until what they lack comes, asked for once, and counted."""

from __future__ import annotations

import msgspec

from bots.clock import SYSTEM, Clock
from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_words import MegolmContent
from bots.transports.matrix.events import Header

WAITING_MOST = 1_000
WAITING_PER_SENDER = 100
WAITING_BYTES = 8 * 2**20
FIRST_S = 5.0  # what is missing is often on its way: how long we wait before we ask for it
TRIES = 6  # to fetch a file, or to learn of a device: each pause is four times as long as the one before
GIVEN_UP_S = 7 * 86_400.0
_EXPIRE_EVERY_S = 3600.0
_SET_S = 1.0  # by which a clock is set, and does not only run a little wrong

_OLDEST = "DELETE FROM waiting WHERE rowid = (SELECT min(rowid) FROM waiting WHERE sender = ?)"


class Missing(msgspec.Struct, frozen=True):
    """A session whose key we lack."""

    room: str
    sender: str
    device: str
    session: str


class Wanted(msgspec.Struct, frozen=True):
    """An event whose sender's device, or whose file, is to be asked for."""

    event: str
    room: str
    sender: str
    session: str


class Waiting:
    """The rows. Raises StoreError."""

    def __init__(self, store: EncryptionStore, clock: Clock = SYSTEM) -> None:
        self._store = store
        self._clock = clock
        self._read: set[str] = set()  # events that are delivered with the next commit
        # Sessions that we have known more of since the last look that was committed, each with when that was.
        self._fresh: dict[str, int] = {}
        self._looked: dict[str, int] = {}
        self._news = 0
        self._expired_at = 0.0
        self._ahead_s = _ahead_s(clock)
        # Of what was to be looked at when the last process ended, nobody knows.
        for (session,) in store.rows(
            "SELECT DISTINCT session FROM waiting WHERE EXISTS"
            " (SELECT 1 FROM inbound WHERE inbound.room = waiting.room AND inbound.session = waiting.session)"
        ):
            self.knows_more(session)

    def _now_s(self) -> float:
        """Unix time, for what is due outlives a run. If somebody sets the clock, it is due when it would have been."""
        set_by_s = _ahead_s(self._clock) - self._ahead_s
        if abs(set_by_s) >= _SET_S:
            self._ahead_s += set_by_s
            self._expired_at += set_by_s
            self._store.execute("UPDATE waiting SET since_s = since_s + ?, due_s = due_s + ?", set_by_s, set_by_s)
        return self._clock.now_ms() / 1000

    def add(self, room: str, event: Header, content: MegolmContent, raw: msgspec.Raw, lacks: str) -> int:
        """Keep an event that lacks its "key", its sender's "device" or its "file".

        Returns how many had to go for it: the oldest of its sender's, or of whose events take most.
        """
        now, session = self._now_s(), content.session_id[:255]
        asked = lacks == "key" and self.was_asked(room, session, event.sender)
        with self._store.transaction():
            self._store.execute(
                "INSERT OR IGNORE INTO waiting"
                " (event, room, sender, device, session, raw, lacks, since_s, due_s, tries)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                event.event_id, room, event.sender, content.device_id[:255], session, bytes(raw),
                lacks, now, None if asked else _first_due_s(lacks, now), int(asked),
            )  # fmt: skip
            gone = 0
            while (sender := self._too_much(event.sender)) is not None:
                gone += self._store.execute(_OLDEST, sender)
        return gone

    def _too_much(self, sender: str) -> str | None:
        """Of whom too much waits, if of anybody."""
        count, size, of_sender = self._store.rows(
            "SELECT count(*), total(length(raw)), count(*) FILTER (WHERE sender = ?) FROM waiting", sender
        )[0]
        if of_sender > WAITING_PER_SENDER:
            return sender
        if count <= WAITING_MOST and size <= WAITING_BYTES:
            return None
        share = "count(*)" if count > WAITING_MOST else "total(length(raw))"
        return str(self._store.rows(f"SELECT sender FROM waiting GROUP BY sender ORDER BY {share} DESC LIMIT 1")[0][0])

    def count(self) -> int:
        """How many events wait."""
        return self._store.count("waiting")

    def expire(self) -> int:
        """Give up what has waited too long; how many events that was."""
        now = self._now_s()
        if 0.0 <= now - self._expired_at < _EXPIRE_EVERY_S:
            return 0
        self._expired_at = now
        return self._store.execute("DELETE FROM waiting WHERE since_s < ?", now - GIVEN_UP_S)

    # --- what may be read by now ---

    def knows_more(self, session: str) -> None:
        """Events of this session are worth another look."""
        self._news += 1
        self._fresh[session] = self._news

    def worth_a_look(self) -> list[tuple[str, msgspec.Raw, bool]]:
        """(Room, event, whether it waited for more than one answer) of what may be readable by now.

        In order of arrival, and the same again until ``settled``.
        """
        self._read = set()
        self._looked = dict(self._fresh)
        found: list[tuple[int, str, msgspec.Raw, bool]] = []
        for session in self._looked:
            rows = self._store.rows(
                "SELECT rowid, room, raw, lacks = 'key' OR tries > (lacks = 'device') FROM waiting WHERE session = ?",
                session[:255],
            )
            found += [(place, room, msgspec.Raw(raw), bool(long)) for place, room, raw, long in rows]
        return [row[1:] for row in sorted(found, key=lambda row: row[0])]

    def read(self, event: str) -> None:
        """This event is read, or never will be; it goes once what we read is committed."""
        self._read.add(event)

    def lacks(self, event: str, lacks: str) -> None:
        """This event has now what it lacked before, but lacks something else."""
        self._store.execute(
            "UPDATE waiting SET lacks = ?, tries = 2, due_s = ? WHERE event = ? AND lacks <> ?",
            lacks, _first_due_s(lacks, self._now_s()), event, lacks,
        )  # fmt: skip

    def settled(self) -> set[str]:
        """What was read at the last look is committed; which events that was."""
        read, self._read = self._read, set()
        if read:
            with self._store.transaction():
                for event in read:
                    self._store.execute("DELETE FROM waiting WHERE event = ?", event)
        for session, news in self._looked.items():
            if self._fresh.get(session) == news:
                del self._fresh[session]
        self._looked.clear()
        return read

    # --- keys, which are asked for once ---

    def due_in_s(self) -> float | None:
        """Seconds until a key is to be asked for, None if none is."""
        now = self._now_s()
        due_s = self._store.rows("SELECT min(due_s) FROM waiting WHERE lacks = 'key'")[0][0]
        return None if due_s is None else max(0.0, due_s - now)

    def unasked(self, most: int) -> list[Missing]:
        """Sessions that it is time to ask for."""
        rows = self._store.rows(
            "SELECT DISTINCT room, sender, device, session FROM waiting WHERE lacks = 'key' AND due_s <= ? LIMIT ?",
            self._now_s(), most,
        )  # fmt: skip
        return [Missing(*row) for row in rows]

    def asked(self, missing: Missing) -> None:
        """Whoever has this session was asked for it: that is done once."""
        self._store.execute(
            "UPDATE waiting SET due_s = NULL, tries = 1 WHERE session = ? AND sender = ? AND lacks = 'key'",
            missing.session, missing.sender,
        )  # fmt: skip

    def postpone(self, missing: Missing, pause_s: float) -> None:
        """It could not be asked for this session now."""
        self._store.execute(
            "UPDATE waiting SET due_s = ? WHERE session = ? AND sender = ? AND lacks = 'key' AND due_s IS NOT NULL",
            self._now_s() + pause_s, missing.session, missing.sender,
        )  # fmt: skip

    def was_asked(self, room: str, session: str, sender: str = "") -> bool:
        """Whether we asked for this session, of ``sender`` if one is named."""
        found = self._store.rows(
            "SELECT 1 FROM waiting WHERE room = ? AND session = ? AND ? IN ('', sender) AND lacks = 'key' AND tries > 0"
            " LIMIT 1",
            room, session, sender,
        )  # fmt: skip
        return bool(found)

    # --- devices and files, which are tried ever more seldom, then no more ---

    def due(self) -> bool:
        """Whether a device or a file is to be asked for now."""
        return bool(
            self._store.rows("SELECT 1 FROM waiting WHERE lacks <> 'key' AND due_s <= ? LIMIT 1", self._now_s())
        )

    def wanted(self, lacks: str) -> list[Wanted]:
        """The events whose "device" or "file" is to be asked for now, those first that were tried least."""
        rows = self._store.rows(
            "SELECT event, room, sender, session FROM waiting WHERE lacks = ? AND due_s <= ? ORDER BY tries, rowid",
            lacks, self._now_s(),
        )  # fmt: skip
        return [Wanted(*row) for row in rows]

    def raw(self, event: str) -> msgspec.Raw | None:
        """The text of an event, None if it waits no more."""
        rows = self._store.rows("SELECT raw FROM waiting WHERE event = ?", event)
        return msgspec.Raw(rows[0][0]) if rows else None

    def tried(self, event: str) -> None:
        """What this event lacks was asked for: the next time is later."""
        self._store.execute(
            "UPDATE waiting SET tries = tries + 1,"
            " due_s = CASE WHEN tries + 1 < ? THEN ? + ? * (1 << (2 * (tries + 1))) END WHERE event = ?",
            TRIES, self._now_s(), FIRST_S, event,
        )  # fmt: skip


def _ahead_s(clock: Clock) -> float:
    """How far the wall clock is ahead of the one that nobody sets."""
    return (clock.now_ms() - clock.monotonic_ms()) / 1000


def _first_due_s(lacks: str, now: float) -> float:
    return now + FIRST_S if lacks == "key" else now
