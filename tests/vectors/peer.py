"""An identity with all its keys, and the chains that lead from one to the next."""

from __future__ import annotations

from typing import Any

from tests.vectors.message_model import commitment_text
from tests.vectors.writing import Author, b64


class Peer:
    """An identity and all the keys it will ever have; generation 0 is its first. It has one address or more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = f"matrix:u/{name}:example.org"
        self.did = self.key(0).did

    def key(self, generation: int, branch: str = "") -> Author:
        """The key of a generation; ``branch`` names another one that pretends to be it."""
        return Author(f"{self.name}{f' key {generation}{branch}' if generation else ''}")

    def chain(self, *links: tuple[int, str]) -> list[dict[str, Any]]:
        """The links to these keys: for each one its ``since_ms`` and its branch."""
        before, chain = self.key(0), []
        for generation, (since_ms, branch) in enumerate(links, 1):
            key = self.key(generation, branch)
            commitment = b64(before.sign(commitment_text(generation, self.did, key.public)))
            chain.append({"key": key.did, "commitment": commitment, "since_ms": since_ms})
            before = key
        return chain
