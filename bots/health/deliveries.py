"""What servers have not taken of what was said to them, where a transport brings it to each of them itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from bots.config import HealthSection
from bots.transports import Transport, Undelivered


@runtime_checkable
class Delivering(Protocol):
    """A transport that does so."""

    def undelivered(self) -> Sequence[Undelivered]:
        """What waits for each server. Raises StoreError."""


class Waiting(Protocol):
    """Numbers that tell of it."""

    @property
    def deliveries_waiting(self) -> int: ...

    @property
    def deliveries_servers(self) -> int: ...

    @property
    def deliveries_oldest_s(self) -> float: ...


def undelivered(ways: Iterable[Transport]) -> Sequence[Undelivered]:
    """What waits for each server, whoever has waited longest first. Raises StoreError."""
    found = [server for way in ways if isinstance(way, Delivering) for server in way.undelivered()]
    return sorted(found, key=lambda server: server.oldest_s, reverse=True)


def stuck(state: Waiting, limits: HealthSection) -> str:
    """The sentence if a server takes nothing for long, else ""."""
    if state.deliveries_oldest_s <= limits.delivery_seconds:
        return ""
    return (
        f"{state.deliveries_waiting} deliveries wait for {state.deliveries_servers} servers,"
        f" the oldest for {state.deliveries_oldest_s:.0f} s."
    )
