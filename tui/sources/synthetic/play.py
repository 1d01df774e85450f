"""The play: what happens when, and how it is written into the room. Virtual time and seeded chance alone."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Generator
from heapq import heappop, heappush
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from clawnet_proto import base64url
from clawnet_proto.bindings.matrix import CARRIERS, DIRECT, MESSAGE
from clawnet_proto.message import Message
from clawnet_proto.rendering import full
from clawnet_proto.wire import Record
from tui.arrivals import Arrival
from tui.sources.synthetic.cast import Actor, agents, person

ROOM: Final = "matrix:roomid/demo:clawnet.example"

Scene: TypeAlias = Generator[float, None, None]
"""A course of things: between two steps it yields the milliseconds of play time until the next."""
Said: TypeAlias = tuple[bytes, Message]
"""A carrier and the message in it."""

WORKERS_LEAST: Final = 2
"""Other agents that must be there before one asks: there may be no fewer."""

AGENTS_LEAST: Final = 4
AGENTS_MOST: Final = 1000
RATE_MOST: Final = 100_000

_ROOM_ID: Final = "!demo:clawnet.example"
_NATURAL: Final = 4.0  # events a second in a room of people and agents
_encode = msgspec.json.Encoder().encode


class Course(Protocol):
    """A task under way, as its requester sees it."""

    id: str  # "" until it was asked
    ended: bool

    def cancel(self, reason: str) -> None: ...


class Play:
    """Agents on a stage, ``count`` of them with the one that is ours.

    ``rate`` is events a second, evenly spread; None is the pace of a lively room, where events come when they come.
    Then play time is real time; else it runs ``speed`` times as fast, so that there are as many tasks as agents can
    bear. Raises ValueError for a play that can not be.
    """

    def __init__(self, *, count: int, seed: object, rate: float | None, start_ms: int) -> None:
        if not AGENTS_LEAST <= count <= AGENTS_MOST:
            raise ValueError(f"There can be {AGENTS_LEAST} to {AGENTS_MOST} agents, not {count}.")
        if rate is not None and not 0 < rate <= RATE_MOST:
            raise ValueError(f"There can be up to {RATE_MOST} events a second, not {rate:g}.")
        self.chance = random.Random(f"clawnet synthetic {seed}")
        self.seed = seed
        self.you = person("you", seed, self.chance)
        self.agents = agents(count - 1, seed, self.chance)
        self.density = min(rate, 1.25 * count) if rate else _NATURAL  # events a second of play time
        self.speed = rate / self.density if rate else 1.0
        self.ours: deque[Course] = deque(maxlen=64)  # our own tasks, the latest last
        self.open = 0  # tasks that have not ended
        self.latest: Said | None = None  # what was last said in the room
        self._rate = rate
        self._start_ms = start_ms
        self._time = 0.0  # play time of the current step, in milliseconds
        self._posted = 0
        self._order = itertools.count()
        self._scenes: list[tuple[float, int, Scene]] = []
        self._arrivals: list[Arrival] = []
        self._names = {actor.did: actor.name for actor in (self.you, *self.agents)}

    # -- time ------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Unix milliseconds of the next event."""
        return self._start_ms + int(self._posted * 1000 / self._rate if self._rate else self._time)

    @property
    def due_ms(self) -> int:
        """When the next step is to be made, in Unix milliseconds."""
        return self.now_ms if self._rate else self._start_ms + int(self._scenes[0][0])

    def begin(self, scene: Scene, after_ms: float = 0) -> None:
        """Let a scene begin, in so many milliseconds of play time."""
        heappush(self._scenes, (self._time + after_ms, next(self._order), scene))

    def catch_up(self, now_ms: int) -> None:
        """What is begun from here on begins now, and not when the last step was made."""
        if not self._rate:
            self._time = max(self._time, float(min(now_ms, self.due_ms) - self._start_ms))

    def step(self) -> list[Arrival]:
        """Go on with the scene that is due first: the events that come of it, which may be none."""
        time, _, scene = heappop(self._scenes)
        self._time = max(self._time, time)
        self._arrivals = []
        pause = next(scene, None)
        if pause is not None:
            self.begin(scene, pause)
        return self._arrivals

    # -- what is said ----------------------------------------------------------------------------------------

    def say(self, actor: Actor, body: Record, **fields: Any) -> Said:
        """Sign a message, now."""
        return actor.sign(self.now_ms, body, **({"room": ROOM} | fields))

    def post(self, actor: Actor, *said: Said, root: str = "") -> str:
        """Messages as one event of the room, in the thread of the event ``root``. Its event id."""
        lines = (f"{actor.name}: {full(message, self._name_of)}" for _, message in said)
        self.latest = said[-1]
        return self.post_raw(actor, [carrier for carrier, _ in said], "\n".join(lines), root=root)

    def post_raw(self, actor: Actor, carriers: list[bytes], body: str, *, root: str = "") -> str:
        """Carriers, whatever they hold, as an event that ``actor`` sends."""
        content: dict[str, Any] = {"msgtype": "m.notice", "body": body, "m.mentions": {}}
        content[CARRIERS] = [msgspec.Raw(carrier) for carrier in carriers]
        if root:
            content["m.relates_to"] = {
                "rel_type": "m.thread",
                "event_id": root,
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": root},
            }
        return self._arrive(actor, "room", MESSAGE, content)

    def direct(self, actor: Actor, *said: Said) -> None:
        """Messages to us alone."""
        self.direct_raw(actor, [carrier for carrier, _ in said])

    def direct_raw(self, actor: Actor, carriers: list[bytes]) -> None:
        """Carriers, whatever they hold, to us alone."""
        self._arrive(actor, "direct", DIRECT, {CARRIERS: [msgspec.Raw(carrier) for carrier in carriers]})

    def words(self, actor: Actor, text: str) -> str:
        """What a person writes without signing it. Its event id."""
        return self._arrive(actor, "room", MESSAGE, {"msgtype": "m.text", "body": text})

    def _arrive(self, actor: Actor, plane: Literal["room", "direct"], kind: str, content: dict[str, Any]) -> str:
        now_ms = self.now_ms
        event: dict[str, Any] = {"type": kind, "sender": actor.user, "content": content}
        event_id = ""
        if plane == "room":
            event_id = "$" + base64url.encode(self.chance.randbytes(32))
            event |= {"event_id": event_id, "room_id": _ROOM_ID, "origin_server_ts": now_ms, "unsigned": {}}
        self._posted += 1
        self._arrivals.append(
            Arrival(
                transport="matrix", plane=plane, room=ROOM if plane == "room" else "", sender=actor.address,
                event_id=event_id, event=_encode(event).decode(), received_ms=now_ms,
            )
        )  # fmt: skip
        return event_id

    def _name_of(self, did: str) -> str:
        return self._names.get(did, did[-8:])

    # -- who is there ----------------------------------------------------------------------------------------

    def workers(self, but: Actor) -> list[Actor]:
        """Who can be awarded a stage now."""
        return [actor for actor in self.agents if actor.here and actor.engines and actor is not but]

    def meet(self, one: Actor, other: Actor) -> None:
        """Two agents shake hands: what they say meanwhile is for them alone."""
        near = one.region == other.region
        rtt_ms = self.chance.randint(8, 45) if near else self.chance.randint(70, 260)
        one.confirm(other, self.now_ms, rtt_ms)
        other.confirm(one, self.now_ms, rtt_ms + self.chance.randint(0, 6))
