"""Vectors of Ed25519, strictly (SIG-4). Signatures that no honest signer makes are computed in plain integers."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha512

from tests.vectors import curve
from tests.vectors.curve import BASE, L, P, Point
from tests.vectors.writing import ALICE, BOB, Subject, Vector, b64, fixed

MESSAGE = b"hello"
_SCALAR = curve.scalar_of(ALICE.seed)
_TORSION = curve.torsion()
_SMALL = {order: curve.times(8 // order, _TORSION) for order in (1, 2, 4, 8)}
_NONCE = int.from_bytes(fixed("nonce"), "little") % L

# RFC 8032 section 7.1: name, public key, message, signature.
RFC_8032 = [
    (
        "test 1, no message at all",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b",
    ),
    (
        "test 2, one byte",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
        "b00d291612bb0c00",
    ),
    (
        "test 3, two bytes",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
        "c027beceea1ec40a",
    ),
    (
        "test SHA(abc), 64 bytes",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17a"
        "d9bef1177331a704",
    ),
]


def verdict(public: bytes, signature: bytes, message: bytes) -> str:
    """The code that ID-6, SIG-2 and SIG-4 give, word by word in integers; "" if all holds."""
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    if y >= P or y in curve.LOW_ORDER_Y or curve.x_of(y) is None:
        return "key.invalid"
    if len(signature) != 64:
        return "signature.malformed"
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    point = curve.decode(r)
    if s >= L or (point is not None and point[1] in curve.LOW_ORDER_Y):
        return "signature.invalid"
    a = curve.decode(public)
    assert a is not None
    k = curve.challenge(r, public, message)
    found = curve.add(curve.times(s, BASE), curve.negative(curve.times(k, a)))
    return "" if curve.encode(found) == r else "signature.invalid"


def _signature(r: bytes, s: int) -> bytes:
    return r + s.to_bytes(32, "little")


def _made(public: bytes, r: bytes, nonce: int, message: bytes) -> bytes:
    """S = nonce + k * scalar, whatever R and A are."""
    return _signature(r, (nonce + curve.challenge(r, public, message) * _SCALAR) % L)


def _mixed(order: int) -> tuple[bytes, Point]:
    """A public key with ALICE's scalar and a part of small order; that part."""
    small = _SMALL[order]
    return curve.encode(curve.add(curve.times(_SCALAR, BASE), small)), small


def _message(suits: Callable[[bytes], bool]) -> bytes:
    """The first message of a row that suits."""
    return next(text for number in range(10_000) if suits(text := b"message %d" % number))


def _challenged(r: bytes, public: bytes, modulus: int, *remainders: int) -> bytes:
    """The first message of a row whose *k* leaves one of these remainders."""
    return _message(lambda text: curve.challenge(r, public, text) % modulus in remainders)


class _Signatures:
    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def _request(self, public: bytes, signature: bytes, message: bytes) -> Vector:
        return {"public": b64(public), "signature": b64(signature), "message": b64(message)}

    def good(self, about: str, public: bytes, signature: bytes, message: bytes, requirements: str = "SIG-4") -> None:
        assert verdict(public, signature, message) == "", about
        self.subject.ok(about, requirements, "signature.verify", self._request(public, signature, message))

    def bad(
        self, about: str, public: bytes, signature: bytes, message: bytes, kills: str, code: str = "signature.invalid"
    ) -> None:
        assert verdict(public, signature, message) == code, about
        requirements = {"key.invalid": "SIG-4 ID-6", "signature.malformed": "SIG-2", "signature.invalid": "SIG-4"}[code]
        requirements += " SIG-5" if kills == "cofactor-multiplied" else ""
        request = self._request(public, signature, message)
        self.subject.error(about, requirements, "signature.verify", request, code, kills)


def _honest(vectors: _Signatures) -> None:
    for name, *texts in RFC_8032:
        public, message, signature = map(bytes.fromhex, texts)
        vectors.good(f"RFC 8032 {name}", public, signature, message)
    for length in (0, 1, 127, 128, 40_960):
        data = bytes(number % 251 for number in range(length))
        vectors.good(f"a message of {length} bytes", ALICE.public, ALICE.sign(data), data)
    r = curve.encode(curve.times(_NONCE, BASE))
    vectors.good(
        "a nonce that was not derived from the message", ALICE.public, _made(ALICE.public, r, _NONCE, MESSAGE), MESSAGE
    )
    vectors.good("the base point as R", ALICE.public, _made(ALICE.public, curve.encode(BASE), 1, MESSAGE), MESSAGE)
    binary = b"\0\xff\xfe"
    vectors.good("bytes that are no text", ALICE.public, ALICE.sign(binary), binary)


