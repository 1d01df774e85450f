"""The corpus, and some thousand mutations of it, through every target: the same ones in every run, without atheris."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz import corpus
from tests.fuzz.__main__ import main
from tests.fuzz.targets import TARGETS

# So many that each target takes about a second.
MUTATIONS = {
    "carrier": 3000,
    "envelope": 600,
    "canonical": 1500,
    "transcript": 2500,
    "identifiers": 8000,
    "matrix": 2000,
    "task": 500,
    "room": 400,
}


def test_every_target_is_replayed() -> None:
    assert MUTATIONS.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_breaks_nothing(name: str) -> None:
    seeds = TARGETS[name].seeds()
    assert len(set(seeds)) == len(seeds)
    assert seeds == TARGETS[name].seeds()
    for seed in seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutation_breaks_anything(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    chance = Random(name)
    for _ in range(MUTATIONS[name]):
        data = chance.choice(seeds)
        for _ in range(chance.choice([1, 1, 2])):
            data = target.mutate(data, chance, chance.choice(seeds))
        try:
            target.check(data)
        except Exception as error:
            error.add_note(f"tests.fuzz {name}, bytes.fromhex({data.hex()!r})")
            raise


def test_a_corpus_is_written_once(tmp_path: Path) -> None:
    target = TARGETS["canonical"]
    count = corpus.write(target, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert len(before) == count
    corpus.write(target, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert main(["canonical", "--check", *map(str, tmp_path.iterdir())]) == 0
