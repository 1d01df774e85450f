"""Messages that wait for their cause: a request, or the rotation that proves a key (spec/10-fold.md, FOLD-7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message


class Waiting:
    """Copies of messages by what they wait for, each with the address that delivered it.

    At most ``most`` in all: beyond, of the address with most of them those of the cause that was waited for first are
    forgotten, and ``forgotten`` is called with each message's id. At most ``most_by_address`` by one address: beyond,
    ``state.full``.
    """

    def __init__(self, most: int, most_by_address: int, forgotten: Callable[[str], object]) -> None:
        self._most = most
        self._most_by_address = most_by_address
        self._forgotten = forgotten
        self._causes: dict[str, dict[tuple[str, str], Message]] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_address.total()

    def add(self, cause: str, message: Message, address: str) -> None:
        """Keep a copy. Raises RemoteProtocolError ``state.full``."""
        place = (message.id, address)
        if place in self._causes.get(cause, {}):
            return
        if self._by_address[address] >= self._most_by_address:
            raise RemoteProtocolError("state.full", "messages of one address that wait")
        if len(self) >= self._most:
            self._forget()
        self._causes.setdefault(cause, {})[place] = message
        self._by_address[address] += 1

    def _forget(self) -> None:
        loud = max(self._by_address, key=lambda address: (self._by_address[address], address))
        waits = ((cause, waiting) for cause, waiting in self._causes.items() if any(by == loud for _, by in waiting))
        cause, waiting = next(waits)
        for place in [place for place in waiting if place[1] == loud]:
            self._forgotten(waiting.pop(place).id)
            self._leave(loud)
        if not waiting:
            del self._causes[cause]

    def release(self, cause: str) -> list[tuple[Message, str]]:
        """What waited for this, with the address that delivered it; it waits no longer."""
        waited = self._causes.pop(cause, {})
        for _, address in waited:
            self._leave(address)
        return [(message, address) for (_, address), message in waited.items()]

    def _leave(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def copy(self, forgotten: Callable[[str], object]) -> Waiting:
        """An independent copy, with a ``forgotten`` of its own."""
        other = Waiting(self._most, self._most_by_address, forgotten)
        other._causes = {cause: waiting.copy() for cause, waiting in self._causes.items()}
        other._by_address = self._by_address.copy()
        return other
