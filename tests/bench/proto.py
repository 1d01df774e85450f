"""Messages a second, against libsodium's bare signatures over the same bytes.

Both sides work through the same mix of messages in turns, and the ratio is the median over many turns, so that
a busy machine slows both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec
from nacl import bindings

from clawnet_proto.carrier import Carrier, sign, verify
from clawnet_proto.signing import signed_bytes
from tests.bench import Report, Row
from tests.proto.authoring import Author
from tests.proto.samples import envelopes

# What one question with three stages makes its requester and three agents say, when each stage streams for a
# second and one announce is renewed meanwhile.
_MIX = {
    "presence.announce": 1,
    "task.request": 1,
    "task.offer": 3,
    "task.award": 3,
    "task.start": 3,
    "task.progress": 6,
    "task.result": 3,
    "task.close": 1,
}
_TURNS = 300
_REPEATS = 3


async def run(report: Report) -> None:
    author = Author("alice")
    made = envelopes(author, Author("bob"))
    mix = [made[kind] for kind, count in _MIX.items() for _ in range(count)]
    secret = author.key.seed + author.key.public
    carriers = [sign(author.key, envelope)[0] for envelope in mix]
    messages = [signed_bytes(msgspec.json.decode(data, type=Carrier).env.encode()) for data in carriers]
    signed = [bindings.crypto_sign(message, secret) for message in messages]

    def verify_decode() -> None:
        for data in carriers:
            verify(data)

    def raw_verify() -> None:
        for data in signed:
            bindings.crypto_sign_open(data, author.key.public)

    def sign_encode() -> None:
        for envelope in mix:
            sign(author.key, envelope)

    def raw_sign() -> None:
        for message in messages:
            bindings.crypto_sign(message, secret)

    report.add(_compared("verify and decode", verify_decode, "libsodium, verify only", raw_verify, 0.85))
    report.add(_compared("sign and encode", sign_encode, "libsodium, sign only", raw_sign, 0.6))


def _compared(name: str, ours: Callable[[], None], yardstick: str, raw: Callable[[], None], at_least: float) -> Row:
    turns = [(_seconds(ours), _seconds(raw)) for _ in range(_TURNS)]
    count = sum(_MIX.values()) * _REPEATS
    return Row(
        name=name,
        figure=count / statistics.median(seconds for seconds, _ in turns),
        unit="messages/s",
        yardstick=yardstick,
        yardstick_figure=count / statistics.median(seconds for _, seconds in turns),
        ratio=statistics.median(raw_seconds / seconds for seconds, raw_seconds in turns),
        at_least=at_least,
    )


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    for _ in range(_REPEATS):
        work()
    return time.perf_counter() - start
