"""Times as people read them."""

from __future__ import annotations

from datetime import datetime, tzinfo
from functools import lru_cache

_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
_LAST_MS = 253_402_300_799_000  # the year 9999


def _moment(at_ms: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(min(max(at_ms, 0), _LAST_MS - _DAY) / 1000, zone).astimezone(zone)


def clock(at_ms: int, zone: tzinfo | None = None) -> str:
    """``HH:MM:SS``, in local time unless a zone is given."""
    return _clock(at_ms // _SECOND, zone)


@lru_cache(maxsize=512)
def _clock(second: int, zone: tzinfo | None) -> str:
    return f"{_moment(second * _SECOND, zone):%H:%M:%S}"


def date_and_clock(at_ms: int, zone: tzinfo | None = None) -> str:
    """``YYYY-MM-DD HH:MM:SS``, in local time unless a zone is given."""
    return f"{_moment(at_ms, zone):%Y-%m-%d %H:%M:%S}"


def span(duration_ms: int) -> str:
    """A duration in at most four characters, as ``12s``, ``3m``, ``5h``, ``41d``."""
    if duration_ms < _MINUTE:
        return f"{max(0, duration_ms) // _SECOND}s"
    if duration_ms < _HOUR:
        return f"{duration_ms // _MINUTE}m"
    if duration_ms < _DAY:
        return f"{duration_ms // _HOUR}h"
    return f"{min(duration_ms // _DAY, 999)}d"


def relative(at_ms: int, now_ms: int) -> str:
    """How far a moment lies from now: ``12s ago``, ``in 3m``, ``now``."""
    apart = now_ms - at_ms
    if abs(apart) < _SECOND:
        return "now"
    return f"{span(apart)} ago" if apart > 0 else f"in {span(-apart)}"
