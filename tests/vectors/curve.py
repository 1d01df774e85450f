"""The group of Ed25519 in plain integers (RFC 8032 section 5.1): slow, for vectors only, never with real keys.

Points are affine pairs (x, y) on -x^2 + y^2 = 1 + d x^2 y^2 modulo p.
"""

from __future__ import annotations

from hashlib import sha512

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
_Extended = tuple[int, int, int, int]

ZERO: Point = (0, 1)
LOW_ORDER_Y = (
    0,
    1,
    P - 1,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
)
"""The y of the eight points of low order (ID-6)."""


def x_of(y: int) -> int | None:
    """The even x of the points with this y, None if there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT_OF_MINUS_ONE % P
    if x * x % P != square:
        return None
    return P - x if x % 2 else x


def decode(data: bytes) -> Point | None:
    """The point of 32 bytes, read generously: y modulo p, and -0 for 0. None if no point has this y."""
    number = int.from_bytes(data, "little")
    y = (number & (1 << 255) - 1) % P
    x = x_of(y)
    if x is None:
        return None
    return ((P - x) % P if number >> 255 else x, y)


def encode(point: Point) -> bytes:
    """The one canonical text of a point."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _add(one: _Extended, other: _Extended) -> _Extended:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * D * one[3] * other[3] % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _extended(point: Point) -> _Extended:
    return (point[0], point[1], 1, point[0] * point[1] % P)


def _affine(point: _Extended) -> Point:
    inverse = pow(point[2], -1, P)
    return (point[0] * inverse % P, point[1] * inverse % P)


def add(one: Point, other: Point) -> Point:
    """The sum of two points."""
    return _affine(_add(_extended(one), _extended(other)))


def negative(point: Point) -> Point:
    """The point that gives zero when added."""
    return ((P - point[0]) % P, point[1])


def times(factor: int, point: Point) -> Point:
    """A point added to itself ``factor`` times. The factor is not reduced, for points need not have the order L."""
    total, power = _extended(ZERO), _extended(point)
    while factor:
        if factor & 1:
            total = _add(total, power)
        power = _add(power, power)
        factor >>= 1
    return _affine(total)


_BASE_Y = 4 * pow(5, -1, P) % P
_BASE_X = x_of(_BASE_Y)
assert _BASE_X is not None
BASE: Point = (_BASE_X, _BASE_Y)


def torsion() -> Point:
    """A point of order 8; its multiples are all eight points of low order."""
    y = LOW_ORDER_Y[3]
    x = x_of(y)
    assert x is not None
    return (x, y)


def scalar_of(seed: bytes) -> int:
    """The secret scalar of a seed."""
    number = int.from_bytes(sha512(seed).digest()[:32], "little")
    return number & ((1 << 254) - 8) | 1 << 254


def challenge(*parts: bytes) -> int:
    """*k*: SHA-512 of the parts as a little-endian number, modulo L."""
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little") % L
