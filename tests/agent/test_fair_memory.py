"""A bounded memory in which everybody has a share."""

from __future__ import annotations

import random

from bots.fair_memory import FairMemory


def test_whoever_brings_most_makes_room() -> None:
    memory = FairMemory[int](10)
    for key in range(3):
        assert memory.add(key, "alice") == []
    for key in range(3, 10):
        assert memory.add(key, "rogue") == []
    assert memory.add(10, "rogue") == [3]
    assert memory.add(11, "bob") == [4]
    assert memory.add(11, "rogue") == []
    assert {0, 1, 2, 11} < {key for key in range(12) if key in memory}
    assert len(memory) == 10


def test_bytes_count_as_well() -> None:
    memory = FairMemory[str](100, 1000)
    assert memory.add("small", "alice", 100) == []
    assert memory.add("big", "rogue", 500) == []
    assert memory.add("bigger", "rogue", 800) == ["big"]
    assert memory.add("huge", "rogue", 5000) == ["bigger", "huge"]
    assert memory.discard("small") == ("alice", 100)
    assert memory.discard("small") == ("", 0)
    assert memory.in_turn(9, 9) == []


def test_of_those_who_brought_as_much_the_oldest_makes_room_whatever_its_name() -> None:
    memory = FairMemory[str](3, 300)
    for owner in ("m", "z", "a"):
        assert memory.add(f"of {owner}", owner, 100) == []
    assert memory.add("of b", "b", 1) == ["of m"]
    assert memory.add("of y", "y", 150) == ["of z"]


def test_it_is_what_looking_at_all_of_it_would_give() -> None:
    chance = random.Random(5)
    memory = FairMemory[int](20, 300)
    model: dict[int, tuple[str, int]] = {}
    came: dict[str, int] = {}

    def of(owner: str) -> list[int]:
        return [key for key, (whose, _) in model.items() if whose == owner]

    for step in range(5000):
        if model and chance.random() < 0.2:
            key = chance.choice(list(model))
            assert memory.discard(key) == model.pop(key)
            continue
        owner, size, forgotten = chance.choice("aabc"), chance.randrange(60), []
        if not of(owner):
            came[owner] = step
        model[step] = (owner, size)
        while len(model) > 20 or sum(size for _, size in model.values()) > 300:
            owners = {whose for whose, _ in model.values()}
            if len(model) > 20:
                loudest = min(owners, key=lambda whose: (-len(of(whose)), came[whose]))
            else:
                loudest = min(owners, key=lambda whose: (-sum(model[key][1] for key in of(whose)), came[whose]))
            forgotten.append(of(loudest)[0])
            del model[forgotten[-1]]
        assert memory.add(step, owner, size) == forgotten
        assert set(memory.in_turn(99, 999)) == model.keys()
