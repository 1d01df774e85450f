"""Which nodes there may be, and where: bounded, whoever says so (spec/bindings/lan.md, LAN-4 and LAN-15)."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

NODES_MOST: Final = 256
_COUNTS_S: Final = 3600.0  # how long who was read is kept against who has proven nothing (LAN-15)
ENDPOINTS_MOST: Final = 4  # of a node, that records tell
CALLERS_MOST: Final = 8  # hosts that asked us in the name of one node
NODES_OF_ADDRESS: Final = 16  # that are read, and kept, at a time: keys are free, addresses less so


class Endpoint(msgspec.Struct, frozen=True):
    """Where a node may be."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


class Node(msgspec.Struct, eq=False):
    """One identity that may be here. ``endpoints`` are what records say; where it has proven itself is the first."""

    did: str
    endpoints: list[Endpoint] = []
    callers: dict[str, Endpoint] = {}  # by host: where it, or somebody in its name, asked us from
    proven: Endpoint | None = None  # where it has shown last that it is who it says
    tried: bool = False
    called: bool = False  # it has asked us: more than a record, which anybody can send from anywhere
    here: bool = False  # it is read now
    seen_s: float = float("-inf")  # when it was read last, by the loop's clock

    def add(self, endpoint: Endpoint) -> bool:
        """Try this one, too; the oldest that has shown nothing makes place. Returns whether that is new."""
        if endpoint in self.endpoints:
            return False
        if len(self.endpoints) >= ENDPOINTS_MOST:
            self.endpoints.remove(next(one for one in self.endpoints if one != self.proven))
        self.endpoints.append(endpoint)
        return True

    def call(self, endpoint: Endpoint) -> bool:
        """It asked us from there: of each host the last place counts. Returns whether that is new."""
        fresh = self.callers.get(endpoint.address) != endpoint
        self.callers[endpoint.address] = endpoint  # where it was in the order, so that each host has its turn
        if len(self.callers) > CALLERS_MOST:
            del self.callers[next(iter(self.callers))]
        return fresh

    def places(self) -> Iterator[Endpoint]:
        """Where to look for it, as that changes meanwhile: where it was last, who asked us, each host once, records."""
        told: list[Endpoint] = []
        hosts: set[str] = set()
        if self.proven is not None:
            told.append(self.proven)
            yield self.proven
        while len(told) <= ENDPOINTS_MOST + CALLERS_MOST:
            host = next((host for host in self.callers if host not in hosts), "")
            hosts.add(host)
            waiting = [self.callers[host]] if host else [one for one in self.endpoints if one not in told][:1]
            if not waiting:
                return
            if waiting[0] not in told:
                told.append(waiting[0])
                yield waiting[0]

    def shown(self, endpoint: Endpoint) -> None:
        """It has proven there who it is: the first place to look from now on."""
        self.proven = endpoint
        if endpoint in self.endpoints:
            self.endpoints.remove(endpoint)
        self.endpoints.insert(0, endpoint)
        del self.endpoints[ENDPOINTS_MOST:]


class Candidates:
    """All of them. Who is read now, or was within the last hour, is not pushed out by who has proven nothing yet."""

    def __init__(
        self, chance: Callable[[], float] = random.random, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._chance = chance
        self._now_s = now_s
        self._nodes: dict[str, Node] = {}

    def get(self, did: str) -> Node | None:
        return self._nodes.get(did)

    def read_at(self, address: str, but: Node) -> int:
        """How many other nodes are read at an address."""
        others = (node for node in self._nodes.values() if node.here and node is not but)
        return sum(node.proven is not None and node.proven.address == address for node in others)

    def shown(self, node: Node, endpoint: Endpoint) -> None:
        """It has proven there who it is. Of those that were there before only the last ones are kept."""
        node.shown(endpoint)
        before = [
            one
            for one in self._nodes.values()
            if one is not node and not one.here and one.proven is not None and one.proven.address == endpoint.address
        ]
        for one in sorted(before, key=lambda one: one.seen_s)[:-NODES_OF_ADDRESS]:
            one.seen_s = float("-inf")

    def space(self, did: str) -> tuple[Node | None, str]:
        """The node for this identity, None if there is no space; and the identity that made place, "" if none did."""
        if (known := self._nodes.get(did)) is not None:
            return known, ""
        gone = ""
        if len(self._nodes) >= NODES_MOST:
            forgotten_s = self._now_s() - _COUNTS_S
            away = [node for node in self._nodes.values() if not node.here and node.seen_s < forgotten_s]
            if not away:
                return None, ""
            crowd = Counter(map(_host, self._nodes.values()))
            gone = min(away, key=lambda node: self._worth(node, crowd[_host(node)])).did
            del self._nodes[gone]
        node = self._nodes[did] = Node(did)
        return node, gone

    def called(self, node: Node, endpoint: Endpoint) -> bool:
        """It asked us from there, or somebody did in its name; returns whether that is new.

        Of one host only so many wait with that advantage; any more are as good as records.
        """
        others = (one for one in self._nodes.values() if one is not node and not one.tried)
        if sum(endpoint.address in one.callers for one in others) >= NODES_OF_ADDRESS:
            return node.add(endpoint)
        node.called, node.tried = True, False
        return node.call(endpoint)

    def _worth(self, node: Node, crowd: int) -> tuple[bool, bool, bool, int, float]:
        """Least for who had his chance in vain; among those that showed nothing for who is where most are said to be.

        Among these it goes by lot, which nobody can arrange.
        """
        if node.proven is not None:
            return True, not node.tried, node.called, 0, node.seen_s
        return False, not node.tried, node.called, -crowd, self._chance()


def _host(node: Node) -> str:
    """Where a node is said to be, if it has shown nothing."""
    return node.endpoints[0].address if node.endpoints and node.proven is None else ""
