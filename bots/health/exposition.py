"""State and counts in Prometheus' text exposition format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bots.health.counts import OTHER, STAGE_SECONDS, Counts
from bots.health.state import State, Verdict
from clawnet_proto import PROTOCOL_VERSION, __version__
from clawnet_proto.specification import TYPES

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# Metric, the field of a state, what it says.
_GAUGES = (
    ("uptime_seconds", "uptime_s", "Seconds since the agent was started."),
    ("online", "online", "1 if the homeserver answered last time."),
    ("ready", "folded", "1 once the rooms' history is folded and the agent has announced itself."),
    ("stopping", "stopping", "1 while the agent finishes what it has and takes nothing new."),
    ("sync_age_seconds", "sync_age_s", "Seconds since the last answered sync; absent before the first."),
    ("rooms", "rooms", "Rooms the agent is in."),
    ("encrypted_rooms", "encrypted_rooms", "Those of them that are encrypted."),
    ("peers_live", "peers_live", "Agents that can be counted upon, this one among them."),
    ("models", "models", "Models that can be run now."),
    ("inbox_waiting", "inbox_waiting", "Events that arrived and are not handled."),
    ("outbox_waiting", "outbox_waiting", "Messages that the homeserver has not taken."),
    ("outbox_oldest_seconds", "outbox_oldest_s", "Age of the oldest of them."),
    ("outbox_refused", "outbox_refused", "Messages set aside because the homeserver will never take them."),
    ("questions_waiting", "questions_waiting", "People's questions that may become this agent's to answer."),
    ("tasks_open", "tasks_open", "Tasks asked by this agent that have not ended."),
    ("stages_running", "stages_running", "Stages being worked on."),
    ("stages_waiting", "stages_waiting", "Stages awarded to this agent that wait for inputs or a slot."),
    ("disk_free_bytes", "disk_free_bytes", "Free space where the agent keeps its files."),
    ("clock_ahead_seconds", "clock_ahead_s", "How far this machine's clock is ahead of the homeserver's."),
    ("audit_waiting", "audit_waiting", "Records of the audit log that are not written yet."),
    ("undecryptable", "undecryptable", "Encrypted events that wait for their key."),
    ("changed_devices", "changed_devices", "Devices of others that came back with other keys."),
)
# The same for what only grows.
_TOTALS = (
    ("decryption_failures", "decryption_failures", "Encrypted events that nothing can make readable."),
    ("decryption_recovered", "decryption_recovered", "Encrypted events that were read late."),
    ("plaintext_events", "plaintext_events", "Unencrypted messages in encrypted rooms."),
    ("audit_lost", "audit_lost", "Records of the audit log that could not be written."),
)
_COUNTERS = (
    ("messages_received", "received", "type", "Verified messages of others.", (*TYPES, OTHER)),
    ("messages_sent", "sent", "type", "Messages of this agent.", tuple(TYPES)),
    ("refused", "refused", "code", "Carriers that were refused.", ()),
    ("unusable", "unusable", "code", "Messages that were folded and may not be acted upon.", ()),
    ("stages", "stages", "outcome", "Stages this agent worked on.", ("completed", "failed")),
    ("tokens", "tokens", "direction", "Tokens of these stages.", ("prompt", "output")),
    ("tasks", "tasks", "outcome", "Tasks of this agent that ended.", ("completed", "failed", "canceled")),
)


def exposition(state: State, verdict: Verdict, counts: Counts) -> bytes:
    """The page; memory, processor time and open files of the process are on it, too."""
    return generate_latest(_Page([*_of_state(state, verdict), *_of_counts(counts)]))


class _Page(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics
        yield from PROCESS_COLLECTOR.collect()


def _of_state(state: State, verdict: Verdict) -> Iterator[Metric]:
    version = {"version": __version__, "protocol": str(PROTOCOL_VERSION)}
    yield InfoMetricFamily("clawnet_build", "What is running.", value=version)
    yield _gauge("healthy", "1 if nothing keeps the agent from its work.", float(not verdict.problems))
    for name, field, text in _GAUGES:
        value = getattr(state, field)
        if value is not None:
            yield _gauge(name, text, float(value))
    if state.engine != "none":
        yield _gauge("engine_up", "1 if the engine is ready.", float(state.engine == "ready"))
        restarts = float(state.engine_restarts)
        yield CounterMetricFamily("clawnet_engine_restarts", "How often the engine was started anew.", value=restarts)
    yield _gauge("disk_writable", "0 if nothing can be written.", float(not state.disk_error))
    for name, field, text in _TOTALS:
        yield CounterMetricFamily(f"clawnet_{name}", text, value=float(getattr(state, field)))
    problem = GaugeMetricFamily(
        "clawnet_problem", "1 for everything that keeps the agent from its work.", labels=["code"]
    )
    for finding in verdict.problems:
        problem.add_metric([finding.code], 1.0)
    yield problem


def _of_counts(counts: Counts) -> Iterator[Metric]:
    for name, field, label, text, always in _COUNTERS:
        family = CounterMetricFamily(f"clawnet_{name}", text, labels=[label])
        found: Mapping[str, int] = getattr(counts, field)
        for word in sorted({*always, *found}):
            family.add_metric([word], float(found.get(word, 0)))
        yield family
    yield CounterMetricFamily("clawnet_handshakes", "Completed handshakes.", value=float(counts.handshakes))
    seconds, below = counts.stage_seconds, 0
    buckets = []
    for bound, number in zip([*map(str, STAGE_SECONDS), "+Inf"], seconds.buckets, strict=True):
        below += number
        buckets.append((bound, float(below)))
    text = "How long the stages took that this agent completed, waiting for a slot included."
    yield HistogramMetricFamily("clawnet_stage_seconds", text, buckets=buckets, sum_value=seconds.total)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"clawnet_{name}", text, value=value)
