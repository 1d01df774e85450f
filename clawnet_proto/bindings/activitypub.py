"""What a raw event of ActivityPub holds (spec/bindings/activitypub.md). Nothing here trusts it, nothing here raises.

A raw event is a note: the members of the note that count, as they came.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from clawnet_proto.bindings.html_text import text_of

CARRIERS: Final = "clawnetCarriers"
ROOM: Final = "clawnetRoom"
IDENTITY: Final = "clawnetIdentity"
CARRIERS_MOST: Final = 16


class _Carriers(msgspec.Struct):
    carriers: list[msgspec.Raw]


_decode: Final = msgspec.json.Decoder(_Carriers).decode


def carriers(event: str, plane: Literal["room", "direct"]) -> list[object]:
    """The carriers of a note that was not edited, on either plane alike; [] if they are no array of 1 to 16."""
    note = members(event)
    return carriers_in(note.get(CARRIERS)) if note.get("type") == "Note" and "updated" not in note else []


def carriers_in(text: object) -> list[object]:
    """The carriers in the JSON text that a note carries; [] if they are no array of 1 to 16."""
    try:
        found = _decode(text if isinstance(text, str) else "").carriers
        return [msgspec.json.decode(raw) for raw in found] if 1 <= len(found) <= CARRIERS_MOST else []
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


def words(event: str) -> str:
    """What a person wrote, as plain text; "" for whatever has carriers, or replaces an earlier note."""
    found = members(event)
    content = found.get("content")
    if found.get("type") != "Note" or CARRIERS in found or "updated" in found or not isinstance(content, str):
        return ""
    return text_of(content)


def members(event: str) -> dict[str, Any]:
    """The members of a raw event; {} if it is no JSON object."""
    try:
        found = msgspec.json.decode(event)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
