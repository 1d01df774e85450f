"""What travels together: batches, and the threads they belong to."""

from __future__ import annotations

import asyncio
import json

from bots.outbox import CARRIERS_PER_BATCH, CONTENT_BYTES, Entry
from bots.store import Lane
from tests.outbox.bench import BOB, ROOM, Bench, fact, held, private
from tests.outbox.fake_transport import LIMITED


class TestBatches:
    async def test_what_is_added_together_travels_together(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2))
        with bench.store.transaction():
            bench.outbox.add(fact(3))
            bench.outbox.add(fact(4))
        [parcel] = await bench.drained()
        assert held(parcel) == [1, 2, 3, 4]
        assert parcel.body == "line 1\nline 2\nline 3\nline 4"
        assert (parcel.plane, parcel.room, parcel.thread_root) == ("room", ROOM, "")

    async def test_an_idle_queue_sends_at_once_a_busy_one_coalesces(self, bench: Bench) -> None:
        gate = bench.transport.gates[ROOM] = asyncio.Event()
        async with bench.running():
            bench.outbox.add(fact(1))
            await bench.transport.started.wait()
            for number in range(2, 8):
                bench.outbox.add(fact(number))
            gate.set()
            assert await bench.outbox.flush(10)
        assert [held(parcel) for parcel in bench.transport.parcels] == [[1], [2, 3, 4, 5, 6, 7]]

    async def test_at_most_sixteen(self, bench: Bench) -> None:
        bench.outbox.add(*(fact(number) for number in range(40)))
        parcels = await bench.drained()
        assert [len(parcel.carriers) for parcel in parcels] == [CARRIERS_PER_BATCH, CARRIERS_PER_BATCH, 8]
        assert [number for parcel in parcels for number in held(parcel)] == list(range(40))

    async def test_the_size_is_bounded(self, bench: Bench) -> None:
        big = json.dumps({"n": 0, "text": "é" * 9_000}, ensure_ascii=False)
        bench.outbox.add(*(fact(number, carrier=big) for number in range(7)))
        parcels = await bench.drained()
        assert [len(parcel.carriers) for parcel in parcels] == [2, 2, 2, 1]
        assert all(sum(len(c.encode()) for c in parcel.carriers) < CONTENT_BYTES for parcel in parcels)

    async def test_what_is_too_large_by_itself_is_still_tried(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2, line="x" * 60_000), fact(3))
        assert [held(parcel) for parcel in await bench.drained()] == [[1], [2], [3]]

    async def test_conversations_rooms_and_recipients_are_never_mixed(self, bench: Bench) -> None:
        carol = "matrix:u/carol:example.org"
        bench.outbox.add(
            fact(1, conversation="a"),
            fact(2, conversation="b"),
            fact(3, conversation=""),
            fact(4, conversation="a", room="matrix:roomid/other"),
            private(5),
            private(6, address=carol),
            fact(7, conversation="a"),
            fact(8, conversation=""),
            private(9),
        )
        parcels = await bench.drained()
        assert sorted(map(held, parcels)) == [[1, 7], [2], [3, 8], [4], [5, 9], [6]]
        [direct] = [parcel for parcel in parcels if held(parcel) == [6]]
        assert (direct.plane, direct.address, direct.device, direct.body) == ("direct", carol, "BOBS", "")

    async def test_who_travels_alone_is_not_overtaken_in_its_conversation(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2, alone=True), fact(3), fact(4, conversation="other"), fact(5))
        assert [held(parcel) for parcel in await bench.drained()] == [[1], [2], [3, 5], [4]]

    async def test_plain_words_and_carriers_are_separate_events(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2, carrier=""), fact(3, carrier=""), fact(4))
        parcels = await bench.drained()
        assert [(held(parcel), parcel.body) for parcel in parcels] == [
            ([1], "line 1"),
            ([], "line 2\nline 3"),
            ([4], "line 4"),
        ]

    async def test_one_mention_a_parcel(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2, mention="a"), fact(3, mention="a"), fact(4), fact(5, mention="b"))
        parcels = await bench.drained()
        assert [(held(parcel), parcel.mention) for parcel in parcels] == [([1, 2, 3, 4], "a"), ([5], "b")]

    async def test_the_urgent_go_first_causes_before_effects(self, bench: Bench) -> None:
        bench.outbox.add(
            fact(1, conversation="slow", priority=5),
            fact(2, conversation="fast", priority=5),
            fact(3, conversation="fast", priority=0),
        )
        assert [held(parcel) for parcel in await bench.drained()] == [[2, 3], [1]]


class TestThreads:
    async def test_the_first_event_of_a_conversation_becomes_its_root(self, bench: Bench) -> None:
        bench.outbox.add(fact(1), fact(2, alone=True))
        first, second = await bench.drained()
        assert (first.thread_root, second.thread_root) == ("", "$event-0")
        assert bench.store.thread_root(bench.transport.name, "task") == "$event-0"

    async def test_a_known_root_is_used_and_remembered(self, bench: Bench) -> None:
        bench.outbox.add(fact(1, root="$question"))
        bench.outbox.add(fact(2, alone=True))
        assert [parcel.thread_root for parcel in await bench.drained()] == ["$question", "$question"]
        bench.store.set_thread_root(bench.transport.name, "known", "$known")
        bench.outbox.add(fact(3, conversation="known"))
        assert (await bench.drained())[-1].thread_root == "$known"

    async def test_two_threads_never_share_an_event(self, bench: Bench) -> None:
        bench.outbox.add(fact(1, root="$a"), fact(2, root="$b"), fact(3, root="$a"))
        parcels = await bench.drained()
        assert [(held(parcel), parcel.thread_root) for parcel in parcels] == [([1, 3], "$a"), ([2], "$b")]

    async def test_direct_messages_have_no_thread(self, bench: Bench) -> None:
        bench.store.set_thread_root(bench.transport.name, "task", "$root")
        entry = Entry(plane="direct", address=BOB, device="B", carrier='{"n": 1}', conversation="task")
        bench.outbox.add(entry)
        assert [parcel.thread_root for parcel in await bench.drained()] == [""]


class TestCommits:
    async def test_what_can_go_at_once_is_committed_as_a_batch(self, bench: Bench) -> None:
        bench.transport.gates[ROOM] = asyncio.Event()
        async with bench.running():
            await asyncio.sleep(0)
            with bench.store.transaction():
                bench.outbox.add(fact(1))
                bench.outbox.add(fact(2))
            batch = bench.store.outgoing.open_batch("fake", Lane("room", ROOM, "", ""))
            assert batch is not None
            assert [entry for _, entry in batch.entries] == [fact(1), fact(2)]
            await bench.transport.started.wait()
            assert bench.transport.tries[0].txn == batch.txn

    async def test_what_a_power_failure_could_take_back_is_no_batch_yet(self, bench: Bench) -> None:
        async with bench.running():
            await asyncio.sleep(0)
            with bench.store.transaction(durable=False):
                bench.outbox.add(fact(1))
            assert bench.store.outgoing.open_batch("fake", Lane("room", ROOM, "", "")) is None
            assert await bench.outbox.flush(10)
        assert [held(parcel) for parcel in bench.transport.parcels] == [[1]]

    async def test_a_destination_that_waits_gathers_what_comes(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: LIMITED
        async with bench.running():
            bench.outbox.add(fact(1))
            await bench.transport.started.wait()
            bench.outbox.add(fact(2))
            bench.outbox.add(fact(3))
            bench.transport.answer = lambda parcel: None
            assert await bench.outbox.flush(10)
        assert [held(parcel) for parcel in bench.transport.parcels] == [[1], [2, 3]]
