"""What is said in a handshake, and a conversation as one side sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.vectors.traces.scene import Said
from tests.vectors.writing import ALICE, BOB, CAROL, NOW_MS, Author, Vector, b64, fixed


def say(author: Author, other: Author, kind: str, body: dict[str, Any], nonce: str = "", **members: Any) -> Said:
    own = {"recipients": [other.did], "nonce": b64(fixed(f"{author.name} {kind} {nonce}", 16))}
    return Said(author, author.envelope(f"handshake.{kind}", body, **(own | members)))


def hello(author: Author, other: Author, *versions: str, uri: str = "", **members: Any) -> Said:
    body = {"versions": list(versions or ["1"]), "address": {"uri": uri or author.address, "device": "D1"}}
    return say(author, other, "hello", body, **members)


def accept(
    author: Author, other: Author, to: Said, version: str, *versions: str, uri: str = "", **members: Any
) -> Said:
    body = {"version": version, "versions": list(versions or [version]), "address": {"uri": uri or author.address}}
    own: dict[str, Any] = {"thread": to.id, "answers": to.id, "sent_ms": NOW_MS + 1000}
    return say(author, other, "accept", body, **(own | members))


def confirm(author: Author, other: Author, to: Said, version: str, **members: Any) -> Said:
    thread = to.envelope.get("thread", to.id)
    own: dict[str, Any] = {"thread": thread, "answers": to.id, "sent_ms": NOW_MS + 2000}
    return say(author, other, "confirm", {"version": version}, **(own | members))


class Talk:
    """One conversation, as ``me`` sees it. What is expected is written down by hand."""

    def __init__(
        self, about: str, requirements: str, kills: str = "", me: Author = BOB, versions: Sequence[str] = ("1",)
    ) -> None:
        self.about, self.requirements, self.kills = about, requirements, kills
        self.steps: list[Vector] = []
        self.reset(me, versions)

    def reset(self, me: Author, versions: Sequence[str]) -> None:
        self._step("handshake.reset", {"me": me.did, "versions": list(versions)}, {"ok": {}})

    def _step(self, op: str, request: Vector, expect: Vector) -> None:
        self.steps.append({"op": op, "request": request, "expect": expect})

    def _expect(self, state: str, version: str) -> Vector:
        if "." in state:
            return {"error": state}
        return {"ok": {"state": state} | ({"version": version} if version else {})}

    def send(self, said: Said, state: str, version: str = "") -> None:
        self._step("handshake.send", {"carrier": b64(said.carrier)}, self._expect(state, version))

    def receive(self, said: Said, state: str, version: str = "", *, address: str = "") -> None:
        """``address`` is the speaker's own unless another is named."""
        speaker = next(author for author in (ALICE, BOB, CAROL) if author.did == said.envelope["sender"])
        request = {"carrier": b64(said.carrier), "address": address or speaker.address}
        self._step("handshake.receive", request, self._expect(state, version))

    def time_out(self, thread: str, state: str, version: str = "") -> None:
        self._step("handshake.time_out", {"thread": thread}, self._expect(state, version))
