"""What the fold of one room costs one agent, by how many peers are in it: memory, and the time of each decision."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec

from bots.behaviours.handshake import WELCOMERS
from bots.behaviours.offering import Offering
from bots.ranking import place, ranked
from clawnet_proto.carrier import verify
from clawnet_proto.families import presence
from clawnet_proto.mesh import Mesh
from clawnet_proto.specification import LIMITS
from tests.agent.simulated import generate
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author

_MODEL = presence.ModelCard(name="scripted", digest="sha256:" + "5c" * 32, context_tokens=4096, kinds=("generate",))
_DECISIONS = 200

T = TypeVar("T")


class FoldFigures(msgspec.Struct, kw_only=True):
    """One fold that holds the announces of so many peers. Times are the processor's."""

    announced: int
    known: int  # peers it holds afterwards: ``spec/limits.json`` bounds them
    bytes_per_peer: float  # the announce as it is kept included
    verify_us: float  # to check the signature of one announce and decode it
    add_us: float  # to fold it
    live_ms: float  # to list who is there
    order_ms: float  # to rank all of them
    decision_us: float  # to find out whether to offer: the middle one of many agents, many requests
    decisions_per_s: float  # by all agents together, one core
    welcome_us: float  # to find out whether to welcome a newcomer


def measure(peers: int) -> FoldFigures:
    """Announce so many peers to a fold."""
    authors = [Author(f"agent-{number}") for number in range(peers)]
    load = presence.Load(running=0, waiting=0, slots=1)
    said = [samples.announce(author, load=load, models=(_MODEL,), limits=_limits()) for author in authors]
    carriers = [author.carrier(body) for author, body in zip(authors, said, strict=True)]
    began = time.process_time()
    for carrier in carriers:
        verify(carrier)
    verified_s = time.process_time() - began
    mesh, size = _folded(authors, carriers)
    verified = [verify(carrier) for carrier in carriers]
    again = Mesh(ROOM)
    began = time.process_time()
    for author, message in zip(authors, verified, strict=True):
        again.add(message, author.address)
    added_s = time.process_time() - began
    live_ms, live = _timed(lambda: mesh.live_peers(NOW_MS), 5)
    bodies = {peer.did: peer.body for peer in live}
    request = SimpleNamespace(stages=(generate(),))
    rounds = min(_DECISIONS, 20 * peers)

    def decide(number: int) -> object:
        me = SimpleNamespace(did=live[number * 7 % len(live)].did)
        context: Any = SimpleNamespace(identity=me, live_peers=lambda room: live, monotonic_ms=lambda: 0)
        view: Any = SimpleNamespace(id=f"request {number}", requester="", request=SimpleNamespace(body=request))
        return Offering(context, lambda view, address: "", lambda: 0)._turns(view, ROOM)

    def welcome(number: int) -> int | None:
        me = live[number * 7 % len(live)].did
        return place(f"newcomer {number}", me, 1.0, ((did, 1.0) for did in bodies if did != me), WELCOMERS)

    decided = sorted(_timed(partial(decide, number), 1)[0] for number in range(rounds))
    welcomed = sorted(_timed(partial(welcome, number), 1)[0] for number in range(rounds))
    return FoldFigures(
        announced=peers,
        known=len(mesh.peers),
        bytes_per_peer=size / len(mesh.peers),
        verify_us=verified_s / peers * 1e6,
        add_us=added_s / peers * 1e6,
        live_ms=live_ms,
        order_ms=_timed(lambda: ranked("request", live), 5)[0],
        decision_us=decided[rounds // 2] * 1000,
        decisions_per_s=rounds / sum(decided) * 1000,
        welcome_us=welcomed[rounds // 2] * 1000,
    )


def _limits() -> presence.Limits:
    return presence.Limits(open_to="room", prompt_bytes=16000, output_tokens=512, tokens_per_minute=12000)


def _folded(authors: list[Author], carriers: list[bytes]) -> tuple[Mesh, int]:
    """A fold, and the bytes it took: the messages it keeps are its own."""
    tracemalloc.start()
    mesh = Mesh(ROOM)
    for author, carrier in zip(authors, carriers, strict=True):
        mesh.add(verify(carrier), author.address)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return mesh, size


def _timed(work: Callable[[], T], rounds: int) -> tuple[float, T]:
    """The shortest time (ms) of some rounds, and what it gave."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        found = work()
        times.append(time.process_time() - began)
    return min(times) * 1000, found


SIZES = (10, 100, 1000, LIMITS.peers, 10_000)
