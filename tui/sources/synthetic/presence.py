"""Agents come, meet, change, fall silent, leave and come again."""

from __future__ import annotations

from clawnet_proto import PROTOCOL_VERSION
from clawnet_proto.families import handshake, presence
from tui.sources.synthetic.cast import Actor
from tui.sources.synthetic.play import WORKERS_LEAST, Play, Scene

_ENTRANCE_MS = 6000  # in which all agents of a small room come
_SILENT_MS = 20_000  # how long an announce holds whose sender then says nothing more
_AWAY_MS = (35_000.0, 60_000.0)
# Of announces, in thousandths.
_ROTATES, _LEAVES, _FADES = 15, 45, 80


def entrances(play: Play) -> Scene:
    """One after the other, ours first."""
    play.begin(_watch(play, play.you))
    for actor in play.agents:
        yield min(400.0, _ENTRANCE_MS / len(play.agents)) * play.chance.uniform(0.6, 1.4)
        play.begin(_live(play, actor))


def _watch(play: Play, actor: Actor) -> Scene:
    """Ours stays, and says again who it knows."""
    while True:
        _announce(play, actor)
        actor.here = True
        yield 45_000.0 if len(actor.confirmed) > 3 else 9000.0


def _live(play: Play, actor: Actor) -> Scene:
    chance = play.chance
    # As much of the room's events as it can well bear.
    pause = max(8000.0, 1000 * len(play.agents) / (0.18 * play.density))
    while True:
        _announce(play, actor)
        actor.here = True
        yield chance.uniform(1500, 4500)
        _meet_some(play, actor)
        _announce(play, actor)
        while actor.here:
            yield pause * chance.uniform(0.6, 1.4)
            draw = chance.randrange(1000)
            if draw < _ROTATES and actor.may_rotate:
                rotate = actor.rotate(play.now_ms + 1)
                play.post(actor, play.say(actor, rotate), play.say(actor, actor.announce(play.now_ms)))
            elif _ROTATES <= draw < _LEAVES and _dispensable(play, actor):
                actor.here = False
                play.post(actor, play.say(actor, actor.leave()))
            elif _LEAVES <= draw < _FADES and _dispensable(play, actor):
                actor.here = False
                _announce(play, actor, max(500, int(_SILENT_MS / play.speed)))
            else:
                _announce(play, actor)
        yield chance.uniform(*_AWAY_MS)


def _dispensable(play: Play, actor: Actor) -> bool:
    return actor.idle and len(play.workers(actor)) > WORKERS_LEAST


def _announce(play: Play, actor: Actor, lifetime_ms: int = 0) -> None:
    play.post(actor, play.say(actor, actor.announce(play.now_ms), lifetime_ms=lifetime_ms))


def _meet_some(play: Play, newcomer: Actor) -> None:
    """Three greet whoever is new, and now and then one greets us."""
    chance = play.chance
    others = [actor for actor in play.agents if actor.here and actor is not newcomer]
    for other in chance.sample(others, min(3, len(others))):
        play.meet(other, newcomer)
    if play.you.here and chance.random() < 4 / len(play.agents):
        _greet(play, newcomer)


def _greet(play: Play, actor: Actor) -> None:
    """A handshake with us: what the other says arrives, what we say goes out."""
    you = play.you
    address = presence.Address(uri=actor.address, device="CLAW")
    hello = play.say(actor, handshake.Hello(versions=(PROTOCOL_VERSION,), address=address), to=you.did)
    play.direct(actor, play.say(actor, actor.announce(play.now_ms)), hello)
    ours = presence.Address(uri=you.address, device="CLAW")
    accept = handshake.Accept(version=PROTOCOL_VERSION, versions=(PROTOCOL_VERSION,), address=ours)
    _, accepted = play.say(you, accept, to=actor.did, thread=hello[1].id, answers=hello[1].id)
    confirm = handshake.Confirm(version=PROTOCOL_VERSION)
    play.direct(actor, play.say(actor, confirm, to=you.did, thread=hello[1].id, answers=accepted.id))
    play.meet(actor, you)
