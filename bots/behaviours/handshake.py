"""Handshakes at first need, and a few ahead of it (spec/07-handshake.md)."""

from __future__ import annotations

import heapq
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from bots.behaviours import Context, Posting, Received
from bots.complaints import Complaints
from bots.events import PeerConfirmed
from bots.quota import Bucket, Buckets
from bots.ranking import place, score
from clawnet_proto import PROTOCOL_VERSION
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import handshake, presence
from clawnet_proto.mesh import Peer
from clawnet_proto.message import Message

log = logging.getLogger(__name__)

VERSIONS = (PROTOCOL_VERSION,)
_AHEAD = 8
_AHEAD_EVERY_MS = 1_000
WELCOMERS = 3
_LIFETIME_MS = 60_000
_TIME_OUT_MS = 20_000
_AGAIN_MS = 600_000
_SESSIONS = 256
_ANSWERS_PER_MINUTE = 240
# Keys are free: an account that makes new identities, or says hello without end, uses up its own share.
_ANSWERS_TO_ONE_PER_MINUTE = 30
_WELCOMES_OF_ONE_PER_MINUTE = 12
_TRIED = 4096


class _Session(msgspec.Struct, kw_only=True):
    room: str
    peer: str
    machine: handshake.Handshake
    ours: str = ""  # id of our message, which the next one must answer


