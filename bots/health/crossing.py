"""Read how a running bridge is doing from the bridge itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bots.bridge.bridge import Bridge
from bots.config import HealthSection
from bots.health import carrying
from bots.health.carrying import Crossing
from bots.health.deliveries import undelivered
from bots.health.disk import Disk
from bots.health.verdict import Finding, Verdict


class BridgeHealth:
    """Of one bridge; ``folder`` is where it keeps its files, None if that is not to be tried."""

    def __init__(self, bridge: Bridge, limits: HealthSection, folder: Path | None = None) -> None:
        self._bridge = bridge
        self._disk = Disk(folder)
        self._started_s = time.monotonic()
        self.limits = limits
        self.url = ""  # where it is told over HTTP, "" if nowhere

    def read(self) -> tuple[Crossing, Verdict]:
        """The numbers, and whether the bridge can do its work. Raises StoreError if its store does not answer."""
        state = self.state()
        return state, carrying.judge(state, self.limits)

    def state(self) -> Crossing:
        """The numbers of this moment. Raises StoreError."""
        bridge = self._bridge
        report, deliveries = bridge.report(), undelivered(side.transport for side in bridge.sides)
        return Crossing(
            uptime_s=round(time.monotonic() - self._started_s, 3),
            carries=bridge.ready.is_set(),
            stopping=bridge.stopping,
            sides=report.sides,
            limited=report.limited,
            not_carried=report.not_carried,
            deliveries_waiting=sum(server.waiting for server in deliveries),
            deliveries_servers=len(deliveries),
            deliveries_oldest_s=round(max((server.oldest_s for server in deliveries), default=0.0), 3),
            disk_free_bytes=self._disk.free_bytes,
            disk_error=self._disk.error,
        )

    def unready(self, state: Crossing) -> Sequence[Finding]:
        """Why the bridge does not carry now."""
        return carrying.unready(state, self.limits)

    def metrics(self, state: Crossing, verdict: Verdict) -> bytes:
        """A page for Prometheus."""
        return carrying.exposition(state, verdict)
