"""What a testee can be asked, and which class of implementation must answer it (spec/testee.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

CLASSES = ("verifier", "observer", "requester", "executor")
Class = Literal["verifier", "observer", "requester", "executor"]

# Requester and executor need the same operations.
_RANK: Mapping[str, int] = {"verifier": 0, "observer": 1, "requester": 2, "executor": 2}

OPERATIONS: Mapping[str, Class] = {
    "canonical.read": "verifier",
    "canonical.write": "verifier",
    "did.encode": "verifier",
    "did.decode": "verifier",
    "signature.verify": "verifier",
    "verify": "verifier",
    "transcript": "verifier",
    "matrix.uri": "verifier",
    "matrix.carriers": "verifier",
    "arrive": "observer",
    "artifact.join": "observer",
    "mesh.reset": "observer",
    "mesh.add": "observer",
    "mesh.state": "observer",
    "sign": "executor",
    "commitment": "executor",
    "seal": "executor",
    "open": "executor",
    "seal.carrier": "executor",
    "open.text": "executor",
    "artifact.split": "executor",
    "prompt": "executor",
    "rank": "executor",
    "handshake.reset": "executor",
    "handshake.send": "executor",
    "handshake.receive": "executor",
    "handshake.time_out": "executor",
}
TRACE = "mesh"  # stands for mesh.reset, mesh.add and mesh.state in a vector

# Members that are bytes in base64url, in requests and in answers.
BYTES = frozenset(
    {"text", "json", "public", "signature", "message", "env", "carrier", "event", "plaintext", "data", "next"}
)


def needs(implementation: Class, operation: str) -> bool:
    """Whether an implementation of a class must answer an operation."""
    return at_least(implementation, OPERATIONS[operation])


def at_least(implementation: Class, least: Class) -> bool:
    """Whether a class has all that another one has."""
    return _RANK[implementation] >= _RANK[least]
