"""Arrivals are checked in their order, here or in a process of its own, and no key leaves this one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from threading import Event

import pytest

from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import seal_carrier
from clawnet_proto.sealing import SealKey
from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.arriving import arrival
from tui import feeds, verifier
from tui.apart import Apart
from tui.arrivals import Checked
from tui.checking import check
from tui.feeds import LiveFeed
from tui.sources import Deliver, Key, Link, Ready, SourceError, Tell, always
from tui.sources.synthetic import events
from tui.verifier import Verifier

ARRIVALS = list(islice(events(agents=8, seed=7, start_ms=1_800_000_000_000), 1200))


@pytest.fixture(scope="module")
def expected() -> list[Checked]:
    return [check(arrival) for arrival in ARRIVALS]


def comparable(checked: Sequence[Checked]) -> list[object]:
    return [
        (one.arrival, [outcome if isinstance(outcome, Message) else str(outcome) for outcome in one.outcomes])
        for one in checked
    ]


@pytest.fixture
def verifying() -> Iterator[tuple[Verifier, Event]]:
    some = Event()
    made = Verifier(None, some.set)
    yield made, some
    made.close()


def taken(made: Verifier, some: Event, count: int) -> list[Checked]:
    found: list[Checked] = []
    while len(found) < count:
        if (checked := made.take()) is not None:
            found.append(checked)
        else:
            assert some.wait(30)
            some.clear()
    return found


@pytest.mark.parametrize("batch", [1, 7, 499, 600, 1200])
def test_the_order_stays_however_they_come(
    batch: int, verifying: tuple[Verifier, Event], expected: list[Checked]
) -> None:
    made, some = verifying
    for start in range(0, len(ARRIVALS), batch):
        made.submit(ARRIVALS[start : start + batch])
    assert comparable(taken(made, some, len(ARRIVALS))) == comparable(expected)
    assert made.take() is None


def test_few_start_no_process(verifying: tuple[Verifier, Event], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(key: object) -> None:
        raise AssertionError("a process for a handful of arrivals")

    monkeypatch.setattr(verifier, "Apart", refused)
    made, some = verifying
    for start in range(0, len(ARRIVALS), 400):
        made.submit(ARRIVALS[start : start + 400])
        assert len(taken(made, some, 400)) == 400


def test_closing_it_in_the_middle_leaves_nothing(verifying: tuple[Verifier, Event]) -> None:
    made, _ = verifying
    made.submit(ARRIVALS)
    made.close()
    assert made._apart is not None
    assert made._apart._worker is not None
    assert made._apart._worker.ended


def test_a_process_that_dies_costs_nothing_but_time(expected: list[Checked]) -> None:
    apart = Apart(None)
    apart.close()
    assert comparable(apart.check(ARRIVALS[:50])) == comparable(expected[:50])


def test_where_no_process_can_be_started_the_work_is_done_here(
    expected: list[Checked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    apart = Apart(None)
    assert comparable(apart.check(ARRIVALS[:50])) == comparable(expected[:50])
    apart.close()


def test_what_is_sealed_to_us_is_opened_here() -> None:
    ada, bob = Author("ada"), Author("bob")
    key = SealKey(bytes(32))
    hello = samples.bodies(bob, ada, full=False)["handshake.hello"]
    sealed = seal_carrier(key.public, ada.did, bob.carrier(hello, recipients=(ada.did,)))
    arrived = arrival(sealed, sender=bob.address, plane="direct")
    for known, seen in ((None, "sealed.unopened"), (Key(ada.did, (key,)), "handshake.hello")):
        apart = Apart(known)
        (checked,) = apart.check([arrived])
        apart.close()
        (outcome,) = checked.outcomes
        assert seen in (outcome.type if isinstance(outcome, Message) else str(outcome))


class Hasty:
    """Delivers whenever there is room, and notes how much was waiting then."""

    title = "a hasty room"
    room = ""
    key: Key | None = None

    def __init__(self) -> None:
        self.feed = LiveFeed(self, clock=lambda: ARRIVALS[-1].received_ms)
        self.most = 0

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        told(Link("live"))
        for start in range(0, len(ARRIVALS), 50):
            deliver(ARRIVALS[start : start + 50])
            self.most = max(self.most, self.feed.model.waiting)
            await ready()

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise SourceError("source.read_only", "It only reads.")
        yield ""

    async def cancel(self, task: str) -> str:
        raise SourceError("source.read_only", "It only reads.")


async def test_a_source_that_can_wait_is_held_back_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_WAITING_MOST", 100)
    hasty = Hasty()
    await asyncio.wait_for(hasty.feed.run(), 60)
    assert 100 < hasty.most <= 150
    assert hasty.feed.model.waiting == 0
    assert {arrival.event_id for arrival in hasty.feed.arrivals()} <= {arrival.event_id for arrival in ARRIVALS}
    assert hasty.feed.model.snapshot(0).counts.arrivals == len(ARRIVALS)
