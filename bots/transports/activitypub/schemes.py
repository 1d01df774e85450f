"""The headers that sign a request of ours by either scheme, and which of them a server took (AP-20: double-knock)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal, Protocol

from bots.transports.activitypub import cavage, rfc9421
from bots.transports.activitypub.keys import ActorKeys

Scheme = Literal["cavage", "rfc9421"]
SCHEMES: Final[tuple[Scheme, ...]] = ("cavage", "rfc9421")  # the one to begin with stands first
_ORIGINS_MOST: Final = 1024


def headers(
    scheme: Scheme, keys: ActorKeys, key_id: str, method: str, url: str, body: bytes, now_s: int
) -> dict[str, str]:
    """All headers that a signature needs, ``Host`` among them. ``url`` is canonical; ``b""`` is no body."""
    sign = cavage.sign if scheme == "cavage" else rfc9421.sign
    return sign(keys, key_id, method, url, body, now_s)


class Memory(Protocol):
    """What remembers, by origin (``https://example.org``), which scheme worked."""

    def scheme(self, origin: str) -> Scheme:
        """The scheme to begin with."""

    def worked(self, origin: str, scheme: Scheme) -> None:
        """A server took a request signed so."""


class Recent:
    """A ``Memory`` of this run, of the servers met most recently."""

    def __init__(self) -> None:
        self._schemes: OrderedDict[str, Scheme] = OrderedDict()

    def scheme(self, origin: str) -> Scheme:
        return self._schemes.get(origin, SCHEMES[0])

    def worked(self, origin: str, scheme: Scheme) -> None:
        self._schemes[origin] = scheme
        self._schemes.move_to_end(origin)
        if len(self._schemes) > _ORIGINS_MOST:
            self._schemes.popitem(last=False)
