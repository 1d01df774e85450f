"""What a feeder writes: frames of MessagePack, each behind its length.

Lists of arrivals, the number of a part after its last event, and a word when it is ready.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tui.arrivals import Arrival

START_MS: Final = 1_800_000_000_000
READY: Final = "ready"
HEAD: Final = 4  # bytes of a length

Frame = list[Arrival] | int | str

decode: Final = msgspec.msgpack.Decoder(Frame).decode


def framed(frame: Frame) -> bytes:
    """A frame behind its length."""
    data = msgspec.msgpack.encode(frame)
    return len(data).to_bytes(HEAD, "big") + data
