"""The ``handshake`` family: liveness, version, both keys and both addresses proven (spec/07-handshake.md).

``Handshake`` is one side of one handshake. It takes verified messages and says what to do next;
the state table is ``spec/states.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.presence import Address
from clawnet_proto.specification import STATES
from clawnet_proto.wire import Record, Version

_TABLE = STATES["handshake"]


class Hello(Record, frozen=True, kw_only=True):
    """``handshake.hello``: opens; answer to the address it names."""

    versions: Annotated[tuple[Version, ...], Meta(min_length=1, max_length=8)]
    address: Address


class Accept(Record, frozen=True, kw_only=True):
    """``handshake.accept``: the responder chose a version and repeats all it speaks."""

    version: Version
    versions: Annotated[tuple[Version, ...], Meta(min_length=1, max_length=8)]
    address: Address


class Confirm(Record, frozen=True, kw_only=True):
    """``handshake.confirm``: the initiator received the accept at the address its hello named."""

    version: Version


def choose_version(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """The highest common version. Raises RemoteProtocolError ``handshake.no_version``."""
    common = set(ours) & set(theirs)
    if not common:
        raise RemoteProtocolError("handshake.no_version")
    return max(common, key=int)


class Handshake:
    """One side of one handshake; ``state`` is a state of the table.

    ``started_ms`` and ``rtt_ms`` are measured by the caller's clock: from the sending of our hello
    (or accept) to the arrival of the accept (or confirm).
    """

    def __init__(self, versions: Sequence[str]) -> None:
        self.versions = tuple(versions)
        self.state = _TABLE.initial
        self.version = ""
        self.started_ms = 0
        self.rtt_ms = 0

    @property
    def finished(self) -> bool:
        return self.state in _TABLE.terminal

    def _after(self, event: str) -> str:
        after = _TABLE.after(self.state, event)
        if after is None:
            raise RemoteProtocolError("handshake.not_allowed", f"{event} in {self.state}")
        return after

    def send_hello(self, now_ms: int) -> None:
        self.state = self._after("send_hello")
        self.started_ms = now_ms

    def receive_hello(self, hello: Hello, now_ms: int) -> str:
        """The version to accept with."""
        after = self._after("receive_hello")
        self.version = choose_version(self.versions, hello.versions)
        self.state = after
        self.started_ms = now_ms
        return self.version

    def receive_accept(self, accept: Accept, now_ms: int) -> str:
        """The version to confirm. A version that is not the highest common one is a downgrade."""
        after = self._after("receive_accept")
        if accept.version != choose_version(self.versions, accept.versions):
            raise RemoteProtocolError("handshake.no_version", "downgrade")
        self.state, self.version = after, accept.version
        self.rtt_ms = max(0, now_ms - self.started_ms)
        return self.version

    def receive_confirm(self, confirm: Confirm, now_ms: int) -> None:
        after = self._after("receive_confirm")
        if confirm.version != self.version:
            raise RemoteProtocolError("handshake.no_version")
        self.state = after
        self.rtt_ms = max(0, now_ms - self.started_ms)

    def time_out(self) -> None:
        self.state = self._after("time_out")
