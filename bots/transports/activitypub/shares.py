"""How many are at something at a time, in all and of each, so that nobody takes all the places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Full(Exception):
    """There is no place now."""


class Shares:
    """``most`` places, and ``of_one`` for each name."""

    def __init__(self, most: int, of_one: int) -> None:
        self._most = most
        self._of_one = of_one
        self._names: Counter[str] = Counter()
        self.taken = 0

    @contextmanager
    def place(self, *names: str) -> Iterator[None]:
        """Take a place, which counts for each of these. Raises Full."""
        if self.taken >= self._most or any(self._names[name] >= self._of_one for name in names):
            raise Full
        self.taken += 1
        self._names.update(names)
        try:
            yield
        finally:
            self.taken -= 1
            self._names.subtract(names)
            for name in names:
                if not self._names[name]:
                    del self._names[name]
