"""What commands may ask of an agent, in this process or over its socket: requests in, events out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import msgspec

from bots import pipelines
from bots.agent import Agent
from bots.agent_status import agent_status
from bots.behaviours.requester import Order
from bots.errors import ClawbotError, ConfigError
from bots.events import AnyEvent, MessageSeen, Notice, TaskEnded
from bots.following import follow
from bots.health.reading import Health
from bots.identity import Identity
from bots.ranking import capable
from bots.requests import (
    Answer,
    AnyAnswer,
    AnyRequest,
    Ask,
    AttemptSeen,
    Cancel,
    Follow,
    IdentityState,
    KeyStep,
    Peers,
    PeerSeen,
    Revoke,
    Rotate,
    StageSeen,
    Status,
    Tasks,
    TaskSeen,
    Watch,
)
from clawnet_proto.errors import LocalProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.presence import Announce, StageKind
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.mesh import Peer
from clawnet_proto.rendering import clean, short
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import present

_PATIENCE_S = 5.0
_TELLING_S = 10.0
_QUEUE = 10_000


class Service:
    """Carries out requests against one agent."""

    def __init__(self, agent: Agent, health: Health | None = None) -> None:
        self._agent = agent
        self._health = health or Health(agent)

    async def answer(self, request: AnyRequest) -> AsyncIterator[AnyAnswer]:
        """Everything there is to say to a request. Raises ClawbotError; closing it early ends what it began."""
        handler = {
            Ask: self._ask,
            Peers: self._peers,
            Tasks: self._tasks,
            Cancel: self._cancel,
            Answer: self._reply,
            Watch: self._watch,
            Follow: self._follow,
            Status: self._status,
            Rotate: self._rotate,
            Revoke: self._revoke,
        }[type(request)]
        try:
            async with aclosing(handler(request)) as items:  # type: ignore[operator]
                async for item in items:
                    yield item
        except LocalProtocolError as error:
            raise unsayable(error) from None

    def _room(self, name: str) -> str:
        """The room a command means: the one it names, or the only one."""
        rooms = self._agent.rooms()
        for room in rooms:
            if name in (room.uri, room.name, clean(room.name)):
                return room.uri
        known = ", ".join(clean(room.name) for room in rooms) or "none"
        if name:
            raise ClawbotError("room.unknown", f"The agent is not in {name}.", f"It is in: {known}.")
        if len(rooms) != 1:
            raise ClawbotError(
                "room.ambiguous", f"The agent is in {len(rooms)} rooms.", f"Name one with --room: {known}."
            )
        return rooms[0].uri

    async def _ask(self, request: Ask) -> AsyncIterator[AnyAnswer]:
        agent = self._agent
        if agent.stopping:
            raise ClawbotError("agent.stopping", "The agent is stopping: it takes no new questions.", "Start it again.")
        size = len(request.question.encode())
        if size > LIMITS.inline_text_bytes:
            most = LIMITS.inline_text_bytes
            raise ConfigError(
                "ask.too_long", f"The question has {size} bytes; {most} are possible.", "Ask for less at once."
            )
        room = self._room(request.room)
        if fault := agent.clock_fault:
            yield Notice(at_ms=agent.now_ms(), text=fault)
        for notice in self._privacy(room, request.private):
            yield notice
        kind, able = self._kind(room, request)
        if not able:
            yield Notice(at_ms=agent.now_ms(), text="Nobody here can do that so far. Waiting a moment for others.")
            kind = await self._patient_kind(room, request)
        if not agent.transport.online:
            text = f"{agent.transport.place} cannot be reached just now: the question goes out once it can."
            yield Notice(at_ms=agent.now_ms(), text=text)
        to = self._peer(room, request.to) if request.to else None
        for notice in self._whom(room, to) if to else ():
            yield notice
        order = Order(
            room=room,
            title="a sealed question" if request.private else clean(request.question, limit=200),
            inputs={pipelines.QUESTION: request.question},
            stages=self._stages(request, kind),
            private=request.private,
            to=to.did if to else "",
            timeout_ms=request.timeout_s * 1000,
            preferences=self._preferences(room, request),
        )
        task_id = ""
        # What else goes on in a busy room must not crowd out the answer.
        with _Events(agent, lambda event: not isinstance(event, MessageSeen) or event.thread == task_id) as events:
            task_id = agent.requester.request(order)
            ended = False
            try:
                async for event in events:
                    if getattr(event, "task", task_id) not in ("", task_id):
                        continue  # of somebody else's question
                    yield event
                    if isinstance(event, TaskEnded):
                        ended = True
                        return
            finally:
                # Whoever asked has gone away: nobody is to work for nothing.
                if not ended and task_id in agent.requester.open_tasks():
                    agent.requester.cancel(task_id, "whoever asked went away")

    def _privacy(self, room: str, private: bool) -> list[Notice]:
        """Say before anything is sent who will be able to read it."""
        now = self._agent.now_ms()
        here = next(known for known in self._agent.rooms() if known.uri == room)
        name = clean(here.name)
        if private:
            text = f"Sealed: only the agents that run it can read the question; {name} sees that you ask."
        elif here.encrypted:
            text = (
                f"{name} is encrypted: its {here.members} members can read the question and the answer, no server can."
            )
        elif here.public:
            text = f"{name} is public: anyone who joins can read the question and the answer."
        else:
            text = f"The {here.members} members of {name} can read the question and the answer."
        return [Notice(at_ms=now, text=text)]

    def _whom(self, room: str, peer: Peer) -> list[Notice]:
        """Say before anything is sent who exactly will get it: names are free, and so are keys."""
        mesh, now, name = self._agent.mesh(room), self._agent.now_ms(), _name(peer)
        texts = [f"{name} is {', '.join(clean(address) for address in sorted(peer.addresses))}, {peer.did}."]
        namesakes = [other for other in mesh.peers.values() if _name(other) == name and other.did != peer.did]
        if namesakes:
            texts.append(f"Careful: {len(namesakes)} more in this room went by the name {name}.")
        for address in sorted(peer.addresses):
            if len(mesh.claimants(address)) > 1:
                texts.append(f"Careful: {clean(address)} is in conflict, it has sent announces of several identities.")
        return [Notice(at_ms=now, text=text) for text in texts]

    def _preferences(self, room: str, request: Ask) -> task.Preferences | None:
        """Whom the asker would rather have. Raises ConfigError for what no agent could announce."""
        preferences = task.Preferences()
        trusted = tuple(self._peer(room, name).did for name in request.peers)
        for flag, field, wanted in (
            ("--prefer-model", "models", request.models),
            ("--prefer-role", "roles", request.roles),
            ("--prefer-region", "regions", request.regions),
            ("--prefer-peer", "trusted", trusted),
        ):
            try:
                fitting = msgspec.convert({field: wanted} if wanted else {}, task.Preferences)
            except msgspec.ValidationError:
                raise ConfigError(
                    "ask.preference",
                    f"{flag} {clean(', '.join(wanted))} is nothing that agents announce, or too much at once.",
                    "A role or region is one word of small letters, digits, dots and dashes.",
                ) from None
            preferences = msgspec.structs.replace(preferences, **{field: getattr(fitting, field)})
        return preferences if preferences != task.Preferences() else None

    def _kind(self, room: str, request: Ask) -> tuple[StageKind, bool]:
        """What the room's models are made for, and whether all that is asked for can be done."""
        agent = self._agent
        peers = [peer.body for peer in agent.live_peers(room) if peer.body is not None]
        others = [body for body in peers if body.models and body.limits.open_to != "nobody"]
        kind = pipelines.kind_for(others, request.model)
        return kind, all(any(capable(body, stage) for body in others) for stage in self._stages(request, kind))

    def _stages(self, request: Ask, kind: StageKind) -> tuple[task.Stage, ...]:
        max_tokens = request.max_tokens or self._agent.config.requests.max_tokens
        return pipelines.build(request.stages, kind, model=request.model, max_tokens=max_tokens)

    async def _patient_kind(self, room: str, request: Ask) -> StageKind:
        """The same for a newcomer, who waits a moment for the others' announces."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            kind, able = self._kind(room, request)
            if able or asyncio.get_running_loop().time() > deadline:
                return kind
            await asyncio.sleep(0.1)

    def _peer(self, room: str, name: str) -> Peer:
        found = [peer for peer in self._agent.live_peers(room) if name in (peer.did, _name(peer))]
        if len(found) != 1:
            begins = f"There are {len(found)} peers" if found else "There is nobody"
            raise ClawbotError("peer.unknown", f"{begins} called {name}.", "See `clawbot peers`; a did is unique.")
        return found[0]

    async def _peers(self, request: Peers) -> AsyncIterator[AnyAnswer]:
        agent, now = self._agent, self._agent.now_ms()
        wanted = self._room(request.room) if request.room else ""
        for room in agent.rooms():
            if wanted and room.uri != wanted:
                continue
            mesh = agent.mesh(room.uri)
            unsound = 0
            conflicting = {did for dids in mesh.conflicts().values() for did in dids}
            for peer in sorted(mesh.peers.values(), key=lambda peer: (peer.name, peer.did)):
                here = peer.bound and peer.live(now) and agent.roster.is_joined(room.uri, peer)
                if peer.standing != "good" and not request.everyone:
                    unsound += 1  # its announce does not count, and strangers can make any number of these
                elif peer.standing != "good":
                    yield self._unsound(room.uri, peer)
                elif peer.body is not None and (request.everyone or here):
                    yield self._peer_seen(room.uri, peer, peer.body, peer.did in conflicting)
            if unsound:
                text = f"{unsound} more in {clean(room.name)}, disputed or revoked: clawbot peers --all"
                yield Notice(at_ms=now, text=text)

    def _unsound(self, room: str, peer: Peer) -> PeerSeen:
        """A peer whose keys are disputed or revoked: nothing of what it announced counts."""
        return PeerSeen(
            at_ms=self._agent.now_ms(), did=peer.did, name=_name(peer), kind="", role="", room=room, address="",
            bound=False, live=False, me=peer.did == self._agent.identity.did, standing=peer.standing,
            rotations=len(peer.keys.chain) - 1, equivocates=peer.equivocates, last_sent_ms=peer.last_sent_ms,
        )  # fmt: skip

    def _peer_seen(self, room: str, peer: Peer, body: Announce, conflict: bool) -> PeerSeen:
        agent, now = self._agent, self._agent.now_ms()
        confirmed = agent.handshakes.confirmed(room, peer.did)
        return PeerSeen(
            at_ms=now, did=peer.did, name=_name(peer), kind=body.kind, role=body.role, room=room,
            address=body.addresses[0].uri, bound=peer.bound,
            # Of who is only relayed nobody here can tell who is joined.
            live=peer.live(now) and (not peer.bound or agent.roster.is_joined(room, peer)), conflict=conflict,
            early=peer.announce is not None and peer.announce.envelope.sent_ms > now and not peer.live(now),
            rotations=len(peer.keys.chain) - 1, equivocates=peer.equivocates,
            me=peer.did == agent.identity.did, capabilities=body.capabilities,
            models=tuple(clean(model.name, limit=64) for model in body.models), wants=body.wants,
            offers=body.offers, region=present(body.region, ""), running=body.load.running,
            slots=body.load.slots, rtt_ms=confirmed.rtt_ms if confirmed else -1, last_sent_ms=peer.last_sent_ms,
        )  # fmt: skip

    async def _tasks(self, request: Tasks) -> AsyncIterator[AnyAnswer]:
        for room in self._agent.rooms():
            for view in self._agent.mesh(room.uri).tasks(prefix=request.prefix):
                yield self._task_seen(room.uri, view)

    def _task_seen(self, room: str, view: TaskView) -> TaskSeen:
        mesh = self._agent.mesh(room)
        return TaskSeen(
            at_ms=self._agent.now_ms(), task=view.id, room=room, title=clean(view.request.body.title),
            state=view.state, requester=clean(mesh.name_of(view.requester), limit=64),
            ours=view.requester == self._agent.identity.did,
            stages=tuple(
                StageSeen(
                    stage=name, state=stage.state, attempt=stage.current.number if stage.current else 0,
                    executor=stage.current.executor if stage.current else "",
                    name=clean(mesh.name_of(stage.current.executor), limit=64) if stage.current else "",
                    before=tuple(
                        AttemptSeen(
                            attempt=attempt.number, state=attempt.state, executor=attempt.executor,
                            name=clean(mesh.name_of(attempt.executor), limit=64),
                        )
                        for attempt in stage.attempts.values() if attempt is not stage.current
                    ),
                )
                for name, stage in view.stages.items()
            ),
        )  # fmt: skip

    def _own_task(self, prefix: str) -> str:
        found = [task_id for task_id in self._agent.requester.open_tasks() if task_id.startswith(prefix)]
        if len(found) != 1:
            begins = f"{len(found)} open tasks of ours begin" if found else "No open task of ours begins"
            raise ClawbotError("task.not_open", f"{begins} with {prefix}.", "See `clawbot tasks`.")
        return found[0]

    async def _cancel(self, request: Cancel) -> AsyncIterator[AnyAnswer]:
        task_id = self._own_task(request.task)
        self._agent.requester.cancel(task_id, "canceled by its owner")
        yield Notice(at_ms=self._agent.now_ms(), text=f"Task {short(task_id)} is canceled.", task=task_id)

    async def _reply(self, request: Answer) -> AsyncIterator[AnyAnswer]:
        task_id = self._own_task(request.task)
        self._agent.requester.reply(task_id, request.text)
        yield Notice(at_ms=self._agent.now_ms(), text="Passed on.", task=task_id)

    async def _watch(self, _request: Watch) -> AsyncIterator[AnyAnswer]:
        agent = self._agent
        with _Events(agent) as events:
            rooms = ", ".join(clean(room.name) for room in agent.rooms()) or "no room yet"
            yield Notice(at_ms=agent.now_ms(), text=f"Watching {rooms}.")
            async for event in events:
                yield event

    def _follow(self, request: Follow) -> AsyncIterator[AnyAnswer]:
        return follow(self._agent, request, self._room)

    async def _status(self, _request: Status) -> AsyncIterator[AnyAnswer]:
        yield agent_status(self._agent, self._health)

    async def _rotate(self, _request: Rotate) -> AsyncIterator[AnyAnswer]:
        agent = self._agent
        agent.keys.rotate()
        yield identity_state(agent.identity, agent.now_ms())

    async def _revoke(self, request: Revoke) -> AsyncIterator[AnyAnswer]:
        agent = self._agent
        if agent.identity.revocation is None:
            agent.keys.revoke(request.reason)
        sent = await agent.outbox.flush(_TELLING_S)
        yield identity_state(agent.identity, agent.now_ms())
        if not sent:
            text = "Not every room could be told yet. Repeat the command once the homeserver can be reached."
            yield Notice(at_ms=agent.now_ms(), text=text)
        agent.stop()


def identity_state(own: Identity, now_ms: int) -> IdentityState:
    """An identity as commands tell it."""
    revoked = own.revocation
    return IdentityState(
        at_ms=now_ms, did=own.did, key=own.key.did,
        rotations=tuple(KeyStep(key=link.key, since_ms=link.since_ms) for link in own.chain),
        next_key_digest=own.next_key_digest, seal_key=own.seal.public,
        revoked_ms=revoked.since_ms if revoked else 0, reason=revoked.reason if revoked else "",
    )  # fmt: skip


def unsayable(error: LocalProtocolError) -> ConfigError:
    """What to tell somebody who asked for what no message can say."""
    hint = "Ask for less at once." if error.code.startswith("size.") else "Nothing was sent."
    return ConfigError(error.code, f"That cannot be sent: {clean(str(error))}.", hint)


def _name(peer: Peer) -> str:
    """A peer's name as people read and write it."""
    return clean(peer.name, limit=64)


class _Events:
    """The events of an agent as an async iterator, bounded: a watcher that sleeps misses the oldest."""

    def __init__(self, agent: Agent, wanted: Callable[[AnyEvent], bool] = lambda event: True) -> None:
        self._agent = agent
        self._wanted = wanted
        self._queue: asyncio.Queue[AnyEvent] = asyncio.Queue()
        self._end: Callable[[], None] = lambda: None

    def __enter__(self) -> _Events:
        self._end = self._agent.observe(self._put)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _put(self, event: AnyEvent) -> None:
        if not self._wanted(event):
            return
        if self._queue.qsize() >= _QUEUE:
            self._queue.get_nowait()
        self._queue.put_nowait(event)

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> AnyEvent:
        return await self._queue.get()
