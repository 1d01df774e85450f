"""What is sent again, and when: nothing is lost, and nothing is said twice."""

from __future__ import annotations

import asyncio

from bots.errors import RetryLater, TransportError
from bots.transports import Parcel
from tests.outbox.bench import Bench, fact, held, private
from tests.outbox.fake_transport import LIMITED


class TestRetries:
    async def test_a_lost_answer_is_no_second_event(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2))
        bench.transport.lose_answers = True
        async with bench.running():
            while len(bench.transport.tries) < 3:
                bench.transport.started.clear()
                await bench.transport.started.wait()
            bench.transport.lose_answers = False
            assert await bench.outbox.flush(10)
        assert len(bench.transport.parcels) == 1
        assert len(set(bench.transport.tries)) == 1, "every try is the same parcel"

    async def test_a_restart_retries_the_same_batch_even_if_more_was_added(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2))
        bench.transport.lose_answers = True
        async with bench.running():
            await bench.transport.started.wait()
        bench.transport.lose_answers = False
        bench.restart()
        bench.outbox.add(fact(3))
        assert [held(parcel) for parcel in await bench.drained()] == [[1, 2], [3]]
        assert len({parcel.txn for parcel in bench.transport.tries}) == 2

    async def test_a_rate_limit_of_rooms_does_not_hold_direct_messages_up(self, bench: Bench) -> None:
        direct = 0

        def limited(parcel: Parcel) -> TransportError | None:
            nonlocal direct
            direct += parcel.plane == "direct"
            return RetryLater("fake.rate_limited", "", 0.001) if parcel.plane == "room" and direct < 5 else None

        bench.transport.answer = limited
        bench.outbox.add(fact(1))
        bench.outbox.add(fact(2, room="matrix:roomid/other"))
        bench.outbox.add(*(private(n, address=f"matrix:u/peer-{n}:x") for n in range(5)))
        parcels = await bench.drained()
        assert [parcel.plane for parcel in parcels] == ["direct"] * 5 + ["room"] * 2

    async def test_a_rate_limit_holds_the_whole_plane(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: RetryLater("fake.rate_limited", "", 3600)
        bench.outbox.add(fact(1))
        async with bench.running():
            await bench.transport.started.wait()
            bench.outbox.add(fact(2, room="matrix:roomid/other"), private(3))
            assert not await bench.outbox.flush(0.05)
            bench.outbox.nudge()
            assert not await bench.outbox.flush(0.05)
        assert [held(parcel) for parcel in bench.transport.tries] == [[1], [3]]

    async def test_what_backs_up_behind_a_limit_coalesces_in_order(self, bench: Bench) -> None:
        left = 3

        def limited(parcel: Parcel) -> TransportError | None:
            nonlocal left
            left -= 1
            return LIMITED if left >= 0 else None

        bench.transport.answer = limited
        async with bench.running():
            for number in range(20):
                bench.outbox.add(fact(number))
                await asyncio.sleep(0)
            assert await bench.outbox.flush(10)
        parcels = bench.transport.parcels
        assert [number for parcel in parcels for number in held(parcel)] == list(range(20))
        assert len(parcels) <= 3

    async def test_a_nudge_ends_the_wait_after_a_failure(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: RetryLater("fake.unreachable", "", 3600)
        bench.outbox.add(fact(1))
        async with bench.running():
            await bench.transport.started.wait()
            assert not await bench.outbox.flush(0.02)
            bench.transport.answer = lambda parcel: None
            bench.outbox.nudge()
            assert await bench.outbox.flush(10)

    async def test_one_send_at_a_time_per_destination_many_at_once_over_all(self, bench: Bench) -> None:
        rooms = [f"matrix:roomid/{n}" for n in range(3)]
        peers = [f"matrix:u/peer-{n}:x" for n in range(3)]
        gates = {lane: asyncio.Event() for lane in rooms + peers}
        bench.transport.gates = gates
        for number in range(4):
            bench.outbox.add(*(fact(number, room=room, alone=True) for room in rooms))
            bench.outbox.add(*(private(number, address=peer) for peer in peers))
        async with bench.running():
            while len(bench.transport.tries) < 6:
                bench.transport.started.clear()
                await bench.transport.started.wait()
            assert sum(bench.transport.concurrent.values()) == 6
            for gate in gates.values():
                gate.set()
            assert await bench.outbox.flush(10)
        assert set(bench.transport.most_concurrent.values()) == {1}
        for room in rooms:
            sent = [held(parcel) for parcel in bench.transport.parcels if parcel.room == room]
            assert sent == [[0], [1], [2], [3]]
