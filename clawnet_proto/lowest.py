"""Which of many keys has the lowest rank, while ranks change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Generic, TypeVar

R = TypeVar("R", bound=tuple[Any, ...])

_STALE = 64  # entries that no longer tell the truth, beside one for each key, before all are made anew


class Lowest(Generic[R]):
    """A heap that is made when somebody first asks; entries that became wrong are mended when they come up."""

    def __init__(self, rank: Callable[[str], R]) -> None:
        self._rank = rank
        self._heap: list[tuple[R, str]] | None = None
        self._most = 0  # entries of the heap

    def lowered(self, key: str) -> None:
        """This key is new, or its rank may be lower than it was. One that rose need not be told."""
        if self._heap is None:
            return
        heappush(self._heap, (self._rank(key), key))
        if len(self._heap) > self._most:
            self._heap = None  # nobody has asked for long

    def of(self, keys: Mapping[str, object]) -> str:
        """The key of lowest rank. ``keys`` are all there are, at least one."""
        heap = self._heap
        if heap is None or len(heap) > 2 * len(keys) + _STALE:
            heap = self._heap = [(self._rank(key), key) for key in keys]
            heapify(heap)
            self._most = 2 * len(keys) + _STALE
        while True:
            rank, key = heap[0]
            if key not in keys:
                heappop(heap)
            elif (now := self._rank(key)) != rank:
                heapreplace(heap, (now, key))
            else:
                return key
