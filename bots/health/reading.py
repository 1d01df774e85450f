"""Read how a running agent is doing from the agent itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from bots.agent import Agent
from bots.config import HealthSection
from bots.events import AnyEvent, MessageSeen
from bots.health.counts import Counts
from bots.health.deliveries import undelivered
from bots.health.disk import Disk
from bots.health.state import Standing, State, judge, unready
from bots.health.verdict import Finding, Verdict
from bots.transports import Transport, Undelivered
from clawnet_proto.families import task


@runtime_checkable
class Receiving(Protocol):
    """A transport that tells when it last received."""

    @property
    def sync_age_s(self) -> float | None:
        """Seconds since the last answered sync, None before the first."""


class Health:
    """Of one agent, from its making on; ``folder`` is where it keeps its files, None if that is not to be tried."""

    def __init__(self, agent: Agent, folder: Path | None = None) -> None:
        self._agent = agent
        self._disk = Disk(folder)
        self._started_s = time.monotonic()
        self.counts = Counts()
        self.url = ""  # where it is told over HTTP, "" if nowhere
        agent.observe(self._count)

    @property
    def limits(self) -> HealthSection:
        return self._agent.config.health

    def read(self) -> tuple[State, Verdict]:
        """The numbers, and whether the agent can do its work. Raises StoreError if its store does not answer."""
        state = self.state()
        return state, judge(state, self.limits)

    def state(self) -> State:
        """The numbers of this moment. Raises StoreError."""
        agent = self._agent
        uptime_s = time.monotonic() - self._started_s
        rooms, outbox, deliveries = agent.rooms(), agent.outbox.health(), self.undelivered()
        engine = agent.engine.health if agent.engine is not None else None
        encryption = agent.transport.encryption
        audit = agent.audit.health if agent.audit is not None else None
        return State(
            uptime_s=round(uptime_s, 3),
            online=agent.transport.online,
            sync_age_s=self._sync_age_s(uptime_s),
            rooms=len(rooms),
            given_up=tuple(f"{name}: {error}" for name, error in agent.transport.failures.items()),
            offline=tuple(way.name for way in agent.transport.ways if agent.transport.online and not way.online),
            rooms_left=len(agent.departures.sentences),
            encrypted_rooms=sum(room.encrypted for room in rooms),
            peers_live=len({peer.did for room in rooms for peer in agent.live_peers(room.uri)}),
            barred=agent.barred.is_set() and not rooms,
            folded=agent.synced.is_set(),
            stopping=agent.stopping,
            revoked=agent.identity.revocation is not None,
            standing=self._standing(),
            engine="none" if engine is None else engine.state,
            engine_detail="" if engine is None else engine.detail,
            engine_restarts=0 if engine is None else engine.restarts,
            models=len(agent.models),
            inbox_waiting=agent.store.waiting,
            outbox_waiting=outbox.queued,
            outbox_oldest_s=outbox.oldest_s,
            outbox_refused=outbox.refused,
            deliveries_waiting=sum(server.waiting for server in deliveries),
            deliveries_servers=len(deliveries),
            deliveries_oldest_s=round(max((server.oldest_s for server in deliveries), default=0.0), 3),
            questions_waiting=agent.people.waiting,
            tasks_open=len(tuple(agent.requester.open_tasks())),
            stages_running=agent.presence.running,
            stages_waiting=agent.presence.waiting,
            undecryptable=encryption.unreadable,
            decryption_failures=encryption.given_up,
            decryption_recovered=encryption.recovered,
            plaintext_events=encryption.plain,
            changed_devices=len(encryption.changed),
            device_lost=encryption.lost,
            clock_ahead_s=self._clock_ahead_s(),
            audit_waiting=0 if audit is None else audit.waiting,
            audit_lost=0 if audit is None else audit.lost,
            audit_fault="" if audit is None else audit.fault,
            disk_free_bytes=self._disk.free_bytes,
            disk_error=self._disk.error,
        )

    def undelivered(self) -> Sequence[Undelivered]:
        """What waits for each server, whoever has waited longest first. Raises StoreError."""
        return undelivered(self._agent.transport.ways)

    def unready(self, state: State) -> Sequence[Finding]:
        """Why no work should be sent to the agent now."""
        return unready(state, self.limits)

    def metrics(self, state: State, verdict: Verdict) -> bytes:
        """A page for Prometheus."""
        from bots.health.exposition import exposition  # whoever tells nothing over HTTP does without it

        return exposition(state, verdict, self.counts)

    def _sync_age_s(self, uptime_s: float) -> float | None:
        ages_s = [self._age_s(way, uptime_s) for way in self._agent.transport.ways]
        return min((age_s for age_s in ages_s if age_s is not None), default=None)

    def _age_s(self, way: Transport, uptime_s: float) -> float | None:
        if isinstance(way, Receiving):
            age_s = way.sync_age_s
            return None if age_s is None else round(age_s, 3)
        return 0.0 if way.online else uptime_s if self._agent.synced.is_set() else None

    def _clock_ahead_s(self) -> float | None:
        ahead_ms = self._agent.clock_watch.ahead_ms
        return None if ahead_ms is None else round(ahead_ms / 1000, 1)

    def _standing(self) -> Standing:
        """The worst that any of our rooms holds of our identity."""
        did = self._agent.identity.did
        meshes = [self._agent.mesh(room.uri) for room in self._agent.rooms()]
        found = {mesh.peers[did].standing for mesh in meshes if did in mesh.peers}
        return "revoked" if "revoked" in found else "disputed" if "disputed" in found else "good"

    def _count(self, event: AnyEvent) -> None:
        self.counts.add(event, self._result)

    def _result(self, event: MessageSeen) -> task.Result | None:
        view = self._agent.mesh(event.room).task(event.thread)
        for stage in view.stages.values() if view else ():
            for attempt in stage.attempts.values():
                if attempt.result is not None and attempt.result.id == event.id:
                    result: task.Result = attempt.result.body
                    return result
        return None
