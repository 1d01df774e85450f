"""What a light agent remembers: in memory, for it never starts again."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext


class _NothingQueued:
    """A light agent's words are under way as soon as they are said."""

    def forget_others(self, transports: Collection[str], now_ms: int) -> None: ...


class MemoryStore:
    """The part of ``bots.store.Store`` that behaviours use. Nothing is ever taken back: they are not made to fail."""

    outgoing = _NothingQueued()
    durable = False

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}
        self._roots: dict[tuple[str, str], str] = {}

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        return nullcontext()

    def fact(self, key: str) -> str | None:
        return self._facts.get(key)

    def facts(self, prefix: str) -> dict[str, str]:
        return {key: value for key, value in self._facts.items() if key.startswith(prefix)}

    def set_fact(self, key: str, value: str) -> None:
        self._facts[key] = value

    def forget_fact(self, key: str) -> None:
        self._facts.pop(key, None)

    def thread_root(self, transport: str, conversation: str) -> str | None:
        return self._roots.get((transport, conversation))

    def set_thread_root(self, transport: str, conversation: str, root: str) -> None:
        self._roots[transport, conversation] = root
