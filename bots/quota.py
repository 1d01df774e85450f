"""Quotas: how much one address, one homeserver and all strangers together may ask of us in a minute.

Keys are free and addresses nearly so: everyone the owner does not list shares one pool.
"""

from __future__ import annotations

from collections import OrderedDict

from bots.config import LimitsSection

_MINUTE_MS = 60_000
_REMEMBERED = 4096


class Bucket:
    """A token bucket: ``capacity`` a minute, full at first."""

    __slots__ = ("at_ms", "capacity", "level")

    def __init__(self, capacity: int, now_ms: int) -> None:
        self.capacity = capacity
        self.level = float(capacity)
        self.at_ms = now_ms

    def take(self, amount: int, now_ms: int) -> bool:
        """Take ``amount`` if it is there."""
        self.level = min(self.capacity, self.level + self.capacity * max(0, now_ms - self.at_ms) / _MINUTE_MS)
        self.at_ms = now_ms
        if self.level < amount:
            return False
        self.level -= amount
        return True

    def give_back(self, amount: int) -> None:
        """Return what was taken and not used."""
        self.level = min(self.capacity, self.level + amount)


class Buckets:
    """A bucket for each of those who came last, so that nobody uses up what is there for others."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, key: str, now_ms: int) -> Bucket:
        """The bucket of a key; ``capacity`` a minute."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._capacity, now_ms)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket

    def take(self, key: str, amount: int, now_ms: int) -> bool:
        """Take ``amount`` from the bucket of a key if it is there."""
        return self.of(key, now_ms).take(amount, now_ms)


def homeserver_of(address: str) -> str:
    """The server part of an address URI: of a Matrix user its homeserver, of a URL its host, with the scheme."""
    if address.startswith("matrix:u/"):
        return address.partition(":")[2].partition(":")[2]
    return "/".join(address.split("/", 3)[:3]) if address.startswith(("https://", "http://")) else address


def is_listed(address: str, listed: tuple[str, ...]) -> bool:
    """Whether the owner lists an address, as ``@user:server``, as its URI, or by its server."""
    if "/peers/did:" in address:
        return address in listed  # anybody makes keys at a hub
    user, server = "@" + address.removeprefix("matrix:u/"), homeserver_of(address)
    return any(item in (address, user, server, server.rpartition("/")[2]) for item in listed)


class Quotas:
    """Counts tasks and tokens; ``admit`` says yes and charges, or names the quota that is used up."""

    def __init__(self, limits: LimitsSection, now_ms: int) -> None:
        self._limits = limits
        self._tokens = Bucket(limits.tokens_per_minute, now_ms)
        self._strangers = Bucket(limits.tasks_per_minute_strangers, now_ms)
        # Where the owner lists friends, strangers leave half of everything to them.
        share = limits.tokens_per_minute // 2 if limits.listed else limits.tokens_per_minute
        self._strangers_tokens = Bucket(share, now_ms)
        self._addresses = Buckets(limits.tasks_per_minute_address)
        self._homeservers = Buckets(limits.tasks_per_minute_homeserver)

    def admit(self, address: str, tokens: int, now_ms: int) -> str:
        """ "" and the charge is made, or the quota that refuses and nothing is charged."""
        charges = [
            ("address", self._addresses.of(address, now_ms), 1),
            ("homeserver", self._homeservers.of(homeserver_of(address), now_ms), 1),
            ("tokens_per_minute", self._tokens, tokens),
        ]
        if not is_listed(address, self._limits.listed):
            charges[:0] = [("strangers", self._strangers, 1), ("strangers", self._strangers_tokens, tokens)]
        taken: list[tuple[Bucket, int]] = []
        for name, bucket, amount in charges:
            if not bucket.take(amount, now_ms):
                for earlier, earlier_amount in taken:
                    earlier.give_back(earlier_amount)
                return name
            taken.append((bucket, amount))
        return ""

    def unused(self, address: str, tokens: int) -> None:
        """Tokens that were reserved for an address and not generated."""
        self._tokens.give_back(tokens)
        if not is_listed(address, self._limits.listed):
            self._strangers_tokens.give_back(tokens)
