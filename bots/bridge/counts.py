"""How much a bridge has carried in this run, and what it has not."""

from __future__ import annotations

from collections import Counter

import msgspec


class SideCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of messages that were to be carried to one side."""

    carried: int  # handed to the transport's queue
    waiting: int  # not yet, or not yet taken by the other side
    there: int  # that had come there by another way
    dropped: int  # because too many waited
    refused: int  # by the other side, for good
    online: bool
    offline_s: float  # since it was last reached, or since the start; 0.0 while it is online
    oldest_s: float  # how long the oldest message has waited that was handed to the transport's queue
    caught_up: bool  # whether all that was there when we came has arrived


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="counts", tag_field="event"):
    """All of it, as a program reads it."""

    at_ms: int  # Unix milliseconds
    sides: dict[str, SideCounts]  # by transport
    limited: int  # messages above what one address may have carried
    not_carried: dict[str, int]  # live messages that may not be carried, by code


class Counts:
    """Counters; ``carried`` and the three after it by side."""

    def __init__(self) -> None:
        self.carried: Counter[str] = Counter()
        self.there: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.limited = 0
        self.not_carried: Counter[str] = Counter()  # codes are those of the specification: few

    def of_side(
        self, name: str, *, waiting: int, online: bool, offline_s: float, oldest_s: float, caught_up: bool
    ) -> SideCounts:
        """The counters of one side."""
        return SideCounts(
            carried=self.carried[name],
            waiting=waiting,
            there=self.there[name],
            dropped=self.dropped[name],
            refused=self.refused[name],
            online=online,
            offline_s=offline_s,
            oldest_s=oldest_s,
            caught_up=caught_up,
        )


def line(report: Report) -> str:
    """All of it, as people read it."""
    parts = [_side(name, side) for name, side in report.sides.items()]
    if report.not_carried:
        codes = ", ".join(f"{count} {code}" for code, count in sorted(report.not_carried.items()))
        parts.append(f"not carried: {codes}")
    if report.limited:
        parts.append(f"{report.limited} above the limit of one sender")
    return "; ".join(parts)


def _side(name: str, side: SideCounts) -> str:
    told = {"waiting": side.waiting, "there already": side.there, "dropped": side.dropped, "refused": side.refused}
    more = [f"{count} {what}" for what, count in told.items() if count]
    more += [] if side.online else ["which cannot be reached now"]
    return f"{side.carried} carried to {name}" + (f" ({', '.join(more)})" if more else "")
