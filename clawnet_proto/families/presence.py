"""The ``presence`` family: who is there and what they can do (spec/06-presence.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from clawnet_proto.wire import Count, Did, Digest, Key32, Line, Millis, Name, Record, Token, Uri, Version

StageKind = Literal["generate", "chat", "embed", "echo"]


class Address(Record, frozen=True, kw_only=True):
    """Where the sender can be reached: bound once the transport vouches that it sent from there."""

    uri: Uri
    device: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET  # for direct messages


class ModelCard(Record, frozen=True, kw_only=True):
    """A model the sender can run now."""

    name: Name
    digest: Annotated[str, Meta(max_length=71)] | UnsetType = UNSET  # "sha256:<hex>" of the weights
    context_tokens: Count | UnsetType = UNSET
    quantization: Name | UnsetType = UNSET
    kinds: Annotated[tuple[StageKind, ...], Meta(min_length=1, max_length=4)]


class Compute(Record, frozen=True, kw_only=True):
    """The machine, roughly. Memory in MiB."""

    cpu_cores: Count
    memory_mib: Count
    gpus: Annotated[tuple[Name, ...], Meta(max_length=8)] | UnsetType = UNSET


class Load(Record, frozen=True, kw_only=True):
    """Work in hand when the announce was made."""

    running: Count
    waiting: Count
    slots: Count


class Limits(Record, frozen=True, kw_only=True):
    """What the owner allows others to ask for."""

    open_to: Literal["nobody", "listed", "room"]  # "room": whoever the room lets speak
    prompt_bytes: Count
    output_tokens: Count
    tokens_per_minute: Count


class Confirmed(Record, frozen=True, kw_only=True):
    """A peer whose handshake with the sender was completed."""

    peer: Did
    at_ms: Millis
    rtt_ms: Count


class Announce(Record, frozen=True, kw_only=True):
    """``presence.announce``: the newest revision replaces all earlier ones."""

    revision: Count
    name: Name
    kind: Literal["human", "ai", "hybrid", "system"]
    role: Token
    description: Line | UnsetType = UNSET
    software: Name
    versions: Annotated[tuple[Version, ...], Meta(min_length=1, max_length=8)]
    addresses: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=4)]
    next_key_digest: Digest
    seal_key: Key32  # X25519 public key
    capabilities: Annotated[tuple[StageKind, ...], Meta(max_length=8)]
    models: Annotated[tuple[ModelCard, ...], Meta(max_length=16)]
    wants: Annotated[tuple[Token, ...], Meta(max_length=16)]
    offers: Annotated[tuple[Token, ...], Meta(max_length=16)]
    compute: Compute | UnsetType = UNSET
    region: Token | UnsetType = UNSET
    load: Load
    limits: Limits
    confirmed: Annotated[tuple[Confirmed, ...], Meta(max_length=8)]


class Leave(Record, frozen=True, kw_only=True):
    """``presence.leave``: ends every announce whose revision is not higher."""

    revision: Count
    reason: Line | UnsetType = UNSET
