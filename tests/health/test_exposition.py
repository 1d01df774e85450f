"""Counters and gauges as Prometheus reads them: nothing a stranger chooses may become a label."""

from __future__ import annotations

import random

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bots.config import HealthSection
from bots.events import MessageSeen, PeerConfirmed, TaskEnded
from bots.health.counts import OTHER, STAGE_SECONDS, Counts, Histogram
from bots.health.exposition import exposition
from bots.health.state import State, judge
from clawnet_proto.families import task
from clawnet_proto.specification import ERRORS, TYPES
from tests.health.test_state import state

LIMITS = HealthSection()
PARAMETERS = task.Parameters(max_tokens=5, temperature_milli=0, top_p_milli=1000, seed=0, stop=())


def samples(counts: Counts, given: State) -> dict[str, float]:
    """Every sample of the page, by its name and labels as they stand there."""
    page = exposition(given, judge(given, LIMITS), counts).decode()
    found = {}
    for family in text_string_to_metric_families(page):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found
            found[key] = sample.value
    return found


def seen(**changes: object) -> MessageSeen:
    return MessageSeen(**({"at_ms": 1, "verdict": "bound", "type": "task.offer"} | changes))  # type: ignore[arg-type]


def nothing(_event: MessageSeen) -> None:
    return None


def result(tokens: int, took_ms: int) -> task.Result:
    return task.Result(
        stage="answer", attempt=1, award="a", inputs=(), parameters=PARAMETERS, media_type="text/plain", finish="stop",
        output_digest="d", usage=task.Usage(
            prompt_tokens=7, output_tokens=tokens, queued_ms=took_ms, prompt_ms=0, generate_ms=0
        ),
    )  # fmt: skip


def test_every_number_is_on_the_page() -> None:
    given = state(outbox_waiting=3, sync_age_s=4.5, stages_running=2, decryption_failures=6, undecryptable=1)
    found = samples(Counts(), given)
    assert found["clawnet_outbox_waiting"] == 3
    assert found["clawnet_sync_age_seconds"] == 4.5
    assert found["clawnet_stages_running"] == 2
    assert found["clawnet_decryption_failures_total"] == 6
    assert found["clawnet_undecryptable"] == 1
    assert found["clawnet_engine_up"] == found["clawnet_healthy"] == found["clawnet_disk_writable"] == 1
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_what_is_not_known_is_absent() -> None:
    found = samples(Counts(), state(sync_age_s=None, engine="none", models=0))
    assert "clawnet_sync_age_seconds" not in found
    assert "clawnet_engine_up" not in found
    assert found["clawnet_healthy"] == 0
    assert found["clawnet_problem{code=sync.never}"] == 1


def test_what_happens_is_counted() -> None:
    counts = Counts()
    for event in (seen(), seen(), seen(ours=True), seen(ours=True, type="task.fail"), seen(code="time.expired")):
        counts.add(event, nothing)
    counts.add(seen(code="recipient.other"), nothing)
    counts.add(seen(verdict="invalid", type="", code="signature.invalid"), nothing)
    counts.add(PeerConfirmed(at_ms=1, peer="did:key:x", name="x", rtt_ms=3), nothing)
    counts.add(TaskEnded(at_ms=1, task="t", outcome="completed"), nothing)
    found = samples(counts, state())
    assert found["clawnet_messages_received_total{type=task.offer}"] == 4
    assert found["clawnet_messages_sent_total{type=task.offer}"] == 1
    assert found["clawnet_unusable_total{code=time.expired}"] == 1
    assert found["clawnet_refused_total{code=signature.invalid}"] == 1
    assert found["clawnet_stages_total{outcome=failed}"] == 1
    assert found["clawnet_tasks_total{outcome=completed}"] == 1
    assert found["clawnet_handshakes_total"] == 1


def test_stages_are_counted_with_their_tokens_and_their_time() -> None:
    counts = Counts()
    for took_ms in (100, 101, 999_000):
        given = result(5, took_ms)
        counts.add(seen(ours=True, type="task.result"), {seen(ours=True, type="task.result"): given}.get)
    counts.add(seen(ours=True, type="task.result"), nothing)  # forgotten by the fold
    found = samples(counts, state())
    assert found["clawnet_stages_total{outcome=completed}"] == 4
    assert found["clawnet_tokens_total{direction=output}"] == 15
    assert found["clawnet_tokens_total{direction=prompt}"] == 21
    assert found["clawnet_stage_seconds_bucket{le=0.1}"] == 1
    assert found["clawnet_stage_seconds_bucket{le=0.25}"] == 2
    assert found["clawnet_stage_seconds_bucket{le=300.0}"] == 2
    assert found["clawnet_stage_seconds_bucket{le=+Inf}"] == found["clawnet_stage_seconds_count"] == 3
    assert found["clawnet_stage_seconds_sum"] == pytest.approx(999.201)


def test_a_bucket_holds_its_bound() -> None:
    histogram = Histogram()
    for bound in STAGE_SECONDS:
        histogram.add(bound)
    assert histogram.buckets == [1] * len(STAGE_SECONDS) + [0]


def test_strangers_cannot_make_series() -> None:
    chance = random.Random(5)
    counts = Counts()
    before = len(samples(counts, state()))
    for _ in range(5_000):
        word = "".join(chance.choices('ab"\\\n{}=.', k=12))
        counts.add(seen(type=word, code=word, sender=word, address=word), nothing)
        counts.add(seen(type=word, code=word, verdict="invalid"), nothing)
    found = samples(counts, state())
    assert found[f"clawnet_messages_received_total{{type={OTHER}}}"] == 5_000
    assert found[f"clawnet_refused_total{{code={OTHER}}}"] == 5_000
    assert len(found) <= before + 2
    for kind in TYPES:
        counts.add(seen(type=kind), nothing)
    for code in ERRORS:
        counts.add(seen(code=code, verdict="invalid"), nothing)
    assert len(samples(counts, state())) <= before + 2 + len(ERRORS)
