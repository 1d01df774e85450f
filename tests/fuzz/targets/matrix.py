"""Any event gives carriers, each verified or refused, and words; any answer of a server is read or refused."""

from __future__ import annotations

import json
from contextlib import suppress
from random import Random
from typing import Any

import msgspec

from bots.transports import Delivery, Plane
from bots.transports.matrix import addresses, events, reading
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from tests.fuzz.mutation import mutated_bytes, mutated_json
from tests.fuzz.plain import text_of
from tests.proto.authoring import ROOM, canonical_text
from tests.proto.faults import ALICE, VALUES

_US = "@claw:example.org"
_PLANES: tuple[Plane, ...] = ("room", "direct")


def check(data: bytes) -> None:
    text = text_of(data)
    for plane in _PLANES:
        _check_event(text, plane)
    _check_answer(data)
    _check_address(text)


def _check_event(text: str, plane: Plane) -> None:
    delivery = Delivery(
        transport="matrix",
        plane=plane,
        room=ROOM if plane == "room" else "",
        sender=ALICE.address,
        event_id="$event",
        event=text,
        received_ms=0,
        live=True,
    )
    found = reading.carriers(delivery)
    # Beyond some hundred, JSON readers differ in how deep they look.
    if text.count("[") + text.count("{") < 200:
        assert [_texts(carrier) for carrier in found] == [_texts(carrier) for carrier in _carriers(text, plane)]
    for carrier in found:
        # Half a surrogate pair is no text that could be verified.
        with suppress(RemoteProtocolError, UnicodeEncodeError):
            verify(msgspec.json.encode(carrier))
    words = reading.person_text(delivery, _US, "Claw")
    assert words is None or (plane == "room" and not found and words.text in words.body)
    assert reading.thread_root(delivery)[:1] in ("", "$")


def _carriers(text: str, plane: Plane) -> list[Any]:
    """[MX-6] in plain words."""
    try:
        event = json.loads(text, parse_int=float, parse_constant=_no_constant)
    except ValueError:
        return []
    wanted = "m.room.message" if plane == "room" else "net.clawnet.direct"
    if not isinstance(event, dict) or event.get("type") != wanted or "state_key" in event:
        return []
    content, unsigned = event.get("content"), event.get("unsigned")
    if not isinstance(content, dict) or (isinstance(unsigned, dict) and "redacted_because" in unsigned):
        return []
    relation = content.get("m.relates_to")
    if isinstance(relation, dict) and relation.get("rel_type") == "m.replace":
        return []
    found = content.get("net.clawnet.carriers")
    return found if isinstance(found, list) and 1 <= len(found) <= 16 else []


def _texts(carrier: object) -> dict[str, str] | None:
    """All that counts in a carrier."""
    if not isinstance(carrier, dict):
        return None
    return {name: text for name, text in carrier.items() if isinstance(text, str)}


def _check_answer(data: bytes) -> None:
    for read in (events.sync, events.page, events.joined_members):
        with suppress(msgspec.MsgspecError):
            read(data)
    events.header(data)
    events.defused(data).decode()
    try:
        value = json.loads(data.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return
    # One hostile event does not hide the others, and nothing harmless changes.
    answer = b'{"next_batch":"n","to_device":{"events":[{},%b,{}]}}' % data
    assert len(events.sync(answer).to_device.events) == 3
    if "\\ud" not in json.dumps(value) and _depth(value) < 128:
        assert json.loads(events.defused(data)) == value


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(_depth, inside), default=0) + isinstance(value, dict | list)


def _check_address(text: str) -> None:
    for read, write in ((addresses.user_id, addresses.user_uri), (addresses.room_id, addresses.room_uri)):
        try:
            identifier = read(text)
        except ValueError:
            continue
        assert write(identifier) == text


def seeds() -> list[bytes]:
    carriers = [json.loads(ALICE.carrier_of(canonical_text(value))) for value in list(VALUES.values())[:3]]
    content = {"msgtype": "m.notice", "body": "alice says", "m.mentions": {}, "net.clawnet.carriers": carriers[:1]}
    event = {"type": "m.room.message", "sender": "@alice:x", "event_id": "$event", "content": content}
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$root", "m.in_reply_to": {"event_id": "$x"}}}
    edit = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$root"}}
    person = {"msgtype": "m.text", "body": "> <@a:x> why?\n\nClaw: because", "m.mentions": {"user_ids": [_US]}}
    timeline = {"timeline": {"events": [event], "limited": True, "prev_batch": "p"}, "state": {"events": []}}
    values = [
        event,
        event | {"type": "net.clawnet.direct"},
        event | {"content": content | thread | {"net.clawnet.carriers": [*carriers, 1, None]}},
        event | {"content": content | edit},
        event | {"content": content | {"body": "\ud800"}},
        event | {"content": content | {"m.relates_to": {"rel_type": "m.replace"}}},
        event | {"unsigned": {"redacted_because": {}}},
        event | {"content": person | thread},
        {"next_batch": "n", "rooms": {"join": {"!room:x": timeline}}, "to_device": {"events": [event]}},
        {"chunk": [event], "end": "e"},
        {"joined": {"@alice:x": {"display_name": "\ud800"}}},
    ]
    return [*(json.dumps(value).encode() for value in values), ALICE.address.encode(), ROOM.encode()]


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    return chance.choice([mutated_bytes, mutated_json])(data, chance, other)
