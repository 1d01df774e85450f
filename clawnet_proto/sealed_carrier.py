"""Sealed carriers: direct messages that only their recipient can read (spec/15-sealing.md, from SEAL-6 on)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from clawnet_proto import PROTOCOL_VERSION, json_text
from clawnet_proto.errors import LocalProtocolError, RemoteProtocolError
from clawnet_proto.specification import LIMITS

if TYPE_CHECKING:
    from clawnet_proto.sealing import SealKey


class SealedCarrier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What travels in a carrier's place. Anyone can make one: it proves nothing."""

    clawnet: str
    seal_key: str
    sealed: str


_decode = msgspec.json.Decoder(SealedCarrier).decode
_encode = msgspec.json.Encoder().encode


def seal_carrier(public: str, recipient: str, carrier: bytes) -> bytes:
    """Seal a carrier's text to the announced key and the identity of its recipient.

    Raises LocalProtocolError ``size.carrier``, or RemoteProtocolError ``key.invalid`` for a key that cannot be used.
    """
    from clawnet_proto.sealing import seal  # whoever holds no key spares the memory for what it stands on

    data = _encode(SealedCarrier(PROTOCOL_VERSION, public, seal(public, carrier, _info(recipient))))
    if len(data) > LIMITS.carrier_bytes:
        raise LocalProtocolError("size.carrier", f"{len(data)} bytes, sealed")
    return data


def open_carrier(text: bytes, keys: Sequence[SealKey], me: str) -> bytes:
    """The carrier's text inside a sealed carrier; any other text as it is, for ``carrier.verify`` to judge.

    ``keys`` are ours, the newest first, ``me`` our identity. What has the wrong shape for a sealed carrier has it for
    a carrier, too. Raises RemoteProtocolError ``size.carrier``, ``version.unsupported`` or ``sealed.unopened``.
    """
    if len(text) > LIMITS.carrier_bytes:
        raise RemoteProtocolError("size.carrier", f"{len(text)} bytes")
    outer = _read(text)
    if outer is None:
        return text
    if outer.clawnet != PROTOCOL_VERSION:
        raise RemoteProtocolError("version.unsupported", outer.clawnet[:16])
    for key in keys:
        if key.public == outer.seal_key:
            try:
                return key.open(outer.sealed, _info(me))
            except RemoteProtocolError:
                break
    raise RemoteProtocolError("sealed.unopened")


def _read(text: bytes) -> SealedCarrier | None:
    try:
        try:
            outer = _decode(text)
        except (msgspec.DecodeError, RecursionError):
            # Of a member that occurs twice only the last counts; typed decoding looks at all.
            outer = msgspec.convert(json_text.members(text.decode()), SealedCarrier)
        (outer.clawnet + outer.seal_key + outer.sealed).encode()
    except (msgspec.ValidationError, ValueError):
        return None
    return outer


def _info(recipient: str) -> str:
    return f"clawnet/1/carrier/{recipient}"
