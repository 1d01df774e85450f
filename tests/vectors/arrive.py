"""Vectors of a message's arrival: plane, room, recipients, lifetime and clock (SIG-10 to SIG-15)."""

from __future__ import annotations

from typing import Any

from tests.vectors.samples import BODIES, HEIRS, envelope
from tests.vectors.shapes import MOST
from tests.vectors.writing import ALICE, BOB, CAROL, NOW_MS, ROOM, TYPES, Subject, Vector, b64, message_id, text_of

OTHER_ROOM = "matrix:roomid/other:example.org"
WEEK, DAY, MINUTE = 604_800_000, 86_400_000, 60_000
HELLO, LEAVE = "handshake.hello", "presence.leave"


def _value(kind: str, **members: Any) -> dict[str, Any]:
    return envelope(kind, BODIES[kind][0], **members)


def _lived(kind: str, life_ms: int, **members: Any) -> dict[str, Any]:
    return _value(kind, expires_ms=NOW_MS + life_ms, **members)


def _came(kind: str, **changes: Any) -> Vector:
    """The way a message of this type comes to BOB: on the first plane of its type, when it was sent."""
    plane = TYPES[kind]["planes"][0]
    way = {"plane": plane, "room": ROOM if plane == "room" else "", "rooms": [ROOM], "me": BOB.did, "now_ms": NOW_MS}
    return way | changes


_REQUEST = _value("task.request")
_TO_BOTH = _value("task.request", recipients=[CAROL.did, BOB.did])
_DIRECT = {"plane": "direct", "room": ""}
_IN_ROOM = {"plane": "room", "room": ROOM}

# about | requirements | envelope | what is special about the way it came
GOOD: list[tuple[str, str, dict[str, Any], Vector]] = [
    *((f"{kind} on the plane {plane}", "MSG-1 SIG-10", _value(kind), _DIRECT if plane == "direct" else _IN_ROOM)
      for kind in TYPES for plane in TYPES[kind]["planes"]),
    ("in one room of many", "SIG-11", _REQUEST, {"rooms": [OTHER_ROOM, ROOM]}),
    ("on the direct plane, for the second of our rooms", "SIG-11", _value(HELLO), {"rooms": [OTHER_ROOM, ROOM]}),
    ("a room that is written in capitals", "SIG-11 TERM-7", _value("task.request", room=ROOM.upper()),
     {"room": ROOM.upper(), "rooms": [ROOM.upper()]}),
    ("the second recipient", "SIG-12", _TO_BOTH, {}),
    ("no recipients", "SIG-12", _REQUEST, {"me": CAROL.did}),
    ("our own message", "SIG-12", _REQUEST, {"me": ALICE.did}),
    ("a lifetime of one millisecond", "SIG-13", _lived(LEAVE, 1), {}),
    *((f"the last millisecond of the longest life of {kind}", "SIG-13 SIG-15", _value(kind),
       {"now_ms": NOW_MS + TYPES[kind]["lifetime_ms"] - 1}) for kind in TYPES),
    *((f"{kind} sent as far ahead as it may be", "SIG-14", _value(kind), {"now_ms": NOW_MS - row["skew_ms"]})
      for kind, row in TYPES.items()),
    ("one millisecond before it expires", "SIG-15", _lived(LEAVE, MINUTE), {"now_ms": NOW_MS + MINUTE - 1}),
    ("at the beginning of time", "TERM-4 SIG-13", _value(LEAVE, sent_ms=0, expires_ms=2), {"now_ms": 1}),
    ("at the end of time", "TERM-4 SIG-14", _value(LEAVE, sent_ms=MOST - 1, expires_ms=MOST), {"now_ms": MOST - 2}),
    ("by another key of the sender, which is judged later", "SIG-6 ID-25", _value(LEAVE, kid=CAROL.did), {}),
]  # fmt: skip

_FOR_CAROL = _value(HELLO, recipients=[CAROL.did])

