"""Vectors of the order of candidates: TASK-16 to TASK-18."""

from __future__ import annotations

from decimal import Decimal, localcontext
from hashlib import sha256
from itertools import pairwise

from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import Author, Subject, Vector, digest

LEAST_GAP = Decimal("1e-9")
"""Scores in a vector differ by at least this part of them, so that double precision is enough everywhere."""


def score(key: str, candidate: Vector, checks: Checks = INTACT) -> Decimal:
    """TASK-17 and TASK-18, with fifty digits."""
    hold = checks.hold
    slots = candidate["slots"] or (1 if hold("no-slots-no-weight") else 0)
    work = (candidate["running"] if hold("running-unread") else 0) + (
        candidate["waiting"] if hold("waiting-unread") else 0
    )
    if not hold("slots-unread"):
        slots = 1
    join = "\0" if hold("key-and-did-run-together") else ""
    hashed = sha256(f"{key}{join}{candidate['did']}".encode()).digest()
    number = int.from_bytes(hashed[:8], "big" if hold("little-endian-hash") else "little")
    with localcontext() as context:
        context.prec = 50
        h = (Decimal(number) + Decimal("0.5")) / Decimal(2**64)
        weight = (
            Decimal(slots) / Decimal(slots + work) if hold("weights-unread") and slots + work else Decimal(slots and 1)
        )
        return -weight / h.ln()


def order(key: str, candidates: list[Vector], checks: Checks = INTACT) -> list[str]:
    """The candidates, the best first."""
    scored = [(-score(key, candidate, checks), candidate["did"]) for candidate in candidates]
    if not checks.hold("lowest-score-first"):
        scored = [(-value, did) for value, did in scored]
    return [did for _, did in sorted(scored)]


def answer(vector: Vector, checks: Checks = INTACT) -> Vector:
    """What a testee with this model answers."""
    return {"ok": {"order": order(vector["request"]["key"], vector["request"]["candidates"], checks)}}


def candidates(*loads: tuple[int, int, int]) -> list[Vector]:
    """Candidates with these slots, running and waiting."""
    return [
        {"did": Author(f"candidate {number}").did, "slots": slots, "running": running, "waiting": waiting}
        for number, (slots, running, waiting) in enumerate(loads)
    ]


def build() -> Subject:
    subject = Subject("rank", "Candidates in the order in which their turn comes.")
    key = f"{digest(b'a request')}\0draft"

    def ranked(
        about: str, key: str, some: list[Vector], kills: str = "", requirements: str = "TASK-16 TASK-17 TASK-18"
    ) -> None:
        scores = sorted(score(key, candidate) for candidate in some)
        if any(after - before < LEAST_GAP * after for before, after in pairwise(scores)):
            raise ValueError(f"rank: the scores of {about!r} are too close to each other")
        request = {"key": key, "candidates": some}
        vector = subject.ok(about, requirements, "rank", request, {"order": order(key, some)})
        if kills:
            vector["kills"] = kills

    idle = candidates(*[(1, 0, 0)] * 8)
    ranked("eight idle peers", key, idle, "key-and-did-run-together")
    ranked("the same peers for another stage", f"{digest(b'a request')}\0review", idle, "little-endian-hash")
    ranked("the same peers, given in another order", key, list(reversed(idle)), "lowest-score-first")
    ranked("one peer", key, idle[:1])
    ranked("nobody", key, [])
    ranked("load lowers the score", key, candidates(*[(1, number, 0) for number in range(8)]), "running-unread")
    ranked("what waits counts as well", key, candidates(*[(2, 1, 7 - number) for number in range(8)]), "waiting-unread")
    ranked(
        "more slots bear more load", key, candidates(*[(1 + 5 * number, 4, 4) for number in range(8)]), "slots-unread"
    )
    ranked(
        "no slots count as one",
        key,
        candidates((0, 0, 0), (1, 0, 0), (0, 3, 0), (4, 3, 0), (0, 0, 1), (2, 2, 2)),
        "no-slots-no-weight",
    )
    ranked(
        "heavy load",
        key,
        candidates(*[(4, 1000 * (number % 3), 10**6 * (number % 2)) for number in range(8)]),
        "weights-unread",
    )
    ranked("the key of an event", "$event:example.org", idle, "key-and-did-run-together", "TASK-16 TASK-18 TASK-60")
    ranked("a key beyond ASCII", "$é☃\U0001f600", candidates(*[(3, 1, 0)] * 5), "key-and-did-run-together")
    return subject
