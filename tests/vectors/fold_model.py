"""The fold of a room, written from chapters 04, 06 and 10 as sets: slow, and in the words of the text.

It keeps all that was added and derives the whole state anew each time it is asked. ``Checks`` can take one check
away; the checks that look at the order of arrival are there to be taken away only.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.vectors.message_model import Message, Refused, public_of, verify
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.task_model import task_state
from tests.vectors.writing import TYPES, digest

NOT_THERE = {"key.not_authorized", "key.disputed", "key.unproven"}
"""A message with one of these codes does not count in the state (ID-26)."""


@dataclass
class Identity:
    """What ID-24 derives: the chain, when its keys were given up, and its standing."""

    keys: list[str]
    given_up_ms: dict[str, int] = field(default_factory=dict)
    revoked_ms: int | None = None
    disputed: bool = False
    revoked: bool = False

    def standing(self) -> str:
        return "disputed" if self.disputed else "revoked" if self.revoked else "good"


@dataclass
class Presence:
    """What chapter 06 derives of one identity."""

    announce: Message | None
    bound: bool
    proven: set[str]
    equivocates: bool
    left: int
    heard_ms: int


class Fold:
    """The set of one room. ``room`` is its URI."""

    def __init__(self, room: str, checks: Checks = INTACT) -> None:
        self.room = room
        self.checks = checks
        self.arrivals: list[tuple[Message, str]] = []

    def add(self, carrier: bytes, plane: str, address: str) -> str | None:
        """The code of the first check that fails, or None: then it is part of the set."""
        try:
            message = verify(carrier, self.checks)
        except Refused as fault:
            return fault.code
        envelope, row = message.envelope, TYPES[message.type]
        if plane not in row["planes"] and self.checks.hold("planes-unread"):
            return "plane.mismatch"
        if envelope["room"] != self.room and self.checks.hold("rooms-unread"):
            return "room.mismatch"
        life = envelope["expires_ms"] - envelope["sent_ms"]
        if not 0 < life <= row["lifetime_ms"] and self.checks.hold("lifetimes-unread"):
            return "time.lifetime"
        if "extensions" in envelope and not self.checks.hold("extended-is-dropped"):
            return None
        there = {known.id for known, _ in self.arrivals}
        if envelope.get("answers", message.id) not in {message.id, *there} and not self.checks.hold(
            "waiting-is-dropped"
        ):
            return None
        if not self._known_key(message) and not self.checks.hold("unproven-is-dropped"):
            return None
        self.arrivals.append((message, address))
        return None

    def _known_key(self, message: Message) -> bool:
        known = identity_of(message.sender, [known for known, _ in self.arrivals], self.checks)
        return message.kid in known.keys or message.type.startswith("identity.")

    # --- the set ---------------------------------------------------------------------------------

    def _set(self) -> tuple[dict[str, Message], dict[str, set[str]]]:
        """The messages by id, without the progress of FOLD-8, and by which addresses each came."""
        messages = {message.id: message for message, _ in self.arrivals}
        origins: dict[str, set[str]] = defaultdict(set)
        for message, address in self.arrivals:
            if self.checks.hold("first-copy-alone-counts") or message.id not in origins:
                origins[message.id].add(address)
        kept: dict[tuple[str, ...], Message] = {}
        for message in messages.values():
            if message.type == "task.progress":
                here = self._place(message)
                kept[here] = max(kept.get(here, message), message, key=self._progress_rank)
        for message in list(messages.values()):
            overtaken = message.type == "task.progress" and kept[self._place(message)] is not message
            if overtaken and self.checks.hold("all-progress-is-kept"):
                del messages[message.id]
        return messages, origins

    def _place(self, m: Message) -> tuple[str, ...]:
        """Among what a progress message is told apart by (FOLD-8)."""
        key = m.kid if self.checks.hold("keys-displace-progress") else ""
        return (m.envelope["thread"], m.body["stage"], str(m.body["attempt"]), m.sender, key)

    def _progress_rank(self, m: Message) -> tuple[int, str]:
        index = int(m.body["index"]) if self.checks.hold("lowest-progress-stays") else -int(m.body["index"])
        return (index, m.id if self.checks.hold("lesser-progress-id-stays") else inverted(m.id))

    def state(self, now_ms: int) -> dict[str, Any]:
        """The state that ``mesh.state`` answers."""
        messages, origins = self._set()
        everything = list(messages.values())
        identities = {m.sender: identity_of(m.sender, everything, self.checks) for m in everything}
        authority = {m.id: authority_of(m, identities[m.sender], self.checks) for m in everything}
        presences = {
            sender: self._presence(sender, identity, everything, authority, origins)
            for sender, identity in identities.items()
        }
        codes = {name: code for name, code in authority.items() if code is not None}
        tasks: dict[str, Any] = {}
        gone = NOT_THERE if self.checks.hold("retired-is-taken-out") else NOT_THERE | {"key.retired"}
        counting = [m for m in everything if authority[m.id] not in gone and m.type.startswith("task.")]
        first_seen = {m.id: place for place, (m, _) in reversed(list(enumerate(self.arrivals)))}
        for request in [m for m in counting if m.type == "task.request"]:
            thread = [m for m in counting if m.envelope.get("thread") == request.id]
            tasks[request.id], errors = task_state(request, thread, self.checks, first_seen)
            for name, code in errors.items():
                codes.setdefault(name, code)
        if self.checks.hold("waiting-is-not-told"):
            for m in everything:
                if m.type.startswith("task.") and "thread" in m.envelope and m.envelope["thread"] not in tasks:
                    codes.setdefault(m.id, "state.waiting")
        senders = {m.sender for m in everything if authority[m.id] != "key.unproven"}
        return {
            "peers": {sender: peer(identities[sender], presences[sender]) for sender in sorted(senders)},
            "conflicts": self._conflicts(presences),
            "live": self._live(presences, now_ms),
            "messages": {
                m.id: verdict(m, origins[m.id], presences[m.sender].proven, codes.get(m.id)) for m in everything
            },
            "tasks": tasks,
        }

    # --- presence ----------------------------------------------------------------------------------

    def _presence(
        self,
        sender: str,
        identity: Identity,
        everything: list[Message],
        authority: dict[str, str | None],
        origins: dict[str, set[str]],
    ) -> Presence:
        hold = self.checks.hold
        keys = identity.keys[-1:] if hold("presence-outlives-rotation") else identity.keys
        own = [m for m in everything if m.sender == sender and m.kid in keys and authority[m.id] not in NOT_THERE]
        if identity.standing() != "good" and hold("bad-standing-still-announces"):
            own = []
        announces = [m for m in own if m.type == "presence.announce"]
        named = {m.id: {address["uri"] for address in m.body["addresses"]} for m in announces}
        if not hold("relayed-announces-bind"):
            named = {m.id: named[m.id] | origins[m.id] for m in announces}
        proven = {address for m in announces for address in named[m.id] & origins[m.id]}
        if not hold("hello-proves-its-address"):
            for m in own:
                if m.type in {"handshake.hello", "handshake.accept"}:
                    proven |= {m.body["address"]["uri"]} & origins[m.id]
        highest = max((m.body["revision"] for m in announces), default=-1)
        arrivals = [m.id for m, _ in self.arrivals]
        heard = [m for m, _ in self.arrivals] if hold("overtaken-progress-unheard") else own

        def rank(m: Message) -> tuple[Any, ...]:
            bound = bool(named[m.id] & origins[m.id]) if hold("unbound-announce-goes-first") else True
            revision = m.body["revision"] if hold("last-announce-to-arrive-counts") else arrivals.index(m.id)
            revision = revision if hold("announces-by-time") else m.sent_ms
            return (bound, revision, m.id if hold("lesser-announce-id-counts") else inverted(m.id))

        announce = max(announces, key=rank, default=None)
        twice = [m.id for m in announces if m.body["revision"] == highest]
        if not hold("duplicates-equivocate"):
            twice = [name for name in arrivals if name in twice]
        return Presence(
            announce,
            announce is not None and bool(named[announce.id] & origins[announce.id]),
            proven,
            len(twice) > 1 and hold("equivocation-unseen"),
            max((m.body["revision"] for m in own if m.type == "presence.leave"), default=-1),
            max((m.sent_ms for m in heard if m.sender == sender and m.kid in keys), default=-1),
        )

    def _conflicts(self, presences: dict[str, Presence]) -> dict[str, list[str]]:
        if not self.checks.hold("conflicts-unseen"):
            return {}
        holders: dict[str, list[str]] = defaultdict(list)
        for sender in sorted(presences):
            for address in presences[sender].proven:
                holders[address].append(sender)
        return {address: dids for address, dids in sorted(holders.items()) if len(dids) > 1}

    def _live(self, presences: dict[str, Presence], now_ms: int) -> list[str]:
        """PRE-12 and PRE-13."""
        hold = self.checks.hold
        candidates = []
        for sender, presence in presences.items():
            announce = presence.announce
            if announce is None or (not presence.bound and hold("unbound-is-live")):
                continue
            left = presence.left if hold("leave-ends-all") or presence.left < 0 else 2**60
            if announce.body["revision"] <= left and hold("leave-unread"):
                continue
            if announce.envelope["expires_ms"] <= now_ms and hold("announces-do-not-expire"):
                continue
            if announce.sent_ms > now_ms + TYPES["presence.announce"]["skew_ms"] and hold("announces-from-tomorrow"):
                continue
            candidates.append(sender)
        if not hold("one-account-many-voices"):
            return sorted(candidates)
        live = {sender for sender in candidates if not presences[sender].bound}
        lost: set[str] = set()
        for address in {address for sender in candidates for address in presences[sender].proven}:
            holders = sorted(sender for sender in candidates if address in presences[sender].proven)
            heard = {sender: presences[sender].heard_ms if hold("heard-of-unread") else 0 for sender in holders}
            latest = max(heard.values()) if hold("first-heard-of-stays") else min(heard.values())
            first = [sender for sender in holders if heard[sender] == latest]
            live.add(first[0] if hold("greater-did-goes-first") else first[-1])
            lost |= set(holders) - {first[0]}
        return sorted(live if hold("every-address-must-be-won") else live - lost)


def identity_of(sender: str, everything: list[Message], checks: Checks) -> Identity:
    """ID-24, of all messages of the set."""
    hold = checks.hold
    own = [m for m in everything if m.sender == sender]
    links: dict[str, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    committed: dict[str, set[str]] = defaultdict(set)
    provers = {"identity.rotate", "identity.revoke"} if hold("revokes-prove-no-links") else {"identity.rotate"}
    for m in own:
        if m.type in provers:
            before = sender
            for link in m.body["chain"]:
                links[before][link["key"]].append((m.kid, link["since_ms"]))
                public = public_of(link["key"])
                committed[before].add(digest(public if hold("digests-of-links-differ") else link["key"].encode()))
                before = link["key"]
        if m.type == "identity.rotate" and hold("rotates-commit-to-nothing"):
            committed[m.kid].add(m.body["next_key_digest"])
        if m.type == "presence.announce" and hold("announces-commit-to-nothing"):
            committed[m.kid].add(m.body["next_key_digest"])
    identity = Identity([sender])
    while True:
        key = identity.keys[-1]
        if len(committed[key]) > 1 and hold("disputes-unseen") and (hold("first-rotate-wins") or len(links[key]) < 2):
            identity.disputed = True
            break
        if not links[key]:
            break
        following = next(iter(links[key]))
        identity.keys.append(following)
    least = min if hold("greatest-since-counts") else max
    for key, following in itertools.pairwise(identity.keys):
        told = links[key][following]
        moments = [since for kid, since in told if kid == identity.keys[-1] or not hold("every-key-says-since")]
        if moments:
            identity.given_up_ms[key] = least(moments)
    revokes = [m for m in own if m.type == "identity.revoke" and hold("revokes-unread")]
    if hold("any-key-revokes"):
        revokes = [m for m in revokes if m.kid == identity.keys[-1]]
    if revokes:
        identity.revoked = True
        identity.revoked_ms = min(m.body["since_ms"] for m in revokes)
    return identity


def authority_of(m: Message, identity: Identity, checks: Checks) -> str | None:
    """ID-25."""
    hold = checks.hold
    if m.type.startswith("identity."):
        return None
    if m.kid not in identity.keys:
        if not hold("any-key-speaks"):
            return None
        return "key.disputed" if identity.disputed and hold("disputed-told-as-unproven") else "key.unproven"
    ends = [identity.given_up_ms[m.kid]] if m.kid in identity.given_up_ms else []
    if identity.revoked_ms is not None and (m.kid == identity.keys[-1] or hold("revokes-hold-for-their-key-alone")):
        ends.append(identity.revoked_ms)
    end = min(ends, default=None)
    last = 0 if hold("since-is-the-last-moment") else 1
    if end is not None and m.sent_ms >= end + last and hold("old-keys-go-on"):
        return "key.not_authorized"
    bad = (identity.disputed and hold("disputed-keys-act")) or (identity.revoked and hold("revoked-keys-act"))
    if (m.kid != identity.keys[-1] and hold("retired-keys-act")) or bad:
        return "key.retired"
    return None


def peer(identity: Identity, presence: Presence) -> dict[str, Any]:
    value: dict[str, Any] = {
        "key": identity.keys[-1],
        "standing": identity.standing(),
        "bound": presence.bound,
        "addresses": sorted(presence.proven),
        "equivocates": presence.equivocates,
    }
    return value if presence.announce is None else value | {"announce": presence.announce.id}


def verdict(m: Message, origins: set[str], proven: set[str], code: str | None) -> dict[str, str]:
    binding = "unbound" if not proven else "bound" if origins & proven else "relayed"
    return {"binding": binding} if code is None else {"binding": binding, "code": code}


def inverted(text: str) -> str:
    """A text that sorts the other way round."""
    return "".join(chr(0x10000 - ord(character)) for character in text)
