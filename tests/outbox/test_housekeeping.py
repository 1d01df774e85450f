"""What expires, what is counted, and what never comes into the queue."""

from __future__ import annotations

import pytest

from bots.errors import RetryLater
from bots.outbox import Entry
from tests.outbox.bench import BOB, ROOM, Bench, fact, held


class TestHousekeeping:
    async def test_expired_entries_are_dropped(self, bench: Bench) -> None:
        bench.outbox.add(fact(1, expires_ms=bench.now_ms() + 10), fact(2))
        bench.passed_ms += 10
        assert [held(parcel) for parcel in await bench.drained()] == [[2]]

    @pytest.mark.parametrize("tried", [False, True], ids=["new", "tried"])
    async def test_a_wall_clock_that_jumps_ahead_drops_nothing_of_this_run(self, bench: Bench, tried: bool) -> None:
        bench.transport.answer = lambda parcel: RetryLater("fake.unreachable", "", 3600)
        bench.outbox.add(fact(1, expires_ms=bench.now_ms() + 10))
        if tried:
            async with bench.running():
                await bench.transport.started.wait()
        bench.transport.answer = lambda parcel: None
        bench.outbox.nudge()
        bench.ahead_ms = 3_600_000
        bench.passed_ms += 9
        assert [held(parcel) for parcel in await bench.drained()] == [[1]]

    async def test_what_was_added_while_the_wall_clock_was_ahead_expires_as_soon(self, bench: Bench) -> None:
        bench.ahead_ms = 3_600_000
        bench.outbox.add(fact(1, expires_ms=bench.now_ms() + 10), fact(2))
        bench.ahead_ms = 0
        bench.passed_ms += 10
        assert [held(parcel) for parcel in await bench.drained()] == [[2]]

    async def test_what_an_earlier_run_added_expires_by_the_wall_clock(self, bench: Bench) -> None:
        bench.outbox.add(fact(1, expires_ms=bench.now_ms() + 10), fact(2))
        bench.restart()
        bench.ahead_ms = 10
        assert [held(parcel) for parcel in await bench.drained()] == [[2]]

    async def test_a_batch_that_was_tried_expires_only_as_a_whole(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: RetryLater("fake.unreachable", "", 3600)
        bench.outbox.add(fact(1, expires_ms=bench.now_ms() + 10), fact(2, expires_ms=bench.now_ms() + 20))
        async with bench.running():
            await bench.transport.started.wait()
        bench.transport.answer = lambda parcel: None
        bench.passed_ms += 10
        bench.restart()
        assert [held(parcel) for parcel in await bench.drained()] == [[1, 2]]

        bench.transport.answer = lambda parcel: RetryLater("fake.unreachable", "", 3600)
        bench.outbox.add(fact(3, expires_ms=bench.now_ms() + 10))
        bench.transport.started.clear()
        async with bench.running():
            await bench.transport.started.wait()
        bench.transport.answer = lambda parcel: None
        bench.passed_ms += 10
        bench.restart()
        assert [held(parcel) for parcel in await bench.drained()] == [[1, 2]]

    async def test_health(self, bench: Bench) -> None:
        assert bench.outbox.health() == type(bench.outbox.health())(queued=0, oldest_s=0.0, refused=0)
        bench.outbox.add(fact(1), fact(2))
        bench.passed_ms += 1500
        assert bench.outbox.health() == type(bench.outbox.health())(queued=2, oldest_s=1.5, refused=0)

    async def test_an_aborted_transaction_queues_nothing(self, bench: Bench) -> None:
        def fail() -> None:
            with bench.store.transaction():
                bench.outbox.add(fact(1))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert bench.outbox.health().queued == 0

    @pytest.mark.parametrize(
        "entry",
        [
            Entry(plane="room", carrier="{}"),
            Entry(plane="room", room=ROOM),
            Entry(plane="direct", carrier="{}"),
            Entry(plane="direct", address=BOB, line="words"),
        ],
    )
    async def test_what_no_transport_could_send_is_refused_at_once(self, entry: Entry, bench: Bench) -> None:
        with pytest.raises(ValueError, match="needs"):
            bench.outbox.add(entry)
