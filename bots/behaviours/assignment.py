"""Which candidate gets which stage: a pure choice, the same for the same offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from clawnet_proto.families import presence, task
from clawnet_proto.wire import present


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A peer that could run a stage."""

    did: str
    wait_ms: int  # until it could start, by its own word
    rank: int  # place in the ranking of the stage
    announce: presence.Announce | None
    preferences: task.Preferences | UnsetType = UNSET

    @property
    def preferred(self) -> int:
        """How many of the requester's preferences it meets."""
        wanted, announce = self.preferences, self.announce
        if wanted is UNSET or announce is None:
            return 0
        names = {model.name for model in announce.models}
        return (
            (self.did in present(wanted.trusted, ()))
            + bool(names & set(present(wanted.models, ())))
            + (announce.role in present(wanted.roles, ()))
            + (announce.region is not UNSET and announce.region in present(wanted.regions, ()))
        )


def by_merit(peers: Iterable[Candidate]) -> list[Candidate]:
    """Best first, as far as one stage is concerned."""
    return sorted(peers, key=lambda peer: (-peer.preferred, peer.wait_ms > 0, peer.rank, peer.did))


def assign(candidates: Mapping[str, Sequence[Candidate]], used: Iterable[str]) -> dict[str, str]:
    """A did for every stage: preferences first, then whoever has least of this task, can start at once, ranks best.

    How long somebody says that it would take counts no further: saying little costs nothing.

    Every stage must have a candidate.
    """
    busy = Counter(used)
    chosen: dict[str, str] = {}
    for stage, peers in candidates.items():
        best = min(peers, key=lambda peer: (-peer.preferred, busy[peer.did], peer.wait_ms > 0, peer.rank, peer.did))
        chosen[stage] = best.did
        busy[best.did] += 1
    return chosen
