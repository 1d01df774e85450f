"""The synthetic mesh: really signed, the same for the same seed, and folded without a fault."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import islice, pairwise

import pytest

from clawnet_proto import sealed_text
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from tui.arrivals import Arrival, Words
from tui.checking import check
from tui.sources import Key, Link, Source, SourceError
from tui.sources.synthetic import ROOM, Synthetic, events

START_MS = 1_800_000_000_000
# What strangers do on purpose; anything else would be a fault of ours.
BAD = {"signature.invalid", "carrier.mismatch", "room.mismatch", "sealed.unopened"}


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now_ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_ms += max(1, round(seconds * 1000))
        await asyncio.sleep(0)


class Seen:
    """What a run delivered, checked and folded."""

    def __init__(self, key: Key | None) -> None:
        self.key = key
        self.arrivals: list[Arrival] = []
        self.messages: list[tuple[Arrival, Message]] = []
        self.codes: Counter[str] = Counter()
        self.words: list[str] = []
        self.links: list[Link] = []
        self.mesh = Mesh(ROOM)

    def deliver(self, batch: Sequence[Arrival]) -> None:
        for arrival in batch:
            self.arrivals.append(arrival)
            for outcome in check(arrival, self.key).outcomes:
                if isinstance(outcome, Message):
                    self.mesh.add(outcome, arrival.sender)
                    self.messages.append((arrival, outcome))
                elif isinstance(outcome, Words):
                    self.words.append(outcome.text)
                elif isinstance(outcome, RemoteProtocolError):
                    self.codes[outcome.code] += 1

    def told(self, link: Link) -> None:
        self.links.append(link)

    def types(self, plane: str) -> Counter[str]:
        return Counter(message.type for arrival, message in self.messages if arrival.plane == plane)

    def task(self, task_id: str) -> TaskView:
        view = self.mesh.task(task_id)
        assert view is not None
        return view


def source(clock: Clock, **options: object) -> Synthetic:
    return Synthetic(clock=clock, sleep=clock.sleep, **options)  # type: ignore[arg-type]


@cache
def seen(agents: int, rate: float | None, count: int) -> Seen:
    """The first events of a play, folded; for tests that only look."""
    found = Seen(Synthetic(clock=lambda: START_MS, agents=agents, rate=rate).key)
    found.deliver(tuple(islice(events(agents=agents, rate=rate, start_ms=START_MS), count)))
    return found


async def watched(mesh: Synthetic, act: Callable[[Seen], object] | None = None) -> Seen:
    """A whole run; ``act`` is called once, when the first events have arrived."""
    found = Seen(mesh.key)
    acted = act is None

    def deliver(batch: Sequence[Arrival]) -> None:
        nonlocal acted
        found.deliver(batch)
        if not acted and act is not None:
            acted = True
            act(found)

    await mesh.run(deliver, found.told)
    return found


class TestEvents:
    def test_the_same_seed_gives_the_same_bytes(self) -> None:
        one, same, other = (
            tuple(islice(events(agents=8, seed=seed, rate=100, start_ms=START_MS), 1500)) for seed in (1, 1, 2)
        )
        assert one == same
        assert not {arrival.event for arrival in one} & {arrival.event for arrival in other}

    @pytest.mark.parametrize("agents,rate", [(4, None), (24, None), (100, 1000), (300, 10_000)])
    def test_everything_verifies_but_what_strangers_forge(self, agents: int, rate: float | None) -> None:
        found = seen(agents, rate, 3000)
        assert set(found.codes) <= BAD
        assert sum(found.codes.values()) < 30
        assert len(found.messages) > 3000

    def test_strangers_try_all_their_tricks_in_time(self) -> None:
        found = seen(24, None, 3000)
        assert set(found.codes) == BAD
        names = {peer.name for peer in found.mesh.peers.values()}
        assert any("\x1b" in name or "\u202e" in name or "\u200b" in name or len(name) == 64 for name in names)
        bindings = Counter(
            found.mesh.binding(message) for _, message in found.messages if message.type == "presence.announce"
        )
        assert bindings["bound"] > 100
        assert bindings["relayed"] > 0
        assert bindings["unbound"] > 0

    @pytest.mark.parametrize("agents,rate", [(4, None), (24, None), (100, 1000), (300, 10_000)])
    def test_the_fold_takes_all_of_it(self, agents: int, rate: float | None) -> None:
        found = seen(agents, rate, 3000)
        tasks = list(found.mesh.tasks())
        assert [task.errors for task in tasks if task.errors] == []
        states = Counter(task.state for task in tasks)
        assert states["completed"] > len(tasks) / 5
        now_ms = found.arrivals[-1].received_ms
        assert len(found.mesh.live_peers(now_ms)) >= 0.8 * agents

    def test_tasks_end_in_every_way(self) -> None:
        tasks = list(seen(100, 1000, 9000).mesh.tasks())
        assert {"completed", "failed", "canceled"} <= {task.state for task in tasks}
        attempts = [number for task in tasks for stage in task.stages.values() for number in stage.attempts.values()]
        assert {"completed", "failed", "rejected", "lapsed", "canceled"} <= {attempt.state for attempt in attempts}
        assert any(attempt.number == 2 and attempt.state == "completed" for attempt in attempts)

    def test_open_tasks_are_bounded(self) -> None:
        tasks = list(seen(100, 1000, 9000).mesh.tasks())
        assert sum(not task.finished for task in tasks) <= 300

    def test_outputs_form_a_chain(self) -> None:
        closed = [
            task for task in seen(24, None, 3000).mesh.tasks() if task.state == "completed" and len(task.stages) > 2
        ]
        assert closed
        for task in closed:
            assert task.output_text("revise")
            revised = task.stages["revise"].accepted
            assert revised is not None
            assert revised.body.inputs[1].digest == task.output_digest("draft")

    def test_a_task_lives_in_order(self) -> None:
        found = seen(24, None, 3000)
        ours = next(task.id for task in found.mesh.tasks() if found.key and task.requester == found.key.did)
        course = [m.type.removeprefix("task.") for _, m in found.messages if ours in (m.id, m.envelope.thread)]
        assert course[:5] == ["request", "offer", "offer", "offer", "award"]
        assert course[-1] == "close"
        assert course.count("result") == 3
        assert course.index("start") < course.index("progress") < course.index("result")

    def test_the_room_hears_only_what_is_for_the_room(self) -> None:
        found = seen(24, None, 3000)
        assert not set(found.types("room")) & {"task.offer", "task.start", "task.progress", "handshake.hello"}
        direct = [message for arrival, message in found.messages if arrival.plane == "direct"]
        assert {message.type for message in direct} >= {"task.offer", "task.start", "task.progress", "handshake.hello"}
        assert found.key is not None
        assert all(message.envelope.recipients in ((found.key.did,), None) or message.type == "presence.announce"
                   for message in direct)  # fmt: skip

    def test_progress_comes_at_most_twice_a_second(self) -> None:
        times: dict[tuple[str, str], list[int]] = {}
        for _, message in seen(24, None, 3000).messages:
            if message.type == "task.progress":
                key = (str(message.envelope.thread), message.body.stage)
                times.setdefault(key, []).append(message.envelope.sent_ms)
        assert any(len(found) > 3 for found in times.values())
        assert all(later - sooner >= 499 for found in times.values() for sooner, later in pairwise(found))

    def test_agents_come_one_after_the_other_and_are_at_work_in_ten_seconds(self) -> None:
        found = Seen(None)
        grown: dict[int, int] = {}
        for arrival in islice(events(agents=24, start_ms=START_MS), 400):
            if arrival.received_ms < START_MS + 10_000:
                found.deliver([arrival])
                grown[(arrival.received_ms - START_MS) // 1000] = len(found.mesh.live_peers(arrival.received_ms))
        assert grown[0] < grown[2] < grown[4] < grown[9]
        assert grown[9] >= 24
        assert any(peer.body and peer.body.confirmed for peer in found.mesh.peers.values())
        assert found.types("room")["task.result"] > 0

    def test_agents_leave_fall_silent_and_come_again(self) -> None:
        found = Seen(None)
        absent: dict[str, str] = {}
        back: Counter[str] = Counter()
        for count, arrival in enumerate(islice(events(agents=24, seed=3, start_ms=START_MS), 4000)):
            found.deliver([arrival])
            if count % 20:
                continue
            for did, peer in found.mesh.peers.items():
                if not peer.bound or peer.body is None:
                    continue
                if not peer.live(arrival.received_ms):
                    absent[did] = "left" if peer.body.revision <= peer.left_revision else "expired"
                elif did in absent:
                    back[absent.pop(did)] += 1
        assert back["left"] > 0
        assert back["expired"] > 0

    def test_keys_are_rotated_and_the_identity_stays(self) -> None:
        found = seen(100, 1000, 9000)
        rotated = [peer for peer in found.mesh.peers.values() if len(peer.keys.chain) > 1]
        assert rotated
        assert all(peer.standing == "good" and peer.bound for peer in rotated)

    def test_people_talk_and_are_served(self) -> None:
        found = seen(24, None, 3000)
        assert any(not text.startswith("!claw") for text in found.words)
        served = [task.request.body.on_behalf_of for task in found.mesh.tasks() if task.request.body.on_behalf_of]
        ids = {arrival.event_id for arrival in found.arrivals}
        assert served
        assert all(behalf.event in ids for behalf in served)

    def test_a_rate_is_kept_evenly(self) -> None:
        times = [arrival.received_ms for arrival in islice(events(agents=10, rate=1000, start_ms=START_MS), 2000)]
        assert times == [START_MS + place for place in range(2000)]

    @pytest.mark.parametrize("agents,rate", [(3, None), (1001, None), (4, 0), (4, -1), (4, 1e9), (4, float("nan"))])
    def test_what_is_no_mesh_is_refused(self, agents: int, rate: float | None) -> None:
        with pytest.raises(ValueError, match="There can be"):
            next(iter(events(agents=agents, rate=rate, start_ms=START_MS)))
        with pytest.raises(SourceError) as raised:
            source(Clock(), agents=agents, rate=rate)
        assert (raised.value.code, raised.value.usage) == ("demo.size", True)


class TestRun:
    def test_it_is_a_source(self) -> None:
        found: Source = source(Clock())
        assert found.key is not None
        assert found.title

    async def test_it_paces_by_the_clock_it_is_given(self) -> None:
        clock = Clock()
        found = await watched(source(clock, rate=200, duration_ms=3000))
        assert len(found.arrivals) == pytest.approx(600, abs=10)
        assert all(arrival.received_ms <= clock.now_ms for arrival in found.arrivals)
        assert sum(clock.slept) == pytest.approx(3.0, abs=0.5)
        assert [link.state for link in found.links] == ["live", "ended"]

    async def test_it_ends_at_the_limit(self) -> None:
        assert len((await watched(source(Clock(), rate=10_000, limit=777))).arrivals) == 777

    async def test_it_delivers_what_events_gives(self) -> None:
        found = await watched(source(Clock(), agents=12, rate=500, limit=1000))
        assert found.arrivals == list(islice(events(agents=12, rate=500, start_ms=START_MS), 1000))

    async def test_what_was_prepared_comes_in_its_time(self) -> None:
        clock = Clock()
        mesh = source(clock, rate=500, limit=1000)
        mesh.prepare(800)
        found = await watched(mesh)
        assert found.arrivals == list(islice(events(rate=500, start_ms=START_MS), 1000))
        assert clock.now_ms - START_MS == pytest.approx(2000, abs=50)

    async def test_it_starts_at_once(self) -> None:
        clock, first = Clock(), []
        await watched(source(clock, duration_ms=200), lambda found: first.append(clock.now_ms))
        assert first == [START_MS]


class TestAsking:
    async def asked(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False, cancel: bool = False
    ) -> tuple[list[str], Seen]:
        """What one is told of a question, and all that was seen of it."""
        mesh = source(Clock(), agents=12, duration_ms=90_000)
        sentences: list[str] = []

        async def ask() -> None:
            async for sentence in mesh.ask(question, stages=stages, private=private):
                sentences.append(sentence)
                if cancel and sentence.startswith(stages[0]):
                    await mesh.cancel(sentences[0])

        asking: list[asyncio.Task[None]] = []
        found = await watched(mesh, lambda _: asking.append(asyncio.create_task(ask())))
        await asyncio.wait_for(asking[0], 5)
        return sentences, found

    async def test_an_answer_comes_and_the_task_completes(self) -> None:
        sentences, found = await self.asked("Why is the sky blue?", stages=("draft", "critique", "revise"))
        view = found.task(sentences[0])
        assert view.state == "completed"
        assert view.errors == {}
        text = view.output_text("revise")
        assert text is not None
        assert "scatters short waves" in text
        assert any(text in sentence for sentence in sentences)
        pieces = [m.body for _, m in found.messages if m.type == "task.progress" and m.envelope.thread == view.id]
        assert pieces
        assert all(str(view.output_text(p.stage))[p.offset :].startswith(p.text) for p in pieces)

    async def test_any_question_is_answered_with_the_truth(self) -> None:
        sentences, found = await self.asked("What will the stock market do?\x1b[2J")
        text = found.task(sentences[0]).output_text("answer")
        assert text is not None
        assert "run no model" in text
        assert "stock market" in text

    async def test_a_private_task_is_sealed_and_opens_for_us(self) -> None:
        sentences, found = await self.asked("Why do cats purr?", stages=("draft", "revise"), private=True)
        view = found.task(sentences[0])
        assert (view.state, view.errors) == ("completed", {})
        result = view.stages["revise"].accepted
        assert result is not None
        assert found.key is not None
        info = sealed_text.output_info(view.id, "revise", 1)
        secret = sealed_text.unseal(found.key.seal_keys[0], result.body.sealed, info, result.body.output_digest)
        assert "larynx" in secret.text
        told = [arrival.event for arrival, m in found.messages if view.id in (m.id, m.envelope.thread)]
        assert not any("larynx" in event or "cats" in event for event in told)

    async def test_canceling_ends_it_for_everybody(self) -> None:
        sentences, found = await self.asked("Why is the sky blue?", stages=("draft", "revise"), cancel=True)
        view = found.task(sentences[0])
        assert view.state == "canceled"
        assert view.errors == {}
        assert view.stages["revise"].accepted is None
        assert sentences[-1] == "The task is canceled."

    @pytest.mark.parametrize(
        "question,stages,code",
        [
            (" ", ("answer",), "ask.empty"),
            ("x" * 16_001, ("answer",), "ask.too_long"),
            ("half \ud800", ("answer",), "ask.text"),
            ("Why?", ("dance",), "ask.stage"),
            ("Why?", ("draft", "draft"), "ask.stage"),
            ("Why?", (), "ask.stage"),
        ],
    )
    async def test_what_cannot_be_asked_is_said(self, question: str, stages: Sequence[str], code: str) -> None:
        with pytest.raises(SourceError) as raised:
            await self.asked(question, stages=stages)
        assert raised.value.code == code

    async def test_nobody_answers_before_it_runs(self) -> None:
        with pytest.raises(SourceError) as raised:
            await anext(source(Clock()).ask("Why?"))
        assert raised.value.code == "source.stopped"

    async def test_who_listens_is_let_go_when_it_ends(self) -> None:
        mesh = source(Clock(), duration_ms=500)
        sentences: list[str] = []

        async def ask() -> None:
            sentences.extend([sentence async for sentence in mesh.ask("Why?")])

        asking: list[asyncio.Task[None]] = []
        await watched(mesh, lambda _: asking.append(asyncio.create_task(ask())))
        await asyncio.wait_for(asking[0], 5)
        assert len(sentences[0]) == 43

    async def test_only_our_own_open_tasks_can_be_canceled(self) -> None:
        mesh, codes = source(Clock(), agents=12, duration_ms=60_000), []

        async def cancel(task: str) -> None:
            try:
                await mesh.cancel(task)
            except SourceError as error:
                codes.append(error.code)

        found = await watched(mesh)
        assert found.key is not None
        for task in found.mesh.tasks():
            await cancel(task.id)
        ours = sum(task.requester == found.key.did for task in found.mesh.tasks())
        assert ours > 0
        assert Counter(codes)["task.not_ours"] == len(codes) - ours > 0
