"""The messages of a long room verified on two cores, against one; and how well libsodium alone does there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from nacl import bindings

from bots.backfill import Verifiers, verdicts
from clawnet_proto import base64url
from clawnet_proto.carrier import Carrier, sign
from clawnet_proto.signing import signed_bytes
from tests.bench import Report, Row
from tests.bench._mix import mixed
from tests.proto.authoring import Author

_MESSAGES = 10_000
_TURNS = 15
_CHUNK = 200


async def run(report: Report) -> None:
    author = Author("alice")
    mix = mixed(author)
    texts = []
    for number in range(_MESSAGES):
        nonce = base64url.encode(number.to_bytes(16, "big"))
        texts.append(sign(author.key, msgspec.structs.replace(mix[number % len(mix)], nonce=nonce))[0])
    signed = [_signed(text) for text in texts]
    chunks = [signed[start : start + _CHUNK] for start in range(0, len(signed), _CHUNK)]

    def raw(chunk: Sequence[bytes]) -> None:
        for data in chunk:
            bindings.crypto_sign_open(data, author.key.public)

    def raw_on_two() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(raw, chunks))

    _compare(report, "libsodium, verify only, on two cores", raw_on_two, lambda: raw(signed), None)
    name = f"verify and decode {_MESSAGES:,} on two cores"
    with Verifiers(2) as verifiers:
        verifiers.start()
        verifiers.verify_all(texts)
        _compare(report, name, lambda: verifiers.verify_all(texts), lambda: verdicts(texts), 1.6)

    def from_nothing() -> None:
        with Verifiers(2) as verifiers:
            verifiers.verify_all(texts)

    _compare(report, f"{name}, starting the processes", from_nothing, lambda: verdicts(texts), None)


def _signed(text: bytes) -> bytes:
    carrier = msgspec.json.decode(text, type=Carrier)
    return base64url.decode(carrier.sig) + signed_bytes(carrier.env.encode())


def _compare(
    report: Report, name: str, two: Callable[[], object], one: Callable[[], object], at_least: float | None
) -> None:
    turns = [(_seconds(two), _seconds(one)) for _ in range(_TURNS)]
    report.add(
        Row(
            name=name,
            figure=_MESSAGES / statistics.median(seconds for seconds, _ in turns),
            unit="messages/s",
            yardstick="on one",
            yardstick_figure=_MESSAGES / statistics.median(seconds for _, seconds in turns),
            ratio=statistics.median(one_seconds / two_seconds for two_seconds, one_seconds in turns),
            at_least=at_least,
        )
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
