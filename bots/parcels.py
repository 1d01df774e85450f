"""How a message of ours travels: as an entry of the outbox, with the line that people read."""

from __future__ import annotations

from collections.abc import Callable

from bots.behaviours import Posting
from bots.store import Entry
from clawnet_proto.families.presence import Address
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.rendering import full
from clawnet_proto.wire import present


class Parcels:
    """Makes entries. ``name`` is ours, as people read it; ``mesh`` gives the fold of a room."""

    def __init__(self, name: str, mesh: Callable[[str], Mesh]) -> None:
        self._name = name
        self._mesh = mesh

    def entry(self, message: Message, carrier: bytes, to: Address | None, posting: Posting) -> Entry:
        """The entry for a message: directly ``to`` an address, or into its room."""
        envelope = message.envelope
        thread = str(present(envelope.thread, ""))
        if to is not None:
            return Entry(
                plane="direct", address=to.uri, device=present(to.device, ""), carrier=carrier.decode(),
                conversation=thread, priority=posting.priority, expires_ms=envelope.expires_ms,
            )  # fmt: skip
        line = posting.line or f"{self._name}: {full(message, self._mesh(envelope.room).name_of)}"
        return Entry(
            plane="room", room=envelope.room, carrier=carrier.decode(), line=line,
            conversation=message.id if message.type == "task.request" else thread, root=posting.root,
            alone=message.type == "task.result", priority=posting.priority, mention=posting.mention,
            expires_ms=envelope.expires_ms,
        )  # fmt: skip
