"""From a raw event to what it proves: every signature is checked here, whatever the source said of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from clawnet_proto.bindings import CARRIERS, ENCRYPTED, WORDS
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.freshness import check_addressing, check_time
from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import open_carrier
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import present
from tui.arrivals import Arrival, Checked, Outcome, Unread, Words
from tui.sources import Key

log = logging.getLogger(__name__)

_EVENT_BYTES = 1 << 20  # no transport of ours carries more in one event


def check(arrival: Arrival, key: Key | None = None) -> Checked:
    """Verify every carrier of an event, opening with ``key`` what is sealed to us.

    Never raises: a fault of ours must not let one event hide all that follow.
    """
    return judged(arrival, outcomes(arrival, key))


def judged(arrival: Arrival, outcomes: tuple[Outcome, ...]) -> Checked:
    """An arrival with its outcomes; of one that is too large nothing is kept."""
    small = arrival if len(arrival.event) <= _EVENT_BYTES else msgspec.structs.replace(arrival, event="")
    return Checked(small, outcomes)


def all_outcomes(arrivals: Sequence[Arrival]) -> list[tuple[Outcome, ...]]:
    """What each arrival proves to whoever holds no key."""
    return [outcomes(arrival) for arrival in arrivals]


def outcomes(arrival: Arrival, key: Key | None = None) -> tuple[Outcome, ...]:
    """What an arrival proves. Never raises."""
    try:
        return _outcomes(arrival, key)
    except Exception:
        log.exception("%s from %s", arrival.event_id, arrival.sender)
        return (RemoteProtocolError("carrier.malformed"),)


def _outcomes(arrival: Arrival, key: Key | None) -> tuple[Outcome, ...]:
    if len(arrival.event) > _EVENT_BYTES:
        return (RemoteProtocolError("size.carrier", f"{len(arrival.event)} characters"),)
    found = CARRIERS[arrival.transport](arrival.event, arrival.plane) if arrival.transport in CARRIERS else []
    if found:
        return tuple(_judge(carrier, arrival, key) for carrier in found)
    if arrival.plane != "room" or arrival.transport not in WORDS:
        return ()
    if words := WORDS[arrival.transport](arrival.event):
        return (Words(words),)
    return (Unread(),) if ENCRYPTED[arrival.transport](arrival.event) else ()


def raw_carrier(arrival: Arrival, index: int) -> object:
    """The carrier at ``index`` as it travelled, None if there is none."""
    found = CARRIERS[arrival.transport](arrival.event, arrival.plane) if arrival.transport in CARRIERS else []
    return found[index] if index < len(found) else None


def _judge(carrier: object, arrival: Arrival, key: Key | None) -> Outcome:
    try:
        text = msgspec.json.encode(carrier)
        if arrival.plane == "direct":
            text = open_carrier(text, key.seal_keys if key else (), key.did if key else "")
        message = verify(text)
        _check_place_and_time(message, arrival)
        if arrival.plane == "direct" and key is not None:
            _check_recipient(message, key.did)
    except RemoteProtocolError as error:
        return error
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        # What cannot be written is no carrier either.
        return RemoteProtocolError("carrier.malformed")
    return message


def _check_recipient(message: Message, me: str) -> None:
    """Directly, what is addressed to others has no business here; our own we have sent. Raises RemoteProtocolError."""
    recipients = message.envelope.recipients
    if message.sender != me and isinstance(recipients, tuple) and me not in recipients:
        raise RemoteProtocolError("recipient.other")


def _check_place_and_time(message: Message, arrival: Arrival) -> None:
    """What keeps a message out of the fold, at the time it was received. Raises RemoteProtocolError."""
    # Whoever it is for, it is folded.
    me = present(message.envelope.recipients, ("",))[0]
    check_addressing(message, me=me, room=arrival.room, plane=arrival.plane)
    try:
        check_time(message, arrival.received_ms)
    except RemoteProtocolError as error:
        if error.disposition == "refused":
            raise
        if error.code == "time.expired" and TYPES[message.type].expired == "ignored":
            raise
