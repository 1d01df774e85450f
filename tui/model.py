"""The state of the room that is watched: the agents' own fold, and what is derived from it to be drawn.

Pure: arrivals and the time come in, a ``Snapshot`` comes out. Memory is bounded by the fold's limits and ``history``.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice

import msgspec

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import present
from tui.agent_rows import agent_rows, edge_rows
from tui.arrivals import UNREAD, Arrival, Checked, Unread, Words
from tui.grounds import Grounds
from tui.task_rows import TaskRows
from tui.views import AgentRow, Counts, EdgeRow, Entry, Pulse, Snapshot, TaskRow, Verdict

HISTORY = 1000  # lines of the timeline that can be scrolled back to
PULSE_MS = 1500
_PULSES = 256
_EARLY = 1000
_HISTORY_BYTES = 32 << 20  # of raw events, whatever their number
_PENDING_SHOWN = 50
_UNREAD_PLACE = -1  # of what an event holds that is still encrypted: what it says may come later
# How old rows may be: making them at every frame would cost more than drawing them.
_AGENTS_EVERY_MS = 250
_AGENTS_IDLE_MS = 1000  # when nobody's presence changed; time passes all the same
_TASKS_EVERY_MS = 200
_TASKS_AT_ONCE, _TASKS_ALL_MS = 20, 1000  # the more of them change, the older rows may be


class Model:
    """One room. ``room`` is its URI, "" for the first that a message arrives from; ``me`` the did of our key."""

    def __init__(self, *, room: str = "", me: str = "", history: int = HISTORY) -> None:
        self.room = room
        self.me = me
        self.changes = 0  # grows with every change of what a snapshot shows, but for the passing of time
        self.mesh = Mesh(room)
        self._history = history
        self._entries: deque[Entry] = deque()
        self._bytes = 0  # of the events the entries hold
        self._pending: deque[Arrival] = deque()
        self._early: deque[Checked] = deque(maxlen=_EARLY)  # direct events from before the room was known
        self._pulses: deque[Pulse] = deque(maxlen=_PULSES)
        self._heard: dict[str, int] = {}  # did -> when we last received something of it
        self._grounds = Grounds()
        self._task_rows = TaskRows(me)
        self._once: OrderedDict[tuple[str, int], None] = OrderedDict()  # lines that are no messages, shown already
        self._seq = 0
        self._tally = _Tally()
        self._agents: tuple[AgentRow, ...] = ()
        self._edges: tuple[EdgeRow, ...] = ()
        self._presence = -1  # the fold's count of presence changes when the rows were made
        self._agents_ms = 0
        self._tasks: tuple[TaskRow, ...] = ()
        self._tasks_ms = 0

    # -- what happens ----------------------------------------------------------------------------------------

    def expect(self, arrivals: Sequence[Arrival]) -> None:
        """Note arrivals whose signatures are still to be checked; ``fold`` takes them up in the same order."""
        self._tally.arrivals += len(arrivals)
        self._pending += arrivals
        self.changes += 1

    def enter(self, room: str) -> None:
        """This is the room, if it is not known yet."""
        if not self.room:
            self.room = self.mesh.room = room
            while self._early:
                self._fold(self._early.popleft())

    def fold(self, checked: Checked) -> None:
        """Fold what an arrival proved to hold."""
        arrival = checked.arrival
        if self._pending:
            self._pending.popleft()
        else:
            self._tally.arrivals += 1
        self.changes += 1
        if not self.room and arrival.plane == "direct":
            self._early.append(checked)  # it may be of any room
            return
        if any(isinstance(outcome, Message) for outcome in checked.outcomes):
            self.enter(arrival.room)
        self._fold(checked)

    def _fold(self, checked: Checked) -> None:
        arrival = checked.arrival
        if self.room and arrival.room not in ("", self.room):
            self._tally.elsewhere += 1
            return
        for index, outcome in enumerate(checked.outcomes):
            if isinstance(outcome, Message):
                self._add(arrival, index, outcome)
            elif isinstance(outcome, Words):
                if self._is_new(arrival, index):
                    self._tally.unsigned += 1
                    self._append(Entry(seq=self._next(), arrival=arrival, words=outcome.text))
            elif isinstance(outcome, Unread):
                if self._is_new(arrival, _UNREAD_PLACE):
                    self._tally.unopened += 1
                    self._append(Entry(seq=self._next(), arrival=arrival, code=UNREAD))
            else:
                self._refuse(arrival, index, outcome)

    def _add(self, arrival: Arrival, index: int, message: Message) -> None:
        if message.envelope.room != self.room:
            self._tally.elsewhere += 1
            return
        try:
            folded = self.mesh.add(message, arrival.sender)
        except RemoteProtocolError as error:
            self._refuse(arrival, index, error)
            return
        if folded == "duplicate":
            self._tally.duplicates += 1
            return
        entry = Entry(seq=self._next(), arrival=arrival, index=index, message=message)
        self._append(entry)
        if self.mesh.authority(message) in _REFUSING:
            self._tally.invalid += 1
            return
        self._tally.messages += 1
        if self.mesh.binding(message) != "relayed":
            self._note(entry, message)

    def _note(self, entry: Entry, message: Message) -> None:
        """What its sender says is drawn, and remembered as said by it."""
        received_ms = entry.arrival.received_ms
        self._heard[message.sender] = max(received_ms, self._heard.get(message.sender, 0))
        if len(self._heard) > 2 * len(self.mesh.peers) + 64:
            self._heard = {did: ms for did, ms in self._heard.items() if did in self.mesh.peers}
        if TYPES[message.type].family == "task":
            task_id = message.id if message.type == "task.request" else str(message.envelope.thread)
            if self.mesh.has_task(task_id):
                self._task_rows.touch(task_id, received_ms)
        self._grounds.keep(message, entry.arrival, self.mesh, self._task_rows.listed())
        to = present(message.envelope.recipients, ("",))[0]  # "" is everybody
        self._pulses.append(Pulse(message.sender, to, message.type, received_ms))

    def _refuse(self, arrival: Arrival, index: int, error: RemoteProtocolError) -> None:
        if not self._is_new(arrival, index):
            return
        if error.code == "sealed.unopened":
            self._tally.unopened += 1
        else:
            self._tally.invalid += 1
        self._append(Entry(seq=self._next(), arrival=arrival, index=index, code=error.code, detail=error.detail))

    def _is_new(self, arrival: Arrival, index: int) -> bool:
        """After a reconnect the same events come again; only messages are known to the fold."""
        key = (arrival.event_id or digest(arrival.event.encode("utf-8", "replace")), index)
        if key in self._once:
            self._tally.duplicates += 1
            return False
        self._once[key] = None
        if len(self._once) > 2 * self._history:
            self._once.popitem(last=False)
        return True

    def _append(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._bytes += sys.getsizeof(entry.arrival.event)
        while len(self._entries) > self._history or (self._bytes > _HISTORY_BYTES and len(self._entries) > 1):
            self._bytes -= sys.getsizeof(self._entries.popleft().arrival.event)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    # -- how far it is ---------------------------------------------------------------------------------------

    def arrivals(self) -> list[Arrival]:
        """What the timeline was made of, oldest first, after what its messages stand on."""
        shown = {id(entry.arrival): entry.arrival for entry in self._entries}
        before = [arrival for arrival in self._grounds.arrivals() if id(arrival) not in shown]
        return [*sorted(before, key=lambda arrival: arrival.received_ms), *shown.values()]

    @property
    def lines(self) -> int:
        """How many lines the timeline ever had."""
        return self._seq

    @property
    def waiting(self) -> int:
        """How many arrivals are not checked yet."""
        return len(self._pending)

    # -- what is shown ---------------------------------------------------------------------------------------

    def snapshot(self, now_ms: int, *, fresh: bool = False) -> Snapshot:
        """Everything there is to draw. Rows that did not change are the same objects as before.

        Agents and tasks may be a fraction of a second old, unless they are to be ``fresh``.
        """
        changed = self._presence != self.mesh.presence_changes
        # A thousand agents are looked at once a second, four thousand every four.
        every_ms = max(_AGENTS_EVERY_MS if changed else _AGENTS_IDLE_MS, len(self.mesh.peers))
        if fresh or not 0 <= now_ms - self._agents_ms < every_ms:
            self._agents = agent_rows(self.mesh, self.me, self._heard, now_ms)
            edges = edge_rows(self.mesh, now_ms)
            self._edges = self._edges if edges == self._edges else edges
            self._presence, self._agents_ms = self.mesh.presence_changes, now_ms
        age_ms = now_ms - self._tasks_ms
        if fresh or not 0 <= age_ms < _TASKS_ALL_MS:
            self._tasks, self._tasks_ms = self._task_rows.rows(self.mesh), now_ms
        elif age_ms >= _TASKS_EVERY_MS:
            self._tasks, self._tasks_ms = self._task_rows.rows(self.mesh, _TASKS_AT_ONCE), now_ms
        while self._pulses and not 0 <= now_ms - self._pulses[0].at_ms < PULSE_MS:
            self._pulses.popleft()
        waiting = (Entry(seq=0, arrival=arrival, pending=True) for arrival in islice(self._pending, _PENDING_SHOWN))
        return Snapshot(
            now_ms=now_ms,
            room=self.room,
            me=self.me,
            agents=self._agents,
            edges=self._edges,
            tasks=self._tasks,
            entries=(*self._entries, *waiting),
            pulses=tuple(self._pulses),
            counts=self._tally.counts(len(self._pending)),
        )

    def verdict(self, entry: Entry) -> Verdict:
        """What is known of a line now: an address may be proven after a message came."""
        if entry.pending:
            return "pending"
        if entry.message is not None:
            refused = self.mesh.authority(entry.message) in _REFUSING
            return "invalid" if refused else self.mesh.binding(entry.message)
        if entry.code:
            return "unopened" if entry.code in ("sealed.unopened", UNREAD) else "invalid"
        return "unsigned"

    def objection(self, entry: Entry) -> str:
        """The code that says why a line does not count, or not quite; "" if it does."""
        message = entry.message
        if message is None:
            return entry.code
        authority = self.mesh.authority(message)
        if authority is not None:
            return authority
        if TYPES[message.type].family != "task" or message.type in ("task.request", "task.offer"):
            return ""
        view = self.mesh.task(str(message.envelope.thread))
        return "state.waiting" if view is None else view.errors.get(message.id, "")

    def copy(self) -> Model:
        """An independent model in the same state, without its timeline: what a checkpoint keeps."""
        other = Model(room=self.room, me=self.me, history=self._history)
        other.mesh = self.mesh.copy()
        other._early = self._early.copy()
        other._heard = dict(self._heard)
        other._task_rows = self._task_rows.copy()
        other._seq = self._seq
        other._tally = msgspec.structs.replace(self._tally)
        return other


_REFUSING = ("key.not_authorized", "key.unproven", "key.disputed")


class _Tally(msgspec.Struct):
    arrivals: int = 0
    messages: int = 0
    invalid: int = 0
    unopened: int = 0
    unsigned: int = 0
    duplicates: int = 0
    elsewhere: int = 0

    def counts(self, pending: int) -> Counts:
        return Counts(pending=pending, **msgspec.structs.asdict(self))
