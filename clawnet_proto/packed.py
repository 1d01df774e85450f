"""Verified messages that nobody looks at, in little room, and on their way to another process of ours."""

from __future__ import annotations

import copyreg
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import zstandard

from clawnet_proto.envelope import Envelope
from clawnet_proto.families import BODIES
from clawnet_proto.message import Message

_LEVEL = 1  # what is packed most is soon forgotten


class _Compression(threading.local):
    """What a thread packs with: made for each task anew, it would leave holes in the memory of the process."""

    def __init__(self) -> None:
        self.pack = zstandard.ZstdCompressor(_LEVEL).compress
        self.unpack = zstandard.ZstdDecompressor().decompress


_compression = _Compression()


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
        items = [(m.id, m.type, m.size, m.envelope) for m in messages]
        # A copy: the original was made in a buffer as large as what went in, which would stay behind as a hole.
        self._data = bytes(memoryview(_compression.pack(_encode(items))))

    def unpack(self) -> list[Message]:
        """Equal messages, in the same order."""
        items = _decode(_compression.unpack(self._data))
        return [Message(item.id, _ENVELOPES[item.type](item.envelope), item.size) for item in items]


def _rebuilt(id: str, type: str, size: int, envelope: bytes) -> Message:
    return Message(id, _ENVELOPES[type](envelope), size)


def _reduced(message: Message) -> tuple[Callable[..., Message], tuple[str, str, int, bytes]]:
    return _rebuilt, (message.id, message.type, message.size, _encode(message.envelope))


# One by one, the parts of an envelope would cost more than to verify it again.
copyreg.pickle(Message, _reduced)
