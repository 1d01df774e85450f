"""Verified messages that nobody looks at, in little room, and on their way to another process of ours."""

from __future__ import annotations

import copyreg
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from clawnet_proto.envelope import Envelope
from clawnet_proto.families import BODIES
from clawnet_proto.message import Message


class _Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    id: str
    type: str
    size: int
    envelope: msgspec.Raw


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[_Item, ...]).decode
_ENVELOPES: Mapping[str, Any] = {
    name: msgspec.msgpack.Decoder(Envelope[body]).decode  # type: ignore[valid-type]
    for name, body in BODIES.items()
}


class Packed:
    """Some messages at rest: a quarter of what they take otherwise. Only what was verified can be packed."""

    __slots__ = ("_data",)

    def __init__(self, messages: Iterable[Message]) -> None:
        items = [_Item(m.id, m.type, m.size, msgspec.Raw(_encode(m.envelope))) for m in messages]
        self._data = zlib.compress(_encode(items), 1)

    def unpack(self) -> list[Message]:
        """Equal messages, in the same order."""
        items = _decode(zlib.decompress(self._data))
        return [Message(item.id, _ENVELOPES[item.type](item.envelope), item.size) for item in items]


def _rebuilt(id: str, type: str, size: int, envelope: bytes) -> Message:
    return Message(id, _ENVELOPES[type](envelope), size)


def _reduced(message: Message) -> tuple[Callable[..., Message], tuple[str, str, int, bytes]]:
    return _rebuilt, (message.id, message.type, message.size, _encode(message.envelope))


# One by one, the parts of an envelope would cost more than to verify it again.
copyreg.pickle(Message, _reduced)
