"""The tables of a hub's file."""

from __future__ import annotations

from typing import Final

from bots.database import Schema

OWN: Final = "own"  # the network of who keeps the file, to whom no bounds of others apply

SCHEMA: Final = Schema(
    0x436C4875,  # "ClHu"
    (
        (
            # Up to ``forgotten`` something was dropped of places that are gone themselves.
            "CREATE TABLE hub (epoch TEXT NOT NULL, forgotten INTEGER NOT NULL DEFAULT 0) STRICT",
            # A place is a room, by its URI, or the queue of a peer, by its address. ``network`` began it.
            """
            CREATE TABLE places (
                place TEXT PRIMARY KEY,
                queue INTEGER NOT NULL,
                network TEXT NOT NULL,
                heard_ms INTEGER NOT NULL,
                events INTEGER NOT NULL DEFAULT 0,
                bytes INTEGER NOT NULL DEFAULT 0,
                forgotten INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX places_heard ON places (queue, heard_ms)",
            """
            CREATE TABLE events (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                place TEXT NOT NULL,
                sender TEXT NOT NULL,
                received_ms INTEGER NOT NULL,
                bytes INTEGER NOT NULL,
                carriers TEXT NOT NULL
            ) STRICT
            """,
            "CREATE INDEX events_place ON events (place, seq)",
            """
            CREATE TABLE messages (
                place TEXT NOT NULL,
                id TEXT NOT NULL,
                sender TEXT NOT NULL,
                seq INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
                PRIMARY KEY (place, id, sender)
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX messages_seq ON messages (seq)",
            # Keys that were changed to, by who changed (spec/04-identity.md).
            """
            CREATE TABLE keys (
                key TEXT PRIMARY KEY,
                did TEXT NOT NULL,
                generation INTEGER NOT NULL,
                network TEXT NOT NULL,
                UNIQUE (did, generation)
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX keys_network ON keys (network)",
            """
            CREATE TABLE revoked (
                key TEXT PRIMARY KEY,
                since_ms INTEGER NOT NULL,
                network TEXT NOT NULL
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX revoked_network ON revoked (network)",
            # Who is not ``here`` has left: its older announces count no more.
            """
            CREATE TABLE members (
                room TEXT NOT NULL,
                address TEXT NOT NULL,
                revision INTEGER NOT NULL,
                until_ms INTEGER NOT NULL,
                here INTEGER NOT NULL,
                network TEXT NOT NULL,
                PRIMARY KEY (room, address)
            ) STRICT, WITHOUT ROWID
            """,
            "CREATE INDEX members_address ON members (address)",
            "CREATE INDEX members_network ON members (room, network)",
            "CREATE INDEX members_until ON members (until_ms)",
        ),
    ),
)
