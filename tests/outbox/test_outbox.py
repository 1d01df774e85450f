"""The outbox against a transport that says what the test wants, over a real store."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bots.errors import Fatal, Refused, RetryLater, TransportError
from bots.outbox import CARRIERS_PER_BATCH, CONTENT_BYTES, SERVER_ERRORS, Entry, Outbox
from bots.store import Lane, Store
from bots.transports import Delivery, EncryptionHealth, Parcel, PersonText, Room

ROOM = "matrix:roomid/abc"
BOB = "matrix:u/bob:example.org"

LIMITED = RetryLater("fake.rate_limited", "Too fast.", 0.02)
UNREACHABLE = RetryLater("fake.unreachable", "Nobody there.", 0.0)
BROKEN = RetryLater("fake.server_error", "It failed.", 0.0)


class FakeTransport:
    """Takes parcels like a homeserver: the same transaction id twice is one event."""

    name = "fake"
    address = "matrix:u/me:example.org"
    device = "ME"
    online = True

    def __init__(self) -> None:
        self.tries: list[Parcel] = []
        self.taken: dict[str, Parcel] = {}
        self.answer: Callable[[Parcel], TransportError | None] = lambda parcel: None
        self.lose_answers = False
        self.gates: dict[str, asyncio.Event] = {}  # by room or address: sends wait for it
        self.started = asyncio.Event()
        self.concurrent = Counter[str]()
        self.most_concurrent = Counter[str]()

    async def store_chunk(self, data: bytes) -> str:
        raise Refused("fake.no_store", "This transport stores nothing.")

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        raise Refused("fake.no_store", "This transport stores nothing.")

    def direct_event(self, carrier: str) -> str:
        return carrier

    async def send(self, parcel: Parcel) -> str:
        lane = parcel.room or parcel.address
        self.tries.append(parcel)
        self.started.set()
        self.concurrent[lane] += 1
        self.most_concurrent[lane] = max(self.most_concurrent[lane], self.concurrent[lane])
        try:
            if lane in self.gates:
                await self.gates[lane].wait()
            await asyncio.sleep(0)
            if (error := self.answer(parcel)) is not None:
                raise error
            self.taken.setdefault(parcel.txn, parcel)
            if self.lose_answers:
                raise UNREACHABLE
        finally:
            self.concurrent[lane] -= 1
        return f"$event-{list(self.taken).index(parcel.txn)}" if parcel.plane == "room" else ""

    @property
    def parcels(self) -> list[Parcel]:
        return list(self.taken.values())

    async def connect(self) -> None: ...

    async def join(self, room: str) -> Room:
        raise NotImplementedError

    def rooms(self) -> Sequence[Room]:
        return []

    @property
    def encryption(self) -> EncryptionHealth:
        return EncryptionHealth()

    def is_member(self, room: str, address: str) -> bool:
        return False

    async def run(self) -> None: ...

    async def close(self) -> None: ...

    def carriers(self, delivery: Delivery) -> list[object]:
        return []

    def person_text(self, delivery: Delivery) -> PersonText | None:
        return None

    def thread_root(self, delivery: Delivery) -> str:
        return ""


class Bench:
    """A store, a transport, a clock and what the outbox reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store.open(path)
        self.transport = FakeTransport()
        self.passed_ms = 0
        self.ahead_ms = 0  # the wall clock, of what it showed at first
        self.refused: list[tuple[list[Entry], str]] = []
        self.outbox = self._outbox()

    def _outbox(self) -> Outbox:
        return Outbox(
            self.store,
            self.transport,
            self,
            refused=lambda entries, error: self.refused.append((list(entries), error.code)),
            backoff_s=(0.001, 0.004),
        )

    def now_ms(self) -> int:
        return 1_000_000 + self.passed_ms + self.ahead_ms

    def monotonic_ms(self) -> int:
        return self.passed_ms

    def restart(self) -> None:
        self.store.close()
        self.store = Store.open(self.path)
        self.outbox = self._outbox()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        run = asyncio.create_task(self.outbox.run())
        try:
            yield
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    async def drained(self) -> list[Parcel]:
        async with self.running():
            assert await self.outbox.flush(10)
        return self.transport.parcels


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "store.sqlite")
    yield bench
    bench.store.close()


def fact(number: int, *, conversation: str = "task", room: str = ROOM, **options: object) -> Entry:
    entry = {"plane": "room", "room": room, "conversation": conversation}
    entry |= {"carrier": json.dumps({"n": number}), "line": f"line {number}"}
    return Entry(**(entry | options))  # type: ignore[arg-type]


