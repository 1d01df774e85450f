"""How a bridge is doing, as numbers, what they mean for its work, and its page of metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import msgspec
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from bots.bridge.counts import SideCounts
from bots.config import HealthSection
from bots.health import deliveries
from bots.health.counts import known
from bots.health.page import COMMON, gauge, gauges, page, writable
from bots.health.verdict import Finding, Rules, Verdict, found, says, verdict


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge at one moment. Nothing in it names a person or a room, or tells what anybody said."""

    uptime_s: float
    carries: bool  # whether all that was there when it came has arrived from every side
    stopping: bool = False
    sides: Mapping[str, SideCounts]  # by transport
    limited: int = 0  # messages above what one address may have carried
    not_carried: Mapping[str, int] = {}  # live messages that may not be carried, by code
    deliveries_waiting: int = 0  # what servers have not taken of what its actor said, one for each inbox
    deliveries_servers: int = 0  # servers that these are for
    deliveries_oldest_s: float = 0.0
    disk_free_bytes: int | None = None  # None: not asked for
    disk_error: str = ""  # why nothing can be written, "" if it can


def _those(state: Crossing, which: Callable[[SideCounts], bool]) -> Mapping[str, SideCounts]:
    return {name: side for name, side in state.sides.items() if which(side)}


def _never(state: Crossing, _limits: HealthSection) -> str:
    sides = _those(state, lambda side: not side.caught_up)
    return f"Nothing was received so far from: {', '.join(sides)}." if sides else ""


def _stale(state: Crossing, limits: HealthSection) -> str:
    sides = _those(state, lambda side: side.caught_up and side.offline_s > limits.sync_seconds)
    told = (f"{name} was last reached {side.offline_s:.0f} s ago." for name, side in sides.items())
    return " ".join(told)


def _offline(state: Crossing, limits: HealthSection) -> str:
    sides = _those(state, lambda side: side.caught_up and not side.online and side.offline_s <= limits.sync_seconds)
    return f"Not reached just now: {', '.join(sides)}." if sides else ""


def _stuck(state: Crossing, limits: HealthSection) -> str:
    sides = _those(state, lambda side: side.online and side.oldest_s > limits.outbox_seconds)
    told = (
        f"{side.waiting} messages wait for {name}, the oldest in its queue for {side.oldest_s:.0f} s."
        for name, side in sides.items()
    )
    return " ".join(told)


def _count(text: str, of: Callable[[SideCounts], int]) -> Callable[[Crossing, HealthSection], str]:
    """The rule that tells how many messages there are, by side."""

    def rule(state: Crossing, _limits: HealthSection) -> str:
        counts = {name: of(side) for name, side in state.sides.items() if of(side)}
        return f"{text}: {', '.join(f'{count} for {name}' for name, count in counts.items())}." if counts else ""

    return rule


_PROBLEMS: Rules[Crossing] = {
    "disk.unwritable": lambda state, _: state.disk_error,
    "sync.never": _never,
    "sync.stale": _stale,
    "outbox.stuck": _stuck,
}  # fmt: skip

_WARNINGS: Rules[Crossing] = {
    "transport.offline": _offline,
    "outbox.refused": _count("Messages that the other side will never take", lambda side: side.refused),
    "outbox.dropped": _count("Messages that were dropped, for too many waited", lambda side: side.dropped),
    "deliveries.stuck": deliveries.stuck,
}  # fmt: skip

_UNREADY: Rules[Crossing] = {
    "stopping": says("The bridge is stopping.", lambda state: state.stopping),
    "history": says("What happened before has not been read yet.", lambda state: not state.carries),
}


def judge(state: Crossing, limits: HealthSection) -> Verdict:
    """What the numbers mean."""
    return verdict(_PROBLEMS, _WARNINGS, state, limits)


def unready(state: Crossing, limits: HealthSection) -> tuple[Finding, ...]:
    """Why the bridge does not carry now, () if it does."""
    return (*judge(state, limits).problems, *found(_UNREADY, state, limits))


# Metric, the field of a side's counts, what it says.
_OF_SIDES = (
    ("online", "online", "1 if the side was reached last time."),
    ("offline_seconds", "offline_s", "Seconds since the side was last reached; 0 while it is online."),
    ("caught_up", "caught_up", "1 once all has arrived that was there when the bridge came."),
    ("waiting", "waiting", "Messages that the side has not taken."),
    ("oldest_seconds", "oldest_s", "Age of the oldest message in the side's queue."),
)
_TOTALS_OF_SIDES = (
    ("carried", "carried", "Messages handed to the side's queue."),
    ("there", "there", "Messages that had come there by another way."),
    ("dropped", "dropped", "Messages dropped because too many waited."),
    ("refused", "refused", "Messages that the side will never take."),
)


def exposition(state: Crossing, verdict: Verdict) -> bytes:
    """The page."""
    return page(verdict, _metrics(state))


def _metrics(state: Crossing) -> Iterator[Metric]:
    yield from gauges(COMMON, state)
    yield gauge("ready", "1 once all that was there has arrived from every side.", float(state.carries))
    yield writable(state.disk_error)
    for kind, table in ((GaugeMetricFamily, _OF_SIDES), (CounterMetricFamily, _TOTALS_OF_SIDES)):
        for name, field, text in table:
            family = kind(f"clawnet_bridge_{name}", text, labels=["side"])
            for side, counts in state.sides.items():
                family.add_metric([side], float(getattr(counts, field)))
            yield family
    limited = "Messages above what one address may have carried."
    yield CounterMetricFamily("clawnet_bridge_limited", limited, value=float(state.limited))
    refused = CounterMetricFamily("clawnet_bridge_not_carried", "Messages that may not be carried.", labels=["code"])
    codes: Counter[str] = Counter()
    for code, count in state.not_carried.items():
        codes[known(code)] += count
    for code, count in sorted(codes.items()):
        refused.add_metric([code], float(count))
    yield refused
