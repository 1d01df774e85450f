"""The activities that we send (AP-9, AP-11 to AP-15), each without its proof: see ``proofs.attach``.

All take names that are made by the caller and committed before the first send, so that a retry is the same activity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bots.transports.activitypub.html import from_text
from bots.transports.activitypub.inbound_note import MEDIA_TYPE
from bots.transports.activitypub.names import Names
from clawnet_proto.bindings.activitypub import CARRIERS, ROOM

Document = dict[str, Any]

NAMESPACE: Final = "urn:clawnet:ns#"
CONTEXT: Final[list[Any]] = [
    "https://www.w3.org/ns/activitystreams",
    "https://w3id.org/security/data-integrity/v1",
    {CARRIERS: f"{NAMESPACE}carriers", ROOM: f"{NAMESPACE}room"},
]


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What a note of ours says."""

    name: str  # of the note: its id is ``names.note(name)``
    published_ms: int
    text: str  # for people; escaped here
    carriers: str = ""  # the JSON text {"carriers":[...]}; "" for a plain notice
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    mentions: tuple[tuple[str, str], ...] = ()  # (actor id, handle as people see it, "@user@host")
    in_reply_to: str = ""
    room: str = ""  # URI, where the room is not ActivityPub's own


def carriers_text(carriers: Sequence[str]) -> str:
    """The one text of 1 to 16 carriers, each as JSON text."""
    return f'{{"carriers":[{",".join(carriers)}]}}'


def digest(text: str) -> str:
    """By what a text of carriers is named: the SHA-256 of its UTF-8 bytes, in lower-case hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def note(names: Names, words: Words) -> Document:
    """The note alone, with its ``@context``: what is served at its id."""
    return {"@context": CONTEXT} | _note(names, words)


def create(names: Names, words: Words) -> Document:
    """``Create{Note}``, whose id is ``names.activity(words.name)``."""
    inner = _note(names, words)
    shared = {name: inner[name] for name in ("published", "to", "cc")}
    return _activity(names, words.name, "Create", inner) | shared


def follow(names: Names, name: str, actor: str) -> Document:
    """Ask for somebody's announces."""
    return _activity(names, name, "Follow", actor) | {"to": [actor]}


def accept(names: Names, name: str, follower: str, follow_id: str) -> Document:
    """Answer a Follow. ``follow_id`` is its id, ``follower`` who sent it."""
    return _answer(names, name, "Accept", follower, follow_id)


def reject(names: Names, name: str, follower: str, follow_id: str) -> Document:
    """Turn a Follow down, or end it."""
    return _answer(names, name, "Reject", follower, follow_id)


def undo(names: Names, name: str, follow_name: str, actor: str) -> Document:
    """Take back our Follow of ``actor``, whose name was ``follow_name``."""
    taken_back = {"type": "Follow", "id": names.activity(follow_name), "actor": names.actor, "object": actor}
    return _activity(names, name, "Undo", taken_back) | {"to": [actor]}


def _activity(names: Names, name: str, kind: str, about: str | Document) -> Document:
    return {
        "@context": CONTEXT,
        "id": names.activity(name),
        "type": kind,
        "actor": names.actor,
        "object": about,
    }


def _answer(names: Names, name: str, kind: str, follower: str, follow_id: str) -> Document:
    answered = {"type": "Follow", "id": follow_id, "actor": follower, "object": names.actor}
    return _activity(names, name, kind, answered) | {"to": [follower]}


def _note(names: Names, words: Words) -> Document:
    found: Document = {
        "id": names.note(words.name),
        "type": "Note",
        "attributedTo": names.actor,
        "to": list(words.to),
        "cc": list(words.cc),
        "published": _time(words.published_ms),
        "content": from_text(words.text, words.mentions),
        "tag": [{"type": "Mention", "href": actor, "name": handle} for actor, handle in words.mentions],
        "attachment": [],
    }
    if words.carriers:
        found[CARRIERS] = words.carriers
        link = names.carriers(digest(words.carriers))
        found["attachment"] = [{"type": "Link", "mediaType": MEDIA_TYPE, "href": link, "name": "ClawNet"}]
    if words.in_reply_to:
        found["inReplyTo"] = words.in_reply_to
    if words.room:
        found[ROOM] = words.room
    return found


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
