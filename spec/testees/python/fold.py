"""The fold of one room, and its state as spec/testee.md writes it (spec/10-fold.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clawnet_proto import base64url, carrier
from clawnet_proto.families.task_state import StageView, TaskView
from clawnet_proto.freshness import check_addressing, check_lifetime
from clawnet_proto.mesh import Mesh, Peer
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import present

Json = dict[str, Any]


class Fold:
    """The fold, and the set of messages it was taken of."""

    def __init__(self) -> None:
        self._mesh = Mesh("")
        self._messages: dict[str, Message] = {}

    def operations(self) -> Mapping[str, Callable[[Json], Json]]:
        return {"mesh.reset": self._reset, "mesh.add": self._add, "mesh.state": self._state}

    def _reset(self, request: Json) -> Json:
        self._mesh = Mesh(request["room"])
        self._messages = {}
        return {}

    def _add(self, request: Json) -> Json:
        message = carrier.verify(base64url.decode(request["carrier"]))
        # Whom a message is for does not matter to the fold: its first recipient reads along.
        me = present(message.envelope.recipients, ("",))[0]
        check_addressing(message, me=me, room=self._mesh.room, plane=request["plane"])
        check_lifetime(message)
        self._mesh.add(message, request["address"])
        self._messages[message.id] = message
        return {}

    def _state(self, request: Json) -> Json:
        mesh = self._mesh
        known = {message.sender for message in self._messages.values() if mesh.authority(message) != "key.unproven"}
        state = {
            "peers": {did: _peer(mesh.peers[did]) for did in known},
            "conflicts": mesh.conflicts(),
            "live": [peer.did for peer in mesh.live_peers(request["now_ms"])],
            "messages": {message.id: self._verdict(message) for message in self._kept()},
            "tasks": {view.id: _task(view) for view in mesh.tasks()},
        }
        return {"state": state}

    def _kept(self) -> list[Message]:
        """All messages, but of each stage, attempt and sender only the newest progress (FOLD-8)."""
        kept: dict[tuple[object, ...], Message] = {}
        for message in sorted(self._messages.values(), key=_recency):
            kept[_place(message)] = message
        return list(kept.values())

    def _verdict(self, message: Message) -> Json:
        binding, code = self._mesh.binding(message), self._code(message)
        return {"binding": binding} if code is None else {"binding": binding, "code": code}

    def _code(self, message: Message) -> str | None:
        if code := self._mesh.authority(message):
            return code
        if TYPES[message.type].family != "task" or message.type == "task.request":
            return None
        view = self._mesh.task(str(message.envelope.thread))
        return "state.waiting" if view is None else view.errors.get(message.id)


def _recency(message: Message) -> tuple[int, str]:
    return (message.body.index if message.type == "task.progress" else 0), message.id


def _place(message: Message) -> tuple[object, ...]:
    if message.type != "task.progress":
        return (message.id,)
    envelope, body = message.envelope, message.body
    return envelope.thread, body.stage, body.attempt, envelope.sender, envelope.kid


def _peer(peer: Peer) -> Json:
    told: Json = {
        "key": peer.keys.key,
        "standing": peer.standing,
        "bound": peer.bound,
        "addresses": sorted(peer.addresses),
        "equivocates": peer.equivocates,
    }
    return told if peer.announce is None else told | {"announce": peer.announce.id}


def _task(view: TaskView) -> Json:
    return {"state": view.state, "stages": {name: _stage(stage) for name, stage in view.stages.items()}}


def _stage(stage: StageView) -> Json:
    told: Json = {
        "state": stage.state,
        "attempts": [stage.attempts[number].state for number in sorted(stage.attempts)],
        "executions": stage.executions,
    }
    return told if stage.accepted is None else told | {"accepted": stage.accepted.id}
