"""The few shapes in which servers write one thing: a URL, an object with an id, a list of them."""

from __future__ import annotations

from typing import Any, Final

from bots.transports.activitypub.names import PUBLIC, BadUrl, canonical, origin
from bots.transports.activitypub.plain_json import Malformed

Document = dict[str, Any]

ITEMS_MOST: Final = 256  # of any list that is looked through

_PUBLIC: Final = frozenset({PUBLIC, "as:Public", "Public"})
_TYPE_MOST: Final = 64  # characters


def kind(document: Document) -> str:
    """The one type of an object. Raises Malformed: several at once are read differently by everybody."""
    found = document.get("type")
    if not isinstance(found, str) or len(found) > _TYPE_MOST:
        raise Malformed("type must be one short text.")
    return found


def reference(value: object, name: str) -> str:
    """The canonical URL that a member names: as text, as an object with an id, or as a list of one. Raises Malformed.

    Nothing else of an inline object counts.
    """
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, dict):
        value = value.get("id")
    try:
        return canonical(value if isinstance(value, str) else "")
    except BadUrl:
        raise Malformed(f"{name} must be one URL, or one object with an id.") from None


def own(value: object, actor: str, name: str) -> str:
    """What ``reference`` gives, of the actor's own origin. Raises Malformed."""
    found = reference(value, name)
    if origin(found) != origin(actor):
        raise Malformed(f"{name} must be of the actor's own host.")
    return found


def items(value: object) -> list[Any]:
    """A list, or the one item that stands for a list; [] for nothing. Raises Malformed."""
    found = value if isinstance(value, list) else [] if value is None else [value]
    if len(found) > ITEMS_MOST:
        raise Malformed(f"A list may have {ITEMS_MOST} items.")
    return found


def audience(value: object) -> tuple[str, ...]:
    """The canonical URLs in ``to`` or ``cc``; what is none is left out. Raises Malformed."""
    found = []
    for item in items(value):
        if isinstance(item, str) and item in _PUBLIC:
            found.append(PUBLIC)
            continue
        try:
            found.append(reference(item, "to"))
        except Malformed:
            continue
    return tuple(dict.fromkeys(found))
