"""SQLite files that one process at a time may open, whatever they hold."""

from __future__ import annotations

from bots.database.database import Database, Schema

__all__ = ["Database", "Schema"]
