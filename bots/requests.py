"""The words between commands and an agent: requests in, answers and events out, JSON-shaped by msgspec."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from bots.events import AnyEvent, Event
from bots.health.verdict import Finding
from bots.transports import Delivery


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", forbid_unknown_fields=True):
    """Base of all requests."""


class Ask(Request, frozen=True, kw_only=True, tag="ask"):
    """Ask the mesh; streams events until the task has ended."""

    question: str
    room: str = ""
    stages: tuple[str, ...] = ("answer",)
    model: str = ""
    private: bool = False
    to: str = ""
    max_tokens: Annotated[int, Meta(ge=1, le=8192)] | None = None  # what the agent's configuration says
    timeout_s: Annotated[int, Meta(ge=1, le=86400)] = 900
    roles: tuple[str, ...] = ()  # these and the following: whom we would rather have
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()  # by name or did


class Peers(Request, frozen=True, kw_only=True, tag="peers"):
    """Who is there; one ``PeerSeen`` each."""

    room: str = ""
    everyone: bool = False


class Tasks(Request, frozen=True, kw_only=True, tag="tasks"):
    """The tasks of the rooms; one ``TaskSeen`` each. ``prefix`` picks them by id."""

    prefix: str = ""


class Cancel(Request, frozen=True, kw_only=True, tag="cancel"):
    """Cancel a task of ours, named by its id or the beginning of it."""

    task: str


class Answer(Request, frozen=True, kw_only=True, tag="answer"):
    """Answer the question a task of ours waits for."""

    task: str
    text: str


class Watch(Request, frozen=True, kw_only=True, tag="watch"):
    """Stream every event until the connection is closed."""


class Status(Request, frozen=True, kw_only=True, tag="status"):
    """How the agent itself is doing; one ``AgentStatus``."""


class Follow(Request, frozen=True, kw_only=True, tag="follow"):
    """Stream raw events until the connection is closed: ``LinkChanged``, ``RoomFollowed``, ``Delivered``, oldest first.

    First come the newest ``remembered`` of those the store still has, then each one as soon as the agent has handled
    it; what its rules keep out of every fold is not among them. One that reads so slowly that the store forgets
    in the meantime is told by ``Missed``.
    """

    room: str = ""  # by name or URI; "": the only one
    remembered: Annotated[int, Meta(ge=0)] = 5000


class Rotate(Request, frozen=True, kw_only=True, tag="identity_rotate"):
    """Give up the key in use for the next one; one ``IdentityState``."""


class Revoke(Request, frozen=True, kw_only=True, tag="identity_revoke"):
    """Revoke the identity and end the agent; one ``IdentityState``."""

    reason: Annotated[str, Meta(max_length=300)] = ""


AnyRequest: TypeAlias = Ask | Peers | Tasks | Cancel | Answer | Watch | Follow | Status | Rotate | Revoke


class PeerSeen(Event, frozen=True, kw_only=True, tag="peer"):
    """A peer as the fold knows it."""

    did: str
    name: str
    kind: str
    role: str
    room: str
    address: str
    bound: bool
    live: bool
    early: bool = False  # its announce lies in the future: its clock is wrong, or ours
    me: bool = False
    conflict: bool = False
    standing: Literal["good", "disputed", "revoked"] = "good"
    rotations: int = 0  # how often it has given up its key
    equivocates: bool = False  # it signed two announces with one revision
    capabilities: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    region: str = ""
    running: int = 0
    slots: int = 0
    rtt_ms: int = -1
    last_sent_ms: int = 0


class AttemptSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a stage that somebody took over."""

    attempt: int
    state: str
    executor: str
    name: str


class StageSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of a task as the fold knows it."""

    stage: str
    state: str
    attempt: int = 0
    executor: str = ""
    name: str = ""
    before: tuple[AttemptSeen, ...] = ()  # the attempts before this one


class TaskSeen(Event, frozen=True, kw_only=True, tag="task_state"):
    """A task as the fold knows it."""

    task: str
    room: str
    title: str
    state: str
    requester: str
    ours: bool
    stages: tuple[StageSeen, ...]


class ServerWaiting(msgspec.Struct, frozen=True, kw_only=True):
    """What one server has not taken."""

    server: str  # its URL
    waiting: int  # deliveries
    oldest_s: int  # how long the oldest of them waits
    fault: str = ""  # what came of the last try for that one, "" if it was not tried in this run


class AgentStatus(Event, frozen=True, kw_only=True, tag="status"):
    """The agent itself."""

    did: str
    name: str
    address: str  # the first of all
    online: bool
    rooms: tuple[str, ...]
    engine: str
    models: tuple[str, ...]
    queued: int
    refused_outgoing: int
    refused_incoming: int
    jobs: int
    key: str = ""  # the key in use
    rotations: int = 0
    encrypted_rooms: int = 0
    fingerprint: str = ""  # of our device in encrypted rooms, "" without any
    unreadable: int = 0  # encrypted events that wait for their key, or that nothing can make readable
    changed_devices: tuple[str, ...] = ()  # devices of others that came back with other keys
    health: Literal["ok", "degraded", "failing"] = "ok"
    problems: tuple[Finding, ...] = ()  # what keeps it from its work
    warnings: tuple[Finding, ...] = ()
    stopping: bool = False
    uptime_s: int = 0
    sync_age_s: int = -1  # since it last received; -1: not yet
    peers_live: int = 0
    stages_running: int = 0
    tasks_open: int = 0  # tasks of its own that have not ended
    inbox_waiting: int = 0  # events that arrived and are not handled
    outbox_oldest_s: int = 0  # how long the oldest queued message waits
    undelivered: int = 0  # what servers of the fediverse have not taken of what it said, one for each inbox
    servers_waiting: tuple[ServerWaiting, ...] = ()  # these servers, whoever waits longest first; a few of them
    health_url: str = ""  # where monitors can read the same, "" for nowhere
    addresses: tuple[str, ...] = ()  # one a transport


class Delivered(Event, frozen=True, kw_only=True, tag="delivered"):
    """A raw event arrived; nothing in it is verified."""

    delivery: Delivery


class LinkChanged(Event, frozen=True, kw_only=True, tag="link"):
    """Whether the agent receives at the moment; told once at the start, too."""

    online: bool
    detail: str = ""  # a sentence, if it does not


class RoomFollowed(Event, frozen=True, kw_only=True, tag="room"):
    """Which room is followed; told before anything of it is delivered, and again when another took its place.

    Direct messages of other rooms are delivered, too: which room a sealed one is of is known once it is opened.
    """

    room: str  # URI
    name: str = ""  # alias or display name for people, in strangers' words


class Missed(Event, frozen=True, kw_only=True, tag="missed"):
    """Raw events went by that this reader will not get: ``count`` at most."""

    count: int


class KeyStep(msgspec.Struct, frozen=True, kw_only=True):
    """A rotation: from ``since_ms`` on the key before ``key`` says nothing more."""

    key: str
    since_ms: int


class IdentityState(Event, frozen=True, kw_only=True, tag="identity"):
    """The agent's own keys."""

    did: str
    key: str  # in use
    rotations: tuple[KeyStep, ...]
    next_key_digest: str
    seal_key: str
    revoked_ms: int = 0  # Unix milliseconds; 0: it is not revoked
    reason: str = ""


class Failure(Event, frozen=True, kw_only=True, tag="error"):
    """The request could not be carried out."""

    code: str
    message: str
    hint: str = ""
    usage: bool = False  # what was asked for makes no sense


AnyAnswer: TypeAlias = (
    AnyEvent
    | PeerSeen
    | TaskSeen
    | AgentStatus
    | IdentityState
    | Delivered
    | LinkChanged
    | RoomFollowed
    | Missed
    | Failure
)
