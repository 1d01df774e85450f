"""Whose tasks make room for others (spec/10-fold.md, FOLD-9): those of the account that asked for most."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from clawnet_proto.lowest import Lowest

Age = tuple[int, str]  # when its request was sent, and its id


class Shares:
    """The tasks of a room by the account that delivered their requests, and the bytes of each."""

    def __init__(self) -> None:
        self.bytes = 0  # of all tasks
        self._sizes: dict[str, int] = {}  # by task
        self._carriers: dict[str, tuple[str, ...]] = {}  # by task, the accounts that delivered its request
        self._ages: dict[str, list[Age]] = {}  # by account, a heap: its oldest task first
        self._held: dict[str, int] = {}  # by account, bytes
        self._most = Lowest(lambda account: (-len(self._ages[account]), self._ages[account][0]))
        self._largest = Lowest(lambda account: (-self._held[account], self._ages[account][0]))

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, account: str, age: Age, size: int) -> None:
        """A task that is not there yet."""
        task = age[1]
        self._carriers[task] = (account,)
        self._sizes[task] = 0
        heappush(self._ages.setdefault(account, []), age)
        self._held.setdefault(account, 0)
        self._most.lowered(account)
        self.grow(task, size)

    def deliver(self, task: str, account: str) -> None:
        """One more account delivered a request, perhaps of a task that is here."""
        known = self._carriers.get(task)
        if known is not None and account not in known:
            self._carriers[task] = (*known, account)

    def carriers(self, task: str) -> tuple[str, ...]:
        """Who delivered the request of a task, the first one first; () for a task that is not here."""
        return self._carriers.get(task, ())

    def grow(self, task: str, size: int) -> None:
        """A task has so many bytes more, or less."""
        account = self._carriers[task][0]
        self._sizes[task] += size
        self._held[account] += size
        self.bytes += size
        self._largest.lowered(account)

    def overflow(self, tasks: int, size: int) -> Iterator[str]:
        """Give up tasks, until no more than so many of no more than so many bytes are left."""
        while len(self) > tasks:
            yield self._give_up(self._most.of(self._ages))
        while self.bytes > size and self._sizes:
            yield self._give_up(self._largest.of(self._ages))

    def _give_up(self, account: str) -> str:
        """The oldest task of an account."""
        ages = self._ages[account]
        _, task = heappop(ages)
        size = self._sizes.pop(task)
        del self._carriers[task]
        self._held[account] -= size
        self.bytes -= size
        if not ages:
            del self._ages[account], self._held[account]
        return task

    def copy(self) -> Shares:
        """An independent copy."""
        other = Shares()
        other.bytes = self.bytes
        other._sizes, other._carriers = self._sizes.copy(), self._carriers.copy()
        other._ages = {account: ages.copy() for account, ages in self._ages.items()}
        other._held = self._held.copy()
        return other
