"""Many carriers at once: the verdicts are those of one by one, and nothing is left running."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bots import backfill
from bots.backfill import Verifiers, verdicts
from clawnet_proto.carrier import sign, verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message
from tests.proto.authoring import Author
from tests.proto.faults import FAULTS, Draft, Fault
from tests.proto.samples import envelopes

AUTHOR = Author("alice")
# Enough for several chunks, with a fault of each kind far from the next.
MANY = 3000


def faulty(fault: Fault) -> bytes:
    draft = Draft()
    fault(draft)
    return draft.carrier()


@pytest.fixture(scope="module")
def texts() -> list[bytes]:
    """Good carriers of all types, and among them each fault there is."""
    good = [
        sign(AUTHOR.key, envelope)[0]
        for full in (False, True)
        for envelope in envelopes(AUTHOR, Author("bob"), full=full).values()
    ]
    bad = [faulty(fault) for faults in FAULTS.values() for fault in faults]
    texts = [good[number % len(good)] for number in range(MANY)]
    for number, text in enumerate(bad):
        texts.insert(number * MANY // len(bad) + number, text)
    return texts


def one_by_one(text: bytes | str) -> Message | RemoteProtocolError:
    try:
        return verify(text)
    except RemoteProtocolError as error:
        return error


def comparable(found: list[Message | RemoteProtocolError]) -> list[object]:
    return [
        (verdict.code, verdict.detail) if isinstance(verdict, RemoteProtocolError) else verdict for verdict in found
    ]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("backfill")]


@pytest.fixture(scope="module")
def two() -> Iterator[Verifiers]:
    with Verifiers(2) as verifiers:
        verifiers.start()
        yield verifiers


@pytest.mark.parametrize("workers", [None, 1, 2, 3])
def test_the_verdicts_are_those_of_one_by_one_in_order(texts: list[bytes], workers: int | None) -> None:
    expected = comparable([one_by_one(text) for text in texts])
    assert {code.split()[0] for code in FAULTS} == {verdict[0] for verdict in expected if isinstance(verdict, tuple)}
    with Verifiers(workers) as verifiers:
        assert comparable(verifiers.verify_all(texts)) == expected
    assert not threads()


def test_text_is_taken_as_bytes_are(texts: list[bytes], two: Verifiers) -> None:
    expected = [verify(texts[1])]
    assert two.verify_all([texts[1].decode()]) == two.verify_all([texts[1]]) == verdicts(texts[1:2]) == expected


def test_nothing_is_nothing(two: Verifiers) -> None:
    assert two.verify_all([]) == []


def test_a_verdict_keeps_nothing_alive(two: Verifiers) -> None:
    for found in (two.verify_all([b"not JSON"]), verdicts([b"not JSON"])):
        (error,) = found
        assert isinstance(error, RemoteProtocolError)
        assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


def test_few_carriers_start_no_process(texts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(function: str) -> None:
        raise AssertionError("a process for a handful of carriers")

    monkeypatch.setattr(backfill, "Worker", refused)
    with Verifiers(2) as verifiers:
        assert len(verifiers.verify_all(texts[:1000])) == 1000


def test_a_process_that_dies_costs_nothing_but_time(texts: list[bytes]) -> None:
    with Verifiers(2) as verifiers:
        verifiers.start()
        for worker in verifiers._workers:
            worker.close()
        assert comparable(verifiers.verify_all(texts)) == comparable(verdicts(texts))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals to a thread")
def test_an_interrupt_ends_it_and_leaves_nothing(texts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    main = threading.get_ident()
    begun = threading.Event()
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        # While it starts its threads, an interrupt may hide one of them from it.
        def map(self, *arguments: Any, **options: Any) -> Any:
            results = super().map(*arguments, **options)
            begun.set()
            return results

    class Interrupting(Verifiers):
        def _ask(self, texts: Sequence[bytes | str]) -> list[Message | RemoteProtocolError]:
            begun.wait(60)
            if not asked:
                signal.pthread_kill(main, signal.SIGINT)
            asked.append(len(texts))
            return super()._ask(texts)

    monkeypatch.setattr(backfill, "ThreadPoolExecutor", Pool)
    verifiers = Interrupting(2)
    with pytest.raises(KeyboardInterrupt), verifiers:
        verifiers.verify_all(texts * 20)
    assert sum(asked) < len(texts) * 20
    assert not threads()
    assert all(worker.ended for worker in verifiers._workers)
