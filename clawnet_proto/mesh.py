"""The fold of one room: verified messages in, who is there and which tasks there are out (spec/10-fold.md).

The state is a function of the set of messages and of the addresses they came from, never of the order of
arrival; views that depend on time take the time. Memory is bounded by ``spec/limits.json``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Literal

from msgspec import UNSET

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import presence
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.key_history import KeyHistory
from clawnet_proto.lowest import Lowest
from clawnet_proto.message import Message
from clawnet_proto.origins import Origins
from clawnet_proto.peer import Peer
from clawnet_proto.shares import Shares
from clawnet_proto.specification import LIMITS, TYPES
from clawnet_proto.thread import Thread
from clawnet_proto.waiting import Waiting

__all__ = ["Binding", "Folded", "Mesh", "Peer"]

Binding = Literal["bound", "unbound", "relayed"]
Folded = Literal["new", "duplicate"]

# Forgotten ids are folded once more, which changes nothing; acting is guarded by the store.
_REMEMBERED_IDS = 65536
# Keys are free, accounts are not: one account cannot fill the room's memory with identities.
_IDENTITIES_PER_ADDRESS = 8
_UNPROVEN_PER_ADDRESS = 32
_AWAKE = 384  # tasks; those that nobody spoke in or asked for lately are packed, and take a quarter of the room


def _rotation(did: str, kid: str) -> str:
    """What the messages by a key wait for until a rotate proves it; never the id of a message."""
    return f"{did} {kid}"


class Mesh:
    """The fold of one room. ``add`` takes messages that ``carrier.verify`` gave.

    ``bridges`` are the addresses whose copies may be acted upon by the owner's policy (ID-13): no part of the state,
    but that they prove themselves for bridges alone (BR-10).
    """

    def __init__(self, room: str, bridges: frozenset[str] = frozenset()) -> None:
        self.room = room
        self.bridges = bridges
        self.peers: dict[str, Peer] = {}
        self.presence_changes = 0  # while it stays the same, so does who is there, but for the passing of time
        self._origins = Origins(_REMEMBERED_IDS)  # an id that is forgotten is new should it come again
        self._threads: dict[str, Thread] = {}
        self._own: set[str] = set()  # tasks whose thread no copy shares
        self._views: dict[str, TaskView] = {}  # of tasks that somebody asked for since they changed
        self._awake: OrderedDict[str, None] = OrderedDict()  # tasks, the one used last at the end
        # Anybody can name any sender, so what waits for a rotation must not displace what waits for a request.
        self._unasked = Waiting(LIMITS.waiting_messages, LIMITS.waiting_messages + 1, self._origins.forget)
        self._unproven = Waiting(LIMITS.waiting_messages, _UNPROVEN_PER_ADDRESS, self._origins.forget)
        self._shares = Shares()
        self._asked_for: dict[str, list[str]] = {}  # by the event of a person, tasks on whose behalf they are
        self._silent = Lowest(self._rank)
        self._holders: dict[str, set[str]] = {}
        self._known: dict[str, dict[str, None]] = {}  # by address, who ever proved it

    def add(self, message: Message, address: str) -> Folded:
        """Fold one message that ``address`` delivered. A duplicate is no error: its best-bound copy counts.

        Raises RemoteProtocolError ``room.mismatch``, or ``state.full`` when bounded space is used up.
        """
        if message.envelope.room != self.room:
            raise RemoteProtocolError("room.mismatch")
        origins = self._origins.get(message.id)
        # Whoever was forgotten is made known again by what he says again.
        if address in origins and message.sender in self.peers:
            return "duplicate"
        self._fold(message, address)
        self._origins.add(message.id, address)
        self._shares.deliver(message.id, address)
        return "duplicate" if origins else "new"

    def _fold(self, message: Message, address: str) -> None:
        family, kid = TYPES[message.type].family, message.envelope.kid
        if family == "identity":
            self._add_identity(message)
            return
        if self.authority(message) == "key.unproven":
            self._unproven.add(_rotation(message.sender, kid), message, address)
            return
        peer = self._peer(message.sender)
        if message.type == "presence.announce" and kid in peer.keys.chain and peer.keys.add(message):
            self._rejudge(peer)
        peer.heard(message)
        if kid == peer.keys.key and family == "presence" and peer.standing == "good":
            self.presence_changes += 1
            self._add_presence(peer, message, address)
        # A dispute is final: what another key says after it never counts.
        if family == "task" and kid in peer.keys.chain:
            self._add_task(message, address)

    def _add_identity(self, message: Message) -> None:
        peer = self._peer(message.sender)
        proven = len(peer.keys.chain)
        key = peer.keys.key
        if peer.keys.add(message):
            self._rejudge(peer, renewed=peer.keys.key != key)
        peer.heard(message)
        for kid in peer.keys.chain[proven:]:
            for late, address in self._unproven.release(_rotation(peer.did, kid)):
                with suppress(RemoteProtocolError):
                    self._fold(late, address)

    def learn_keys(self, message: Message) -> None:
        """Take over a rotate or revoke from another room: a key given up there is given up here (ID-28)."""
        # Whom this room does not know needs no place in it.
        if TYPES[message.type].family == "identity" and message.sender in self.peers:
            self._add_identity(message)

    def _rejudge(self, peer: Peer, *, renewed: bool = False) -> None:
        """What the keys of an identity may say has changed: presence begins anew, tasks are derived anew."""
        self.presence_changes += 1
        self._silent.lowered(peer.did)
        if renewed or peer.standing != "good":
            for address in tuple(peer.addresses):
                self._unbind(peer.did, address)
            peer.announce, peer.bound, peer.left_revision, peer.newest = None, False, -1, (-1, frozenset())
        for task_id in [task_id for task_id in self._views if self._threads[task_id].speaks(peer.did)]:
            del self._views[task_id]

    def authority(self, message: Message) -> str | None:
        """The code of the stage *authority*, or None (ID-25). Messages about keys speak for themselves."""
        envelope = message.envelope
        peer = self.peers.get(envelope.sender)
        if peer is None or peer.keys.trivial:
            trusted = envelope.kid == envelope.sender or TYPES[envelope.type].family == "identity"
            return None if trusted else "key.unproven"
        if TYPES[envelope.type].family == "identity":
            return None
        return peer.keys.judge(envelope.kid, envelope.sent_ms)

    def _counts(self, message: Message) -> bool:
        return self.authority(message) in (None, "key.retired")

    def _peer(self, did: str) -> Peer:
        peer = self.peers.get(did)
        if peer is None:
            if len(self.peers) >= LIMITS.peers:
                self._forget_peer()
            peer = self.peers[did] = Peer(did=did, keys=KeyHistory(did))
            self._silent.lowered(did)
        return peer

    def _rank(self, did: str) -> tuple[bool, int, str]:
        """Who is to be forgotten first has the lowest: free keys displace nobody who ever proved an address."""
        peer = self.peers[did]
        return bool(peer.known), peer.last_sent_ms, did

    def _forget_peer(self) -> None:
        """Make room, also by what is known of somebody's keys."""
        did = self._silent.of(self.peers)
        for address in tuple(self.peers[did].addresses):
            self._unbind(did, address)
        forgotten = self.peers.pop(did)
        if not forgotten.keys.trivial:
            self._views.clear()
        for address in forgotten.known:
            del self._known[address][did]
            if not self._known[address]:
                del self._known[address]

    def _add_presence(self, peer: Peer, message: Message, address: str) -> None:
        body = message.body
        if isinstance(body, presence.Leave):
            peer.left_revision = max(peer.left_revision, body.revision)
            return
        lent = address in self.bridges and body.role != "bridge"
        bound = not lent and any(item.uri == address for item in body.addresses)
        kept = peer.announce
        revision, ids = peer.newest
        if body.revision > revision:
            peer.newest = (body.revision, frozenset({message.id}))
        elif body.revision == revision and len(ids) < 2:
            peer.newest = (revision, ids | {message.id})
        if bound:
            holders = self._holders.setdefault(address, set())
            if peer.did not in holders and len(holders) >= _IDENTITIES_PER_ADDRESS:
                self._unbind(min(holders, key=lambda did: (self.peers[did].last_sent_ms, did)), address)
            holders.add(peer.did)
            peer.addresses.add(address)
            self._know(peer, address)
        rank = (bound, body.revision, message.id)
        if kept is None or rank >= (peer.bound, kept.body.revision, kept.id):
            peer.announce, peer.bound = message, bound

    def _know(self, peer: Peer, address: str) -> None:
        """One account can make few identities known, whatever becomes of their keys."""
        known = self._known.setdefault(address, {})
        if peer.did not in known and len(known) >= _IDENTITIES_PER_ADDRESS:
            first = next(iter(known))
            del known[first]
            self.peers[first].known.discard(address)
            self._silent.lowered(first)
        known[peer.did] = None
        peer.known.add(address)

    def _unbind(self, did: str, address: str) -> None:
        """An account that makes new identities displaces its own, the one silent longest first."""
        peer = self.peers[did]
        self._holders[address].discard(did)
        if not self._holders[address]:
            del self._holders[address]
        peer.addresses.discard(address)
        peer.bound = bool(peer.addresses)

    def _add_task(self, message: Message, address: str) -> None:
        thread_id = message.id if message.type == "task.request" else str(message.envelope.thread)
        thread = self._threads.get(thread_id)
        if message.type == "task.request":
            if thread is None:
                self._open_thread(message, address)
        elif thread is not None:
            if thread_id not in self._own:
                shared, thread = thread, thread.copy()
                shared.rest()
                self._threads[thread_id] = thread
                self._own.add(thread_id)
            self._use(thread_id)
            before = thread.size
            if thread.add(message, counts=self._counts(message)):
                self._views.pop(thread_id, None)
            self._shares.grow(thread_id, thread.size - before)
            self._forget_tasks()
        else:
            self._unasked.add(thread_id, message, address)

    def _open_thread(self, request: Message, address: str) -> None:
        thread = self._threads[request.id] = Thread(request)
        self._own.add(request.id)
        if event := thread.asked_for:
            self._asked_for.setdefault(event, []).append(request.id)
        for message, _ in self._unasked.release(request.id):
            with suppress(RemoteProtocolError):
                thread.add(message, counts=self._counts(message))
        self._shares.add(address, thread.age, thread.size)
        self._use(request.id)
        self._forget_tasks()

    def _forget_tasks(self) -> None:
        """Whoever asks for most makes room, by his oldest tasks: the new one may be that."""
        for task_id in self._shares.overflow(LIMITS.tasks, LIMITS.fold_bytes):
            if event := self._threads.pop(task_id).asked_for:
                self._asked_for[event].remove(task_id)
                if not self._asked_for[event]:
                    del self._asked_for[event]
            self._own.discard(task_id)
            self._views.pop(task_id, None)
            self._awake.pop(task_id, None)

    def _use(self, task_id: str) -> None:
        """This task is looked at now; the one that was not for longest is packed."""
        self._awake[task_id] = None
        self._awake.move_to_end(task_id)
        if len(self._awake) > _AWAKE:
            self._rest(next(iter(self._awake)))

    def _rest(self, task_id: str) -> None:
        self._awake.pop(task_id, None)
        self._views.pop(task_id, None)
        self._threads[task_id].rest()

    def has_task(self, task_id: str) -> bool:
        """Whether the request of a task has arrived."""
        return task_id in self._threads

    def task(self, task_id: str) -> TaskView | None:
        """A task's state, or None if its request has not arrived."""
        thread = self._threads.get(task_id)
        return None if thread is None else self._view(thread)

    def tasks(self, *, prefix: str = "", requester: str = "") -> Iterator[TaskView]:
        """All tasks, those whose ids begin so, or those of one requester; by the time of their request.

        There may be folded meanwhile: what is forgotten is left out.
        """
        threads = [thread for thread in self._threads.values() if requester in ("", thread.requester)]
        for _, task_id in sorted(thread.age for thread in threads if thread.id.startswith(prefix)):
            if (view := self.task(task_id)) is not None:
                yield view

    def find_task(self, prefix: str) -> TaskView | None:
        """Of the tasks whose ids begin so the one that was requested first."""
        return next(self.tasks(prefix=prefix), None)

    def asked_for(self, event: str) -> list[TaskView]:
        """The tasks on behalf of whoever wrote this event, by id."""
        return [view for task_id in sorted(self._asked_for.get(event, ())) if (view := self.task(task_id)) is not None]

    def _view(self, thread: Thread) -> TaskView | None:
        self._use(thread.id)
        if not self._counts(thread.request):
            return None
        view = self._views.get(thread.id)
        if view is None:
            view = self._views[thread.id] = thread.derive(self._counts)
        return view

    def progress(self, task_id: str, stage: str, attempt: int) -> Message | None:
        """The newest progress of an attempt, by its executor."""
        thread, view = self._threads.get(task_id), self.task(task_id)
        found = None if view is None else view.stages.get(stage)
        if thread is None or found is None or attempt not in found.attempts:
            return None
        executor = self.peers.get(found.attempts[attempt].executor)
        if executor is None:
            return None
        return thread.progress(executor.did, executor.keys.key, stage, attempt)

    def binding(self, message: Message) -> Binding:
        """Whether the sender's own address delivered this message, somebody else's, or one nobody knows."""
        peer = self.peers.get(message.sender)
        if peer is None or not peer.addresses:
            return "unbound"
        return "relayed" if peer.addresses.isdisjoint(self._delivered(message)) else "bound"

    def vouched(self, message: Message) -> bool:
        """Whether its sender's own address delivered it, or a bridge that the owner names."""
        return self.binding(message) == "bound" or not self.bridges.isdisjoint(self._delivered(message))

    def _delivered(self, message: Message) -> Iterable[str]:
        # Ids are forgotten as others come, who delivered a request is not.
        return self._origins.get(message.id) or self._shares.carriers(message.id)

    def name_of(self, did: str) -> str:
        """The announced name, or the end of the identity."""
        peer = self.peers.get(did)
        return did[-8:] if peer is None else peer.name

    def conflicts(self) -> dict[str, list[str]]:
        """Addresses that more than one identity has proven: shown to people, never settled silently."""
        return {address: sorted(dids) for address, dids in sorted(self._holders.items()) if len(dids) > 1}

    def claimants(self, address: str) -> list[str]:
        """The identities that have proven an address (by did); more than one are a conflict."""
        return sorted(self._holders.get(address, ()))

    def live_peers(self, now_ms: int) -> list[Peer]:
        """Bound live peers, one for each address: who may be counted upon (by did)."""
        found: dict[str, Peer] = {}
        for dids in self._holders.values():
            live = [peer for did in dids if (peer := self.peers[did]).live(now_ms)]
            if live:
                # Who spoke last.
                peer = live[0] if len(live) == 1 else min(live, key=lambda peer: (-peer.last_sent_ms, peer.did))
                found[peer.did] = peer
        return [found[did] for did in sorted(found)]

    def direct_addresses(self, did: str) -> tuple[presence.Address, ...]:
        """Where a bound peer takes direct messages, in the order in which it wants them (PRE-4)."""
        peer = self.peers.get(did)
        if peer is None or peer.body is None or not peer.bound:
            return ()
        return tuple(item for item in peer.body.addresses if item.uri in peer.addresses and item.device is not UNSET)

    def copy(self) -> Mesh:
        """An independent copy, cheap enough to be taken often: tasks are shared until they change.

        Those that did not change since the copy before are packed: what many copies hold takes little room.
        """
        for task_id in self._threads.keys() - self._own:
            self._rest(task_id)
        self._own.clear()
        other = Mesh(self.room, self.bridges)
        other.peers = {did: peer.copy() for did, peer in self.peers.items()}
        other.presence_changes = self.presence_changes
        other._origins = self._origins.copy()
        other._threads, other._views = self._threads.copy(), self._views.copy()
        other._awake = self._awake.copy()
        other._unasked = self._unasked.copy(other._origins.forget)
        other._unproven = self._unproven.copy(other._origins.forget)
        other._shares = self._shares.copy()
        other._asked_for = {event: tasks.copy() for event, tasks in self._asked_for.items()}
        other._holders = {address: dids.copy() for address, dids in self._holders.items()}
        other._known = {address: dids.copy() for address, dids in self._known.items()}
        return other
