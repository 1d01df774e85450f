"""Messages a second, against libsodium's bare signatures over the same bytes and against other signed JSON.

Both sides of a row work through the same mix of messages in turns, seconds are the processor's, and the ratio is the
median over many turns, so that a busy machine slows both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import msgspec
from nacl import bindings

from clawnet_proto.carrier import Carrier, sign, verify
from clawnet_proto.signing import signed_bytes
from tests.bench import Report, Row
from tests.bench._mix import mixed
from tests.bench._others import others
from tests.proto.authoring import Author

_TURNS = 200
_REPEATS = 3


async def run(report: Report) -> None:
    author = Author("alice")
    mix = mixed(author)
    secret = author.key.seed + author.key.public
    carriers = [sign(author.key, envelope)[0] for envelope in mix]
    texts = [msgspec.json.decode(data, type=Carrier).env.encode() for data in carriers]
    messages = [signed_bytes(text) for text in texts]
    signed = [bindings.crypto_sign(message, secret) for message in messages]

    def verify_decode() -> None:
        for data in carriers:
            verify(data)

    def raw_verify() -> None:
        # The very call that verify makes, with the signature already before the message.
        for data in signed:
            bindings.crypto_sign_open(data, author.key.public)

    def sign_encode() -> None:
        for envelope in mix:
            sign(author.key, envelope)

    def raw_sign() -> None:
        for message in messages:
            bindings.crypto_sign(message, secret)

    found = others(author.key, texts)
    verifying = {"libsodium, verify only": raw_verify} | {other.name: other.verify for other in found}
    signing = {"libsodium, sign only": raw_sign} | {other.name: other.sign for other in found}
    _compare(report, len(mix), "verify and decode", verify_decode, verifying, 0.9)
    _compare(report, len(mix), "sign and encode", sign_encode, signing, 0.65)


def _compare(
    report: Report,
    count: int,
    name: str,
    ours: Callable[[], None],
    yardsticks: Mapping[str, Callable[[], None]],
    at_least: float,
) -> None:
    """A row for each yardstick. The first has its own goal; we want to be ahead of all others."""
    for number, (yardstick, theirs) in enumerate(yardsticks.items()):
        turns = [(_seconds(ours), _seconds(theirs)) for _ in range(_TURNS)]
        report.add(
            Row(
                name=name,
                figure=count / statistics.median(seconds for seconds, _ in turns),
                unit="messages/s",
                yardstick=yardstick,
                yardstick_figure=count / statistics.median(seconds for _, seconds in turns),
                ratio=statistics.median(their_seconds / our_seconds for our_seconds, their_seconds in turns),
                at_least=1 if number else at_least,
            )
        )


def _seconds(work: Callable[[], None]) -> float:
    """What going once through all messages takes, in processor time: waiting for a processor is nobody's fault."""
    start = time.thread_time()
    for _ in range(_REPEATS):
        work()
    return (time.thread_time() - start) / _REPEATS
