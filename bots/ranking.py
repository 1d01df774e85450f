"""Who should offer: weighted rendezvous hashing over the peers everybody knows (spec/08-task.md, "Ranking").

Every agent computes the same order for itself, so that a request makes few answer and none needs to be asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import sha256

from msgspec import UNSET

from clawnet_proto.families import presence, task
from clawnet_proto.mesh import Peer

OFFERS_PER_WAVE = 3
WAVE_MS = 2000
WAVES = 6


def capable(announce: presence.Announce, stage: task.Stage) -> bool:
    """Whether an announce says that its sender can run a stage for others."""
    if announce.limits.open_to == "nobody" or stage.kind not in announce.capabilities:
        return False
    if stage.parameters.max_tokens > announce.limits.output_tokens:
        return False
    if stage.kind == "echo":
        return True
    return any(model_fits(model, stage) for model in announce.models)


def model_fits(model: presence.ModelCard, stage: task.Stage) -> bool:
    """Whether a model has what a stage needs."""
    if stage.kind not in model.kinds:
        return False
    needs = stage.needs
    if needs is UNSET:
        return True
    if needs.model is not UNSET and needs.model != model.name:
        return False
    if needs.model_digest is not UNSET and needs.model_digest != model.digest:
        return False
    if needs.context_tokens is UNSET:
        return True
    return model.context_tokens is not UNSET and model.context_tokens >= needs.context_tokens


def score(key: str, did: str, weight: float) -> float:
    """Weighted rendezvous score; the highest comes first."""
    head = sha256(f"{key}\0{did}".encode()).digest()[:8]
    fraction = (int.from_bytes(head, "big") + 0.5) / 2**64
    # The nearest double may be 1, whose logarithm is 0.
    return math.inf if fraction == 1 else -weight / math.log(fraction)


def weight(load: presence.Load) -> float:
    """Idle agents count fully, busy ones by the share of their slots a newcomer would get."""
    slots = max(1, load.slots)
    return slots / (slots + load.running + load.waiting)


def ranked(key: str, peers: Iterable[Peer]) -> list[str]:
    """The dids of peers, best first, for one key (a request id and stage id, or an event id)."""
    scores = {peer.did: score(key, peer.did, weight(peer.body.load)) for peer in peers if peer.body is not None}
    return sorted(scores, key=lambda did: (-scores[did], did))


def place(key: str, did: str, own: float, others: Iterable[tuple[str, float]], most: int) -> int | None:
    """Where one stands among ``others`` (did and weight), from 0; None if ``most`` or more come before it.

    The place it has in ``ranked``. Most peers are not among the best and learn that from a few others.
    """
    mine, before = score(key, did, own), 0
    for other, theirs in others:
        rival = score(key, other, theirs)
        before += rival > mine or (rival == mine and other < did)
        if before >= most:
            return None
    return before


def turn_ms(rank: int) -> int:
    """How long after a request the peer of a rank offers: ever later, so that one nobody awards draws few offers."""
    wave = rank // OFFERS_PER_WAVE
    return WAVE_MS << (wave - 1) if wave else 0


def stage_key(request_id: str, stage: str) -> str:
    """The key of one stage of one request."""
    return f"{request_id}\0{stage}"
