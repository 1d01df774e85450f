"""What a raw event says. Nothing here trusts it, and nothing here raises."""

from __future__ import annotations

import re
from typing import Any

from bots.transports import Delivery, PersonText
from bots.transports.matrix import addresses
from clawnet_proto.bindings import matrix
from clawnet_proto.bindings.matrix import CARRIERS, MESSAGE, is_edit, is_redacted, members, object_of

_EVENT_ID_MOST = 255  # bytes, by the Matrix specification
_AFTER_MENTION = re.compile(r"[!?.]*(?:[\s:,;]+|\Z)")
_QUOTE = re.compile(r"> <@[^\n]*\n(?:>[^\n]*\n)*\n?")


def carriers(delivery: Delivery) -> list[object]:
    """The carriers of a raw event, unverified; [] if it holds none."""
    return matrix.carriers(delivery.event, delivery.plane)


def person_text(delivery: Delivery, us: str, display_name: str) -> PersonText | None:
    """What a person wrote, None for notices, agents' messages, our own, and all that is no ``m.text``.

    ``us`` is our user id, ``display_name`` what people see instead.
    """
    event = members(delivery.event)
    content = object_of(event.get("content"))
    body = content.get("body")
    if (
        delivery.plane != "room"
        or delivery.sender == addresses.user_uri(us)
        or event.get("type") != MESSAGE
        or "state_key" in event
        or content.get("msgtype") != "m.text"
        or CARRIERS in content
        or not isinstance(body, str)
        or is_redacted(event)
    ):
        return None
    written = body
    if "m.in_reply_to" in object_of(content.get("m.relates_to")):
        body = _QUOTE.sub("", body, count=1) if body.startswith("> <@") else body
    named = object_of(content.get("m.mentions")).get("user_ids")
    text, addressed = _without_mention(body.strip(), us, display_name)
    sent = event.get("origin_server_ts")
    return PersonText(
        body=written,
        text=text,
        mentions_us=addressed or (isinstance(named, list) and us in named),
        thread_root=thread_root(delivery),
        edited=is_edit(content),
        sent_ms=sent if type(sent) is int else 0,
    )


def thread_root(delivery: Delivery) -> str:
    """What an answer is threaded under: the event's thread, else the event; "" where neither can be.

    A thread cannot start at an event that has another relation: homeservers refuse it.
    """
    if delivery.plane != "room":
        return ""
    kind, target = _relation(object_of(members(delivery.event).get("content")))
    if kind == "m.thread":
        return target
    return "" if kind else delivery.event_id


def _relation(content: dict[str, Any]) -> tuple[str, str]:
    """(relation type, event it points to); empty for none, and for what is none."""
    relation = object_of(content.get("m.relates_to"))
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
