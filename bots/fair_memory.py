"""What is kept, bounded: whoever brings most makes room, so that nobody makes us forget what others brought."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from clawnet_proto.lowest import Lowest

K = TypeVar("K", int, str)

_NO_BOUND = 1 << 62


class FairMemory(Generic[K]):
    """Keys by whom they are of: at most ``most`` in all, and ``most_bytes``.

    Beyond, the oldest of whoever has most keys, or bytes, is forgotten; of several, of whoever was here first: names
    are chosen by those who bear them.
    """

    def __init__(self, most: int, most_bytes: int = _NO_BOUND) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._owners: dict[K, str] = {}
        self._keys: dict[str, dict[K, int]] = {}  # by owner, the oldest first, each with its bytes
        self._held: dict[str, int] = {}  # by owner, bytes
        self._came: dict[str, int] = {}  # by owner, the number of the key that made it one
        self._bytes = 0
        self._added = 0
        self._loudest = Lowest(lambda owner: (-len(self._keys[owner]), self._came[owner]))
        self._largest = Lowest(lambda owner: (-self._held[owner], self._came[owner]))

    def __contains__(self, key: K) -> bool:
        return key in self._owners

    def __len__(self) -> int:
        return len(self._owners)

    def add(self, key: K, owner: str, size: int = 0) -> list[K]:
        """Remember a key of somebody's, if it is new. Returns what is forgotten for it."""
        if key in self._owners:
            return []
        self._owners[key] = owner
        self._added += 1
        self._came.setdefault(owner, self._added)
        self._keys.setdefault(owner, {})[key] = size
        self._held[owner] = self._held.get(owner, 0) + size
        self._bytes += size
        self._loudest.lowered(owner)
        self._largest.lowered(owner)
        forgotten = []
        while len(self._owners) > self._most or self._bytes > self._most_bytes:
            crowded = self._loudest if len(self._owners) > self._most else self._largest
            forgotten.append(next(iter(self._keys[crowded.of(self._keys)])))
            self.discard(forgotten[-1])
        return forgotten

    def discard(self, key: K) -> tuple[str, int]:
        """Forget a key. Returns whose it was, and its bytes; ("", 0) if it is not there."""
        owner = self._owners.pop(key, "")
        keys = self._keys.get(owner)
        if keys is None:
            return "", 0
        size = keys.pop(key)
        self._bytes -= size
        self._held[owner] -= size
        if not keys:
            del self._keys[owner], self._held[owner], self._came[owner]
        return owner, size

    def in_turn(self, most: int, most_bytes: int, wanted: Callable[[str], bool] = lambda _: True) -> list[K]:
        """At most so many keys of no more than so many bytes, at least one if there is one.

        The oldest of each owner that is ``wanted``, whoever has waited longest first, then the next oldest of each.
        """
        taken: list[K] = []
        chosen = [keys for owner, keys in self._keys.items() if wanted(owner)]
        waiting = deque(iter(keys.items()) for keys in sorted(chosen, key=lambda keys: next(iter(keys))))
        while waiting and len(taken) < most:
            queue = waiting.popleft()
            for key, size in queue:
                most_bytes -= size
                if taken and most_bytes < 0:
                    return taken
                taken.append(key)
                waiting.append(queue)
                break
        return taken
