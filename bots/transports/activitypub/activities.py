"""What others send, read into records: tolerant of what real servers do, trusting nothing inline (AP-11 to AP-15).

Pure: who sent it is for ``verification``. All ids come out canonical; what an activity is about shares the origin
of its actor wherever it is the actor's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from bots.transports.activitypub.inbound_note import Note, read_note
from bots.transports.activitypub.references import Document, kind, own, reference

BODY_MOST: Final = 1 << 18  # bytes of an activity


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What every activity has. ``actor`` and ``id`` share an origin."""

    id: str
    actor: str


class Follow(Activity, frozen=True, kw_only=True):
    object: str  # the actor to be followed


class Accept(Activity, frozen=True, kw_only=True):
    follow: str  # the id of the Follow, "" if it was told by its members alone
    follower: str = ""  # who wanted to follow; "" if only the id was given


class Reject(Activity, frozen=True, kw_only=True):
    follow: str
    follower: str = ""


class UndoFollow(Activity, frozen=True, kw_only=True):
    follow: str  # the id of the Follow, "" if it was told by its members alone
    object: str = ""  # who is followed no more; "" if only the id was given


class Create(Activity, frozen=True, kw_only=True):
    note: Note


class CreateById(Activity, frozen=True, kw_only=True):
    """A Create whose object is to be fetched: ``Verifier.note`` gives the note."""

    object: str


class DeleteActor(Activity, frozen=True, kw_only=True):
    """The actor itself is no more."""


class Other(Activity, frozen=True, kw_only=True):
    """Something that means nothing here; it is taken and forgotten."""

    type: str


AnyActivity = Follow | Accept | Reject | UndoFollow | Create | CreateById | DeleteActor | Other


def read(document: Document) -> AnyActivity:
    """The activity in an object. Raises Malformed."""
    actor = reference(document.get("actor"), "actor")
    activity_id = own(document.get("id"), actor, "id")
    type_name = kind(document)
    found = _READERS[type_name](document, activity_id, actor) if type_name in _READERS else None
    return Other(id=activity_id, actor=actor, type=type_name) if found is None else found


def _follow(document: Document, activity_id: str, actor: str) -> AnyActivity:
    return Follow(id=activity_id, actor=actor, object=reference(document.get("object"), "object"))


def _followed(document: Document, actor_name: str) -> tuple[str, str] | None:
    """The id of the Follow that an activity is about, and one of its members; None if it is about something else.

    What is told inline of somebody else's Follow is a hint, to be compared with what is known.
    """
    about = document.get("object")
    if isinstance(about, list) and len(about) == 1:
        (about,) = about
    if not isinstance(about, dict):
        return reference(about, "object"), ""
    if kind(about) != "Follow":
        return None
    follow = reference(about["id"], "object.id") if about.get("id") is not None else ""
    return follow, reference(about.get(actor_name), f"object.{actor_name}")


def _accept(document: Document, activity_id: str, actor: str) -> AnyActivity | None:
    about = _followed(document, "actor")
    return about and Accept(id=activity_id, actor=actor, follow=about[0], follower=about[1])


def _reject(document: Document, activity_id: str, actor: str) -> AnyActivity | None:
    about = _followed(document, "actor")
    return about and Reject(id=activity_id, actor=actor, follow=about[0], follower=about[1])


def _undo(document: Document, activity_id: str, actor: str) -> AnyActivity | None:
    about = _followed(document, "object")
    return about and UndoFollow(id=activity_id, actor=actor, follow=about[0], object=about[1])


def _create(document: Document, activity_id: str, actor: str) -> AnyActivity | None:
    about = document.get("object")
    if not isinstance(about, dict):
        return CreateById(id=activity_id, actor=actor, object=own(about, actor, "object"))
    if kind(about) != "Note":
        return None
    return Create(id=activity_id, actor=actor, note=read_note(about, actor))


def _delete(document: Document, activity_id: str, actor: str) -> AnyActivity | None:
    about = reference(document.get("object"), "object")
    return DeleteActor(id=activity_id, actor=actor) if about == actor else None


_READERS: Final[Mapping[str, Callable[[Document, str, str], AnyActivity | None]]] = {
    "Follow": _follow,
    "Accept": _accept,
    "Reject": _reject,
    "Undo": _undo,
    "Create": _create,
    "Delete": _delete,
}
