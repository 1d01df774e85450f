"""How much one key and one network address may ask for. Keys are free, network addresses less so."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

_REMEMBERED: Final = 8192


class Allowance(msgspec.Struct, frozen=True):
    """A burst, and so many a second after it."""

    burst: float
    per_second: float


class Meters:
    """Token buckets by name, ``most`` of them; whoever was not heard of for longest is forgotten first."""

    def __init__(self, allowance: Allowance, most: int = _REMEMBERED) -> None:
        self._allowance = allowance
        self._most = most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (level, as of, seconds)

    def wait_s(self, name: str, amount: float, now_s: float) -> float:
        """0.0 and ``amount`` is charged, or after how many seconds to come again; infinity if that is never."""
        allowance = self._allowance
        level, at_s = self._levels.get(name, (allowance.burst, now_s))
        level = min(allowance.burst, level + (now_s - at_s) * allowance.per_second)
        # What is more than any burst would never go: it takes all there is.
        wanted = min(amount, allowance.burst)
        enough = level >= wanted
        self._levels[name] = (level - wanted if enough else level, now_s)
        self._levels.move_to_end(name)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        if enough:
            return 0.0
        return (wanted - level) / allowance.per_second if allowance.per_second else math.inf


def forwarded(noted: Sequence[str]) -> str:
    """The client's IP address, by the ``X-Forwarded-For`` headers of a request; "" if they tell none.

    Only what the nearest proxy has added, at the very end, is not up to the client.
    """
    last = ",".join(noted).rpartition(",")[2].strip()
    if last.startswith("["):
        last = last[1:].partition("]")[0]
    elif last.count(":") == 1:
        last = last.partition(":")[0]
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return ""


def network(address: str) -> str:
    """What counts as one network address: of IPv6 what one customer gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)