def _changed(vectors: _Signatures) -> None:
    signature = ALICE.sign(MESSAGE)

    def flipped(place: int, bit: int) -> bytes:
        return signature[:place] + bytes([signature[place] ^ bit]) + signature[place + 1 :]

    for about, place, bit in (
        ("a bit of R", 0, 1),
        ("the sign of R", 31, 128),
        ("a bit in the middle of R", 17, 16),
        ("a bit of S", 32, 1),
        ("a bit in the middle of S", 50, 4),
    ):
        vectors.bad(f"{about} is flipped", ALICE.public, flipped(place, bit), MESSAGE, "equation-unchecked")
    vectors.bad("another message", ALICE.public, signature, b"hellp", "equation-unchecked")
    vectors.bad("a byte more in the message", ALICE.public, signature, MESSAGE + b"\0", "equation-unchecked")
    vectors.bad("no message for one of five bytes", ALICE.public, signature, b"", "equation-unchecked")
    vectors.bad("another key", BOB.public, signature, MESSAGE, "equation-unchecked")
    opposite = ALICE.public[:31] + bytes([ALICE.public[31] ^ 128])
    vectors.bad("the key's opposite point", opposite, signature, MESSAGE, "equation-unchecked")
    vectors.bad("R and S in the wrong order", ALICE.public, *_swappable(), "equation-unchecked")
    prehashed = _prefixed(1, b"", sha512(MESSAGE).digest())
    vectors.bad("Ed25519ph", ALICE.public, prehashed, MESSAGE, "prehash-accepted")
    vectors.bad("Ed25519ctx", ALICE.public, _prefixed(0, b"clawnet", MESSAGE), MESSAGE, "context-accepted")
    vectors.bad("a signature over the digest", ALICE.public, ALICE.sign(sha512(MESSAGE).digest()), MESSAGE,
                "digest-signed")  # fmt: skip


def _swappable() -> tuple[bytes, bytes]:
    """A signature in wrong order whose second half is less than L all the same, and its message."""

    def swapped(message: bytes) -> bytes:
        signature = ALICE.sign(message)
        return signature[32:] + signature[:32]

    message = _message(lambda text: int.from_bytes(swapped(text)[32:], "little") < L)
    return swapped(message), message


def _prefixed(flag: int, context: bytes, message: bytes) -> bytes:
    """A signature with the prefix dom2 of RFC 8032 section 2."""
    prefix = b"SigEd25519 no Ed25519 collisions" + bytes([flag, len(context)]) + context
    r = curve.encode(curve.times(_NONCE, BASE))
    return _signature(r, (_NONCE + curve.challenge(prefix, r, ALICE.public, message) * _SCALAR) % L)


def _length(vectors: _Signatures) -> None:
    signature = ALICE.sign(MESSAGE)
    for about, data in (
        ("no signature at all", b""),
        ("the first half of a signature", signature[:32]),
        ("a signature of 63 bytes", signature[:63]),
        ("a signature of 65 bytes", signature + b"\0"),
        ("a signature twice", signature * 2),
    ):
        vectors.bad(about, ALICE.public, data, MESSAGE, "signature-length-unchecked", "signature.malformed")


def _great_s(vectors: _Signatures) -> None:
    signature = ALICE.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little")
    for count, about in ((1, "S + L"), (2, "S + 2 L, with a bit that old libraries check"), (8, "S + 8 L"),
                         (14, "S + 14 L")):  # fmt: skip
        data = _signature(signature[:32], s + count * L)
        vectors.bad(about, ALICE.public, data, MESSAGE, "great-s-passes")
    # Below 2^253 for certain: what libraries that look at the three highest bits alone take for small enough.
    message = _message(lambda text: int.from_bytes(ALICE.sign(text)[32:], "little") + L < 1 << 253)
    data = ALICE.sign(message)
    data = _signature(data[:32], int.from_bytes(data[32:], "little") + L)
    vectors.bad("S + L that is less than 2^253", ALICE.public, data, message, "only-high-bits-of-s")


