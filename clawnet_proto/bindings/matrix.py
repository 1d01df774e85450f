"""What a raw Matrix event holds (spec/bindings/matrix.md). Nothing here trusts it, and nothing here raises."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import msgspec

CARRIERS: Final = "net.clawnet.carriers"
DIRECT: Final = "net.clawnet.direct"
MESSAGE: Final = "m.room.message"
ENCRYPTED: Final = "m.room.encrypted"
CARRIERS_MOST: Final = 16


def carriers(event: str, plane: Literal["room", "direct"]) -> list[object]:
    """The carriers of an unedited, unredacted event; [] if they are no array of 1 to 16.

    What is no object among them is refused when it is verified; the others count.
    """
    found = members(event) or _members_with_bad_text(event)
    content = object_of(found.get("content"))
    if found.get("type") != (DIRECT if plane == "direct" else MESSAGE) or "state_key" in found:
        return []
    if is_edit(content) or is_redacted(found):
        return []
    listed = content.get(CARRIERS)
    if not isinstance(listed, list) or not 1 <= len(listed) <= CARRIERS_MOST:
        return []
    return listed


def words(event: str) -> str:
    """What a person wrote in a room; "" for notices, agents' messages, edits, and all that is no ``m.text``."""
    found = members(event)
    content = object_of(found.get("content"))
    body = content.get("body")
    if (
        found.get("type") != MESSAGE
        or "state_key" in found
        or content.get("msgtype") != "m.text"
        or CARRIERS in content
        or is_edit(content)
        or is_redacted(found)
    ):
        return ""
    return body if isinstance(body, str) else ""


def is_encrypted(event: str) -> bool:
    """Whether this is an event of a room as it travels encrypted: who hands it over so could not read it."""
    found = members(event)
    content = object_of(found.get("content"))  # of what was redacted nothing is left
    return found.get("type") == ENCRYPTED and "state_key" not in found and "ciphertext" in content


def members(event: str) -> dict[str, Any]:
    """The members of a raw event; {} if it is no JSON object."""
    try:
        return object_of(msgspec.json.decode(event))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def object_of(value: object) -> dict[str, Any]:
    """A value if it is an object, else {}."""
    return value if isinstance(value, dict) else {}


def is_edit(content: dict[str, Any]) -> bool:
    """Whether this content replaces another event's."""
    return object_of(content.get("m.relates_to")).get("rel_type") == "m.replace"


def is_redacted(event: dict[str, Any]) -> bool:
    """Whether the event's content was taken back."""
    return "redacted_because" in object_of(event.get("unsigned"))


def _members_with_bad_text(event: str) -> dict[str, Any]:
    """One lone surrogate, or one number without end, does not hide the carriers beside it."""
    try:
        return object_of(json.loads(event, parse_int=float, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        return {}


def _no_constant(name: str) -> object:
    raise ValueError(name)
