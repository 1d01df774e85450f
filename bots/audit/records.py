"""What stands on the lines of an audit log: a closed set of kinds, ids and digests, never what anybody wrote."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from clawnet_proto.families.identity import Link
from clawnet_proto.wire import Count, Did, Digest, Millis, Signature

FORMAT: Final = "1"

# Texts that are compared and shown, never obeyed; the longest is a Matrix event id or a room's URI.
Reference = Annotated[str, Meta(max_length=300)]


class Entry(
    msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower
):
    """Base of all records. ``at_ms`` is the agent's clock; ``seq`` is given when it is written, from 1 on."""

    at_ms: Millis
    seq: Count = 0


class Segment(Entry, kw_only=True):
    """The first line of a file: who writes, and what the file follows."""

    format: Literal["1"]
    identity: Did
    chain: tuple[Link, ...] = ()  # the identity's rotations so far
    previous: Reference = ""  # the link of the record before, which another file holds; "" at the very beginning
    oldest: Count  # the log begins with this record from now on: what is older has been removed


class Started(Entry, kw_only=True):
    """The agent was started."""

    version: Reference
    config: Digest  # of its configuration


class Stopped(Entry, kw_only=True):
    """The agent ended by itself, politely or because it could not go on."""


class Signed(Entry, kw_only=True):
    """A message of ours, noted when it was signed and before it was sent. Why: what it ``answers``, or ``behalf``."""

    id: Reference
    type: Reference
    room: Reference
    to: tuple[Reference, ...] = ()
    answers: Reference = ""  # the message that made us say it
    behalf: Reference = ""  # the event of the person whose question it serves
    task: Reference = ""
    stage: Annotated[str, Meta(max_length=1200)] = ""  # several with commas between
    attempt: Count = 0
    rule: Reference = ""  # a word for machines: how it ended, or why not
    digest: Reference = ""  # of the output


class Spoke(Entry, kw_only=True):
    """Plain words for people, unsigned."""

    room: Reference
    root: Reference = ""  # the event that they answer
    digest: Digest  # of the words


class Received(Entry, kw_only=True):
    """A message of others that concerns our work: one to act upon, or ``refused`` by a code of the protocol."""

    id: Reference
    type: Reference
    sender: Reference
    room: Reference
    answers: Reference = ""
    task: Reference = ""
    stage: Annotated[str, Meta(max_length=1200)] = ""
    attempt: Count = 0
    rule: Reference = ""  # as above: what the message says
    digest: Reference = ""
    refused: Reference = ""


class Counted(Entry, kw_only=True):
    """What is too frequent for lines of its own, since the last such record."""

    signed: dict[str, int] = {}  # by type
    refused: dict[str, int] = {}  # messages of others by code
    left_out: int = 0  # messages of others that concerned us, more than are noted


class Keys(Entry, kw_only=True):
    """Our keys, at every start and when they change: the last of the chain, or else the identity, is in use."""

    chain: tuple[Link, ...] = ()
    revoked_ms: Millis = 0  # 0: the identity is not revoked


class Mended(Entry, kw_only=True):
    """How a run found the end of the log, if the one before had not brought it to a signature."""

    unsigned: Count = 0  # records after the last checkpoint: nothing vouched for them until now
    cut_bytes: Count = 0  # an incomplete line was cut off
    digest: Reference = ""  # of what was cut off
    unreadable: bool = False  # whole lines could not be read, and were left as they are


class Lost(Entry, kw_only=True):
    """Records that could not be written, and were too many to be kept until they could."""

    count: Count


class Checkpoint(Entry, kw_only=True):
    """A signature over everything before: over this record without ``sig``, and so over ``head``."""

    identity: Did
    key: Did  # that signed it
    head: Digest  # the link of the record before
    sig: Signature | Literal[""] = ""


AnyEntry: TypeAlias = (
    Segment | Started | Stopped | Signed | Spoke | Received | Counted | Keys | Mended | Lost | Checkpoint
)
