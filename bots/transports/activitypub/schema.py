"""The tables of an actor's file."""

from __future__ import annotations

from typing import Final

from bots.database import Schema

SCHEMA: Final = Schema(
    0x436C4170,  # "ClAp"
    (
        (
            # What we said: ``key`` is the last part of its id, ``txn`` the parcel that it was made of, if it was one;
            # ``announces`` the room in which it says who we are, ``answers`` the actor whose Follow it answers, "" if
            # it does not.
            """
            CREATE TABLE activities (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                key TEXT NOT NULL UNIQUE,
                txn TEXT UNIQUE,
                public INTEGER NOT NULL,
                announces TEXT NOT NULL,
                answers TEXT NOT NULL,
                made_ms INTEGER NOT NULL,
                expires_ms INTEGER NOT NULL,
                document TEXT NOT NULL
            ) STRICT
            """,
            "CREATE INDEX activities_public ON activities (public, seq)",
            "CREATE INDEX activities_answers ON activities (answers) WHERE answers <> ''",
            "CREATE INDEX activities_announces ON activities (announces) WHERE announces <> ''",
            "CREATE INDEX activities_expires ON activities (expires_ms)",
            # The bytes that a post's attachment names.
            """
            CREATE TABLE attachments (
                digest TEXT PRIMARY KEY,
                activity INTEGER NOT NULL REFERENCES activities (seq) ON DELETE CASCADE,
                content TEXT NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX attachments_activity ON attachments (activity)",
            # What waits to be taken; ``lane`` is the server it goes to, ``site`` that one's host, whatever the port;
            # ``caused`` is what strangers make us say.
            """
            CREATE TABLE deliveries (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                lane TEXT NOT NULL,
                site TEXT NOT NULL,
                inbox TEXT NOT NULL,
                caused INTEGER NOT NULL,
                activity INTEGER NOT NULL REFERENCES activities (seq) ON DELETE CASCADE,
                UNIQUE (activity, inbox)
            ) STRICT
            """,
            "CREATE INDEX deliveries_lane ON deliveries (lane, seq)",
            "CREATE INDEX deliveries_site ON deliveries (site, caused)",
            "CREATE INDEX deliveries_caused ON deliveries (caused)",
            # Which signature scheme a server took last.
            """
            CREATE TABLE schemes (
                origin TEXT PRIMARY KEY,
                scheme TEXT NOT NULL,
                since_ms INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            # Where others take what is sent to them; ``shared`` is "" where there is no such inbox; an
            # ``agent`` names a ClawNet identity.
            """
            CREATE TABLE contacts (
                actor TEXT PRIMARY KEY,
                user TEXT NOT NULL,
                inbox TEXT NOT NULL,
                shared TEXT NOT NULL,
                agent INTEGER NOT NULL,
                known_ms INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE TABLE followers (actor TEXT PRIMARY KEY, follow TEXT NOT NULL) STRICT, WITHOUT ROWID",
            # Whom we asked, by which activity; ``state`` is asked, accepted or rejected; ``past`` whether what they
            # said before was read.
            """
            CREATE TABLE following (
                actor TEXT PRIMARY KEY,
                follow TEXT NOT NULL,
                state TEXT NOT NULL,
                asked_ms INTEGER NOT NULL,
                past INTEGER NOT NULL DEFAULT 0
            ) STRICT, WITHOUT ROWID
            """,
            # Those of them that the owner named, and how: there is always space for these.
            "CREATE TABLE wanted (actor TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT, WITHOUT ROWID",
            # Who is not ``here`` has left: its older announces count no more.
            """
            CREATE TABLE members (
                room TEXT NOT NULL,
                address TEXT NOT NULL,
                did TEXT NOT NULL,
                revision INTEGER NOT NULL,
                until_ms INTEGER NOT NULL,
                here INTEGER NOT NULL,
                PRIMARY KEY (room, address)
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX members_until ON members (until_ms)",
            # Identities that were revoked: no announce of theirs counts.
            "CREATE TABLE revoked (seq INTEGER PRIMARY KEY AUTOINCREMENT, did TEXT NOT NULL UNIQUE) STRICT",
            # What was too long for a message.
            """
            CREATE TABLE chunks (
                digest TEXT PRIMARY KEY,
                data BLOB NOT NULL,
                kept_ms INTEGER NOT NULL
            ) STRICT
            """,
            "CREATE INDEX chunks_kept ON chunks (kept_ms)",
            # What was taken already: digests of the ids of activities, and of messages, by who sent them.
            "CREATE TABLE taken (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE) STRICT",
        ),
        (
            # Since when a delivery waits: an activity may be asked for long after it was made.
            "ALTER TABLE deliveries ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0",
            "UPDATE deliveries SET since_ms = (SELECT made_ms FROM activities WHERE activities.seq = activity)",
        ),
    ),
)
