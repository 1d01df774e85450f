"""What raw events of each transport hold, without any network (spec/bindings/).

``CARRIERS`` gives, by the transport's name, the function that finds the carriers of a raw event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from clawnet_proto.bindings import activitypub, http, lan, matrix

Plane = Literal["room", "direct"]

CARRIERS: Final[Mapping[str, Callable[[str, Plane], list[object]]]] = {
    "activitypub": activitypub.carriers,
    "http": http.carriers,
    "lan": lan.carriers,
    "matrix": matrix.carriers,
}
"""By transport: (raw event as JSON text, plane) to the carriers it holds, unverified; [] if none. Never raise."""

WORDS: Final[Mapping[str, Callable[[str], str]]] = {"activitypub": activitypub.words, "matrix": matrix.words}
"""By transport: raw room event to the plain words a person wrote, "" if it is no such event. Never raise."""

ENCRYPTED: Final[Mapping[str, Callable[[str], bool]]] = {"matrix": matrix.is_encrypted}
"""By transport: whether a raw room event is still encrypted: who received it could not read it. Never raise."""