# about | requirements | envelope | the way it came | code | the verifier that lacks the check
FAULTY: list[tuple[str, str, dict[str, Any], Vector, str, str]] = [
    *((f"{kind} in a room", "MSG-1 SIG-10", _value(kind), _IN_ROOM, "plane.mismatch", "plane-unchecked")
      for kind in TYPES if "room" not in TYPES[kind]["planes"]),
    *((f"{kind} on the direct plane", "MSG-1 SIG-10", _value(kind), _DIRECT, "plane.mismatch", "plane-unchecked")
      for kind in TYPES if "direct" not in TYPES[kind]["planes"]),
    ("in another room", "SIG-11 MSG-14", _REQUEST, {"room": OTHER_ROOM, "rooms": [OTHER_ROOM]}, "room.mismatch",
     "room-unchecked"),
    ("in another room of ours, though we are in its own too", "SIG-11", _REQUEST,
     {"room": OTHER_ROOM, "rooms": [OTHER_ROOM, ROOM]}, "room.mismatch", "room-unchecked"),
    ("in a room whose URI differs in case", "SIG-11 TERM-7", _REQUEST, {"room": ROOM.upper(), "rooms": [ROOM.upper()]},
     "room.mismatch", "room-case-folded"),
    ("in a room whose URI goes on", "SIG-11", _REQUEST, {"room": ROOM + "/"}, "room.mismatch", "room-unchecked"),
    ("on the direct plane, for a room we are not in", "SIG-11", _value(HELLO), {"rooms": [OTHER_ROOM]},
     "room.mismatch", "rooms-unchecked"),
    ("on the direct plane, and we are in no room", "SIG-11", _value(HELLO), {"rooms": []}, "room.mismatch",
     "rooms-unchecked"),
    ("an announce on the direct plane, for a room we are not in", "SIG-11 PRE-7", _value("presence.announce"),
     _DIRECT | {"rooms": [OTHER_ROOM]}, "room.mismatch", "rooms-unchecked"),
    ("a hello for somebody else", "SIG-12", _FOR_CAROL, {}, "recipient.other", "recipients-unchecked"),
    ("an award for somebody else", "SIG-12", _value("task.award"), {"me": CAROL.did}, "recipient.other",
     "recipients-unchecked"),
    ("a request for two others", "SIG-12", _TO_BOTH, {"me": ALICE.did}, "recipient.other", "recipients-unchecked"),
    ("a recipient that differs in case", "SIG-12 TERM-7", _value("task.request", recipients=[BOB.did.swapcase()]), {},
     "recipient.other", "recipients-unchecked"),
    ("no lifetime", "SIG-13", _lived(LEAVE, 0), {"now_ms": NOW_MS - 1}, "time.lifetime", "zero-lifetime-passes"),
    ("expired before it was sent", "SIG-13", _lived(LEAVE, -1), {"now_ms": NOW_MS - 2}, "time.lifetime",
     "negative-lifetime-passes"),
    *((f"{kind} with a millisecond too much of life", "SIG-13", _lived(kind, row["lifetime_ms"] + 1), {},
       "time.lifetime", "long-lifetime-passes" if row["lifetime_ms"] == WEEK else "one-lifetime-for-all")
      for kind, row in TYPES.items()),
    ("a life to the end of time", "SIG-13", _value(LEAVE, sent_ms=0, expires_ms=MOST), {}, "time.lifetime",
     "long-lifetime-passes"),
    *((f"{kind} sent a millisecond too far ahead", "SIG-14", _value(kind), {"now_ms": NOW_MS - row["skew_ms"] - 1},
       "time.future", "future-passes" if row["skew_ms"] == 300_000 else "one-skew-for-all")
      for kind, row in TYPES.items()),
    ("sent at the end of time", "SIG-14", _value(LEAVE, sent_ms=MOST - 1, expires_ms=MOST), {}, "time.future",
     "future-passes"),
    ("in the moment it expires", "SIG-15", _lived(LEAVE, MINUTE), {"now_ms": NOW_MS + MINUTE}, "time.expired",
     "expiry-moment-passes"),
    ("a millisecond after it expired", "SIG-15", _lived(LEAVE, MINUTE), {"now_ms": NOW_MS + MINUTE + 1},
     "time.expired", "expired-passes"),
    ("a hello that expired", "SIG-15", _value(HELLO), {"now_ms": NOW_MS + 2 * MINUTE}, "time.expired",
     "expiry-moment-passes"),
    ("a year after it expired", "SIG-15", _REQUEST, {"now_ms": NOW_MS + 365 * DAY}, "time.expired", "expired-passes"),
    ("order of checks: an unknown type on a plane of none", "SIG-6 MSG-23", _REQUEST | {"type": "task.dance"}, _DIRECT,
     "type.unknown", "unknown-types-pass"),
    ("order of checks: a bad body, and another plane", "SIG-6", _REQUEST | {"body": {"title": ""}}, _DIRECT,
     "schema.body", "required-unread"),
    ("order of checks: a critical extension, and another room", "SIG-6 MSG-27", _value("task.request", critical=["x"]),
     {"room": OTHER_ROOM}, "critical.unsupported", "critical-ignored"),
    ("order of checks: another plane, and another room", "SIG-6", _REQUEST, _DIRECT | {"rooms": []}, "plane.mismatch",
     "plane-unchecked"),
    ("order of checks: another plane, and somebody else", "SIG-6", _FOR_CAROL, _IN_ROOM, "plane.mismatch",
     "plane-unchecked"),
    ("order of checks: another room, and somebody else", "SIG-6", _FOR_CAROL, {"rooms": []}, "room.mismatch",
     "rooms-unchecked"),
    ("order of checks: another room, and expired", "SIG-6", _REQUEST, {"room": OTHER_ROOM, "now_ms": NOW_MS + DAY},
     "room.mismatch", "time-before-addressing"),
    ("order of checks: somebody else, and too long a life", "SIG-6",
     _lived(HELLO, 2 * MINUTE + 1, recipients=[CAROL.did]), {}, "recipient.other", "time-before-addressing"),
    ("order of checks: too long a life, and too far ahead", "SIG-6", _lived(LEAVE, WEEK + 1),
     {"now_ms": NOW_MS - 300_001}, "time.lifetime", "long-lifetime-passes"),
    ("order of checks: too long a life, and expired", "SIG-6", _lived(LEAVE, WEEK + 1), {"now_ms": NOW_MS + WEEK + 1},
     "time.lifetime", "expiry-before-lifetime"),
    ("order of checks: expired before it was sent, and expired now", "SIG-6", _lived(LEAVE, -1), {}, "time.lifetime",
     "expiry-before-lifetime"),
]  # fmt: skip


def build() -> Subject:
    """All vectors of the subject."""
    subject = Subject("arrive", "arrival: plane, room, recipients, lifetime, clock and expiry, and their order")
    for about, requirements, value, way in GOOD:
        text = text_of(value)
        answer = {"id": message_id(text.encode())} | {name: value[name] for name in ("sender", "kid", "type")}
        request = {"carrier": b64(_signed(value, text)), **_came(value["type"], **way)}
        subject.ok(about, requirements, "arrive", request, answer)
    for about, requirements, value, way, code, kills in FAULTY:
        kind = value["type"] if value["type"] in TYPES else "task.request"
        request = {"carrier": b64(_signed(value, text_of(value))), **_came(kind, **way)}
        requirements += " ERR-1" if about.startswith("order of checks") else ""
        subject.error(about, requirements, "arrive", request, code, kills)
    return subject


def _signed(value: dict[str, Any], text: str) -> bytes:
    """A carrier by the key that the envelope names."""
    author = next(author for author in (ALICE, CAROL, *HEIRS) if author.did == value["kid"])
    return author.carrier(text)
