"""What the messages of a timeline stand on, kept so that what is exported of it can be replayed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from tui.arrivals import Arrival

_PRUNED_EVERY = 512  # things kept between two looks at what is needed no more


class Grounds:
    """The announce that counts and the latest word on its keys of every peer, and the requests of the tasks listed."""

    def __init__(self) -> None:
        self._peers: dict[str, dict[str, Arrival]] = {}  # did -> message type -> arrival
        self._requests: dict[str, Arrival] = {}
        self._added = 0

    def keep(self, message: Message, arrival: Arrival, mesh: Mesh, listed: Collection[str]) -> None:
        """``message`` was folded; ``listed`` are the tasks that are shown."""
        family = message.type.partition(".")[0]
        if message.type == "task.request":
            self._requests[message.id] = arrival
        elif family == "identity" or mesh.peers[message.sender].announce is message:
            self._peers.setdefault(message.sender, {})[message.type] = arrival
        else:
            return
        self._added += 1
        if self._added >= _PRUNED_EVERY:
            self._added = 0
            self._peers = {did: kept for did, kept in self._peers.items() if did in mesh.peers}
            # A request of just now is not listed before the next look.
            late = dict.fromkeys(list(self._requests)[-_PRUNED_EVERY:])
            self._requests = {task: kept for task, kept in self._requests.items() if task in listed or task in late}

    def arrivals(self) -> Iterator[Arrival]:
        """All of it, in no order."""
        for kept in self._peers.values():
            yield from kept.values()
        yield from self._requests.values()
