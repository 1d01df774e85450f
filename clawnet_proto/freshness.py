"""Where and when a message may be acted upon (spec/05-signatures.md, stages "addressing" and "time").

Nothing here keeps a message out of the fold unless ``spec/errors.json`` refuses it: time that has
passed forbids acting, not folding.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES


def check_addressing(message: Message, *, me: str, room: str, plane: Literal["room", "direct"]) -> None:
    """Plane, room and recipients. ``room`` is the URI it arrived in, "" on the direct plane.

    Raises RemoteProtocolError ``plane.mismatch``, ``room.mismatch`` or ``recipient.other``.
    """
    if plane not in TYPES[message.type].planes:
        raise RemoteProtocolError("plane.mismatch", message.type)
    if room and message.envelope.room != room:
        raise RemoteProtocolError("room.mismatch")
    recipients = message.envelope.recipients
    if recipients is not UNSET and me not in recipients:
        raise RemoteProtocolError("recipient.other")


def check_lifetime(message: Message) -> None:
    """The part that needs no clock. Raises RemoteProtocolError ``time.lifetime``."""
    envelope = message.envelope
    if not 0 < envelope.expires_ms - envelope.sent_ms <= TYPES[message.type].lifetime_ms:
        raise RemoteProtocolError("time.lifetime")


def is_in_time(message: Message, now_ms: int) -> bool:
    """Whether its time allows acting upon it."""
    try:
        check_time(message, now_ms)
    except RemoteProtocolError:
        return False
    return True


def check_time(message: Message, now_ms: int) -> None:
    """Lifetime, skew, expiry. Raises RemoteProtocolError ``time.lifetime``, ``time.future`` or ``time.expired``."""
    check_lifetime(message)
    envelope, rule = message.envelope, TYPES[message.type]
    if envelope.sent_ms > now_ms + rule.skew_ms:
        raise RemoteProtocolError("time.future", f"{envelope.sent_ms - now_ms} ms ahead")
    if envelope.expires_ms <= now_ms:
        raise RemoteProtocolError("time.expired", f"{now_ms - envelope.expires_ms} ms ago")
