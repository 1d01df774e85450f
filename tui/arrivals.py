"""What comes out of a source, and what becomes of it once it is checked."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One raw event and what its transport vouches for: what a line of a transcript holds (spec/11-transcript.md)."""

    transport: str
    plane: Literal["room", "direct"]
    room: str  # room URI, "" on the direct plane
    sender: str  # address URI
    event_id: str
    event: str  # the raw event, as JSON text
    received_ms: int  # Unix milliseconds


class Words(msgspec.Struct, frozen=True, gc=False):
    """What a person wrote without signing it: the transport alone says who."""

    text: str


class Unread(msgspec.Struct, frozen=True, gc=False):
    """An encrypted event whose key has not come: nobody here knows what it holds."""


UNREAD: Final = "encryption.unread"  # the code of such a line

Outcome: TypeAlias = Message | RemoteProtocolError | Words | Unread


class Checked(msgspec.Struct, frozen=True, gc=False):
    """An arrival with one outcome for each carrier in it, in order, or one ``Words`` or ``Unread``; else none."""

    arrival: Arrival
    outcomes: tuple[Outcome, ...]
