"""Signed messages as the raw Matrix events that bring them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec

from clawnet_proto.message import Message
from clawnet_proto.wire import Record
from tests.proto.authoring import NOW_MS, ROOM, Author
from tui.arrivals import Arrival
from tui.checking import check
from tui.model import Model

_count = itertools.count(1)


def arrival(
    *carriers: bytes, sender: str, at_ms: int = NOW_MS, plane: str = "room", body: str = "", room: str = ROOM
) -> Arrival:
    """One event with these carriers; with none, a person's words ``body``."""
    content: dict[str, Any] = {"msgtype": "m.text" if not carriers else "m.notice", "body": body}
    if carriers:
        content["net.clawnet.carriers"] = [json.loads(carrier) for carrier in carriers]
    kind = "m.room.message" if plane == "room" else "net.clawnet.direct"
    return Arrival(
        transport="matrix", plane=plane, room=room if plane == "room" else "", sender=sender,  # type: ignore[arg-type]
        event_id=f"$e{next(_count)}", event=json.dumps({"type": kind, "content": content}), received_ms=at_ms,
    )  # fmt: skip


def said(
    author: Author, body: Record, *, at_ms: int = NOW_MS, plane: str = "room", room: str = ROOM, **fields: Any
) -> Arrival:
    """One message, sent from its author's own address."""
    carrier = author.carrier(body, sent_ms=at_ms, room=room, **fields)
    return arrival(carrier, sender=author.address, at_ms=at_ms, plane=plane, room=room)


def model_of(*arrivals: Arrival, me: str = "") -> Model:
    """A model that has folded all of them."""
    model = Model(me=me)
    for one in arrivals:
        model.fold(check(one))
    return model


def message_of(one: Arrival) -> Message:
    """The one message an arrival holds."""
    (outcome,) = check(one).outcomes
    assert isinstance(outcome, Message), outcome
    return outcome


def tampered(one: Arrival) -> Arrival:
    """The same event after somebody changed the first letter of what was signed."""
    event = json.loads(one.event)
    carrier = event["content"]["net.clawnet.carriers"][0]
    carrier["env"] = carrier["env"].replace('"sent_ms":1', '"sent_ms":2', 1)
    return msgspec.structs.replace(one, event=json.dumps(event))
