"""The normative tables of ``spec/``: the code draws on the same data as the text.

In a wheel they lie beside this module, in a checkout at its top.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``spec/limits.json``: sizes in bytes, everything else in pieces."""

    carrier_bytes: int
    envelope_bytes: int
    depth: int
    nodes: int
    key_characters: int
    integer: int
    recipients: int
    extensions: int
    carriers_per_event: int
    inline_text_bytes: int
    chunk_bytes: int
    artifact_bytes: int
    rotations: int
    waiting_messages: int
    messages_per_task: int
    messages_per_sender: int
    senders_per_task: int
    tasks: int
    peers: int
    fold_bytes: int


class TypeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of ``spec/types.json``."""

    family: str
    planes: tuple[Literal["room", "direct"], ...]
    sender: Literal["anyone", "initiator", "responder", "requester", "executor"]
    recipients: Literal["none", "one", "optional"]
    thread: Literal["forbidden", "required"]
    answers: Literal["forbidden", "required"]
    lifetime_ms: int
    skew_ms: int
    expired: Literal["folded", "ignored"]
    unbound: Literal["folded", "deferred"]


class ErrorRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of ``spec/errors.json``."""

    stage: str
    disposition: Literal["refused", "ignored", "folded", "deferred"]
    retryable: bool  # the very same message may be accepted later
    reference: str  # the requirement it breaks
    meaning: str


class StateTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One machine of ``spec/states.json``."""

    initial: str
    terminal: tuple[str, ...]
    transitions: Mapping[str, Mapping[str, str]]
    order: tuple[str, ...] = ()

    def after(self, state: str, event: str) -> str | None:
        """The state that follows, or None if the table does not allow the event in this state."""
        return self.transitions[state].get(event)


@cache
def directory() -> Path:
    """The folder that holds the specification."""
    here = Path(__file__).resolve().parent
    packaged = here / "spec"
    return packaged if packaged.is_dir() else here.parent / "spec"


def _read(name: str) -> bytes:
    return (directory() / name).read_bytes()


LIMITS = msgspec.json.decode(_read("limits.json"), type=Limits)
TYPES: Mapping[str, TypeRule] = msgspec.json.decode(_read("types.json"), type=dict[str, TypeRule])
STATES: Mapping[str, StateTable] = msgspec.json.decode(_read("states.json"), type=dict[str, StateTable])
ERRORS: Mapping[str, ErrorRule] = msgspec.json.decode(_read("errors.json"), type=dict[str, ErrorRule])
