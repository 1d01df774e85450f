"""A request as it arrived, with what its signature is judged by."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bots.message_signature import BadSignature


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request. Header names compare without case; nothing in it was judged yet."""

    method: str  # e.g. "POST"
    base: str  # the base that we are known by, never what the request says: "https://my.host"
    target: str  # path and query exactly as they were sent
    headers: Sequence[tuple[str, str]]  # each as it was sent, in order
    body: bytes = b""

    @property
    def url(self) -> str:
        """What was asked for, in full."""
        return self.base + self.target

    def all(self, name: str) -> list[str]:
        """The values of all headers of this name."""
        name = name.lower()
        return [value.strip(" \t") for key, value in self.headers if key.lower() == name]

    def one(self, name: str) -> str | None:
        """The value of a header that may come once, None if it is not there. Raises BadSignature if it comes twice."""
        found = self.all(name)
        if len(found) > 1:
            raise BadSignature(f"The header {name} may come only once.")
        return found[0] if found else None
