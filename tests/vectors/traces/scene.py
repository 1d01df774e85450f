"""Writing a trace: peers with several keys, what they say, how it arrives, and what must come of it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.vectors.fold_model import Fold
from tests.vectors.message_model import bytes_of
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.peer import Peer
from tests.vectors.writing import NOW_MS, ROOM, TYPES, Author, Vector, b64, canonical, digest, fixed, message_id

MOMENT_MS = NOW_MS + 100_000
"""``now_ms`` of most traces."""
DAY_MS = 86_400_000
PARAMETERS = {"max_tokens": 64, "temperature_milli": 0, "top_p_milli": 1000, "seed": 7, "stop": []}
USAGE = {"prompt_tokens": 5, "output_tokens": 3, "queued_ms": 0, "prompt_ms": 20, "generate_ms": 40}
ALL_ORDERS_UP_TO = 6


class Said:
    """A message: its envelope, its carrier's bytes and its id."""

    def __init__(self, author: Author, envelope: dict[str, Any]) -> None:
        env = canonical(envelope)
        self.envelope, self.carrier, self.id = envelope, author.carrier(env), message_id(env)

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = self.envelope["body"]
        return body


class Trace:
    """One trace. What is said with it arrives from the speaker's own address, unless ``silent`` is set."""

    def __init__(self, name: str, about: str, requirements: str, kills: str, *, now_ms: int = MOMENT_MS) -> None:
        self.name, self.about, self.requirements, self.kills = name, about, requirements, kills
        self.now_ms = now_ms
        self.deliveries: list[dict[str, str]] = []
        self.orders: list[list[int]] | None = None
        self._expected: list[Callable[[dict[str, Any]], None]] = []

    # --- saying ------------------------------------------------------------------------------------

    def say(
        self,
        peer: Peer,
        kind: str,
        body: dict[str, Any],
        *,
        at: int = 0,
        key: int = 0,
        branch: str = "",
        silent: bool = False,
        below: Said | None = None,
        above: Said | None = None,
        about: str = "",
        **members: Any,
    ) -> Said:
        """``at`` is in seconds after NOW_MS. ``below`` and ``above`` choose a nonce that gives such an id."""
        author = peer.key(key, branch)
        for number in itertools.count():
            nonce = b64(fixed(f"{self.name} {len(self.deliveries)} {peer.name} {kind} {number}", 16))
            whole = {"sender": peer.did, "kid": author.did, "sent_ms": NOW_MS + at * 1000, "nonce": nonce} | members
            said = Said(author, author.envelope(kind, body, **whole))
            if (below is None or said.id < below.id) and (above is None or said.id > above.id):
                break
        if not silent:
            self.deliver(said, peer.address, about=about or f"{peer.name}: {kind}")
        return said

    def deliver(self, said: Said, address: str, *, plane: str = "", about: str = "", error: str = "") -> None:
        """A copy of it arrives from an address, on the first plane of its type unless another is named."""
        plane = plane or TYPES[said.envelope["type"]]["planes"][0]
        self.deliver_bytes(said.carrier, plane, address, about or f"a copy of {said.envelope['type']}", error)

    def deliver_bytes(self, carrier: bytes, plane: str, address: str, about: str, error: str = "") -> None:
        delivery = {"carrier": b64(carrier), "plane": plane, "address": address, "about": about}
        self.deliveries.append(delivery | ({"error": error} if error else {}))

    # --- presence and identity -----------------------------------------------------------------------

    def announce(self, peer: Peer, revision: int = 1, *, key: int = 0, branch: str = "", **members: Any) -> Said:
        """``next_branch`` commits to another next key, ``addresses`` replaces the peer's own one."""
        following = peer.key(key + 1, members.pop("next_branch", ""))
        addresses = members.pop("addresses", [peer.address])
        body = {
            "revision": revision,
            "name": peer.name,
            "kind": "ai",
            "role": "writer",
            "software": "vectors 1",
            "versions": ["1"],
            "addresses": [{"uri": uri, "device": "D1"} for uri in addresses],
            "next_key_digest": digest(following.public),
            "seal_key": b64(peer.key(0).seal_key),
            "capabilities": ["generate"],
            "models": [],
            "wants": [],
            "offers": [],
            "load": {"running": 0, "waiting": 0, "slots": 1},
            "limits": {"open_to": "room", "prompt_bytes": 8000, "output_tokens": 512, "tokens_per_minute": 1000},
            "confirmed": [],
        }
        return self.say(peer, "presence.announce", body, key=key, branch=branch, **members)

    def leave(self, peer: Peer, revision: int = 1, **members: Any) -> Said:
        return self.say(peer, "presence.leave", {"revision": revision}, **members)

    def rotate(self, peer: Peer, *since: int, branches: Sequence[str] = (), **members: Any) -> Said:
        """To the key of the generation that ``since`` has entries, each in seconds after NOW_MS."""
        branches = [*branches, *[""] * (len(since) - len(branches))]
        links = [(NOW_MS + moment * 1000, branch) for moment, branch in zip(since, branches, strict=True)]
        following = peer.key(len(since) + 1, members.pop("next_branch", ""))
        body = {"chain": peer.chain(*links), "next_key_digest": digest(following.public)}
        return self.say(peer, "identity.rotate", body, key=len(since), branch=branches[-1], **members)

    def revoke(self, peer: Peer, since: int, *chain_since: int, **members: Any) -> Said:
        """By the key of the generation that ``chain_since`` has entries; moments in seconds after NOW_MS."""
        links = [(NOW_MS + moment * 1000, "") for moment in chain_since]
        body = {"chain": peer.chain(*links), "since_ms": NOW_MS + since * 1000}
        return self.say(peer, "identity.revoke", body, key=len(links), **members)

    # --- tasks -----------------------------------------------------------------------------------------

    def request(self, peer: Peer, stages: dict[str, list[str]] | None = None, **members: Any) -> Said:
        """``stages`` are the sources of each stage; ``texts`` are the inputs."""
        stages = stages or {"draft": ["question"]}
        texts: dict[str, str] = members.pop("texts", {"question": "Why is the sky blue?"})
        sealed = members.pop("privacy", "public") == "sealed"
        body = {
            "title": "A question",
            "inputs": [
                {"name": name, "digest": digest(text.encode())} | ({} if sealed else {"text": text})
                for name, text in texts.items()
            ],
            "stages": [
                {
                    "id": name,
                    "kind": "generate",
                    "prompt": [
                        {"part": "text", "text": "Answer."},
                        *({"part": "data", "source": source, "form": "block"} for source in sources),
                    ],
                    "parameters": PARAMETERS,
                }
                for name, sources in stages.items()
            ],
            "privacy": "sealed" if sealed else "public",
            "lease_ms": 60000,
            "hops": 0,
        }
        return self.say(peer, "task.request", body, **({"at": 10} | members))

    def answer(self, peer: Peer, kind: str, body: dict[str, Any], cause: Said, **members: Any) -> Said:
        """A message of the thread that ``cause`` is in, or opened."""
        thread = members.pop("thread", cause.envelope.get("thread", cause.id))
        return self.say(peer, kind, body, **({"answers": cause.id, "thread": thread, "at": 30} | members))

    def award(
        self, peer: Peer, request: Said, executor: Peer, stage: str = "draft", attempt: int = 1, **m: Any
    ) -> Said:
        body = {"stage": stage, "attempt": attempt, "lease_ms": 60000} | m.pop("body", {})
        return self.answer(peer, "task.award", body, request, **({"at": 20, "recipients": [executor.did]} | m))

    def work(self, peer: Peer, kind: str, award: Said, more: dict[str, Any], requester: Peer, **m: Any) -> Said:
        """What an executor says of an award; ``cause`` is what it answers, if not the award."""
        body = {"stage": award.body["stage"], "attempt": award.body["attempt"]} | more
        return self.answer(peer, kind, body, m.pop("cause", award), **({"recipients": [requester.did]} | m))

    def result(self, peer: Peer, award: Said, requester: Peer, text: str = "Scattering.", **m: Any) -> Said:
        """``read`` are the texts it was computed from, by source."""
        read: dict[str, str] = m.pop("read", {"question": "Why is the sky blue?"})
        body = {
            "award": award.id,
            "inputs": [{"source": source, "digest": digest(value.encode())} for source, value in read.items()],
            "parameters": PARAMETERS,
            "output_digest": digest(text.encode()),
            "media_type": "text/plain",
            "finish": "stop",
            "usage": USAGE,
        } | m.pop("output", {"text": text})
        return self.work(peer, "task.result", award, body, requester, **({"at": 40} | m))

    def fail(self, peer: Peer, award: Said, requester: Peer, code: str = "engine.failed", **m: Any) -> Said:
        body = {"code": code, "message": "It did not work.", "retryable": True}
        return self.work(peer, "task.fail", award, body, requester, **m)

    def cancel(self, peer: Peer, request: Said, **m: Any) -> Said:
        return self.answer(peer, "task.cancel", {}, request, **({"at": 50} | m))

    def close(self, peer: Peer, request: Said, *results: Said, outcome: str = "completed", **m: Any) -> Said:
        accepted = [
            {
                "stage": result.body["stage"],
                "attempt": result.body["attempt"],
                "executor": result.envelope["sender"],
                "result": result.id,
                "output_digest": result.body["output_digest"],
            }
            for result in results
        ]
        body = {"outcome": outcome, "accepted": accepted, "executions": len(accepted)}
        return self.answer(peer, "task.close", body, request, **({"at": 60} | m))

    # --- expecting, by hand --------------------------------------------------------------------------

    def expect(self, *path: str, **values: Any) -> None:
        """The member of the state at this path has these values; None says that it is absent."""

        def check(state: dict[str, Any]) -> None:
            found: Any = state
            for name in path:
                found = found[name]
            for name, value in values.items():
                if found.get(name) != value:
                    raise ValueError(f"{self.name}: {'/'.join(path)}/{name} is {found.get(name)!r}, not {value!r}")

        self._expected.append(check)

    def expect_code(self, said: Said, code: str | None, binding: str | None = None) -> None:
        self.expect("messages", said.id, code=code, **({"binding": binding} if binding else {}))

    def expect_peer(self, peer: Peer, **values: Any) -> None:
        self.expect("peers", peer.did, **values)

    def expect_task(self, request: Said, state: str) -> None:
        self.expect("tasks", request.id, state=state)

    def expect_stage(self, request: Said, stage: str = "draft", **values: Any) -> None:
        if isinstance(values.get("accepted"), Said):
            values["accepted"] = values["accepted"].id
        self.expect("tasks", request.id, "stages", stage, **values)

    def expect_live(self, *peers: Peer) -> None:
        self.expect(live=sorted(peer.did for peer in peers))

    def expect_no_task(self) -> None:
        self.expect(tasks={})

    # --- the vector ------------------------------------------------------------------------------------

    def vector(self) -> Vector:
        """The vector; raises ValueError if the model's state is not as expected by hand."""
        orders: Any = self.orders or orders_of(self.name, len(self.deliveries))
        value: Vector = {"id": f"trace-{self.name}", "about": self.about, "requirements": self.requirements.split()}
        value |= {"op": "mesh", "room": ROOM, "now_ms": self.now_ms, "deliveries": self.deliveries, "orders": orders}
        value["kills"] = self.kills
        state, codes = run(value, range(len(self.deliveries)))
        wanted = [delivery.get("error") for delivery in self.deliveries]
        if codes != wanted:
            raise ValueError(f"{self.name}: mesh.add answers {codes}, not {wanted}")
        for check in self._expected:
            check(state)
        return value | {"state": state}


