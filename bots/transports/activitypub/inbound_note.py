"""Another's note, read into a record, and what it becomes in a ``Delivery`` (AP-11 to AP-13)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

import msgspec

from bots.transports import PersonText
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.plain_json import Malformed
from bots.transports.activitypub.references import Document, audience, items, kind, own, reference
from clawnet_proto.bindings.activitypub import CARRIERS, ROOM, members, words
from clawnet_proto.rendering import clean

MEDIA_TYPE: Final = "application/clawnet+json"
CARRIERS_BYTES_MOST: Final = 65536  # of the text of all carriers of a note

_CONTENT_MOST: Final = 65536  # characters
_ROOM: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,500}")
_DIGEST: Final = re.compile(r"/[0-9a-f]{64}\Z")
_TIME_MOST: Final = 40  # characters
_TEXT_MOST: Final = 8000  # characters
_LEADING: Final = re.compile(r"(?:@[^\s@]+(?:@[^\s@]+)?[\s,:]*)+")


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A note by ``actor``. All URLs are canonical."""

    id: str
    actor: str  # attributedTo, which is the activity's actor
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    content: str = ""  # HTML, as it came
    in_reply_to: str = ""
    published: str = ""  # as it came
    mentions: tuple[str, ...] = ()  # actor ids
    room: str = ""  # URI of the ClawNet room that it is meant for; "" for the one of its own
    carriers: str = ""  # the JSON text {"carriers":[...]}; "" if it has none inline
    link: str = ""  # where the same bytes are, "" if it names no such place
    edited: bool = False  # it replaces an earlier one

    @property
    def is_public(self) -> bool:
        """Whether it was said to everybody."""
        return PUBLIC in self.to or PUBLIC in self.cc

    @property
    def published_ms(self) -> int:
        """When, by its own word: Unix milliseconds, 0 if it does not say."""
        try:
            found = datetime.fromisoformat(self.published)
            return max(0, round(found.replace(tzinfo=found.tzinfo or UTC).timestamp() * 1000))
        except (ValueError, OverflowError):
            return 0


def read_note(document: Document, actor: str) -> Note:
    """The note in an object, by this actor. Raises Malformed."""
    if kind(document) != "Note":
        raise Malformed("The object must be a Note.")
    if reference(document.get("attributedTo"), "attributedTo") != actor:
        raise Malformed("attributedTo must be the activity's actor.")
    return Note(
        id=own(document.get("id"), actor, "object.id"),
        actor=actor,
        to=audience(document.get("to")),
        cc=audience(document.get("cc")),
        content=_text(document.get("content"), _CONTENT_MOST),
        in_reply_to=_optional(document.get("inReplyTo")),
        published=_text(document.get("published"), _TIME_MOST),
        mentions=_mentions(document),
        room=_room(document),
        carriers=_carriers(document),
        link=_link(document, actor),
        edited=document.get("updated") is not None,
    )


def event(note: Note) -> str:
    """The raw event, as JSON text, that a note becomes in a ``Delivery`` (clawnet_proto/bindings/activitypub).

    ``note.carriers`` must be filled in already, from the link if need be.
    """
    found: Document = {
        "type": "Note",
        "id": note.id,
        "attributedTo": note.actor,
        "to": note.to,
        "cc": note.cc,
        "content": note.content,
        "tag": [{"type": "Mention", "href": actor} for actor in note.mentions],
    }
    optional = {
        "inReplyTo": note.in_reply_to,
        "published": note.published,
        ROOM: note.room,
        CARRIERS: note.carriers,
        "updated": "updated" if note.edited else "",
    }
    return msgspec.json.encode(found | {name: value for name, value in optional.items() if value}).decode()


def person_text(raw: str, own_id: str) -> PersonText | None:
    """What a person wrote in a raw event, None if it has carriers or no words. ``own_id`` is our actor's id.

    Never raises.
    """
    said = words(raw)
    if not said:
        return None
    document = members(raw)
    try:
        note = read_note(document, reference(document.get("attributedTo"), "attributedTo"))
    except Malformed:
        return None
    text = clean(_LEADING.sub("", said, count=1) if said.startswith("@") else said, limit=_TEXT_MOST, lines=True)
    return PersonText(
        body=note.content,
        text=text.strip(),
        mentions_us=own_id in note.mentions,
        thread_root=note.id,
        edited=note.edited,
        sent_ms=note.published_ms,
    )


def _text(value: object, most: int) -> str:
    return value if isinstance(value, str) and len(value) <= most else ""


def _optional(value: object) -> str:
    """A reference that may be missing or be none."""
    try:
        return reference(value, "inReplyTo")
    except Malformed:
        return ""


def _mentions(document: Document) -> tuple[str, ...]:
    hrefs = [tag.get("href") for tag in items(document.get("tag")) if isinstance(tag, dict) and _is(tag, "Mention")]
    return tuple(dict.fromkeys(found for found in map(_optional, hrefs) if found))


def _is(item: Document, type_name: str) -> bool:
    return bool(item.get("type") == type_name)


def _room(document: Document) -> str:
    found = document.get(ROOM)
    if found is None:
        return ""
    if not isinstance(found, str) or not _ROOM.fullmatch(found):
        raise Malformed(f"{ROOM} must be the URI of a room.")
    return found


def _carriers(document: Document) -> str:
    found = document.get(CARRIERS)
    if found is None:
        return ""
    if not isinstance(found, str) or not 0 < len(found.encode()) <= CARRIERS_BYTES_MOST:
        raise Malformed(f"{CARRIERS} must be a text of at most {CARRIERS_BYTES_MOST} bytes.")
    return found


def _link(document: Document, actor: str) -> str:
    """Where the carriers are, by the first Link of our media type; of the actor's own host and named by a digest."""
    for item in items(document.get("attachment")):
        if isinstance(item, dict) and _is(item, "Link") and item.get("mediaType") == MEDIA_TYPE:
            found = own(item.get("href"), actor, "attachment.href")
            if not _DIGEST.search(found):
                raise Malformed("The Link to carriers must end with their SHA-256.")
            return found
    return ""
