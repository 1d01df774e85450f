"""What will happen in a soak, and when: a pure function of the scenario."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from tests.soak import Scenario

Work = Literal["pipeline", "addressed", "sealed", "artifact", "canceled", "greeting", "question"]
Trouble = Literal["kill", "restart", "limits", "homeserver"]

# How many of each are in a deck that is dealt over and over, shuffled anew each time.
_DECK: Mapping[Work, int] = {
    "pipeline": 5,
    "addressed": 4,
    "sealed": 3,
    "artifact": 1,
    "canceled": 2,
    "greeting": 1,
}
# A person asks a model, which takes seconds of a core: so they ask at their own, slower pace.
_QUESTION_EVERY_S = 40.0
_TROUBLE_EVERY_S: Mapping[Trouble, float] = {"kill": 90.0, "restart": 150.0, "limits": 200.0, "homeserver": 300.0}
# How long it lasts: who was killed stays away, the homeserver holds everybody back.
_LASTS_S: Mapping[Trouble, tuple[float, float]] = {
    "kill": (1.0, 8.0),
    "restart": (0.0, 2.0),
    "limits": (12.0, 20.0),
    "homeserver": (0.0, 3.0),
}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Something to ask for. Who asks and who is asked are numbers among askers and agents."""

    at_s: float
    work: Work
    number: int
    asker: int
    agent: int
    after_s: float = 0.0  # when a cancelled one is cancelled


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that goes wrong. ``whom`` is a number among those it may happen to."""

    at_s: float
    trouble: Trouble
    whom: int
    lasts_s: float


Step: TypeAlias = Task | Fault


def plan(scenario: Scenario) -> list[Step]:
    """All that happens, in order of time. The same scenario gives the same plan."""
    chance = random.Random(scenario.seed)
    steps: list[Step] = [*_tasks(scenario, chance), *_questions(scenario, chance), *_faults(scenario, chance)]
    return sorted(steps, key=lambda step: step.at_s)


def _tasks(scenario: Scenario, chance: random.Random) -> Iterator[Task]:
    deck: list[Work] = []
    every_s = 60.0 / scenario.per_minute
    for number in range(int(scenario.seconds / every_s)):
        if not deck:
            deck = [work for work, count in _DECK.items() for _ in range(count)]
            chance.shuffle(deck)
        yield _task(scenario, chance, deck.pop(), number, (number + chance.random()) * every_s)


def _questions(scenario: Scenario, chance: random.Random) -> Iterator[Task]:
    count = max(1, int(scenario.seconds / _QUESTION_EVERY_S))
    every_s = scenario.seconds / count
    for number in range(count):
        yield _task(scenario, chance, "question", number, (number + 0.6 * chance.random()) * every_s)


def _task(scenario: Scenario, chance: random.Random, work: Work, number: int, at_s: float) -> Task:
    return Task(
        at_s=at_s,
        work=work,
        number=number,
        asker=chance.randrange(scenario.askers),
        agent=chance.randrange(scenario.agents),
        after_s=chance.uniform(0.0, 0.4),
    )


def _faults(scenario: Scenario, chance: random.Random) -> Iterator[Fault]:
    for trouble, every_s in _TROUBLE_EVERY_S.items():
        count = max(1, int(scenario.seconds / every_s))
        slot_s = scenario.seconds / count
        for number in range(count):
            yield Fault(
                at_s=(number + chance.uniform(0.15, 0.7)) * slot_s,
                trouble=trouble,
                whom=chance.randrange(1 << 16),
                lasts_s=chance.uniform(*_LASTS_S[trouble]),
            )
