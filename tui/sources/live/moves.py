"""What is said of rooms that are replaced by others (spec/bindings/matrix.md, MX-47)."""

from __future__ import annotations

from typing import Final

REPLACED: Final = "the room was replaced by this one"


def stays(why: str) -> str:
    """A room names another in its place, which is not taken for that."""
    return f"not followed to the room it names: {why}"
