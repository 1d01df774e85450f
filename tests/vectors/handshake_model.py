"""One side of all handshakes of a peer, in the words of chapter 07."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.vectors.message_model import Message, Refused, bytes_of, verify
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import table

TRANSITIONS = table("states")["handshake"]["transitions"]


@dataclass
class Side:
    """One handshake. ``expects`` is the id that the next message must answer, ``listed`` what our hello listed."""

    other: str
    room: str
    state: str = "idle"
    version: str = ""
    expects: str = ""
    listed: tuple[str, ...] = ()

    def value(self) -> dict[str, str]:
        return {"state": self.state} | ({"version": self.version} if self.version else {})


@dataclass
class Handshakes:
    """What ``handshake.*`` answer."""

    me: str
    versions: list[str]
    checks: Checks = INTACT
    sides: dict[str, Side] = field(default_factory=dict)

    def step(self, op: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        try:
            if op == "handshake.time_out":
                return {"ok": self.time_out(request["thread"])}
            message = verify(bytes_of(request["carrier"]))
            if op == "handshake.send":
                return {"ok": self.send(message)}
            return {"ok": self.receive(message, request["address"])}
        except Refused as fault:
            return {"error": fault.code}

    def after(self, side: Side, event: str) -> str:
        """The state that an event leads to."""
        found = TRANSITIONS[side.state].get(event)
        if found is None:
            if self.checks.hold("handshake-table-unread"):
                raise Refused("handshake.not_allowed")
            return {"send_hello": "greeting", "receive_hello": "answering", "time_out": "failed"}.get(
                event, "confirmed"
            )
        return str(found)

    def best(self, side: Side, others: list[str]) -> str | None:
        """The highest version in both lists; ours is that of our hello, if it was us who greeted."""
        ours = side.listed if side.listed and self.checks.hold("own-list-is-not-that-of-the-hello") else self.versions
        both = set(ours) & set(others)
        if not both:
            return None
        return max(both, key=int) if self.checks.hold("versions-are-texts") else max(both)

    def send(self, m: Message) -> dict[str, str]:
        if m.type == "handshake.hello":
            side = self.sides.get(m.id, Side(m.envelope["recipients"][0], m.envelope["room"]))
            side.state = self.after(side, "send_hello")
            side.expects, side.listed = m.id, tuple(m.body["versions"])
            self.sides[m.id] = side
            return side.value()
        known = self.sides.get(m.envelope["thread"], Side("", ""))
        ours = m.envelope["thread"] in self.sides and bool(known.listed) == (m.type == "handshake.confirm")
        if not ours and self.checks.hold("anything-may-be-sent"):
            raise Refused("handshake.not_allowed")
        remembered = m.type == "handshake.accept" or not self.checks.hold("confirms-are-to-be-answered")
        if remembered and (self.checks.hold("first-accept-stands") or not known.expects):
            known.expects = m.id
        return known.value()

    def receive(self, m: Message, address: str) -> dict[str, str]:
        hold = self.checks.hold
        if m.type == "handshake.hello":
            side = self.sides.get(m.id, Side(m.sender, m.envelope["room"]))
        else:
            known = self.sides.get(m.envelope["thread"])
            if known is None and not hold("any-thread"):
                state = "greeting" if m.type == "handshake.accept" else "answering"
                known = Side(m.sender, m.envelope["room"], state, expects=m.envelope["answers"])
            if known is None:
                raise Refused("handshake.not_allowed")
            side = known
        try:
            answer = self.received(m, side, address)
        except Refused:
            if not hold("refused-messages-end-it"):
                side.state = "failed"
            raise
        self.sides[m.id if m.type == "handshake.hello" else m.envelope["thread"]] = side
        return answer

    def received(self, m: Message, side: Side, address: str) -> dict[str, str]:
        hold = self.checks.hold
        if not hold("versions-before-table"):
            self.version_of(m, side)
        state = self.after(side, m.type.replace("handshake.", "receive_"))
        if m.type != "handshake.hello":
            if m.sender != side.other and hold("sender-unread"):
                raise Refused("handshake.not_allowed")
            if m.envelope["room"] != side.room and hold("room-unread"):
                raise Refused("handshake.not_allowed")
            if m.envelope["answers"] != side.expects and hold("answers-unread-by-handshakes"):
                raise Refused("handshake.not_allowed")
        wrong = m.type != "handshake.confirm" and m.body["address"]["uri"] != address
        if wrong and not hold("versions-before-address"):
            self.version_of(m, side)
        if wrong and hold("address-unread"):
            raise Refused("handshake.not_allowed")
        side.version = self.version_of(m, side)
        side.state = state
        return side.value()

    def version_of(self, m: Message, side: Side) -> str:
        """HS-4 to HS-6."""
        hold = self.checks.hold
        if m.type == "handshake.confirm":
            if m.body["version"] != side.version and hold("confirmed-version-unread"):
                raise Refused("handshake.no_version")
            return side.version
        best = self.best(side, m.body["versions"])
        if best is None:
            if hold("no-version-passes"):
                raise Refused("handshake.no_version")
            best = self.versions[0]
        if m.type == "handshake.accept" and m.body["version"] != best:
            if hold("downgrade-passes"):
                raise Refused("handshake.no_version")
            best = str(m.body["version"])
        return best

    def time_out(self, thread: str) -> dict[str, str]:
        side = self.sides.get(thread)
        if side is None:
            if self.checks.hold("unknown-time-outs-pass"):
                raise Refused("handshake.not_allowed")
            side = Side("", "", "failed")
            return side.value()
        side.state = self.after(side, "time_out")
        return side.value()


def answers(steps: list[dict[str, Any]], checks: Checks = INTACT) -> list[dict[str, Any]]:
    """What a testee with this model answers to each step."""
    out: list[dict[str, Any]] = []
    side = Handshakes("", [])
    for step in steps:
        if step["op"] == "handshake.reset":
            if not side.me or checks.hold("resets-forget-nothing"):
                side = Handshakes(step["request"]["me"], step["request"]["versions"], checks)
            out.append({"ok": {}})
        else:
            out.append(side.step(step["op"], step["request"]))
    return out
