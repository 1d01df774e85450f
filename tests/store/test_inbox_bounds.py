"""The inbox under a flood: bounded, and nobody's but the flooder's is dropped for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bots.errors import StoreError
from bots.store import Store
from bots.store import inbox as inbox_module
from bots.transports import Delivery

ALICE, ROGUE = "matrix:u/alice:example.org", "matrix:u/rogue:example.org"


def event(number: int, sender: str = ROGUE, size: int = 20) -> Delivery:
    return Delivery(
        transport="matrix", plane="room", room="matrix:roomid/abc", sender=sender, event_id=f"${number}",
        event="x" * size, received_ms=number, live=True,
    )  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., closing[Store]]:
    return lambda keep=100: closing(Store.open(tmp_path / "store.sqlite", keep=keep))


def history(store: Store, after: int = 0) -> list[int]:
    return [delivery.received_ms for _, delivery in store.history(after)]


def waiting(store: Store, limit: int) -> list[int]:
    return [delivery.received_ms for _, delivery in store.unhandled(limit)]


def test_the_history_is_in_the_order_in_which_it_was_handled(opened: Callable[..., closing[Store]]) -> None:
    with opened() as store:
        store.append([event(number) for number in range(1, 5)])
        store.handled([3])
        ((last, _),) = store.history()
    with opened() as store:
        store.handled([1])
        store.handled([4, 2])
        assert history(store) == [3, 1, 4, 2]
        assert history(store, last) == [1, 4, 2], "a reader misses nothing"
        assert history(store, store.newest(2)) == [4, 2]


def test_a_flood_displaces_its_own_history_alone(opened: Callable[..., closing[Store]]) -> None:
    with opened(keep=100) as store:
        store.append([event(number, ALICE) for number in range(10)])
        store.handled(seq for seq, _ in store.unhandled())
        for start in range(10, 2000, 50):
            store.append([event(number) for number in range(start, start + 50)])
            store.handled(seq for seq, _ in store.unhandled())
            assert len(history(store)) <= 300
        assert history(store)[:10] == list(range(10))
    with opened(keep=100) as store:
        store.append([event(number) for number in range(2010, 2110)])
        store.handled(seq for seq, _ in store.unhandled())
        assert history(store)[:10] == list(range(10))
        assert len(history(store)) <= 300


def test_the_history_has_a_bounded_number_of_bytes(
    opened: Callable[..., closing[Store]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "HANDLED_BYTES", 1 << 20)
    with opened(keep=10_000) as store:
        store.append([event(number, ALICE) for number in range(10)])
        for start in range(10, 1000, 50):
            store.append([event(number, size=10_000) for number in range(start, start + 50)])
            store.handled(seq for seq, _ in store.unhandled())
        assert set(range(10)) < set(history(store))
        assert len(history(store)) * 10_000 < 3 << 20


def test_whoever_waits_gets_a_turn_beside_a_flood(opened: Callable[..., closing[Store]]) -> None:
    with opened() as store:
        store.append([event(number) for number in range(1, 500)])
        store.append([event(number, ALICE) for number in range(500, 503)])
        store.append([event(number, "matrix:u/bob:example.org") for number in range(503, 505)])
        assert waiting(store, 7) == [1, 2, 3, 500, 501, 503, 504]
        assert [delivery.received_ms for _, delivery in store.unhandled()] == list(range(1, 505))
    with opened() as store:
        first = store.unhandled(7)
        assert [delivery.received_ms for _, delivery in first] == [1, 2, 3, 500, 501, 503, 504]
        store.handled(seq for seq, _ in first)
        assert waiting(store, 4) == [4, 5, 6, 502]


def test_a_batch_is_no_more_than_others_can_wait_for(opened: Callable[..., closing[Store]]) -> None:
    with opened() as store:
        store.append([event(number, size=60_000) for number in range(1, 20)])
        assert len(store.unhandled(200)) == 4
        store.append([event(20, ALICE, size=400_000)])
        store.handled(seq for seq, delivery in store.unhandled() if delivery.sender == ROGUE)
        assert waiting(store, 200) == [20]


@pytest.mark.parametrize("bound, value", [("WAITING", 100), ("WAITING_BYTES", 100 * 20)])
def test_what_waits_is_bounded_at_the_cost_of_the_flooder(
    opened: Callable[..., closing[Store]], monkeypatch: pytest.MonkeyPatch, bound: str, value: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(inbox_module, bound, value)
    with opened() as store:
        store.append([event(number, ALICE) for number in range(10)])
        store.append([event(number) for number in range(10, 1000)])
        kept = [delivery.received_ms for _, delivery in store.unhandled()]
        assert kept == [*range(10), *range(910, 1000)], "the newest of the flooder, all of the others"
        assert store.waiting == 100
        # What a crash kept from being dropped is dropped at the next start.
        monkeypatch.setattr(inbox_module, bound, value // 2)
    with opened() as store:
        store.append([event(1000, ALICE)])
        kept = [delivery.received_ms for _, delivery in store.unhandled()]
        assert kept == [*range(10), *range(961, 1001)]
    assert caplog.messages[0] == "More arrives than can be handled: 900 events are dropped unread"


def test_what_was_taken_back_takes_no_place(opened: Callable[..., closing[Store]]) -> None:
    with opened() as store:
        with pytest.raises(StoreError), store.transaction():
            store.append([event(1)])
            raise StoreError("store.full", "No space is left.")
        assert waiting(store, 10) == []
        store.append([event(2)])
        with pytest.raises(StoreError), store.transaction():
            store.handled([1, 2])
            raise StoreError("store.full", "No space is left.")
        assert waiting(store, 10) == [2]
        store.forget(seq for seq, _ in store.unhandled())
        assert waiting(store, 10) == history(store) == []
