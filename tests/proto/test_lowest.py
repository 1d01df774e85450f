"""Which key ranks lowest, and what it costs to know."""

from __future__ import annotations

import random

from clawnet_proto.lowest import Lowest


def test_it_is_what_looking_at_all_would_give() -> None:
    chance = random.Random(3)
    ranks: dict[str, tuple[int, str]] = {}
    lowest = Lowest(lambda key: ranks[key])
    for step in range(3000):
        key = f"key {chance.randrange(60)}"
        if key in ranks and chance.random() < 0.3:
            del ranks[key]
        else:
            ranks[key] = (chance.randrange(1000), key)
            lowest.lowered(key)
        if ranks and step % 7 == 0:
            assert lowest.of(ranks) == min(ranks, key=lambda known: ranks[known])


def test_where_nobody_asks_any_more_nothing_grows() -> None:
    ranks = {"only": (0, "only")}
    lowest = Lowest(lambda key: ranks[key])
    assert lowest.of(ranks) == "only"
    for number in range(10_000):
        ranks["only"] = (-number, "only")
        lowest.lowered("only")
    assert len(lowest._heap or ()) < 100
    assert lowest.of(ranks) == "only"
