"""The targets. A module's first line is what it proves; ``check`` raises if some bytes disprove it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from tests.fuzz.targets import canonical, carrier, envelope, identifiers, matrix, room, task, transcript

Mutate = Callable[[bytes, Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """``seeds`` gives the same bytes in every run; ``mutate`` keeps the structure that ``check`` reads."""

    invariant: str
    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mutate: Mutate


TARGETS: Mapping[str, Target] = {
    module.__name__.rpartition(".")[2]: Target(
        (module.__doc__ or "").partition("\n")[0], module.check, module.seeds, module.mutate
    )
    for module in (carrier, envelope, canonical, transcript, identifiers, matrix, task, room)
}
