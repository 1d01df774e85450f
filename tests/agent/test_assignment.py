"""Which candidate gets which stage."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from bots.behaviours.assignment import Candidate, assign
from clawnet_proto.families import task
from tests.agent.test_ranking import announce


def candidate(name: str, *, wait_ms: int = 0, rank: int = 0, **fields: Any) -> Candidate:
    return Candidate(did=name, wait_ms=wait_ms, rank=rank, announce=announce(name), **fields)


def test_stages_are_spread_over_the_candidates() -> None:
    peers = [candidate(name, rank=rank) for rank, name in enumerate("abc")]
    chosen = assign({"draft": peers, "critique": peers, "revise": peers}, [])
    assert chosen == {"draft": "a", "critique": "b", "revise": "c"}


def test_who_has_work_of_this_task_already_comes_later() -> None:
    peers = [candidate("a"), candidate("b", rank=1)]
    assert assign({"revise": peers}, ["a"]) == {"revise": "b"}
    assert assign({"revise": peers}, ["a", "b", "b"]) == {"revise": "a"}


def test_the_shorter_wait_then_the_better_rank() -> None:
    assert assign({"s": [candidate("a", wait_ms=500), candidate("b", rank=7)]}, []) == {"s": "b"}
    assert assign({"s": [candidate("a", rank=1), candidate("b")]}, []) == {"s": "b"}


def test_with_nothing_between_them_the_did_decides_whatever_the_order() -> None:
    peers = [candidate("b"), candidate("a")]
    assert assign({"s": peers}, []) == assign({"s": peers[::-1]}, []) == {"s": "a"}


@pytest.mark.parametrize(
    "preferences",
    [
        task.Preferences(trusted=("b",)),
        task.Preferences(models=("gemma",)),
        task.Preferences(roles=("writer",)),
        task.Preferences(regions=("eu-north",)),
    ],
)
def test_preferences_come_before_everything_else(preferences: task.Preferences) -> None:
    plain = announce("a", role="critic", models=(), region=UNSET)
    liked = announce("b", role="writer", region="eu-north")
    peers = [
        Candidate(did="a", wait_ms=0, rank=0, announce=plain, preferences=preferences),
        Candidate(did="b", wait_ms=9000, rank=9, announce=liked, preferences=preferences),
    ]
    assert assign({"s": peers}, ["b", "b"]) == {"s": "b"}


def test_a_candidate_nobody_knows_meets_no_preference() -> None:
    unknown = Candidate(did="a", wait_ms=0, rank=0, announce=None, preferences=task.Preferences(trusted=("a",)))
    assert unknown.preferred == 0
    assert assign({"s": [unknown]}, []) == {"s": "a"}
