"""Bytes read as a series of choices, so that a fuzzer's mutations become other conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Each choice takes one byte; when they are used up, the first option is taken."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Some are left."""
        return self._at < len(self._data)

    def below(self, bound: int) -> int:
        """A number in range(bound), which is at most 256."""
        self._at += 1
        return self._data[self._at - 1] % bound if self._at <= len(self._data) else 0

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def rarely(self) -> bool:
        """For one byte of sixteen."""
        return self.below(16) == 15

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items, in an order that the bytes choose."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in items]
