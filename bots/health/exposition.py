"""An agent's state and counts on a page of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from bots.health.counts import OTHER, STAGE_SECONDS, Counts
from bots.health.page import COMMON, Gauges, gauge, gauges, page, writable
from bots.health.state import State
from bots.health.verdict import Verdict
from clawnet_proto.specification import TYPES

_GAUGES: Gauges = (
    ("online", "online", "1 if the homeserver answered last time."),
    ("ready", "folded", "1 once the rooms' history is folded and the agent has announced itself."),
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
    """The page."""
    return page(verdict, [*_of_state(state), *_of_counts(counts)])


def _of_state(state: State) -> Iterator[Metric]:
    yield from gauges((*COMMON, *_GAUGES), state)
    if state.engine != "none":
        yield gauge("engine_up", "1 if the engine is ready.", float(state.engine == "ready"))
        restarts = float(state.engine_restarts)
        yield CounterMetricFamily("clawnet_engine_restarts", "How often the engine was started anew.", value=restarts)
    yield writable(state.disk_error)
    for name, field, text in _TOTALS:
        yield CounterMetricFamily(f"clawnet_{name}", text, value=float(getattr(state, field)))


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
