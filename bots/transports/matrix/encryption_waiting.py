"""Encrypted room events that could not be read yet: kept until their key comes, asked for once, and counted."""

from __future__ import annotations

import time

import msgspec

from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_words import MegolmContent
from bots.transports.matrix.events import Header

WAITING_MOST = 1_000
WAITING_PER_SENDER = 100
WAITING_BYTES = 8 * 2**20
FIRST_S = 5.0  # what is missing is often on its way: how long we wait before we ask for it
FILE_TRIES = 6
_FILE_SLOWER = 4.0  # each pause between two tries is so much longer than the one before
GIVEN_UP_S = 7 * 86_400.0


class Missing(msgspec.Struct, frozen=True):
    """A session whose key we lack."""

    room: str
    sender: str
    device: str
    session: str


class Waiting:
    """The rows. Raises StoreError."""

    def __init__(self, store: EncryptionStore) -> None:
        self._store = store
        self._read: list[str] = []  # events that are delivered with the next commit
        self._fresh: set[str] = set()  # sessions that we have known more of since the last look
        store.execute("DELETE FROM waiting WHERE since_s < ?", time.time() - GIVEN_UP_S)

    def add(self, room: str, event: Header, content: MegolmContent, raw: msgspec.Raw, lacks: str) -> bool:
        """Keep an event that lacks its "key", its sender's "device" or its "file"; False if too many wait already."""
        count, size, of_sender = self._store.rows(
            "SELECT count(*), total(length(raw)), count(*) FILTER (WHERE sender = ?) FROM waiting", event.sender
        )[0]
        if count >= WAITING_MOST or of_sender >= WAITING_PER_SENDER or size >= WAITING_BYTES:
            return False
        now = time.time()
        self._store.execute(
            "INSERT OR IGNORE INTO waiting (event, room, sender, device, session, raw, lacks, since_s, due_s)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            event.event_id, room, event.sender, content.device_id[:255], content.session_id[:255], bytes(raw),
            lacks, now, now + FIRST_S,
        )  # fmt: skip
        return True

    def count(self) -> int:
        """How many events wait."""
        return self._store.count("waiting")

    def knows_more(self, session: str) -> None:
        """Events of this session are worth another look."""
        self._fresh.add(session)

    def worth_a_look(self) -> list[tuple[str, msgspec.Raw]]:
        """(Room, event) of what may be readable by now, in order of arrival."""
        fresh, self._fresh = self._fresh, set()
        found: list[tuple[int, str, msgspec.Raw]] = []
        for session in fresh:
            rows = self._store.rows("SELECT rowid, room, raw FROM waiting WHERE session = ?", session)
            found += [(place, room, msgspec.Raw(raw)) for place, room, raw in rows]
        return [(room, raw) for _, room, raw in sorted(found, key=lambda row: row[0])]

    def read(self, event: str) -> None:
        """This event is read; it goes once what we read is committed."""
        self._read.append(event)

    def settled(self) -> None:
        """What was read is committed."""
        if self._read:
            with self._store.transaction():
                for event in self._read:
                    self._store.execute("DELETE FROM waiting WHERE event = ?", event)
            self._read.clear()

    def due_in_s(self) -> float | None:
        """Seconds until something is to be asked for or tried, None if nothing is."""
        due_s = self._store.rows("SELECT min(due_s) FROM waiting")[0][0]
        return None if due_s is None else max(0.0, due_s - time.time())

    def unasked(self, most: int) -> list[Missing]:
        """Sessions that it is time to ask for."""
        rows = self._store.rows(
            "SELECT DISTINCT room, sender, device, session FROM waiting WHERE lacks <> 'file' AND due_s <= ? LIMIT ?",
            time.time(), most,
        )  # fmt: skip
        return [Missing(*row) for row in rows]

    def asked(self, missing: Missing) -> None:
        """Whoever has this session was asked for it: that is done once."""
        self._store.execute(
            "UPDATE waiting SET due_s = NULL, tries = 1 WHERE session = ? AND sender = ?",
            missing.session, missing.sender,
        )  # fmt: skip

    def was_asked(self, room: str, session: str) -> bool:
        """Whether we asked for this session."""
        found = self._store.rows(
            "SELECT 1 FROM waiting WHERE room = ? AND session = ? AND tries > 0 LIMIT 1", room, session
        )
        return bool(found)

    def try_files(self) -> None:
        """Have another look at events whose file could not be fetched, ever more seldom, then no more."""
        rows = self._store.rows(
            "SELECT event, session, tries FROM waiting WHERE lacks = 'file' AND due_s <= ?", time.time()
        )
        for event, session, tries in rows:
            pause_s = FIRST_S * _FILE_SLOWER ** (tries + 1)
            due_s = time.time() + pause_s if tries + 1 < FILE_TRIES else None
            self._store.execute("UPDATE waiting SET tries = tries + 1, due_s = ? WHERE event = ?", due_s, event)
            self.knows_more(session)
