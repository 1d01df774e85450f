"""What an agent's transport delivered, as what comes out of a source."""

from __future__ import annotations

from bots.transports import Delivery
from tui.arrivals import Arrival


def arrival(delivery: Delivery) -> Arrival:
    return Arrival(
        transport=delivery.transport,
        plane=delivery.plane,
        room=delivery.room,
        sender=delivery.sender,
        event_id=delivery.event_id,
        event=delivery.event,
        received_ms=delivery.received_ms,
    )
