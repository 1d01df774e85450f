"""Chunks of artifacts in the homeserver's media repository (spec/bindings/matrix.md, MX-35)."""

from __future__ import annotations

import re

import msgspec

from bots.errors import Refused
from bots.transports.matrix import wire
from bots.transports.matrix.account import Account, nonsense

_URI = re.compile(
    r"mxc://([A-Za-z0-9.\-]{1,230}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?)/([A-Za-z0-9_-]{1,255})"
)
_URI_BYTES = 300  # what a message may name


class _Stored(msgspec.Struct):
    content_uri: str


async def store(account: Account, data: bytes) -> str:
    """Store bytes without a name or a type, and return their URI. Raises RetryLater, Refused, Fatal."""
    answer = await account.call(wire.upload(data))
    try:
        uri = msgspec.json.decode(answer, type=_Stored).content_uri
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise nonsense() from error
    if len(uri) > _URI_BYTES or not _URI.fullmatch(uri):
        raise nonsense()
    return uri


async def fetch(account: Account, uri: str, most: int) -> bytes:
    """Fetch bytes through our own homeserver, of which ``most`` and one are read at most.

    Raises Refused for what is no URI of a media repository, and as ``Account.call`` does.
    """
    found = _URI.fullmatch(uri)
    if found is None:
        shown = uri.partition("#")[0][:100]  # what follows is a key
        raise Refused("matrix.bad_address", f"{shown!r} is no address in a media repository.")
    return await account.call(wire.download(*found.groups()), most=most)
