"""The tables of the store, as a list of migrations."""

from __future__ import annotations

from bots.database import Schema

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE inbox (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            transport TEXT NOT NULL,
            plane TEXT NOT NULL,
            room TEXT NOT NULL,
            sender TEXT NOT NULL,
            event_id TEXT NOT NULL,
            event TEXT NOT NULL,
            received_ms INTEGER NOT NULL,
            live INTEGER NOT NULL,
            handled INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
        "CREATE UNIQUE INDEX inbox_event ON inbox (transport, event_id) WHERE event_id <> ''",
        "CREATE INDEX inbox_unhandled ON inbox (seq) WHERE handled = 0",
        "CREATE TABLE positions (transport TEXT PRIMARY KEY, position TEXT NOT NULL) STRICT",
        """
        CREATE TABLE batches (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            transport TEXT NOT NULL,
            txn TEXT NOT NULL UNIQUE,
            plane TEXT NOT NULL,
            room TEXT NOT NULL,
            address TEXT NOT NULL,
            device TEXT NOT NULL,
            root TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'refused')),
            reason TEXT NOT NULL DEFAULT '',
            server_errors INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
        """
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            transport TEXT NOT NULL,
            plane TEXT NOT NULL,
            room TEXT NOT NULL,
            address TEXT NOT NULL,
            device TEXT NOT NULL,
            carrier TEXT NOT NULL,
            line TEXT NOT NULL,
            conversation TEXT NOT NULL,
            root TEXT NOT NULL,
            alone INTEGER NOT NULL,
            priority INTEGER NOT NULL,
            mention TEXT NOT NULL,
            expires_ms INTEGER NOT NULL,
            added_ms INTEGER NOT NULL,
            batch INTEGER REFERENCES batches (id) ON DELETE CASCADE
        ) STRICT
        """,
        "CREATE INDEX outbox_waiting ON outbox (transport, plane, room, address, device) WHERE batch IS NULL",
        "CREATE INDEX outbox_batch ON outbox (batch) WHERE batch IS NOT NULL",
        "CREATE TABLE threads (conversation TEXT PRIMARY KEY, root TEXT NOT NULL) STRICT",
        "CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    ),
    # What is handled has a number that says when: whoever waits does so in turn, not in the order of arrival.
    (
        "UPDATE inbox SET handled = seq WHERE handled <> 0",
        "CREATE UNIQUE INDEX inbox_handled ON inbox (handled) WHERE handled > 0",
    ),
    # A conversation may be in a room that several transports carry.
    (
        "ALTER TABLE threads RENAME TO threads_before",
        """
        CREATE TABLE threads (
            transport TEXT NOT NULL,
            conversation TEXT NOT NULL,
            root TEXT NOT NULL,
            UNIQUE (transport, conversation)
        ) STRICT
        """,
        "INSERT INTO threads (transport, conversation, root)"
        " SELECT 'matrix', conversation, root FROM threads_before ORDER BY rowid",
        "DROP TABLE threads_before",
    ),
)

SCHEMA = Schema(0x436C4E74, _MIGRATIONS)  # "ClNt"
