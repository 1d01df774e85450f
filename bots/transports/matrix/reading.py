"""What a raw event says. Nothing here trusts it, and nothing here raises."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from bots.transports import Delivery, PersonText
from bots.transports.matrix import addresses
from bots.transports.matrix.writing import CARRIERS, CARRIERS_MOST, DIRECT, MESSAGE

_EVENT_ID_MOST = 255  # bytes, by the Matrix specification
_AFTER_MENTION = re.compile(r"[!?.]*(?:[\s:,;]+|\Z)")
_QUOTE = re.compile(r"> <@[^\n]*\n(?:>[^\n]*\n)*\n?")


def carriers(delivery: Delivery) -> list[object]:
    """The carriers of an unedited, unredacted event; [] if they are no array of 1 to 16.

    What is no object among them is refused when it is verified; the others count.
    """
    event = _event(delivery) or _event_with_bad_text(delivery)
    content = _object(event.get("content"))
    if event.get("type") != (DIRECT if delivery.plane == "direct" else MESSAGE) or "state_key" in event:
        return []
    if _is_edit(content) or "redacted_because" in _object(event.get("unsigned")):
        return []
    found = content.get(CARRIERS)
    if not isinstance(found, list) or not 1 <= len(found) <= CARRIERS_MOST:
        return []
    return found


def person_text(delivery: Delivery, us: str, display_name: str) -> PersonText | None:
    """What a person wrote, None for notices, agents' messages, our own, and all that is no ``m.text``.

    ``us`` is our user id, ``display_name`` what people see instead.
    """
    event = _event(delivery)
    content = _object(event.get("content"))
    body = content.get("body")
    if (
        delivery.plane != "room"
        or delivery.sender == addresses.user_uri(us)
        or event.get("type") != MESSAGE
        or "state_key" in event
        or content.get("msgtype") != "m.text"
        or CARRIERS in content
        or not isinstance(body, str)
        or "redacted_because" in _object(event.get("unsigned"))
    ):
        return None
    written = body
    if "m.in_reply_to" in _object(content.get("m.relates_to")):
        body = _QUOTE.sub("", body, count=1) if body.startswith("> <@") else body
    named = _object(content.get("m.mentions")).get("user_ids")
    text, addressed = _without_mention(body.strip(), us, display_name)
    return PersonText(
        body=written,
        text=text,
        mentions_us=addressed or (isinstance(named, list) and us in named),
        thread_root=thread_root(delivery),
        edited=_is_edit(content),
    )


def thread_root(delivery: Delivery) -> str:
    """What an answer is threaded under: the event's thread, else the event; "" where neither can be.

    A thread cannot start at an event that has another relation: homeservers refuse it.
    """
    if delivery.plane != "room":
        return ""
    kind, target = _relation(_object(_event(delivery).get("content")))
    if kind == "m.thread":
        return target
    return "" if kind else delivery.event_id


def _event(delivery: Delivery) -> dict[str, Any]:
    try:
        return _object(msgspec.json.decode(delivery.event))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def _event_with_bad_text(delivery: Delivery) -> dict[str, Any]:
    """One lone surrogate, or one number without end, does not hide the carriers beside it."""
    try:
        return _object(json.loads(delivery.event, parse_int=float, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        return {}


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _is_edit(content: dict[str, Any]) -> bool:
    return _object(content.get("m.relates_to")).get("rel_type") == "m.replace"


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _relation(content: dict[str, Any]) -> tuple[str, str]:
    """(relation type, event it points to); empty for none, and for what is none."""
    relation = _object(content.get("m.relates_to"))
    kind, target = relation.get("rel_type"), relation.get("event_id")
    if not isinstance(kind, str) or not isinstance(target, str):
        return "", ""
    if not target.startswith("$") or len(target.encode()) > _EVENT_ID_MOST:
        return "", ""
    return kind, target


def _without_mention(body: str, us: str, display_name: str) -> tuple[str, bool]:
    """The text without a leading mention of us, and whether there was one."""
    localpart = us[1:].partition(":")[0]
    names = {us, f"@{localpart}", f"@{display_name}", display_name, localpart}
    for name in sorted(names, key=len, reverse=True):
        if not name.strip("@ ") or body[: len(name)].casefold() != name.casefold():
            continue
        rest = body[len(name) :]
        # "Alice: do this" speaks to Alice, "Alice does this" speaks about her.
        plain = not name.startswith("@")
        if (end := _AFTER_MENTION.match(rest)) and not (plain and rest and rest[0] not in ":,"):
            return rest[end.end() :], True
    return body, False
