"""From raw events to what may be acted upon: verify, fold, and only then tell (spec/05-signatures.md, spec/10-fold.md).

A whole batch is folded before anybody acts on any of it. What is refused is logged once and never stops
the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from bots.behaviours import Question, Received
from bots.clock import Clock
from bots.complaints import Complaints
from bots.events import AnyEvent, MessageSeen
from bots.fair_memory import FairMemory
from bots.identity import Identity
from bots.quota import Buckets
from bots.transports import Delivery
from bots.transports.together import Together
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.freshness import check_addressing, check_time
from clawnet_proto.mesh import Binding, Mesh
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean, line
from clawnet_proto.sealed_carrier import open_carrier
from clawnet_proto.specification import ERRORS, TYPES
from clawnet_proto.wire import present

log = logging.getLogger(__name__)

_REMEMBERED = 65536
_DEFERRED = 256
_THREADS_PER_MINUTE = 600  # of one address, whose places in the room are remembered


class _Deferred(msgspec.Struct):
    """A copy that may be acted upon later."""

    delivery: Delivery
    message: Message
    judged: int | None  # at which count of presence changes; None: what it lacks is no announce


class Intake:
    """The one way in.

    ``own`` is who we are, and what opens what is sealed to us; ``mesh`` gives the fold of a room.
    ``outsiders`` are the deliveries of the last batch that were refused because their sender is not
    joined to the room: nothing to remember, for after a restart nobody could tell that they were.
    """

    def __init__(
        self,
        own: Identity,
        transport: Together,
        mesh: Callable[[str], Mesh],
        clock: Clock,
        notify: Callable[[AnyEvent], None],
        opened: Callable[[str, str, str], None],
        heard: Callable[..., None],
    ) -> None:
        self._me = own.did
        self._seal_keys = (own.seal,)
        self._transport = transport
        self._mesh = mesh
        self._clock = clock
        self._notify = notify
        self._opened = opened
        self._heard = heard
        self._complaints = Complaints(log, clock.monotonic_ms)
        self._threads = Buckets(_THREADS_PER_MINUTE)
        self._acted = FairMemory[str](_REMEMBERED)
        self._told: dict[str, Binding] = {}
        self._told_of = FairMemory[str](_REMEMBERED)
        self._deferred: dict[str, _Deferred] = {}
        self._deferred_of = FairMemory[str](_DEFERRED)
        self._rooms: set[str] = set()  # those we took part in; nobody is a member of one that we left
        self.refused = 0
        self.outsiders: set[Delivery] = set()

    def refold(self, deliveries: Iterable[Delivery]) -> None:
        """Fold what an earlier run has handled: nobody acts on it again, and what waited waits on."""
        for delivery in deliveries:
            for message in self._messages(delivery, quiet=True):
                if delivery.live:
                    self._take_up(delivery, message)
        for delivery, message in self._released():
            self._take_up(delivery, message)

    def acted_upon(self, message: Message) -> bool:
        """Whether this message was acted upon, in this run or an earlier one."""
        return message.id in self._acted

    def fold(self, deliveries: Iterable[Delivery]) -> list[Received | Question]:
        """Fold a batch and return what may be acted upon, in order of arrival."""
        self.outsiders = set()
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
        foreign = not quiet and delivery.plane == "direct" and self._is_foreign(delivery.sender)
        for index, carrier in enumerate(self._transport.carriers(delivery)):
            try:
                if foreign:
                    self.outsiders.add(delivery)
                    raise RemoteProtocolError("binding.outsider")
                text = msgspec.json.encode(carrier)
                message = verify(open_carrier(text, self._seal_keys, self._me) if delivery.plane == "direct" else text)
                self._check(message, delivery)
                if not quiet:
                    self._check_membership(message, delivery)
                self._mesh(message.envelope.room).add(message, delivery.sender)
                self._heard(message, quiet=quiet)
            except (RemoteProtocolError, msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
                if not quiet:
                    self._refuse(delivery, index, error)
                continue
            except Exception:
                # A fault of ours must not let one message stop all others, now and at every restart.
                log.exception("carrier %d of %s from %s", index, delivery.event_id, delivery.sender)
                continue
            folded.append(message)
        if folded:
            self.outsiders.discard(delivery)
        return folded

    def _is_foreign(self, address: str) -> bool:
        """Whether an address shares no room with us: nothing it sends is worth opening."""
        # A room that is being replaced is shown no more, but those in it are no strangers.
        self._rooms |= {room.uri for room in self._transport.rooms()}
        return not any(self._transport.is_member(room, address) for room in self._rooms)

    def _check(self, message: Message, delivery: Delivery) -> None:
        """Whether it may be folded, by what it says itself. Raises RemoteProtocolError."""
        try:
            check_addressing(message, me=self._me, room=delivery.room, plane=delivery.plane)
        except RemoteProtocolError as error:
            # In a room everybody folds what is addressed to others; directly it has no business here.
            if error.disposition != "ignored" or delivery.plane == "direct":
                raise
        try:
            check_time(message, self._clock.now_ms())
        except RemoteProtocolError as error:
            if error.disposition == "refused":
                raise
            if error.code == "time.expired" and TYPES[message.type].expired == "ignored":
                raise

    def _check_membership(self, message: Message, delivery: Delivery) -> None:
        """Whether its sender has a say in the room now. Raises RemoteProtocolError.

        In the room's timeline the transport has seen to it already.
        """
        room = self._mesh(message.envelope.room).room
        if delivery.plane == "direct" and not self._transport.is_member(room, delivery.sender):
            self.outsiders.add(delivery)
            raise RemoteProtocolError("binding.outsider")

    def _refuse(self, delivery: Delivery, index: int, error: Exception) -> None:
        code = error.code if isinstance(error, RemoteProtocolError) else "carrier.malformed"
        reason = clean(str(error))
        self.refused += 1
        event = clean(delivery.event_id) or "a direct event"
        subject = {"event_id": delivery.event_id, "address": delivery.sender, "code": code}
        what = (index, event, delivery.sender, reason)
        self._complaints.say(
            logging.WARNING, delivery.sender, "carrier %d of %s from %s refused: %s", *what, extra=subject
        )
        self._notify(
            MessageSeen(
                at_ms=delivery.received_ms,
                verdict="invalid",
                code=code,
                plane=delivery.plane,
                room=delivery.room,
                address=delivery.sender,
                line=reason,
                live=delivery.live,
            )
        )

    def _actionable(self, delivery: Delivery, message: Message) -> Received | None:
        """The message as something to act upon, or None; everybody who watches is told either way."""
        code = self._hindrance(delivery, message)
        self._tell(delivery, message, code)
        binding = self._binding(delivery, message)
        opens = message.type == "task.request" and binding == "bound"
        if opens and self._threads.take(delivery.sender, 1, self._clock.monotonic_ms()):
            self._opened(delivery.transport, message.id, self._transport.thread_root(delivery))
        if not delivery.live or message.id in self._acted or not self._take_up(delivery, message):
            return None
        return Received(
            message=message,
            plane=delivery.plane,
            address=delivery.sender,
            event_id=delivery.event_id,
            binding=binding,
        )

    def _take_up(self, delivery: Delivery, message: Message) -> bool:
        """Remember a copy that may be acted upon, keep one that may be later."""
        code = self._hindrance(delivery, message)
        if not code:
            self._acted.add(message.id, delivery.sender)
        elif _is_deferred(code) and message.id not in self._acted:
            key = f"{message.id} {delivery.sender}"
            self._deferred[key] = _Deferred(delivery, message, self._judged(message, code))
            for forgotten in self._deferred_of.add(key, delivery.sender):
                del self._deferred[forgotten]
        return not code

    def _released(self) -> list[tuple[Delivery, Message]]:
        """Deferred copies that lack nothing any more, or never will get it."""
        ready = []
        for key, copy in self._deferred.items():
            envelope = copy.message.envelope
            timely = self._clock.now_ms() < envelope.expires_ms and copy.message.id not in self._acted
            # In a room with a bridge much is relayed for good: it is judged anew when it may be another thing.
            if timely and copy.judged == self._mesh(envelope.room).presence_changes:
                continue
            code = self._hindrance(copy.delivery, copy.message)
            copy.judged = self._judged(copy.message, code)
            if not _is_deferred(code) or copy.message.id in self._acted:
                ready.append(key)
        for key in ready:
            self._deferred_of.discard(key)
        return [(copy.delivery, copy.message) for copy in map(self._deferred.pop, ready)]

    def _judged(self, message: Message, code: str) -> int | None:
        lacks_announce = code in ERRORS and ERRORS[code].stage in ("authority", "binding")
        return self._mesh(message.envelope.room).presence_changes if lacks_announce else None

    def _hindrance(self, delivery: Delivery, message: Message) -> str:
        """The code that says why nobody here may act on this copy of a folded message, "" if somebody may."""
        try:
            check_addressing(message, me=self._me, room=delivery.room, plane=delivery.plane)
            check_time(message, self._clock.now_ms())
        except RemoteProtocolError as error:
            return error.code
        authority = self._mesh(message.envelope.room).authority(message)
        if authority is not None:
            return authority
        binding = self._binding(delivery, message)
        if delivery.sender not in self._mesh(message.envelope.room).bridges:
            if binding == "relayed":
                return "binding.relayed"
            if binding == "unbound" and TYPES[message.type].unbound == "deferred":
                return "binding.unbound"
        if TYPES[message.type].family != "task" or message.type == "task.request":
            return ""
        view = self._mesh(message.envelope.room).task(str(message.envelope.thread))
        return "state.waiting" if view is None else view.errors.get(message.id, "")

    def _binding(self, delivery: Delivery, message: Message) -> Binding:
        """What this very copy is: beside a bound one there may be others that somebody else delivered."""
        mesh = self._mesh(message.envelope.room)
        peer = mesh.peers.get(message.sender)
        if peer is not None and delivery.sender in peer.addresses:
            return "bound"
        binding = mesh.binding(message)
        return "relayed" if binding == "bound" else binding

    def _tell(self, delivery: Delivery, message: Message, code: str) -> None:
        """Tell watchers, and the log what is wrong, once for all copies of one binding."""
        mesh = self._mesh(message.envelope.room)
        binding = self._binding(delivery, message)
        known = self._told.get(message.id)
        # What we posted ourselves was told when it was posted; beside the original a relayed copy is no news.
        if message.sender == self._me or known == binding or mesh.binding(message) != binding:
            return
        self._told[message.id] = binding
        for forgotten in self._told_of.add(message.id, delivery.sender):
            del self._told[forgotten]
        if code and code != "recipient.other" and delivery.live:
            meaning = ERRORS[code].meaning
            subject = {"message_id": message.id, "type": message.type, "peer": message.sender, "code": code}
            what = (message.type, message.id, delivery.sender, code, meaning)
            text = "%s %s from %s marked %s: %s"
            self._complaints.say(logging.INFO, delivery.sender, text, *what, extra=subject)
        self._notify(
            seen(
                message,
                mesh,
                verdict=binding,
                code=code,
                address=delivery.sender,
                plane=delivery.plane,
                at_ms=delivery.received_ms,
                live=delivery.live,
            )
        )


def _is_deferred(code: str) -> bool:
    return code in ERRORS and ERRORS[code].disposition == "deferred"


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
        name=clean(mesh.name_of(message.sender), limit=64),
        plane=plane,
        room=message.envelope.room,
        address=address,
        thread=str(present(message.envelope.thread, "")),
        line=line(message, mesh.name_of),
        sent_ms=message.envelope.sent_ms,
        **extra,
    )
