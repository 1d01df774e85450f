"""Vectors of sealed carriers: SEAL-5 to SEAL-11."""

from __future__ import annotations

import json
from typing import Any

from tests.vectors.hpke_model import carrier_info, public_of_secret, sealed_carrier
from tests.vectors.sealed_texts import LOW, low, sealed_to, weak
from tests.vectors.writing import (
    ALICE,
    BOB,
    CAROL,
    LIMITS,
    NOW_MS,
    ROOM,
    Subject,
    Vector,
    b64,
    canonical,
    digest,
    fixed,
    message_id,
)

OLD_SECRET = fixed("an older secret of bob")


def hello(**members: Any) -> tuple[bytes, Vector]:
    """A hello of alice to bob, and what ``arrive`` answers to it."""
    body = {"versions": ["1"], "address": {"uri": ALICE.address}}
    envelope = ALICE.envelope("handshake.hello", body, **({"recipients": [BOB.did]} | members))
    answer = {"id": message_id(canonical(envelope))} | {name: envelope[name] for name in ("sender", "kid", "type")}
    return ALICE.carrier(envelope), answer


def arrival(
    text: bytes, *, secrets: tuple[bytes, ...] = (BOB.secret,), plane: str = "direct", **members: Any
) -> Vector:
    request: Vector = {"carrier": b64(text), "plane": plane, "room": ROOM if plane == "room" else "", "rooms": [ROOM]}
    request |= {"me": BOB.did, "now_ms": NOW_MS + 1000, "secrets": [b64(secret) for secret in secrets]}
    return request | members


def wrapped(carrier: bytes, *, key: bytes = BOB.seal_key, recipient: str = BOB.did, **members: Any) -> bytes:
    sealed = b64(sealed_to(key, carrier_info(recipient), carrier, "carrier"))
    return sealed_carrier(members.pop("named", key), **({"sealed": sealed} | members))


def carriers(subject: Subject) -> None:
    carrier, answer = hello()
    request = {"public": b64(BOB.seal_key), "recipient": BOB.did, "carrier": b64(carrier)}
    opens = {"secret": b64(BOB.secret), "info": carrier_info(BOB.did).decode(), "plaintext": b64(carrier)}
    subject.add("seal a carrier", "SEAL-6", op="seal.carrier", request=request, expect={"opens": opens})
    for name, number in (LOW[0], LOW[2]):
        weak_key = request | {"public": b64(low(number))}
        subject.error(
            f"seal a carrier to a key of low order: {name}",
            "SEAL-3",
            "seal.carrier",
            weak_key,
            "key.invalid",
            "zero-secrets-pass",
        )
    subject.ok("a sealed carrier", "SEAL-6 SEAL-9", "arrive", arrival(wrapped(carrier)), answer)
    subject.ok("the same carrier unsealed", "SEAL-9 SEAL-11", "arrive", arrival(carrier), answer)
    old = public_of_secret(OLD_SECRET)
    both = (BOB.secret, OLD_SECRET)
    subject.ok(
        "a carrier sealed to the key before",
        "SEAL-5 SEAL-9",
        "arrive",
        arrival(wrapped(carrier, key=old), secrets=both),
        answer,
    )["kills"] = "first-secret-alone"
    value = json.loads(wrapped(carrier))
    spaced = json.dumps(dict(reversed(value.items())), indent=1).encode()
    subject.ok("white space and another order of members", "SEAL-9 MSG-4", "arrive", arrival(spaced), answer)
    twice = wrapped(carrier).replace(b'{"clawnet":"1"', b'{"sealed":7,"clawnet":"9","clawnet":"1"')
    subject.ok("members twice: the last one counts", "SEAL-9", "arrive", arrival(twice), answer)
    inner = json.dumps(json.loads(carrier), indent=2).encode()
    subject.ok("white space inside", "SEAL-6 MSG-4", "arrive", arrival(wrapped(inner)), answer)
    body = {"revision": 1}
    envelope = ALICE.envelope("presence.leave", body)
    said = {"id": message_id(canonical(envelope))} | {name: envelope[name] for name in ("sender", "kid", "type")}
    subject.ok(
        "a message without recipients, sealed",
        "SEAL-9 SEAL-10",
        "arrive",
        arrival(wrapped(ALICE.carrier(envelope))),
        said,
    )


