"""What is drawn: rows made from the fold, immutable, so that a frozen picture stays as it is.

Identities are dids, times Unix milliseconds, and text is as its sender wrote it: whoever draws it cleans it
(``tui.text``).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from clawnet_proto.message import Message
from tui.arrivals import Arrival

Verdict = Literal["bound", "unbound", "relayed", "invalid", "unopened", "unsigned", "pending"]
"""What is known of a message (docs/transcripts.md). ``unsigned`` are a person's words, ``unopened`` is sealed to
somebody else, ``pending`` waits for its signature to be checked."""

PeerState = Literal["live", "expired", "left", "unbound", "unheard", "disputed", "revoked"]
"""``live``: bound, and its announce counts now. ``unbound``: announced, but from no address of its own. ``unheard``:
named or heard, never announced."""


LinkState = Literal["connecting", "live", "stale", "ended", "replay"]


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One identity as its announce and the fold tell it."""

    did: str
    name: str
    kind: str = ""  # human, ai, hybrid, system; "" if unheard
    role: str = ""
    description: str = ""
    state: PeerState
    me: bool = False  # it is the agent whose key we hold
    models: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    running: int = 0
    waiting: int = 0
    slots: int = 0
    rtt_ms: int = -1  # by our handshake with it, else the least of what others announce; -1: not known
    region: str = ""
    addresses: tuple[str, ...] = ()  # proven ones
    last_ms: int = 0  # when it last spoke, by its own clock
    heard_ms: int = 0  # when we last received something of it
    revision: int = -1
    rotations: int = 0
    conflict: bool = False  # another identity has proven an address of its
    equivocates: bool = False  # it signed two announces with one revision

    @property
    def load(self) -> float:
        """Work in hand by slots, 0 to 1; 0 where it has none."""
        return min(1.0, (self.running + self.waiting) / self.slots) if self.slots else 0.0


class EdgeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A handshake that one of two live peers announces as confirmed. ``a`` < ``b``."""

    a: str
    b: str
    rtt_ms: int
    at_ms: int
    mutual: bool  # both announce it


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of a task."""

    id: str
    kind: str
    state: str  # as in spec/states.json
    executor: str = ""  # did of the current attempt's
    attempt: int = 0
    attempts: int = 0
    executions: int = 0
    model: str = ""
    tokens: int = 0  # of the result, else of the newest progress
    tokens_per_s: float = 0.0  # by the executor's own clock; 0: not known
    text: str = ""  # the accepted output, else the newest progress; "" if sealed
    sources: tuple[str, ...] = ()
    award: str = ""  # message ids
    lease_until_ms: int = 0  # by the requester's clock; renewed by the progress that we see
    result: str = ""
    failure: str = ""  # code and message


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task of the room."""

    id: str
    title: str
    state: str
    requester: str
    ours: bool
    privacy: str
    on_behalf_of: str = ""  # the address that a server vouches for
    stages: tuple[StageRow, ...] = ()
    asked_ms: int = 0
    ended_ms: int = 0  # 0: it has not ended
    touched_ms: int = 0  # when we last received something of it
    outcome: str = ""  # what close or cancel says
    refused: int = 0  # messages that do not count


class Pulse(msgspec.Struct, frozen=True, gc=False):
    """A message that just went by: drawn for a moment from ``sender`` to ``to`` ("" is everybody)."""

    sender: str
    to: str
    type: str
    at_ms: int  # received


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line of the timeline: one carrier, or the words of a person, or an arrival that is not checked yet."""

    seq: int  # counts from 1, over all there ever were
    arrival: Arrival
    index: int = 0  # of the carrier in its event
    message: Message | None = None  # what the signature holds for; None for all other verdicts
    code: str = ""  # why it is invalid, or does not count
    detail: str = ""
    words: str = ""
    pending: bool = False

    @property
    def at_ms(self) -> int:
        return self.arrival.received_ms


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Since the start."""

    arrivals: int = 0  # raw events received
    pending: int = 0  # of those, not checked yet
    messages: int = 0
    invalid: int = 0
    unopened: int = 0
    unsigned: int = 0
    duplicates: int = 0
    elsewhere: int = 0  # of other rooms


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is drawn, at one moment."""

    now_ms: int
    room: str = ""  # room URI, "" until something arrives
    me: str = ""
    agents: tuple[AgentRow, ...] = ()  # by did
    edges: tuple[EdgeRow, ...] = ()
    tasks: tuple[TaskRow, ...] = ()  # the most recently touched first
    entries: tuple[Entry, ...] = ()  # oldest first; those not checked yet come last
    pulses: tuple[Pulse, ...] = ()  # oldest first
    counts: Counts = Counts()

    def agent(self, did: str) -> AgentRow | None:
        return next((row for row in self.agents if row.did == did), None)

    def task(self, task_id: str) -> TaskRow | None:
        return next((row for row in self.tasks if row.id == task_id), None)


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What the person looks at; choosing in one pane sets what follows from it in the others."""

    about: Literal["", "agent", "task", "entry"] = ""  # which of them was chosen: the inspector tells of it
    agent: str = ""  # did
    task: str = ""
    stage: str = ""
    entry: int = 0  # its seq
