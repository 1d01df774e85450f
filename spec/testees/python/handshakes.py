"""One side of all handshakes of one peer (spec/07-handshake.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from clawnet_proto import base64url, carrier
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.handshake import Accept, Confirm, Handshake, Hello
from clawnet_proto.message import Message
from clawnet_proto.wire import present

Json = dict[str, Any]


class _Session(msgspec.Struct, kw_only=True):
    """A handshake with one peer: what type is ours to send in it, and the id that the next message must answer."""

    machine: Handshake
    ours: type[Accept | Confirm]
    peer: str
    room: str
    answered: str

    def told(self) -> Json:
        state = {"state": self.machine.state}
        return state | {"version": self.machine.version} if self.machine.version else state


class Handshakes:
    """All handshakes of a peer that speaks some versions."""

    def __init__(self) -> None:
        self._versions: tuple[str, ...] = ()
        self._sessions: dict[str, _Session] = {}  # by the id of the hello

    def operations(self) -> Mapping[str, Callable[[Json], Json]]:
        return {
            "handshake.reset": self._reset,
            "handshake.send": self._send,
            "handshake.receive": self._receive,
            "handshake.time_out": self._time_out,
        }

    def _reset(self, request: Json) -> Json:
        self._versions = tuple(request["versions"])
        self._sessions = {}
        return {}

    def _send(self, request: Json) -> Json:
        message = carrier.verify(base64url.decode(request["carrier"]))
        if isinstance(message.body, Hello):
            # HS-5: what was offered is what the hello says.
            machine = Handshake(message.body.versions)
            session = self._open(message, machine, Confirm, present(message.envelope.recipients, ("",))[0])
            session.machine.send_hello(0)
            self._sessions[message.id] = session
            return session.told()
        session = self._session(message.envelope.thread)
        if not isinstance(message.body, session.ours):
            raise RemoteProtocolError("handshake.not_allowed", "not ours to send")
        if session.ours is Accept:
            session.answered = message.id
        return session.told()

    def _receive(self, request: Json) -> Json:
        message = carrier.verify(base64url.decode(request["carrier"]))
        body, envelope = message.body, message.envelope
        if isinstance(body, Hello):
            session = self._open(message, Handshake(self._versions), Accept, message.sender)
            _check_address(body, request["address"])
            session.machine.receive_hello(body, 0)
            self._sessions[message.id] = session
            return session.told()
        session = self._session(envelope.thread)
        if (session.peer, session.room, session.answered) != (message.sender, envelope.room, envelope.answers):
            raise RemoteProtocolError("handshake.not_allowed", "it belongs to another handshake")
        if isinstance(body, Accept):
            # What the table forbids has the same code: it is enough that this comes before the versions.
            _check_address(body, request["address"])
            session.machine.receive_accept(body, 0)
        elif isinstance(body, Confirm):
            session.machine.receive_confirm(body, 0)
        return session.told()

    def _time_out(self, request: Json) -> Json:
        session = self._session(request["thread"])
        session.machine.time_out()
        return session.told()

    def _open(self, message: Message, machine: Handshake, ours: type[Accept | Confirm], peer: str) -> _Session:
        if message.id in self._sessions:
            raise RemoteProtocolError("handshake.not_allowed", "the handshake is open already")
        # The hello of a responder is answered by nothing of theirs until its accept is sent: a confirm answers that.
        answered = message.id if ours is Confirm else ""
        return _Session(machine=machine, ours=ours, peer=peer, room=message.envelope.room, answered=answered)

    def _session(self, thread: object) -> _Session:
        session = self._sessions.get(str(thread))
        if session is None:
            raise RemoteProtocolError("handshake.not_allowed", "no such handshake")
        return session


def _check_address(body: Hello | Accept, address: str) -> None:
    if body.address.uri != address:
        raise RemoteProtocolError("handshake.not_allowed", "another address")
