"""What a fold says, as plain values: two agents agree if these are equal."""

from __future__ import annotations

from typing import Any

from clawnet_proto.families.task_state import StageView, TaskView
from clawnet_proto.mesh import Mesh, Peer
from tests.federation.resident import Resident, until

State = dict[str, Any]


def state_of(mesh: Mesh) -> State:
    """Who is there, and how each task stands, with every execution and what was accepted."""
    return {
        "peers": {did: _peer(peer) for did, peer in mesh.peers.items()},
        "conflicts": mesh.conflicts(),
        "tasks": {view.id: _task(mesh, view) for view in mesh.tasks()},
    }


async def agreed(*residents: Resident) -> State:
    """The state that all of them hold, once they do. It says what is not the same if they never do."""
    first, *others = residents

    def same() -> bool:
        state = state_of(first.mesh)
        return all(state_of(other.mesh) == state for other in others)

    try:
        await until(same)
    except TimeoutError:
        for other in others:
            assert state_of(other.mesh) == state_of(first.mesh)
    return state_of(first.mesh)


def _peer(peer: Peer) -> State:
    return {
        "key": peer.keys.key,
        "standing": peer.standing,
        "bound": peer.bound,
        "addresses": sorted(peer.addresses),
        "announce": None if peer.announce is None else peer.announce.id,
        "left": peer.left_revision,
    }


def _task(mesh: Mesh, view: TaskView) -> State:
    return {
        "requester": view.requester,
        "binding": mesh.binding(view.request),
        "state": view.state,
        "close": None if view.close is None else view.close.id,
        "cancel": None if view.cancel is None else view.cancel.id,
        "stages": {name: _stage(mesh, stage) for name, stage in view.stages.items()},
    }


def _stage(mesh: Mesh, stage: StageView) -> State:
    results = [attempt.result for attempt in stage.attempts.values() if attempt.result is not None]
    return {
        "state": stage.state,
        "attempts": {number: (attempt.executor, attempt.state) for number, attempt in stage.attempts.items()},
        "accepted": None if stage.accepted is None else stage.accepted.id,
        "executions": stage.executions,
        "bindings": sorted((result.id, mesh.binding(result)) for result in results),
    }
