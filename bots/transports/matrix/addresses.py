"""Matrix ids as URIs (the ``matrix:`` scheme of the Matrix specification), and back.

    @alice:example.org   matrix:u/alice:example.org
    !opaque:example.org  matrix:roomid/opaque:example.org
    !opaque              matrix:roomid/opaque            (room version 12)
    #lobby:example.org   matrix:r/lobby:example.org

One id has one URI: ids are opaque, their bytes are percent-encoded where RFC 3986 demands it and
nowhere else, with upper-case hex digits.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import msgspec

# pchar of RFC 3986 without the unreserved characters, which quote() never escapes.
_SAFE = "!$&'()*+,;=:@"
_KINDS = {"u": "@", "roomid": "!", "r": "#"}
_SCHEME = "matrix:"
_LINK = re.compile(r"https://matrix\.to/#/([^/]+)/?\Z")
_VIA_MOST = 8


class RoomTarget(msgspec.Struct, frozen=True):
    """A room as a person names it: an id or alias, and servers that can help to join it."""

    name: str  # "!opaque", "!opaque:server" or "#alias:server"
    via: tuple[str, ...] = ()


def user_uri(user_id: str) -> str:
    """``@alice:example.org`` as a URI. Raises ValueError if it is no user id."""
    if ":" not in user_id:
        raise ValueError(f"not a Matrix user id: {user_id!r}")
    return _uri("u", user_id)


def user_id(uri: str) -> str:
    """The user id of an address URI. Raises ValueError if it is none, or not the one way to write it."""
    found = _id("u", uri)
    if ":" not in found:
        raise ValueError(f"not the address of a Matrix user: {uri!r}")
    return found


def is_user(uri: str) -> bool:
    """Whether this is the address of a Matrix user."""
    try:
        return bool(user_id(uri))
    except ValueError:
        return False


def room_uri(room_id: str) -> str:
    """``!opaque:example.org`` or ``!opaque`` as a URI. Raises ValueError if it is no room id."""
    return _uri("roomid", room_id)


def room_id(uri: str) -> str:
    """The room id of a room URI. Raises ValueError if it is none, or not the one way to write it."""
    return _id("roomid", uri)


def room_target(text: str) -> RoomTarget:
    """A room as people name it, with ``?via=SERVER`` where that is needed to join it.

    An id, an alias, a ``matrix:`` URI or a ``matrix.to`` link. Raises ValueError if it is none of these.
    """
    name, _, query = text.strip().partition("?")
    if link := _LINK.match(name):
        name = _decoded(link.group(1))
    elif name.startswith(_SCHEME):
        kind = name.removeprefix(_SCHEME).partition("/")[0]
        if kind not in ("roomid", "r"):
            raise ValueError(f"not a Matrix room: {text!r}")
        name = _id(kind, name)
    if not re.match(r"![^\s]+\Z|#[^\s:]*:[^\s]+\Z", name):
        raise ValueError(f"not a Matrix room: {text!r}")
    via = tuple(value for key, value in parse_qsl(query) if key == "via")
    return RoomTarget(name, via[:_VIA_MOST])


def server_of(user_id: str) -> str:
    """The server a user id belongs to; "" if it names none."""
    return user_id.partition(":")[2]


def _uri(kind: str, identifier: str) -> str:
    opaque = identifier[1:]
    if identifier[:1] != _KINDS[kind] or not opaque:
        raise ValueError(f"not a Matrix id of kind {kind!r}: {identifier!r}")
    return f"{_SCHEME}{kind}/{quote(opaque, safe=_SAFE, errors='strict')}"


def _id(kind: str, uri: str) -> str:
    prefix = f"{_SCHEME}{kind}/"
    if not uri.startswith(prefix):
        raise ValueError(f"not a Matrix URI of kind {kind!r}: {uri!r}")
    identifier = _KINDS[kind] + _decoded(uri.removeprefix(prefix))
    # Addresses are compared as text, so that only the canonical text may pass.
    if _uri(kind, identifier) != uri:
        raise ValueError(f"not the canonical Matrix URI: {uri!r}")
    return identifier


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8")
