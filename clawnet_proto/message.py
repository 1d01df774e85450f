"""A verified message (spec/02-messages.md). ``carrier.verify`` makes it."""

from __future__ import annotations

from typing import Any

import msgspec

from clawnet_proto.envelope import Envelope


class Message(msgspec.Struct, frozen=True, gc=False):
    """A verified message: ``envelope`` is what its sender signed, ``id`` is derived from it."""

    id: str
    envelope: Envelope[Any]
    size: int = 0  # bytes of the envelope's text

    @property
    def type(self) -> str:
        return self.envelope.type

    @property
    def sender(self) -> str:
        return self.envelope.sender

    @property
    def body(self) -> Any:
        return self.envelope.body