def carrier_faults(subject: Subject) -> None:
    carrier, _ = hello()

    def fails(about: str, requirements: str, request: Vector, code: str, kills: str) -> None:
        subject.error(f"sealed carrier: {about}", requirements, "arrive", request, code, kills)

    good = wrapped(carrier)
    size = LIMITS["carrier_bytes"] + 1 - len(good)
    fails("one byte too large", "SEAL-9 MSG-6", arrival(good + b" " * size), "size.carrier", "sealed-size-unread")
    huge = sealed_carrier(BOB.seal_key, "!" * LIMITS["carrier_bytes"], clawnet="2", note=1)
    fails(
        "too large and malformed: the size comes first", "SEAL-9", arrival(huge), "size.carrier", "sealed-size-unread"
    )
    fails(
        "one member too many",
        "SEAL-9",
        arrival(wrapped(carrier, note="x")),
        "carrier.malformed",
        "sealed-carriers-are-open",
    )
    fails(
        "with a kid beside",
        "SEAL-9",
        arrival(wrapped(carrier, kid=ALICE.did)),
        "carrier.malformed",
        "sealed-carriers-are-open",
    )
    fails(
        "no seal_key", "SEAL-9", arrival(wrapped(carrier, seal_key=None)), "carrier.malformed", "seal-key-may-be-absent"
    )
    fails("no version", "SEAL-9", arrival(wrapped(carrier, clawnet=None)), "carrier.malformed", "version-may-be-absent")
    fails(
        "a number as version",
        "SEAL-9",
        arrival(wrapped(carrier, clawnet=1)),
        "carrier.malformed",
        "sealed-types-unread",
    )
    fails(
        "a number as sealed", "SEAL-9", arrival(wrapped(carrier, sealed=7)), "carrier.malformed", "sealed-types-unread"
    )
    fails(
        "malformed and of another version: the form comes first",
        "SEAL-9",
        arrival(wrapped(carrier, clawnet="2", note="x")),
        "carrier.malformed",
        "sealed-carriers-are-open",
    )
    fails(
        "another version",
        "SEAL-9 VER-2",
        arrival(wrapped(carrier, clawnet="2")),
        "version.unsupported",
        "sealed-version-unread",
    )
    fails(
        "another version and another key: the version comes first",
        "SEAL-9",
        arrival(wrapped(carrier, clawnet="2", named=CAROL.seal_key)),
        "version.unsupported",
        "sealed-version-unread",
    )
    fails(
        "for somebody else's key",
        "SEAL-9",
        arrival(wrapped(carrier, key=CAROL.seal_key)),
        "sealed.unopened",
        "unopened-told-as-for-others",
    )
    fails(
        "it names another key than it was sealed to",
        "SEAL-9",
        arrival(wrapped(carrier, named=CAROL.seal_key)),
        "sealed.unopened",
        "seal-key-unread",
    )
    fails(
        "its key is one of ours, and not the one",
        "SEAL-9",
        arrival(wrapped(carrier, named=public_of_secret(OLD_SECRET)), secrets=(BOB.secret, OLD_SECRET)),
        "sealed.unopened",
        "seal-key-unread",
    )
    text = b64(BOB.seal_key)
    fails(
        "its key is written otherwise",
        "SEAL-9 TERM-8",
        arrival(wrapped(carrier, seal_key=text + "=")),
        "sealed.unopened",
        "seal-key-unread",
    )
    fails("no secret at all", "SEAL-9", arrival(good, secrets=()), "sealed.unopened", "unopened-told-as-for-others")
    fails(
        "for another recipient",
        "SEAL-6 SEAL-9",
        arrival(wrapped(carrier, recipient=CAROL.did)),
        "sealed.unopened",
        "info-unread",
    )
    unnamed = sealed_carrier(BOB.seal_key, b64(sealed_to(BOB.seal_key, b"clawnet/1/carrier/", carrier)))
    fails("an info without recipient", "SEAL-6 SEAL-9", arrival(unnamed), "sealed.unopened", "info-without-recipient")
    data = sealed_to(BOB.seal_key, carrier_info(BOB.did), carrier, "carrier")
    changed = b64(data[:-1] + bytes([data[-1] ^ 1]))
    fails("a changed tag", "SEAL-9", arrival(wrapped(carrier, sealed=changed)), "sealed.unopened", "tag-unread")
    fails(
        "padding",
        "SEAL-9 TERM-2",
        arrival(wrapped(carrier, sealed=b64(data) + "=")),
        "sealed.unopened",
        "lax-base64-opens",
    )
    zero = weak(low(0), carrier_info(BOB.did).decode(), carrier)
    fails(
        "an encapsulated key of low order",
        "SEAL-3 SEAL-9",
        arrival(wrapped(carrier, sealed=b64(zero))),
        "sealed.unopened",
        "zero-secrets-pass",
    )
    fails("on the room plane", "SEAL-8", arrival(good, plane="room"), "carrier.malformed", "sealed-in-rooms")


def behind(subject: Subject) -> None:
    carrier, _ = hello()

    def fails(about: str, requirements: str, request: Vector, code: str, kills: str) -> None:
        subject.error(f"inside a sealed carrier: {about}", requirements, "arrive", request, code, kills)

    fails("another one", "SEAL-9", arrival(wrapped(wrapped(carrier))), "carrier.malformed", "sealed-in-sealed")
    value = json.loads(carrier)
    value["env"] = value["env"].replace('"versions":["1"]', '"versions":["2"]')
    altered = json.dumps(value).encode()
    fails(
        "a message that was altered",
        "SEAL-9 SEAL-10",
        arrival(wrapped(altered)),
        "signature.invalid",
        "any-signature-passes",
    )
    fails("no JSON", "SEAL-9", arrival(wrapped(b"not json")), "carrier.not_json", "faults-inside-told-as-unopened")
    other, _ = hello(recipients=[CAROL.did])
    fails(
        "a message for somebody else",
        "SEAL-10 SIG-12",
        arrival(wrapped(other)),
        "recipient.other",
        "sealed-means-addressed",
    )
    fails(
        "a message that expired",
        "SEAL-10 SIG-15",
        arrival(wrapped(carrier), now_ms=NOW_MS + 120_000),
        "time.expired",
        "sealed-never-expires",
    )
    elsewhere, _ = hello(room="matrix:roomid/other:example.org")
    fails(
        "a message for a room we are not in",
        "SEAL-10 SIG-11",
        arrival(wrapped(elsewhere)),
        "room.mismatch",
        "sealed-in-any-room",
    )
    envelope = ALICE.envelope("task.cancel", {}, thread=digest(b"t"), answers=digest(b"t"))
    fails(
        "a message for the room plane",
        "SIG-10",
        arrival(wrapped(ALICE.carrier(envelope))),
        "plane.mismatch",
        "sealed-on-any-plane",
    )