def run(trace: Vector, order: Sequence[int], checks: Checks = INTACT) -> tuple[dict[str, Any], list[str | None]]:
    """The model's state after the deliveries in this order, and what it answered to each."""
    fold = Fold(trace["room"], checks)
    codes = []
    for place in order:
        delivery = trace["deliveries"][place]
        codes.append(fold.add(bytes_of(delivery["carrier"]), delivery["plane"], delivery["address"]))
    return json.loads(json.dumps(fold.state(trace["now_ms"]))), codes


def orders_of(name: str, count: int) -> str | list[list[int]]:
    """``"all"``, or sixteen: forwards, backwards, ten others, and four with some deliveries twice."""
    if count <= ALL_ORDERS_UP_TO:
        return "all"
    chance = random.Random(name)
    orders = [list(range(count)), list(reversed(range(count)))]
    for number in range(14):
        order = list(range(count))
        if number >= 10:
            order += chance.sample(range(count), chance.randint(1, count))
        chance.shuffle(order)
        orders.append(order)
    return orders


def orders_in(trace: Vector) -> list[list[int]]:
    """The orders of a trace, written out."""
    if trace["orders"] == "all":
        return [list(order) for order in itertools.permutations(range(len(trace["deliveries"])))]
    orders: list[list[int]] = trace["orders"]
    return orders
