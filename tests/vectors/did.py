"""Vectors of ``did:key`` (ID-4 to ID-6)."""

from __future__ import annotations

from tests.vectors import curve
from tests.vectors.writing import ALICE, BASE_58, BOB, CAROL, Subject, b64, did

EXAMPLE = bytes.fromhex("79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664")
RFC_8032 = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def _text(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = BASE_58[digit] + digits
    return digits


def _number(public: bytes) -> int:
    return int.from_bytes(b"\xed\x01" + public, "big")


def _y(y: int, *, sign: bool = False) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


GOOD: list[tuple[str, bytes]] = [
    ("the key of the example", EXAMPLE),
    ("the first key of RFC 8032", RFC_8032),
    ("a key with an odd x", next(author.public for author in (ALICE, BOB, CAROL) if author.public[31] & 0x80)),
    ("a key with an even x", next(author.public for author in (ALICE, BOB, CAROL) if not author.public[31] & 0x80)),
    ("the base point", curve.encode(curve.BASE)),
    ("the least y of an honest point", _y(next(y for y in range(2, 99) if curve.x_of(y) is not None))),
    ("the greatest y of an honest point", _y(next(curve.P - y for y in range(2, 99) if curve.x_of(curve.P - y)))),
    ("a point of mixed order", curve.encode(curve.add(curve.BASE, curve.torsion()))),
]

_DID = did(EXAMPLE)
_DIGITS = _DID[9:]

# about | the text | the verifier that lacks the check
MALFORMED: list[tuple[str, str, str]] = [
    ("no text", "", "empty-did-passes"),
    ("the beginning alone", "did:key:z", "empty-did-passes"),
    ("without the beginning", _DIGITS, "did-prefix-unchecked"),
    ("without the multibase letter", "did:key:" + _DIGITS, "did-prefix-unchecked"),
    ("another multibase letter", "did:key:Z" + _DIGITS, "did-prefix-unchecked"),
    ("the method in upper case", "did:KEY:z" + _DIGITS, "did-prefix-case-folded"),
    ("the scheme in upper case", "DID:key:z" + _DIGITS, "did-prefix-case-folded"),
    ("another method", "did:web:z" + _DIGITS, "did-prefix-unchecked"),
    ("a space in front", " " + _DID, "did-trimmed"),
    ("a space at the end", _DID + " ", "did-trimmed"),
    ("a line feed at the end", _DID + "\n", "did-trimmed"),
    ("a NUL at the end", _DID + "\0", "did-cut-at-56"),
    ("a fragment", _DID + "#z" + _DIGITS, "did-cut-at-56"),
    ("a query", _DID + "?a=b", "did-cut-at-56"),
    ("a path", _DID + "/", "did-cut-at-56"),
    ("one character too many", _DID + "1", "did-cut-at-56"),
    ("a leading 1 too many", "did:key:z1" + _DIGITS, "did-length-unchecked"),
    ("one digit too few", _DID[:-1], "did-number-unchecked"),
    ("31 bytes of key", did(EXAMPLE[:31]), "did-length-unchecked"),
    ("33 bytes of key", did(EXAMPLE + b"\x07"), "did-length-unchecked"),
    ("31 bytes of key, filled up to 56 characters by a leading 1", "did:key:z1" + _text(_number(EXAMPLE) >> 8),
     "did-length-unchecked"),
    ("the digit 0", _DID[:-1] + "0", "look-alikes-read"),
    ("the letter O", _DID[:20] + "O" + _DID[21:], "look-alikes-read"),
    ("the letter I", _DID[:30] + "I" + _DID[31:], "look-alikes-read"),
    ("the letter l", _DID[:40] + "l" + _DID[41:], "look-alikes-read"),
    ("a letter with a mark", _DID[:-1] + "\u00e9", "foreign-letters-read-as-zero"),
    ("a full-width digit", _DID[:-1] + "\uff17", "foreign-letters-read-as-zero"),
    ("a Cyrillic letter", _DID[:-1] + "\u0441", "foreign-letters-read-as-zero"),
    ("a line feed in the middle", _DID[:30] + "\n" + _DID[31:], "foreign-letters-read-as-zero"),
    ("the multicodec of X25519", did(EXAMPLE, head=b"\xec\x01"), "multicodec-unchecked"),
    ("the multicodec of secp256k1", did(EXAMPLE, head=b"\xe7\x01"), "multicodec-unchecked"),
    ("the multicodec without its second byte's value", did(EXAMPLE, head=b"\xed\x00"), "multicodec-unchecked"),
    ("a number of more than 34 bytes that ends in a good one", "did:key:z" + _text((1 << 272) + _number(EXAMPLE)),
     "did-overflow-cut"),
    ("the greatest number of 47 digits", "did:key:z" + "z" * 47, "did-number-unchecked"),
    ("base64url", "did:key:u" + b64(b"\xed\x01" + EXAMPLE), "other-multibase-passes"),
    ("hexadecimal", "did:key:f" + "ed01" + EXAMPLE.hex(), "other-multibase-passes"),
]  # fmt: skip

_OFF_CURVE = [y for y in range(2, 99) if curve.x_of(y) is None]
_ORDER_8 = curve.LOW_ORDER_Y[3:]

# about | the 32 bytes | the verifier that lacks the check
INVALID: list[tuple[str, bytes, str]] = [
    ("all bytes zero, a point of order 4", _y(0), "low-order-keys-pass"),
    ("the other point of order 4", _y(0, sign=True), "low-order-keys-pass"),
    ("the neutral point", _y(1), "low-order-keys-pass"),
    ("the neutral point with a sign, which x = 0 has not", _y(1, sign=True), "low-order-keys-pass"),
    ("the point of order 2", _y(curve.P - 1), "low-order-keys-pass"),
    ("the point of order 2 with a sign, which x = 0 has not", _y(curve.P - 1, sign=True), "low-order-keys-pass"),
    ("the first point of order 8", _y(_ORDER_8[0]), "low-order-keys-pass"),
    ("the second point of order 8", _y(_ORDER_8[0], sign=True), "low-order-keys-pass"),
    ("the third point of order 8", _y(_ORDER_8[1]), "low-order-keys-pass"),
    ("the fourth point of order 8", _y(_ORDER_8[1], sign=True), "low-order-keys-pass"),
    ("p, a second text for a point of order 4", _y(curve.P), "great-y-passes"),
    ("p with a sign", _y(curve.P, sign=True), "great-y-passes"),
    ("p + 1, a second text for the neutral point", _y(curve.P + 1), "great-y-passes"),
    ("p + 1 with a sign", _y(curve.P + 1, sign=True), "great-y-passes"),
    ("a second text for an honest point", _y(curve.P + next(y for y in range(2, 19) if curve.x_of(y))),
     "great-y-passes"),
    ("a second text for an honest point, with a sign",
     _y(curve.P + next(y for y in range(2, 19) if curve.x_of(y)), sign=True), "great-y-passes"),
    ("a y that no point has", _y(_OFF_CURVE[0]), "off-curve-keys-pass"),
    ("a y that no point has, with a sign", _y(_OFF_CURVE[0], sign=True), "off-curve-keys-pass"),
    ("a great y that no point has", _y(next(curve.P - y for y in range(2, 99) if curve.x_of(curve.P - y) is None)),
     "off-curve-keys-pass"),
]  # fmt: skip


def build() -> Subject:
    """All vectors of the subject."""
    subject = Subject("did", "did:key: writing a key, reading it, and refusing what is not the one text of a good key")
    for about, public in GOOD:
        subject.ok(f"write {about}", "ID-1 ID-4", "did.encode", {"public": b64(public)}, {"did": did(public)})
        subject.ok(f"read {about}", "ID-4 ID-5 ID-6", "did.decode", {"did": did(public)}, {"public": b64(public)})
    for about, text, kills in MALFORMED:
        subject.error(f"read {about}", "ID-5", "did.decode", {"did": text}, "key.malformed", kills)
    for about, public, kills in INVALID:
        subject.error(f"read {about}", "ID-6", "did.decode", {"did": did(public)}, "key.invalid", kills)
    return subject