def private(number: int, *, address: str = BOB) -> Entry:
    return Entry(plane="direct", address=address, device="BOBS", carrier=json.dumps({"n": number}))


def held(parcel: Parcel) -> list[int]:
    return [json.loads(carrier)["n"] for carrier in parcel.carriers]


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
        assert bench.store.thread_root("task") == "$event-0"

    async def test_a_known_root_is_used_and_remembered(self, bench: Bench) -> None:
        bench.outbox.add(fact(1, root="$question"))
        bench.outbox.add(fact(2, alone=True))
        assert [parcel.thread_root for parcel in await bench.drained()] == ["$question", "$question"]
        bench.store.set_thread_root("known", "$known")
        bench.outbox.add(fact(3, conversation="known"))
        assert (await bench.drained())[-1].thread_root == "$known"

    async def test_two_threads_never_share_an_event(self, bench: Bench) -> None:
        bench.outbox.add(fact(1, root="$a"), fact(2, root="$b"), fact(3, root="$a"))
        parcels = await bench.drained()
        assert [(held(parcel), parcel.thread_root) for parcel in parcels] == [([1, 3], "$a"), ([2], "$b")]

    async def test_direct_messages_have_no_thread(self, bench: Bench) -> None:
        bench.store.set_thread_root("task", "$root")
        entry = Entry(plane="direct", address=BOB, device="B", carrier='{"n": 1}', conversation="task")
        bench.outbox.add(entry)
        assert [parcel.thread_root for parcel in await bench.drained()] == [""]


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


class TestRefusals:
    async def test_a_refused_batch_is_set_aside_and_the_queue_goes_on(self, bench: Bench) -> None:
        no = Refused("fake.forbidden", "Not in this room.")
        bench.transport.answer = lambda parcel: no if held(parcel) == [1, 2] else None
        bench.outbox.add(fact(1), fact(2))
        bench.outbox.add(fact(3, conversation="other"))
        assert [held(parcel) for parcel in await bench.drained()] == [[3]]
        assert [([e.line for e in entries], code) for entries, code in bench.refused] == [
            (["line 1", "line 2"], "fake.forbidden")
        ]
        [refusal] = bench.store.outgoing.refusals("fake")
        assert refusal.reason == "fake.forbidden: Not in this room."
        assert [entry.line for entry in refusal.entries] == ["line 1", "line 2"]
        assert bench.outbox.health().refused == 2
        bench.restart()
        await bench.drained()
        assert len(bench.transport.tries) == 2, "it is not tried again"

    @pytest.mark.parametrize("code", ["fake.bad_content", "fake.too_large"])
    async def test_a_bad_message_takes_no_others_down_with_it(self, code: str, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: Refused(code, "") if 2 in held(parcel) else None
        bench.outbox.add(fact(1), fact(2), fact(3))
        assert [held(parcel) for parcel in await bench.drained()] == [[1], [3]]
        assert [[e.line for e in entries] for entries, _ in bench.refused] == [["line 2"]]

    async def test_a_batch_that_makes_the_server_fail_is_set_aside(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: BROKEN if held(parcel) == [1] else None
        bench.outbox.add(fact(1, alone=True), fact(2))
        async with bench.running():
            while len(bench.transport.tries) < 3:
                bench.transport.started.clear()
                await bench.transport.started.wait()
        bench.restart()
        assert [held(parcel) for parcel in await bench.drained()] == [[2]]
        tries = [held(parcel) for parcel in bench.transport.tries]
        assert SERVER_ERRORS <= tries.count([1]) <= SERVER_ERRORS + 1, "counted over the restart"

    async def test_an_unreachable_server_refuses_nothing(self, bench: Bench) -> None:
        left = 3 * SERVER_ERRORS

        def away(parcel: Parcel) -> TransportError | None:
            nonlocal left
            left -= 1
            return UNREACHABLE if left >= 0 else None

        bench.transport.answer = away
        bench.outbox.add(fact(1))
        assert [held(parcel) for parcel in await bench.drained()] == [[1]]

    async def test_fatal_ends_the_run_and_loses_nothing(self, bench: Bench) -> None:
        bench.transport.answer = lambda parcel: Fatal("fake.dead", "The token is dead.")
        bench.outbox.add(fact(1))
        with pytest.raises(Fatal):
            await bench.outbox.run()
        bench.transport.answer = lambda parcel: None
        bench.restart()
        assert [held(parcel) for parcel in await bench.drained()] == [[1]]


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
