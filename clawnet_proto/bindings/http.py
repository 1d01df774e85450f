"""What a raw event of a hub holds (spec/bindings/http.md). Nothing here trusts it, and nothing here raises."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

CARRIERS_MOST: Final = 16


class _Event(msgspec.Struct):
    carriers: list[msgspec.Raw]


_decode: Final = msgspec.json.Decoder(_Event).decode


def carriers(event: str, plane: Literal["room", "direct"]) -> list[object]:
    """The carriers of an event, on either plane alike; [] if they are no array of 1 to 16."""
    try:
        found = _decode(event).carriers
        return [msgspec.json.decode(raw) for raw in found] if 1 <= len(found) <= CARRIERS_MOST else []
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []
