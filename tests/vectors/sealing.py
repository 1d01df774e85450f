"""Vectors of chapter 15, and of the sealed texts of chapter 08."""

from __future__ import annotations

import json
from typing import Any

from tests.vectors.hpke_model import (
    OTHER_PLACES,
    arrive,
    open_sealed,
    open_text,
    sealable,
)
from tests.vectors.message_model import Refused, bytes_of
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.sealed_carriers import behind, carrier_faults, carriers, wrapped
from tests.vectors.sealed_texts import LOW, low, sealed_to, weak
from tests.vectors.writing import BOB, CAROL, Subject, Vector, b64, canonical, digest, fixed

REQUEST = digest(b"a request")
INPUT = f"clawnet/1/input/{REQUEST}/draft/1/question"
OUTPUT = f"clawnet/1/output/{REQUEST}/draft/1"
PROGRESS = f"clawnet/1/progress/{REQUEST}/draft/1/3"
SALT = b64(fixed("a salt", 16))


def build() -> Subject:
    subject = Subject("sealing", "Sealed texts and sealed carriers.")
    OTHER_PLACES[:] = [
        place.encode()
        for place in (INPUT, OUTPUT, PROGRESS, "", *(f"clawnet/1/carrier/{peer.did}" for peer in (BOB, CAROL)))
    ]
    sealing(subject)
    opening(subject)
    texts(subject)
    carriers(subject)
    carrier_faults(subject)
    behind(subject)
    return subject


def answer(vector: Vector, checks: Checks = INTACT) -> Vector:
    """What a testee with this model answers. What it seals, it seals with a fixed ephemeral key."""
    request, op = vector["request"], vector["op"]
    try:
        if op == "arrive":
            return {"ok": arrive(request, checks).answer()}
        if op in {"seal", "seal.carrier"}:
            public = bytes_of(request["public"])
            if not sealable(public, checks):
                return {"error": "key.invalid"}
            if op == "seal":
                return {"ok": {"sealed": b64(sealed_to(public, request["info"], bytes_of(request["plaintext"])))}}
            carrier = bytes_of(request["carrier"])
            return {"ok": {"carrier": b64(wrapped(carrier, key=public, recipient=request["recipient"]))}}
        secret, info = bytes_of(request["secret"]), request["info"].encode()
        if op == "open":
            return {"ok": {"plaintext": b64(open_sealed(secret, info, request["sealed"], checks))}}
        return {"ok": {"text": open_text(secret, info, request["sealed"], request.get("digest"), checks)}}
    except Refused as fault:
        return {"error": fault.code}


def plaintext_of(text: str, **members: Any) -> bytes:
    return canonical({"salt": SALT, "text": text} | members)


def sealing(subject: Subject) -> None:
    for about, info, plaintext in (
        ("a short text", INPUT, plaintext_of("Why is the sky blue?")),
        ("nothing", OUTPUT, b""),
        ("bytes that are no text", PROGRESS, bytes(range(256))),
        ("an empty info", "", b"anything"),
        ("an info with characters beyond ASCII", "clawnet/1/input/é/☃", b"anything"),
    ):
        request = {"public": b64(BOB.seal_key), "info": info, "plaintext": b64(plaintext)}
        opens = {"secret": b64(BOB.secret), "info": info, "plaintext": b64(plaintext)}
        subject.add(f"seal: {about}", "SEAL-1", op="seal", request=request, expect={"opens": opens})
    for name, number in LOW:
        request = {"public": b64(low(number)), "info": INPUT, "plaintext": b64(b"secret")}
        subject.error(
            f"seal to a key of low order: {name}", "SEAL-3 TASK-56", "seal", request, "key.invalid", "zero-secrets-pass"
        )
    top = {"public": b64(low(1 | 1 << 255)), "info": INPUT, "plaintext": b64(b"secret")}
    subject.error(
        "seal to a key of low order with its highest bit set",
        "SEAL-3 TASK-56",
        "seal",
        top,
        "key.invalid",
        "zero-secrets-pass",
    )


def opening(subject: Subject) -> None:
    plaintext = plaintext_of("Why is the sky blue?")
    data = sealed_to(BOB.seal_key, INPUT, plaintext)

    def opens(about: str, requirements: str, sealed: bytes, answer: bytes, info: str = INPUT) -> None:
        request = {"secret": b64(BOB.secret), "info": info, "sealed": b64(sealed)}
        subject.ok(about, requirements, "open", request, {"plaintext": b64(answer)})

    def fails(
        about: str, requirements: str, sealed: bytes | str, kills: str, info: str = INPUT, secret: bytes = BOB.secret
    ) -> None:
        text = sealed if isinstance(sealed, str) else b64(sealed)
        request = {"secret": b64(secret), "info": info, "sealed": text}
        subject.error(about, requirements, "open", request, "sealed.unreadable", kills)

    opens("a text that opens", "SEAL-1", data, plaintext)
    opens("an empty text that opens", "SEAL-1", sealed_to(BOB.seal_key, OUTPUT, b""), b"", OUTPUT)
    opens("an empty info that opens", "SEAL-1", sealed_to(BOB.seal_key, "", b"x"), b"x", "")
    long = bytes(number % 251 for number in range(30_000))
    opens("a long text that opens", "SEAL-1", sealed_to(BOB.seal_key, PROGRESS, long), long, PROGRESS)
    # The highest bit of an encapsulated key is not used in X25519, but it is part of what HPKE hashes.
    fails(
        "the highest bit of the encapsulated key changed",
        "SEAL-1",
        data[:31] + bytes([data[31] ^ 0x80]) + data[32:],
        "tag-unread",
    )
    fails("another place", "SEAL-4 TASK-49", data, "info-unread", OUTPUT)
    fails("another attempt", "SEAL-4 TASK-49", data, "info-unread", INPUT.replace("/1/question", "/2/question"))
    fails("an empty info", "SEAL-4", data, "info-unread", "")
    fails(
        "associated data",
        "SEAL-1",
        sealed_to(BOB.seal_key, INPUT, plaintext, aad=INPUT.encode()),
        "any-associated-data",
    )
    fails("a changed tag", "SEAL-1", data[:-1] + bytes([data[-1] ^ 1]), "tag-unread")
    fails("a changed ciphertext", "SEAL-1", data[:40] + bytes([data[40] ^ 1]) + data[41:], "tag-unread")
    fails("a changed encapsulated key", "SEAL-1", bytes([data[0] ^ 1]) + data[1:], "tag-unread")
    fails("a ciphertext that lost its last byte", "SEAL-1", data[:-1], "tag-unread")
    fails("one byte too many", "SEAL-1", data + b"\0", "tag-unread")
    fails("the secret of somebody else", "SEAL-1", data, "tag-unread", secret=CAROL.secret)
    fails("too short for a tag", "SEAL-1", data[:47], "short-texts-are-empty")
    fails("an encapsulated key and nothing else", "SEAL-1", data[:32], "short-texts-are-empty")
    fails("nothing at all", "SEAL-1", b"", "short-texts-are-empty")
    padded = sealed_to(BOB.seal_key, OUTPUT, b"12")
    text = b64(padded)
    fails("padding", "SEAL-1 TERM-2", text + "=" * (-len(text) % 4), "lax-base64-opens", OUTPUT)
    fails("spare bits", "SEAL-1 TERM-2", text[:-1] + chr(ord(text[-1]) + 1), "lax-base64-opens", OUTPUT)
    fails("a line feed inside", "SEAL-1 TERM-2", text[:20] + "\n" + text[20:], "lax-base64-opens", OUTPUT)
    odd = next(
        sealed for sealed in (b64(sealed_to(BOB.seal_key, OUTPUT, b"12", str(n))) for n in range(99)) if "_" in sealed
    )
    fails(
        "the other base64 alphabet",
        "SEAL-1 TERM-2",
        odd.replace("-", "+").replace("_", "/"),
        "lax-base64-opens",
        OUTPUT,
    )
    for name, number in LOW:
        fails(
            f"an encapsulated key of low order: {name}",
            "SEAL-3",
            weak(low(number), INPUT, plaintext),
            "zero-secrets-pass",
        )


def texts(subject: Subject) -> None:
    def request(plaintext: bytes, beside: str | None = None, info: str = OUTPUT) -> Vector:
        sealed = b64(sealed_to(BOB.seal_key, OUTPUT, plaintext, "text"))
        value = {"secret": b64(BOB.secret), "info": info, "sealed": sealed}
        return value if beside is None else value | {"digest": beside}

    def fails(
        about: str,
        plaintext: bytes,
        kills: str,
        *,
        code: str = "sealed.unreadable",
        beside: str | None = None,
        requirements: str = "TASK-50 TASK-53",
    ) -> None:
        subject.error(f"text: {about}", requirements, "open.text", request(plaintext, beside), code, kills)

    good = plaintext_of("Scattering.")
    subject.ok("text: one without a digest beside it", "TASK-50", "open.text", request(good), {"text": "Scattering."})
    answer = {"text": "Scattering."}
    subject.ok("text: one with its digest", "TASK-51 TASK-53", "open.text", request(good, digest(good)), answer)
    subject.ok("text: an empty one", "TASK-50", "open.text", request(plaintext_of("")), {"text": ""})
    wild = '\0\u2028\U0001f600"\\'
    subject.ok(
        "text: one that needs escapes", "TASK-50 CAN-7", "open.text", request(plaintext_of(wild)), {"text": wild}
    )
    most = "x" * (23952 - len(plaintext_of("")))
    subject.ok("text: the longest", "TASK-50", "open.text", request(plaintext_of(most)), {"text": most})
    fails("one byte too long", plaintext_of(most + "x"), "plaintext-unbounded")
    fails(
        "another digest",
        good,
        "digest-beside-unread",
        code="digest.mismatch",
        beside=digest(b"other"),
        requirements="TASK-53",
    )
    fails(
        "the digest of the text alone",
        good,
        "digest-of-the-text",
        code="digest.mismatch",
        beside=digest(b"Scattering."),
        requirements="TASK-51 TASK-53",
    )
    spaced = json.dumps({"salt": SALT, "text": "Scattering."}).encode()
    fails(
        "not canonical, and another digest: the digest comes first",
        spaced,
        "form-before-digest",
        code="digest.mismatch",
        beside=digest(b"other"),
        requirements="TASK-53",
    )
    fails(
        "does not open, and another digest: opening comes first",
        good,
        "info-unread",
        beside=digest(good),
        requirements="TASK-53",
    )
    subject.vectors[-1]["request"]["info"] = INPUT
    fails("white space", spaced, "plaintext-need-not-be-canonical", beside=digest(spaced))
    swapped = b'{"text":"Scattering.","salt":"' + SALT.encode() + b'"}'
    fails("members in another order", swapped, "plaintext-need-not-be-canonical")
    twice = b'{"salt":"' + SALT.encode() + b'","text":"That.","text":"This."}'
    fails("a member twice", twice, "plaintext-need-not-be-canonical")
    fails("one member too many", plaintext_of("x", note="y"), "plaintext-is-open")
    fails("no salt", canonical({"text": "x"}), "salt-may-be-absent")
    fails("a number as text", canonical({"salt": SALT, "text": 7}), "plaintext-types-unread")
    fails("a salt of 15 bytes", plaintext_of("x", salt=b64(bytes(15))), "salt-length-unread")
    fails("a salt of 17 bytes", plaintext_of("x", salt=b64(bytes(17))), "salt-length-unread")
    fails("a salt with spare bits", plaintext_of("x", salt=SALT[:-1] + chr(ord(SALT[-1]) + 1)), "salt-base64-unread")
    fails("a salt with padding", plaintext_of("x", salt=SALT + "=="), "salt-base64-unread")
    fails("an array", canonical([SALT, "x"]), "plaintext-shapes-unread")
    fails("the bare text", b"Scattering.", "any-plaintext")
    fails("no UTF-8", good[:-3] + b"\xff" + good[-2:], "any-plaintext")
