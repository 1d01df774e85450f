"""What is wrong, and how much that matters: rules put to numbers, whoever they are of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias, TypeVar

import msgspec

from bots.config import HealthSection

S = TypeVar("S")

# A rule gives the sentence if there is something to say.
Rule: TypeAlias = Callable[[S, HealthSection], str]
Rules: TypeAlias = Mapping[str, Rule[S]]  # by code


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong: a code for machines, a sentence for people."""

    code: str
    text: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``problems`` keep it from its work, ``warnings`` do not."""

    status: Literal["ok", "degraded", "failing"]
    problems: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


def says(text: str, when: Callable[[S], bool]) -> Rule[S]:
    """The rule that always says the same."""
    return lambda state, _limits: text if when(state) else ""


def found(rules: Rules[S], state: S, limits: HealthSection) -> Iterator[Finding]:
    """What the rules say, in their order."""
    for code, rule in rules.items():
        if text := rule(state, limits):
            yield Finding(code, text)


def verdict(problems: Rules[S], warnings: Rules[S], state: S, limits: HealthSection) -> Verdict:
    """What the numbers mean."""
    bad, worth_a_look = tuple(found(problems, state, limits)), tuple(found(warnings, state, limits))
    status: Literal["ok", "degraded", "failing"] = "failing" if bad else "degraded" if worth_a_look else "ok"
    return Verdict(status=status, problems=bad, warnings=worth_a_look)
