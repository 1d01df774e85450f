"""What an agent does, as records: ids, places and words for machines are taken over, what anybody wrote is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bots.audit.records import Received, Signed, Spoke
from bots.behaviours import Received as Taken
from bots.outbox import Entry as Words
from clawnet_proto.families import task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import UNSET, present

_REFERENCE = 300

# What a body says of why, or of how it went: never more than a word, an id or a digest.
_DETAILS: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    task.Request: lambda body: {
        "stage": ",".join(stage.id for stage in body.stages),
        "behalf": "" if body.on_behalf_of is UNSET else _reference(body.on_behalf_of.event),
    },
    task.Offer: lambda body: {"stage": ",".join(offer.stage for offer in body.stages)},
    task.Result: lambda body: {"digest": body.output_digest},
    task.Fail: lambda body: {"rule": body.code},
    task.Close: lambda body: {"rule": present(body.code, body.outcome)},
}


def signed(message: Message, at_ms: int) -> Signed:
    """A message of ours."""
    envelope = message.envelope
    return Signed(
        at_ms=at_ms,
        id=message.id,
        type=message.type,
        room=envelope.room,
        to=present(envelope.recipients, ()),
        answers=present(envelope.answers, ""),
        task=thread_of(message),
        **_place(message.body),
    )


def received(taken: Taken, at_ms: int) -> Received:
    """A message of somebody else that we take up."""
    message = taken.message
    place = _place(message.body)
    place.pop("behalf", None)
    return Received(
        at_ms=at_ms,
        id=message.id,
        type=message.type,
        sender=message.sender,
        room=message.envelope.room,
        answers=present(message.envelope.answers, ""),
        task=thread_of(message),
        **place,
    )


def spoke(words: Words, at_ms: int) -> Spoke:
    """Plain words of ours."""
    text = words.line.encode("utf-8", "surrogatepass")
    return Spoke(at_ms=at_ms, room=_reference(words.room), root=_reference(words.root), digest=digest(text))


def thread_of(message: Message) -> str:
    """The task that a message is about, "" for one that is about none."""
    if TYPES[message.type].family != "task":
        return ""
    return present(message.envelope.thread, message.id)


def _place(body: Any) -> dict[str, Any]:
    detail = _DETAILS.get(type(body))
    place = {} if detail is None else detail(body)
    if "stage" not in place and hasattr(body, "stage") and isinstance(body.stage, str):
        place["stage"], place["attempt"] = body.stage, body.attempt
    return place


def _reference(text: str) -> str:
    """An id that a homeserver made, in printable measure."""
    return text[:_REFERENCE].encode("utf-8", "replace").decode()
