"""How an agent is doing, as commands tell it."""

from __future__ import annotations

from bots.agent import Agent
from bots.engines import Engine
from bots.health.reading import Health
from bots.health.verdict import Finding
from bots.requests import AgentStatus, ServerWaiting
from bots.transports import Undelivered
from clawnet_proto.rendering import clean

_LEFT = "rooms.left"  # which ones is told here alone
_SERVERS = 5  # that are told by name


def agent_status(agent: Agent, health: Health) -> AgentStatus:
    """Everything ``clawbot status`` shows. Raises StoreError."""
    state, verdict = health.read()
    encryption, servers = agent.transport.encryption, health.undelivered()
    return AgentStatus(
        at_ms=agent.now_ms(),
        did=agent.identity.did,
        name=agent.config.agent.name,
        address=agent.transport.address,
        online=state.online,
        rooms=tuple(clean(room.name) for room in agent.rooms()),
        engine="none" if agent.engine is None else _engine_told(agent.engine),
        models=tuple(model.name for model in agent.models),
        queued=state.outbox_waiting,
        refused_outgoing=state.outbox_refused,
        refused_incoming=agent.intake.refused,
        jobs=agent.executor.jobs,
        key=agent.identity.key.did,
        rotations=len(agent.identity.chain),
        encrypted_rooms=state.encrypted_rooms,
        fingerprint=encryption.fingerprint,
        unreadable=state.undecryptable + state.decryption_failures,
        changed_devices=tuple(clean(device) for device in encryption.changed),
        health=verdict.status,
        problems=verdict.problems,
        warnings=(
            *(finding for finding in verdict.warnings if finding.code != _LEFT),
            *(Finding(_LEFT, sentence) for sentence in agent.departures.sentences),
        ),
        stopping=state.stopping,
        uptime_s=int(state.uptime_s),
        sync_age_s=-1 if state.sync_age_s is None else int(state.sync_age_s),
        peers_live=state.peers_live,
        stages_running=state.stages_running,
        tasks_open=state.tasks_open,
        inbox_waiting=state.inbox_waiting,
        outbox_oldest_s=int(state.outbox_oldest_s),
        undelivered=sum(server.waiting for server in servers),
        servers_waiting=tuple(map(_waiting, servers[:_SERVERS])),
        health_url=health.url,
        addresses=tuple(way.address for way in agent.transport.ways),
    )


def _waiting(told: Undelivered) -> ServerWaiting:
    return ServerWaiting(
        server=clean(told.server, limit=200),
        waiting=told.waiting,
        oldest_s=int(told.oldest_s),
        fault=clean(told.fault, limit=200),
    )


def _engine_told(engine: Engine) -> str:
    told = engine.health
    return f"{engine.name} {told.state}" + (f": {told.detail}" if told.detail else "")
