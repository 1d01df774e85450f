"""Vector files: read, checked against their manifest, understood (spec/vectors/README.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bots.conformance.operations import OPERATIONS, TRACE, Class
from bots.errors import ConfigError
from clawnet_proto import base64url

MANIFEST = "manifest.json"
SCHEMA = "schema.json"
_PERMUTED_MOST = 6  # deliveries of which all orders are tried

Json = dict[str, Any]


class _Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Listed(_Closed, frozen=True, kw_only=True):
    """One file in the manifest."""

    name: str
    digest: str  # base64url of SHA-256
    vectors: int


class Manifest(_Closed, frozen=True, kw_only=True):
    """``manifest.json``: which files there are, and how many vectors in all."""

    vectors: int
    files: tuple[Listed, ...]


class Step(_Closed, frozen=True, kw_only=True):
    """One request and the only right answer."""

    op: str
    request: Json
    expect: Json
    about: str | UnsetType = UNSET
    stage: str | UnsetType = UNSET

    def line(self) -> bytes:
        """The request as a testee reads it, without a line feed."""
        return msgspec.json.encode({"op": self.op, **self.request})


class Delivery(_Closed, frozen=True, kw_only=True):
    """A carrier of a trace, and how it came."""

    carrier: str
    plane: Literal["room", "direct"]
    address: str
    about: str = ""
    error: str | UnsetType = UNSET


class Vector(_Closed, frozen=True, kw_only=True):
    """One vector: a request, a conversation (``steps``), or a trace (``op`` is "mesh")."""

    id: Annotated[str, Meta(min_length=1)]
    about: str
    requirements: tuple[str, ...]
    op: str = ""
    request: Json | UnsetType = UNSET
    expect: Json | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    kills: str | UnsetType = UNSET
    least: Class = msgspec.field(name="class", default="verifier")
    steps: tuple[Step, ...] | UnsetType = UNSET
    room: str | UnsetType = UNSET
    now_ms: int | UnsetType = UNSET
    deliveries: tuple[Delivery, ...] | UnsetType = UNSET
    orders: Literal["all"] | tuple[tuple[int, ...], ...] | UnsetType = UNSET
    state: Json | UnsetType = UNSET

    def conversations(self) -> Iterator[Conversation]:
        """What to say to a testee, each from its beginning: one, or for a trace one for each order."""
        if self.op == TRACE:
            yield from self._trace()
        elif self.steps is not UNSET:
            yield Conversation.of(self.steps)
        else:
            assert self.request is not UNSET and self.expect is not UNSET
            yield Conversation.of([Step(op=self.op, request=self.request, expect=self.expect)])

    def _trace(self) -> Iterator[Conversation]:
        deliveries = () if self.deliveries is UNSET else self.deliveries
        reset = Step(op="mesh.reset", request={"room": self.room}, expect={"ok": {}})
        state = Step(op="mesh.state", request={"now_ms": self.now_ms}, expect={"ok": {"state": self.state}})
        adds = [
            Step(
                op="mesh.add",
                request={"carrier": item.carrier, "plane": item.plane, "address": item.address},
                expect={"ok": {}} if item.error is UNSET else {"error": item.error},
                about=item.about,
            )
            for item in deliveries
        ]
        steps = [reset, *adds, state]
        lines = [step.line() for step in steps]
        for order in self.all_orders():
            places = [0, *(index + 1 for index in order), len(steps) - 1]
            yield Conversation([steps[place] for place in places], [lines[place] for place in places], order)

    def all_orders(self) -> Iterable[tuple[int, ...]]:
        """The orders of a trace's deliveries."""
        if self.orders is UNSET or self.deliveries is UNSET:
            return ()
        return permutations(range(len(self.deliveries))) if self.orders == "all" else self.orders

    def fault(self) -> str:
        """What is wrong with it as a whole, "" if nothing is."""
        trace = (self.room, self.now_ms, self.deliveries, self.orders, self.state)
        single = (self.request, self.expect)
        if self.op == TRACE:
            if UNSET in trace or self.steps is not UNSET or single != (UNSET, UNSET):
                return "a trace has room, now_ms, deliveries, orders and state"
            return self._orders_fault()
        if any(member is not UNSET for member in trace):
            return "only a trace has room, now_ms, deliveries, orders or state"
        if self.steps is not UNSET:
            if self.op or single != (UNSET, UNSET) or not self.steps:
                return "a conversation has steps and no op, request or expect"
            return next(filter(None, (_step_fault(step.op, step.expect) for step in self.steps)), "")
        if UNSET in single:
            return "it has no request or no expect"
        assert self.expect is not UNSET
        return _step_fault(self.op, self.expect)

    def _orders_fault(self) -> str:
        assert self.deliveries is not UNSET
        if self.orders == "all":
            return "too many deliveries to try all orders" if len(self.deliveries) > _PERMUTED_MOST else ""
        known = range(len(self.deliveries))
        if not self.orders or any(index not in known for order in self.all_orders() for index in order):
            return "an order names a delivery that is not there, or there is none"
        return ""


