"""Many carriers at once: the verdicts are those of one by one, and nothing is left running."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bots import backfill
from bots.backfill import verify_all
from clawnet_proto.carrier import sign, verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message
from tests.proto.authoring import Author
from tests.proto.faults import FAULTS, Draft, Fault
from tests.proto.samples import envelopes

AUTHOR = Author("alice")
# Enough for several chunks, with a fault of each kind far from the next.
MANY = 1000


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


def comparable(verdicts: list[Message | RemoteProtocolError]) -> list[object]:
    return [
        (verdict.code, verdict.detail) if isinstance(verdict, RemoteProtocolError) else verdict for verdict in verdicts
    ]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("backfill")]


@pytest.mark.parametrize("workers", [None, 1, 2, 7])
def test_the_verdicts_are_those_of_one_by_one_in_order(texts: list[bytes], workers: int | None) -> None:
    expected = comparable([one_by_one(text) for text in texts])
    assert {code.split()[0] for code in FAULTS} == {verdict[0] for verdict in expected if isinstance(verdict, tuple)}
    assert comparable(verify_all(texts, workers)) == expected
    assert not threads()


def test_text_is_taken_as_bytes_are(texts: list[bytes]) -> None:
    assert verify_all([texts[1].decode()], 2) == verify_all([texts[1]], 2) == [verify(texts[1])]


def test_nothing_is_nothing() -> None:
    assert verify_all([]) == []


def test_a_verdict_keeps_nothing_alive() -> None:
    (error,) = verify_all([b"not JSON"])
    assert isinstance(error, RemoteProtocolError)
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


def test_several_threads_share_the_work(texts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)
    met = threading.local()

    def meeting(text: bytes | str) -> Message:
        if not hasattr(met, "other"):
            met.other = both.wait(60)
        return verify(text)

    monkeypatch.setattr(backfill, "verify", meeting)
    assert len(verify_all(texts, 2)) == len(texts)


def test_few_carriers_start_no_thread(texts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a thread for a handful of carriers")

    monkeypatch.setattr(backfill, "ThreadPoolExecutor", refused)
    assert len(verify_all(texts[:20], 2)) == 20


@pytest.mark.skipif(os.name != "posix", reason="signals to a thread")
def test_an_interrupt_ends_it_and_leaves_no_thread(texts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    main = threading.get_ident()
    begun, sent = threading.Event(), threading.Event()
    verified: list[bytes | str] = []

    class Pool(ThreadPoolExecutor):
        # While it starts its threads, an interrupt may hide one of them from it.
        def map(self, *arguments: Any, **options: Any) -> Any:
            results = super().map(*arguments, **options)
            begun.set()
            return results

    def interrupting(text: bytes | str) -> Message:
        begun.wait(60)
        if not sent.is_set():
            sent.set()
            signal.pthread_kill(main, signal.SIGINT)
        verified.append(text)
        return verify(text)

    monkeypatch.setattr(backfill, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(backfill, "verify", interrupting)
    with pytest.raises(KeyboardInterrupt):
        verify_all(texts * 20, 2)
    assert len(verified) < len(texts) * 20
    assert not threads()


def test_a_fault_of_our_own_is_not_taken_for_a_verdict(texts: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: bytes | str) -> Message:
        raise ZeroDivisionError

    monkeypatch.setattr(backfill, "verify", broken)
    with pytest.raises(ZeroDivisionError):
        verify_all(texts, 2)
    assert not threads()
