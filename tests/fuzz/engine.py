"""One target under atheris, in a process of its own: ``python -m tests.fuzz.engine TARGET LIBFUZZER-ARGUMENT...``.

Here only: atheris must see our modules before they are imported, and its ``Fuzz`` ends the process.
"""

from __future__ import annotations

import sys
from random import Random

import atheris


def main() -> None:
    """Search until libFuzzer's arguments say stop. Exit status 0, or 77 when the invariant was disproved."""
    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=["clawnet_proto", "bots.transports"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    seeds = target.seeds()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = Random(seed)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return target.mutate(data, chance, chance.choice(seeds))[:max_size]

    atheris.Setup([sys.argv[0], *arguments], target.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
