"""One transport that carries the room, and the bridge's way into it."""

from __future__ import annotations

from bots.outbox import Entry, Outbox
from bots.transports import Delivery, Room, Transport
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean, full
from clawnet_proto.wire import present


class Side:
    """``place`` is what people on the other sides call this one, a host or a room's alias."""

    def __init__(self, transport: Transport, outbox: Outbox, room: str, place: str) -> None:
        self.transport = transport
        self.outbox = outbox
        self.place = clean(place, limit=100)
        self._room = room

    @property
    def name(self) -> str:
        return self.transport.name

    @property
    def address(self) -> str:
        return self.transport.address

    @property
    def online(self) -> bool:
        return self.transport.online

    @property
    def room(self) -> Room | None:
        """The room as the transport knows it now, None while it does not."""
        return next((room for room in self.transport.rooms() if room.uri == self._room), None)

    @property
    def ready(self) -> bool:
        """Whether all that was in the room when we came, or came back, has arrived."""
        return self.transport.online and self.room is not None

    def carriers(self, delivery: Delivery) -> list[object]:
        """The carriers of a raw event, unverified."""
        return self.transport.carriers(delivery)


def relayed(message: Message, carrier: str, mesh: Mesh, source: Side) -> Entry:
    """A message as it goes to another side: the carrier as it is, and a line that says where it was said."""
    envelope = message.envelope
    who = clean(mesh.name_of(message.sender), limit=64)
    return Entry(
        plane="room",
        room=envelope.room,
        carrier=carrier,
        line=f"{who} (relayed from {source.place}): {full(message, mesh.name_of)}",
        conversation=task_of(message),
        alone=message.type == "task.result",
        priority=1,
        expires_ms=envelope.expires_ms,
    )


def task_of(message: Message) -> str:
    """The id of the task that a message opens or belongs to, "" for none."""
    return message.id if message.type == "task.request" else str(present(message.envelope.thread, ""))
