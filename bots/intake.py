"""From raw events to what may be acted upon: verify, fold, and only then tell (spec/05-signatures.md, spec/10-fold.md).

A whole batch is folded before anybody acts on any of it. What is refused is logged once and never stops
the rest.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from bots.behaviours import Question, Received
from bots.events import AnyEvent, MessageSeen
from bots.rendering import line
from bots.transports import Delivery, Transport
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.freshness import check_addressing, check_time
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import present

log = logging.getLogger(__name__)

_REMEMBERED = 65536
_DEFERRED = 256


class Intake:
    """The one way in. ``mesh`` gives the fold of a room; ``now_ms`` is the wall clock."""

    def __init__(
        self,
        me: str,
        transport: Transport,
        mesh: Callable[[str], Mesh],
        now_ms: Callable[[], int],
        notify: Callable[[AnyEvent], None],
        opened: Callable[[str, str], None],
    ) -> None:
        self._me = me
        self._transport = transport
        self._mesh = mesh
        self._now_ms = now_ms
        self._notify = notify
        self._opened = opened
        self._acted: OrderedDict[str, None] = OrderedDict()
        self._told: OrderedDict[str, str] = OrderedDict()
        self._deferred: OrderedDict[str, tuple[Delivery, Message]] = OrderedDict()
        self.refused = 0

    def refold(self, deliveries: Iterable[Delivery]) -> None:
        """Fold what an earlier run has handled: nobody acts on it again."""
        for delivery in deliveries:
            for message in self._messages(delivery, quiet=True):
                self._remember(message.id)

    def fold(self, deliveries: Iterable[Delivery]) -> list[Received | Question]:
        """Fold a batch and return what may be acted upon, in order of arrival."""
        items: list[Question | tuple[Delivery, Message]] = []
        for delivery in deliveries:
            items.extend((delivery, message) for message in self._messages(delivery, quiet=False))
            words = self._transport.person_text(delivery) if delivery.live else None
            if words is not None:
                items.append(
                    Question(
                        room=delivery.room,
                        address=delivery.sender,
                        event_id=delivery.event_id,
                        words=words,
                        received_ms=delivery.received_ms,
                    )
                )
        found: list[Received | Question] = []
        for item in [*self._released(), *items]:
            actionable = item if isinstance(item, Question) else self._actionable(*item)
            if actionable is not None:
                found.append(actionable)
        return found

    def _messages(self, delivery: Delivery, *, quiet: bool) -> list[Message]:
        """The messages of one raw event that were folded."""
        folded = []
        for index, carrier in enumerate(self._transport.carriers(delivery)):
            try:
                message = verify(msgspec.json.encode(carrier))
                self._fold_one(message, delivery)
            except (RemoteProtocolError, msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
                if not quiet:
                    self._refuse(delivery, index, error)
                continue
            except Exception:
                # A fault of ours must not let one message stop all others, now and at every restart.
                log.exception("carrier %d of %s from %s", index, delivery.event_id, delivery.sender)
                continue
            folded.append(message)
            if delivery.plane == "room" and message.type == "task.request":
                self._opened(message.id, self._transport.thread_root(delivery))
        return folded

    def _fold_one(self, message: Message, delivery: Delivery) -> None:
        try:
            check_addressing(message, me=self._me, room=delivery.room, plane=delivery.plane)
        except RemoteProtocolError as error:
            # In a room everybody folds what is addressed to others; directly it has no business here.
            if error.disposition != "ignored" or delivery.plane == "direct":
                raise
        try:
            check_time(message, self._now_ms())
        except RemoteProtocolError as error:
            if error.disposition == "refused":
                raise
            if error.code == "time.expired" and TYPES[message.type].expired == "ignored":
                raise
        self._mesh(message.envelope.room).add(message, delivery.sender)

    def _refuse(self, delivery: Delivery, index: int, error: Exception) -> None:
        code = error.code if isinstance(error, RemoteProtocolError) else "carrier.malformed"
        self.refused += 1
        log.warning(
            "carrier %d of %s from %s refused: %s", index, delivery.event_id or "a direct event", delivery.sender, error
        )
        self._notify(
            MessageSeen(
                at_ms=delivery.received_ms,
                verdict="invalid",
                code=code,
                plane=delivery.plane,
                room=delivery.room,
                address=delivery.sender,
                line=str(error),
                live=delivery.live,
            )
        )

    def _actionable(self, delivery: Delivery, message: Message) -> Received | None:
        """The message as something to act upon, or None; everybody who watches is told either way."""
        mesh = self._mesh(message.envelope.room)
        binding = mesh.binding(message)
        code = self._hindrance(message, delivery)
        if binding == "relayed":
            code = code or "binding.relayed"
        # What we posted ourselves was told when it was posted, a copy when the first one came.
        if message.sender != self._me and self._told.get(message.id) != binding:
            self._told[message.id] = binding
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            self._notify(
                seen(message, mesh, verdict=binding, code=code, address=delivery.sender, plane=delivery.plane,
                     at_ms=delivery.received_ms, live=delivery.live)
            )  # fmt: skip
        # A relayed copy never uses up the original's place: only what may be acted upon is remembered.
        if code or not delivery.live or message.id in self._acted:
            return None
        if binding == "unbound" and TYPES[message.type].unbound == "deferred":
            self._defer(delivery, message)
            return None
        self._remember(message.id)
        return Received(
            message=message,
            plane=delivery.plane,
            address=delivery.sender,
            event_id=delivery.event_id,
            binding=binding,
        )

    def _hindrance(self, message: Message, delivery: Delivery) -> str:
        """Why nobody here may act on a folded message, "" if somebody may."""
        try:
            check_addressing(message, me=self._me, room=delivery.room, plane=delivery.plane)
            check_time(message, self._now_ms())
        except RemoteProtocolError as error:
            return error.code
        return ""

    def _defer(self, delivery: Delivery, message: Message) -> None:
        """Keep a message until its sender has announced the address it came from."""
        self._deferred[message.id] = (delivery, message)
        if len(self._deferred) > _DEFERRED:
            self._deferred.popitem(last=False)

    def _released(self) -> list[tuple[Delivery, Message]]:
        """Deferred messages whose sender is known by now."""
        known = [
            message.id
            for _, message in self._deferred.values()
            if self._mesh(message.envelope.room).binding(message) != "unbound"
        ]
        return [self._deferred.pop(message_id) for message_id in known]

    def _remember(self, message_id: str) -> None:
        self._acted[message_id] = None
        if len(self._acted) > _REMEMBERED:
            self._acted.popitem(last=False)


def seen(
    message: Message, mesh: Mesh, *, verdict: Any, plane: str, address: str, at_ms: int, **extra: Any
) -> MessageSeen:
    """A message as watchers are told of it."""
    return MessageSeen(
        at_ms=at_ms,
        verdict=verdict,
        id=message.id,
        type=message.type,
        sender=message.sender,
        name=mesh.name_of(message.sender),
        plane=plane,
        room=message.envelope.room,
        address=address,
        thread=str(present(message.envelope.thread, "")),
        line=line(message, mesh.name_of),
        sent_ms=message.envelope.sent_ms,
        **extra,
    )
