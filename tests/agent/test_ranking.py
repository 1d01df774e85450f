"""The ranking everybody computes: the same everywhere, fair, weighted by load, of the capable alone."""

from __future__ import annotations

import math
from collections import Counter
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from bots.ranking import capable, place, ranked, score, stage_key, weight
from clawnet_proto.families import presence, task
from clawnet_proto.key_history import KeyHistory
from clawnet_proto.mesh import Peer
from tests.agent.simulated import echo, generate
from tests.proto import samples
from tests.proto.authoring import Author

MODEL = presence.ModelCard(name="gemma", digest="sha256:" + "ab" * 32, context_tokens=2048, kinds=("generate",))


def announce(name: str = "eve", **changes: Any) -> presence.Announce:
    fields: dict[str, Any] = {"load": presence.Load(running=0, waiting=0, slots=1), "models": (MODEL,)}
    return samples.announce(Author(name), **(fields | changes))


def peer(name: str, **changes: Any) -> Peer:
    author = Author(name)
    return Peer(did=author.did, keys=KeyHistory(author.did), announce=author.say(announce(name, **changes)), bound=True)


class TestOrder:
    def test_it_does_not_depend_on_the_order_of_the_peers(self) -> None:
        peers = [peer(f"peer {number}") for number in range(10)]
        first = ranked("key", peers)
        assert sorted(first) == sorted(peer.did for peer in peers)
        assert ranked("key", reversed(peers)) == first

    def test_the_score_is_that_of_the_specification(self) -> None:
        number = int.from_bytes(sha256(b"key\0did:key:z6Mk").digest()[:8], "big")
        assert score("key", "did:key:z6Mk", 0.5) == pytest.approx(-0.5 / math.log((number + 0.5) / 2**64))

    def test_one_peer_less_does_not_change_the_order_of_the_others(self) -> None:
        peers = [peer(f"peer {number}") for number in range(10)]
        order = ranked("key", peers)
        assert ranked("key", peers[1:]) == [did for did in order if did != peers[0].did]

    def test_the_place_of_one_is_that_in_the_order_of_all(self) -> None:
        loads = [presence.Load(running=number % 3, waiting=0, slots=1) for number in range(20)]
        peers = [peer(f"peer {number}", load=load) for number, load in enumerate(loads)]
        weights = {peer.did: weight(peer.body.load) for peer in peers if peer.body is not None}
        order = ranked("key", peers)
        for rank, did in enumerate(order):
            others = [(other, weights[other]) for other in weights if other != did]
            assert place("key", did, weights[did], others, 20) == rank
            assert place("key", did, weights[did], others, 6) == (rank if rank < 6 else None)

    def test_over_many_keys_everybody_is_first_about_as_often(self) -> None:
        peers = [peer(f"peer {number}") for number in range(5)]
        firsts = Counter(ranked(stage_key(f"request {number}", "answer"), peers)[0] for number in range(2_000))
        assert len(firsts) == 5
        assert all(320 < count < 480 for count in firsts.values())

    def test_whoever_is_busy_is_first_less_often_by_the_share_it_has_left(self) -> None:
        busy = peer("busy", load=presence.Load(running=1, waiting=2, slots=1))
        peers = [busy, peer("idle")]
        firsts = Counter(ranked(f"key {number}", peers)[0] for number in range(4_000))
        assert 0.17 < firsts[busy.did] / 4_000 < 0.23

    def test_stages_of_one_request_are_ranked_each_by_itself(self) -> None:
        peers = [peer(f"peer {number}") for number in range(6)]
        orders = {tuple(ranked(stage_key("request", stage), peers)) for stage in ("draft", "critique", "revise")}
        assert len(orders) == 3

    def test_who_never_announced_itself_has_no_place(self) -> None:
        assert ranked("key", [Peer(did="did:key:z6Mk", keys=KeyHistory("did:key:z6Mk"))]) == []

    @pytest.mark.parametrize(
        "load, expected",
        [((0, 0, 1), 1.0), ((1, 0, 1), 0.5), ((1, 2, 1), 0.25), ((4, 0, 4), 0.5), ((0, 0, 0), 1.0), ((3, 0, 0), 0.25)],
    )
    def test_the_weight_of_a_load(self, load: tuple[int, int, int], expected: float) -> None:
        running, waiting, slots = load
        assert weight(presence.Load(running=running, waiting=waiting, slots=slots)) == expected


class TestCapability:
    def test_an_open_agent_with_the_model(self) -> None:
        assert capable(announce(), generate())
        assert capable(announce(models=()), echo())

    @pytest.mark.parametrize(
        "needs",
        [
            task.Needs(model="gemma"),
            task.Needs(model_digest="sha256:" + "ab" * 32),
            task.Needs(context_tokens=2048),
            task.Needs(model="gemma", context_tokens=1),
        ],
    )
    def test_needs_that_are_met(self, needs: task.Needs) -> None:
        assert capable(announce(), generate(needs=needs))

    @pytest.mark.parametrize(
        "needs",
        [
            task.Needs(model="llama"),
            task.Needs(model_digest="sha256:" + "cd" * 32),
            task.Needs(context_tokens=2049),
            task.Needs(model="gemma", context_tokens=4096),
        ],
    )
    def test_needs_that_are_not_met(self, needs: task.Needs) -> None:
        assert not capable(announce(), generate(needs=needs))

    def test_a_context_that_is_not_told_meets_no_need(self) -> None:
        silent = msgspec.structs.replace(MODEL, context_tokens=msgspec.UNSET)
        assert capable(announce(models=(silent,)), generate())
        assert not capable(announce(models=(silent,)), generate(needs=task.Needs(context_tokens=1)))

    @pytest.mark.parametrize(
        "changes",
        [
            {"limits": presence.Limits(open_to="nobody", prompt_bytes=1, output_tokens=512, tokens_per_minute=1)},
            {"limits": presence.Limits(open_to="room", prompt_bytes=1, output_tokens=15, tokens_per_minute=1)},
            {"capabilities": ("echo", "chat")},
            {"models": ()},
            {"models": (presence.ModelCard(name="gemma", kinds=("embed",)),)},
        ],
        ids=["serves nobody", "too many tokens", "not its kind", "no model", "no such model"],
    )
    def test_who_is_not(self, changes: dict[str, Any]) -> None:
        assert not capable(announce(**changes), generate(max_tokens=16))