def _low_r(vectors: _Signatures) -> None:
    """R of low order in a signature whose equation holds: S = k * a, and the rest of the key's point is -k * small."""
    zero = curve.encode(curve.ZERO)
    vectors.bad("R is the neutral point", ALICE.public, _made(ALICE.public, zero, 0, MESSAGE), MESSAGE,
                "low-order-r-passes")  # fmt: skip
    for order in (2, 4, 8):
        public, small = _mixed(order)
        for number in range(1, order, 2):
            point = curve.times(number, small)
            r = curve.encode(point)
            message = _fitting(public, r, small, point)
            about = f"R is a point of order {order}, y begins with {r[0]:02x} and ends with {r[31]:02x}"
            vectors.bad(about, public, _made(public, r, 0, message), message, "low-order-r-passes")
    for about, number, order in (
        ("the neutral point with a sign", 1 | 1 << 255, 1),
        ("p + 1 for the neutral point", P + 1, 1),
        ("p + 1 for the neutral point, with a sign", P + 1 | 1 << 255, 1),
        ("the point of order 2 with a sign", P - 1 | 1 << 255, 2),
        ("p for a point of order 4", P, 4),
        ("p for a point of order 4, with a sign", P | 1 << 255, 4),
    ):
        r = number.to_bytes(32, "little")
        read = curve.decode(r)
        assert read is not None
        public, small = (ALICE.public, curve.ZERO) if order == 1 else _mixed(order)
        message = _fitting(public, r, small, read)
        vectors.bad(f"R is {about}", public, _made(public, r, 0, message), message, "non-canonical-r-passes")


def _fitting(public: bytes, r: bytes, small: Point, point: Point) -> bytes:
    """A message by which -k * small is this point, so that R fits without its cofactor."""

    fitting = [k for k in range(8) if curve.negative(curve.times(k, small)) == point]
    return _challenged(r, public, 8, *fitting)


def _cofactor(vectors: _Signatures) -> None:
    """Signatures that the equation times eight allows."""
    honest = curve.times(_NONCE, BASE)
    for order in (2, 4, 8):
        r = curve.encode(curve.add(honest, _SMALL[order]))
        vectors.bad(f"R has a part of order {order}", ALICE.public, _made(ALICE.public, r, _NONCE, MESSAGE), MESSAGE,
                    "cofactor-multiplied")  # fmt: skip
        public, small = _mixed(order)
        r = curve.encode(honest)
        message = _challenged(r, public, order, *range(1, order))
        vectors.bad(f"the key has a part of order {order}", public, _made(public, r, _NONCE, message), message,
                    "cofactor-multiplied")  # fmt: skip
        message = _challenged(r, public, order, 0)
        vectors.good(f"the key has a part of order {order}, which k takes away", public,
                     _made(public, r, _NONCE, message), message)  # fmt: skip
        r = curve.encode(curve.add(honest, curve.negative(small)))
        message = _challenged(r, public, order, 1)
        vectors.good(f"key and R have parts of order {order} that fit each other", public,
                     _made(public, r, _NONCE, message), message)  # fmt: skip


def _keys(vectors: _Signatures) -> None:
    r = curve.encode(curve.times(_NONCE, BASE))
    for about, y, kills in (
        ("the key is the neutral point, and any message fits", 1, "low-order-keys-pass"),
        ("the key is the neutral point with a sign", 1 | 1 << 255, "low-order-keys-pass"),
        ("the key is p + 1 for the neutral point", P + 1, "great-y-passes"),
        ("no point has the key's y", next(y for y in range(2, 99) if curve.x_of(y) is None), "off-curve-keys-pass"),
    ):
        public = y.to_bytes(32, "little")
        vectors.bad(about, public, _signature(r, _NONCE), MESSAGE, kills, "key.invalid")
    for about, point in (("2", _SMALL[2]), ("4", _SMALL[4]), ("8", _SMALL[8])):
        public = curve.encode(point)
        message = _challenged(r, public, 8, 0)
        vectors.bad(f"the key is a point of order {about}, and the message fits", public, _signature(r, _NONCE),
                    message, "low-order-keys-pass", "key.invalid")  # fmt: skip
    vectors.bad("the key is checked before the signature's length", curve.encode(curve.ZERO), b"short", MESSAGE,
                "low-order-keys-pass", "key.invalid")  # fmt: skip


def build() -> Subject:
    """All vectors of the subject."""
    subject = Subject("signature", "Ed25519, strictly: where libraries disagree, there is one verdict")
    vectors = _Signatures(subject)
    for part in (_honest, _changed, _length, _great_s, _low_r, _cofactor, _keys):
        part(vectors)
    return subject
