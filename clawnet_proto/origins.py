"""Which addresses delivered the messages of late (spec/10-fold.md, FOLD-3)."""

from __future__ import annotations

from functools import lru_cache

# What is shared by copies is never changed; a copy costs what is in the newest layer.
_LAYERS = 8


@lru_cache(maxsize=1024)
def _alone(address: str) -> tuple[str, ...]:
    """Most messages are delivered by one address, and most addresses deliver many: one object for all of them."""
    return (address,)


class Origins:
    """Addresses by message id, of up to ``most`` ids, those that came last; an id nobody delivered has none."""

    def __init__(self, most: int) -> None:
        self._depth = max(1, most // _LAYERS)
        self._layers = most // self._depth
        self._newest: dict[str, tuple[str, ...]] = {}
        self._full: tuple[dict[str, tuple[str, ...]], ...] = ()  # the newest first

    def __len__(self) -> int:
        return len(self._newest) + sum(map(len, self._full))

    def get(self, message_id: str) -> tuple[str, ...]:
        found = self._newest.get(message_id)
        if found is None:
            for layer in self._full:
                found = layer.get(message_id)
                if found is not None:
                    return found
            return ()
        return found

    def add(self, message_id: str, address: str) -> None:
        known = self.get(message_id)
        if address not in known:
            self._set(message_id, (*known, address) if known else _alone(address))

    def forget(self, message_id: str) -> None:
        """As if nobody had delivered it."""
        self._set(message_id, ())

    def _set(self, message_id: str, addresses: tuple[str, ...]) -> None:
        if len(self._newest) >= self._depth:
            self._full = (self._newest, *self._full)[: self._layers - 1]
            self._newest = {}
        self._newest[message_id] = addresses

    def copy(self) -> Origins:
        """An independent copy."""
        other = Origins.__new__(Origins)
        other._depth, other._layers = self._depth, self._layers
        other._newest, other._full = self._newest.copy(), self._full
        return other
