"""The envelope: what a sender signs (spec/02-messages.md)."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from msgspec import UNSET, Meta, UnsetType

from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import Did, Digest, Millis, Nonce, Record, Token, Uri, Version

Body = TypeVar("Body")


class Envelope(Record, Generic[Body], frozen=True, kw_only=True):
    """The signed object. ``body`` is the struct that ``type`` names."""

    # In canonical order: a decoder looks first where each comes.
    answers: Digest | UnsetType = UNSET  # id of the message that caused this one
    body: Body
    clawnet: Version
    critical: Annotated[tuple[Token, ...], Meta(min_length=1, max_length=LIMITS.extensions)] | UnsetType = UNSET
    expires_ms: Millis
    extensions: Annotated[dict[Token, Any], Meta(min_length=1, max_length=LIMITS.extensions)] | UnsetType = UNSET
    kid: Did  # the key that signed
    nonce: Nonce
    recipients: Annotated[tuple[Did, ...], Meta(min_length=1, max_length=LIMITS.recipients)] | UnsetType = UNSET
    room: Uri  # the room it is meant for; bridges leave it alone
    sender: Did  # the inception key: who it is, for good
    sent_ms: Millis
    thread: Digest | UnsetType = UNSET  # id of the message that opened the conversation
    type: Annotated[str, Meta(min_length=1, max_length=64)]
