"""All that happens in the synthetic mesh: who asks what, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clawnet_proto.families import task
from clawnet_proto.signing import digest
from tui.arrivals import Arrival
from tui.sources.synthetic.cast import Actor, person
from tui.sources.synthetic.errand import Errand, Twist
from tui.sources.synthetic.mischief import mischief
from tui.sources.synthetic.play import WORKERS_LEAST, Play, Scene
from tui.sources.synthetic.presence import entrances
from tui.sources.synthetic.texts import PIPELINES, SMALL_TALK, TOPICS

# Of a hundred tasks; the others go as they should.
_TWISTS: Final[tuple[tuple[Twist, int], ...]] = (
    ("asked", 9),
    ("failed", 7),
    ("declined", 5),
    ("canceled", 4),
    ("lapsed", 3),
    ("hopeless", 2),
    ("", 70),
)
_EVENTS_PER_TASK: Final = 5.8
_SHARE: Final = 0.78  # of the events that are of tasks
_OPEN_PER_AGENT: Final = 3
_FIRST_MS: Final = 1500.0
_OURS_FIRST_MS: Final = 6000.0
_OURS_MS: Final = (40_000.0, 70_000.0)
_PEOPLE_MS: Final = (12_000.0, 30_000.0)


def perform(*, agents: int, seed: object = 0, rate: float | None = None, start_ms: int) -> Play:
    """A play with everything set going; the arguments are those of ``Play``."""
    play = Play(count=agents, seed=seed, rate=rate, start_ms=start_ms)
    play.begin(entrances(play))
    play.begin(_questions(play), _FIRST_MS)
    play.begin(_our_questions(play), _OURS_FIRST_MS)
    play.begin(_people(play), 8000.0)
    play.begin(mischief(play), 3000.0)
    return play


def events(*, agents: int = 24, seed: object = 0, rate: float | None = None, start_ms: int) -> Iterator[Arrival]:
    """The events of a play without end: the same for the same arguments. ``start_ms`` is Unix milliseconds.

    ``rate`` is events a second, None the natural pace of a room. Times are virtual, nothing waits.
    """
    play = perform(agents=agents, seed=seed, rate=rate, start_ms=start_ms)
    while True:
        yield from play.step()


def _questions(play: Play) -> Scene:
    """Agents ask each other."""
    chance = play.chance
    pause = 1000 * _EVENTS_PER_TASK / (_SHARE * play.density)
    twists, weights = zip(*_TWISTS, strict=True)
    while True:
        askers = [actor for actor in play.agents if actor.here]
        if play.open < _OPEN_PER_AGENT * len(play.agents) and askers:
            requester = chance.choice(askers)
            if len(play.workers(requester)) >= WORKERS_LEAST:
                twist = chance.choices(twists, weights)[0]
                topic, names = chance.choice(TOPICS), chance.choice(PIPELINES)
                play.begin(Errand(play, requester, topic, names, twist=twist).scene())
        yield pause * chance.uniform(0.5, 1.5)


def _our_questions(play: Play) -> Scene:
    """We ask, too: only so one sees offers come in and text grow."""
    while True:
        if not play.you.asking:
            topic = play.chance.choice(TOPICS)
            errand = Errand(play, play.you, topic, ("draft", "critique", "revise"))
            play.ours.append(errand)
            play.begin(errand.scene())
        yield play.chance.uniform(*_OURS_MS)


def _people(play: Play) -> Scene:
    """People without a key: they talk, and some ask, and an agent asks for them."""
    chance = play.chance
    people = [person(name, play.seed, chance) for name in ("maria", "tom", "aylin")]
    while True:
        who = chance.choice(people)
        servants = [actor for actor in play.agents if actor.here and actor.engines]
        if servants and chance.random() < 0.4:
            play.begin(_served(play, who, chance.choice(servants)))
        else:
            play.words(who, chance.choice(SMALL_TALK))
        yield chance.uniform(*_PEOPLE_MS)


def _served(play: Play, who: Actor, servant: Actor) -> Scene:
    topic = play.chance.choice(TOPICS)
    text = f"!claw {topic.question}"
    event_id = play.words(who, text)
    behalf = task.OnBehalfOf(address=who.address, event=event_id, text_digest=digest(text.encode()))
    yield play.chance.uniform(300, 900)
    if len(play.workers(servant)) >= WORKERS_LEAST:
        yield from Errand(play, servant, topic, ("answer",), behalf=behalf, root=event_id).scene()