class Conversation(msgspec.Struct, frozen=True):
    """Steps that belong together, in this order; ``order`` says which deliveries of a trace they are."""

    steps: Sequence[Step]
    lines: Sequence[bytes]  # the requests, encoded once for all orders
    order: tuple[int, ...] = ()

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Conversation:
        return cls(steps, [step.line() for step in steps])


class VectorFile(_Closed, frozen=True, kw_only=True):
    """All vectors of one subject."""

    subject: Annotated[str, Meta(min_length=1)]
    about: str
    vectors: tuple[Vector, ...]


def _step_fault(op: str, expect: Json) -> str:
    if op not in OPERATIONS:
        return f"there is no operation {op!r}"
    if len(expect) != 1 or not expect.keys() <= {"ok", "error", "opens"}:
        return "expect has one member: ok, error or opens"
    return ""


def load(directory: Path) -> list[VectorFile]:
    """All vector files of a folder, by name. Raises ConfigError unless they are those of its manifest."""
    listed = {entry.name: entry for entry in _manifest(directory).files}
    present = {path.name for path in directory.glob("*.json")} - {MANIFEST, SCHEMA}
    if strange := sorted(present ^ listed.keys()):
        what = "is missing" if strange[0] in listed else "is not in the manifest"
        raise _refused(f"The vector file {directory / strange[0]} {what}.")
    files = []
    for name, entry in sorted(listed.items()):
        data = _read(directory / name)
        if base64url.encode(sha256(data).digest()) != entry.digest:
            raise _refused(f"The vector file {directory / name} is not the one of the manifest.")
        files.append(_decode(directory / name, data, entry.vectors))
    _check_ids(directory, files)
    return files


def _manifest(directory: Path) -> Manifest:
    try:
        return msgspec.json.decode(_read(directory / MANIFEST), type=Manifest)
    except msgspec.MsgspecError as error:
        raise _refused(f"The manifest {directory / MANIFEST} cannot be understood: {error}.") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _refused(f"The vector file {path} cannot be read: {error.strerror}.") from None


def _decode(path: Path, data: bytes, count: int) -> VectorFile:
    try:
        file = msgspec.json.decode(data, type=VectorFile)
    except msgspec.MsgspecError as error:
        raise _refused(f"The vector file {path} cannot be understood: {error}.") from None
    if len(file.vectors) != count:
        raise _refused(f"The vector file {path} does not hold the {count} vectors of the manifest.")
    for vector in file.vectors:
        if fault := vector.fault():
            raise _refused(f"The vector {vector.id} in {path} cannot be understood: {fault}.")
    return file


def _check_ids(directory: Path, files: Sequence[VectorFile]) -> None:
    seen: set[str] = set()
    for vector in (vector for file in files for vector in file.vectors):
        if vector.id in seen:
            raise _refused(f"There are two vectors {vector.id} in {directory}.")
        seen.add(vector.id)


def _refused(sentence: str) -> ConfigError:
    return ConfigError("conformance.vectors", sentence, "Restore the folder, or name another one with --vectors.")
