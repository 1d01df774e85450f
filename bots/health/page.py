"""A page of metrics in Prometheus' text exposition format, whoever it is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bots.health.verdict import Verdict
from clawnet_proto import PROTOCOL_VERSION, __version__

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

Gauges: TypeAlias = Sequence[tuple[str, str, str]]  # metric, the field of a state, what it says

# What states have in common.
COMMON: Gauges = (
    ("uptime_seconds", "uptime_s", "Seconds since the start."),
    ("stopping", "stopping", "1 while it finishes what it has and takes nothing new."),
    ("deliveries_waiting", "deliveries_waiting", "Deliveries of the actor that servers have not taken."),
    ("deliveries_servers", "deliveries_servers", "Servers that these are for."),
    ("deliveries_oldest_seconds", "deliveries_oldest_s", "Age of the oldest of them."),
    ("disk_free_bytes", "disk_free_bytes", "Free space where the files are."),
)


def page(verdict: Verdict, metrics: Iterable[Metric]) -> bytes:
    """What is told of everybody, then ``metrics``; memory, processor time and open files of the process, too."""
    return generate_latest(_Page([*_of_verdict(verdict), *metrics]))


class _Page(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics
        yield from PROCESS_COLLECTOR.collect()


def _of_verdict(verdict: Verdict) -> Iterator[Metric]:
    version = {"version": __version__, "protocol": str(PROTOCOL_VERSION)}
    yield InfoMetricFamily("clawnet_build", "What is running.", value=version)
    yield gauge("healthy", "1 if nothing keeps it from its work.", float(not verdict.problems))
    problem = GaugeMetricFamily("clawnet_problem", "1 for everything that keeps it from its work.", labels=["code"])
    for finding in verdict.problems:
        problem.add_metric([finding.code], 1.0)
    yield problem


def gauges(table: Gauges, state: Any) -> Iterator[Metric]:
    """The fields of a state; what is not known is absent."""
    for name, field, text in table:
        value = getattr(state, field)
        if value is not None:
            yield gauge(name, text, float(value))


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"clawnet_{name}", text, value=value)


def writable(error: str) -> Metric:
    """Whether anything can be written, which is so without an error."""
    return gauge("disk_writable", "0 if nothing can be written.", float(not error))