class HandshakeBehaviour:
    """Both sides of our handshakes. ``announce`` gives our current announce in a room, to go along."""

    def __init__(self, context: Context, announce: Callable[[str], Message | None]) -> None:
        self._context = context
        self._announce = announce
        self._sessions: OrderedDict[str, _Session] = OrderedDict()  # by the id of the hello
        # Moments are of the monotonic clock, but for those that announces tell.
        self._tried_ms: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._confirmed_ms: dict[tuple[str, str], int] = {}
        self._confirmed: dict[str, dict[str, presence.Confirmed]] = {}  # by room, the most recent last
        self._welcome: list[tuple[str, str]] = []
        self._ahead_due_ms = 0
        self._near: dict[str, tuple[Sequence[Peer], Sequence[str]]] = {}  # by room: who is there, whom we chose
        self._answers = Bucket(_ANSWERS_PER_MINUTE, context.monotonic_ms())
        self._answers_to = Buckets(_ANSWERS_TO_ONE_PER_MINUTE)
        self._welcomes_of = Buckets(_WELCOMES_OF_ONE_PER_MINUTE)
        self._complaints = Complaints(log, context.monotonic_ms)

    def recent(self, room: str) -> tuple[presence.Confirmed, ...]:
        """The eight most recently confirmed peers of a room."""
        return tuple(reversed(self._confirmed.get(room, {}).values()))[:8]

    def confirmed(self, room: str, did: str) -> presence.Confirmed | None:
        return self._confirmed.get(room, {}).get(did)

    def confirmed_ms(self, room: str, did: str) -> int | None:
        """When we shook hands with a peer last, by the monotonic clock; None if we did not."""
        return self._confirmed_ms.get((room, did))

    def greet(self, room: str, did: str, *, again_ms: int = _AGAIN_MS) -> bool:
        """Say hello unless that was done lately. False if the peer cannot be reached directly."""
        context = self._context
        now = context.monotonic_ms()
        to = context.direct_address(room, did)
        if did == context.identity.did or to is None:
            return False
        tried = self._tried_ms.get((room, did))
        if tried is not None and now - tried < again_ms:
            return True
        self._note_try(room, did, now)
        session = _Session(room=room, peer=did, machine=handshake.Handshake(VERSIONS))
        session.machine.send_hello(now)
        # The announce goes first: it binds the address that the hello comes from.
        self._send_announce(room, to)
        hello = handshake.Hello(versions=VERSIONS, address=context.address_towards(to))
        message = context.post(
            room, hello, lifetime_ms=_LIFETIME_MS, recipients=[did], posting=Posting(to=to, priority=2)
        )
        session.ours = message.id
        self._keep(message.id, session)
        return True

    def _note_try(self, room: str, did: str, monotonic_ms: int) -> None:
        self._tried_ms[(room, did)] = monotonic_ms
        self._tried_ms.move_to_end((room, did))
        if len(self._tried_ms) > _TRIED:
            self._tried_ms.popitem(last=False)

    def newcomer(self, received: Received) -> None:
        """Somebody announced itself: a few peers welcome it, so that it learns whom it cannot read of."""
        if received.plane != "room" or received.binding != "bound":
            return
        if self._welcomes_of.take(received.address, 1, self._context.monotonic_ms()):
            self._welcome.append((received.message.envelope.room, received.message.sender))

    def on_message(self, received: Received) -> None:
        try:
            _ANSWERS[type(received.message.body)](self, received)
        except RemoteProtocolError as error:
            what = (received.message.sender, error)
            self._complaints.say(logging.INFO, received.address, "handshake with %s: %s", *what, extra={})

    def _on_hello(self, received: Received) -> None:
        context, message = self._context, received.message
        hello: handshake.Hello = message.body
        now = context.monotonic_ms()
        if hello.address.uri != received.address or not self._answers_to.take(received.address, 1, now):
            return
        if not self._answers.take(1, now):
            return
        room = message.envelope.room
        session = _Session(room=room, peer=message.sender, machine=handshake.Handshake(VERSIONS))
        version = session.machine.receive_hello(hello, now)
        self._keep(message.id, session)
        self._send_announce(room, hello.address)
        accept = context.post(
            room,
            handshake.Accept(version=version, versions=VERSIONS, address=context.address_towards(hello.address)),
            lifetime_ms=_LIFETIME_MS,
            recipients=[message.sender],
            thread=message.id,
            answers=message.id,
            posting=Posting(to=hello.address, priority=2),
        )
        session.ours = accept.id

    def _on_accept(self, received: Received) -> None:
        message = received.message
        session = self._session(message)
        accept: handshake.Accept = message.body
        if accept.address.uri != received.address:
            raise RemoteProtocolError("handshake.not_allowed", "another address")
        version = session.machine.receive_accept(accept, self._context.monotonic_ms())
        self._context.post(
            session.room,
            handshake.Confirm(version=version),
            lifetime_ms=_LIFETIME_MS,
            recipients=[session.peer],
            thread=str(message.envelope.thread),
            answers=message.id,
            posting=Posting(to=accept.address, priority=2),
        )
        self._confirm(session)

    def _on_confirm(self, received: Received) -> None:
        session = self._session(received.message)
        session.machine.receive_confirm(received.message.body, self._context.monotonic_ms())
        self._confirm(session)

    def _session(self, message: Message) -> _Session:
        session = self._sessions.get(str(message.envelope.thread))
        if session is None or session.peer != message.sender or session.room != message.envelope.room:
            raise RemoteProtocolError("handshake.not_allowed", "no such handshake")
        if message.envelope.answers != session.ours:
            raise RemoteProtocolError("handshake.not_allowed", "it answers another message")
        return session

    def _keep(self, thread: str, session: _Session) -> None:
        self._sessions[thread] = session
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)

    def _confirm(self, session: _Session) -> None:
        now, rtt, at_ms = self._context.monotonic_ms(), session.machine.rtt_ms, self._context.now_ms()
        key = (session.room, session.peer)
        room = self._confirmed.setdefault(session.room, {})
        known = room.pop(session.peer, None) is not None
        room[session.peer] = presence.Confirmed(peer=session.peer, at_ms=at_ms, rtt_ms=rtt)
        told = known and now - self._confirmed_ms[key] < _TIME_OUT_MS  # both sides said hello: once is news enough
        self._confirmed_ms[key] = now
        self._note_try(session.room, session.peer, now)
        if len(room) > _SESSIONS:
            oldest = next(iter(room))
            del room[oldest], self._confirmed_ms[(session.room, oldest)]
        if told:
            return
        name = self._context.mesh(session.room).name_of(session.peer)
        self._context.notify(PeerConfirmed(at_ms=at_ms, peer=session.peer, name=name, rtt_ms=rtt))

    def _send_announce(self, room: str, to: presence.Address | None) -> None:
        announce = self._announce(room)
        if announce is not None and to is not None:
            self._context.post_again(announce, to)

    def advance(self, monotonic_ms: int) -> None:
        for thread, session in list(self._sessions.items()):
            if session.machine.finished:
                del self._sessions[thread]
            elif monotonic_ms - session.machine.started_ms > _TIME_OUT_MS:
                session.machine.time_out()
        self._greet_newcomers()
        self._greet_ahead(monotonic_ms)

    def _greet_newcomers(self) -> None:
        welcome, self._welcome = self._welcome, []
        me = self._context.identity.did
        for room, did in welcome:
            others = ((peer.did, 1.0) for peer in self._context.live_peers(room) if peer.did not in (did, me))
            if self._announce(room) is not None and place(did, me, 1.0, others, WELCOMERS) is not None:
                self.greet(room, did)

    def _greet_ahead(self, monotonic_ms: int) -> None:
        """Keep a few peers confirmed, each agent its own choice, so that the mesh is connected."""
        if monotonic_ms < self._ahead_due_ms:
            return
        self._ahead_due_ms = monotonic_ms + _AHEAD_EVERY_MS
        for room in self._context.rooms():
            if self._announce(room.uri) is None:
                continue
            for did in self._nearest(room.uri):
                if self.confirmed(room.uri, did) is None:
                    self.greet(room.uri, did)

    def _nearest(self, room: str) -> Sequence[str]:
        """The peers we keep confirmed: chosen anew only when others are there than before."""
        me, peers = self._context.identity.did, self._context.live_peers(room)
        known, chosen = self._near.get(room, ((), ()))
        if known != peers:
            others = (peer.did for peer in peers if peer.did != me)
            chosen = heapq.nsmallest(_AHEAD, others, key=lambda did: -score(me, did, 1.0))
            self._near[room] = (peers, chosen)
        return chosen


_ANSWERS: dict[type, Callable[[HandshakeBehaviour, Received], None]] = {
    handshake.Hello: HandshakeBehaviour._on_hello,
    handshake.Accept: HandshakeBehaviour._on_accept,
    handshake.Confirm: HandshakeBehaviour._on_confirm,
}
