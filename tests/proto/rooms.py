"""Rooms: folds of deliveries, and all that a fold tells, to be compared."""

from __future__ import annotations

import itertools
import random
from typing import Any

from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from tests.proto.authoring import NOW_MS, ROOM
from tests.proto.conversation import normal

Delivery = tuple[Message, str]
ELSEWHERE = "matrix:u/relay:example.org"


def folded(*deliveries: Delivery) -> Mesh:
    mesh = Mesh(ROOM)
    for message, address in deliveries:
        mesh.add(message, address)
    return mesh


def state(mesh: Mesh, deliveries: list[Delivery], now_ms: int = NOW_MS) -> dict[str, Any]:
    """All that a fold tells, in a form that can be compared."""
    return {
        "peers": {
            did: (
                peer.announce and peer.announce.id,
                peer.bound,
                sorted(peer.addresses),
                peer.left_revision,
                peer.last_sent_ms,
                peer.equivocates,
                peer.live(now_ms),
                mesh.name_of(did),
                mesh.direct_addresses(did),
            )
            for did, peer in sorted(mesh.peers.items())
        },
        "live": [peer.did for peer in mesh.live_peers(now_ms)],
        "conflicts": mesh.conflicts(),
        "bindings": {message.id: mesh.binding(message) for message, _ in deliveries},
        "tasks": [(view.id, normal(view)) for view in mesh.tasks()],
        "progress": {
            view.id: [
                (stage, number, found.id)
                for stage, shown in view.stages.items()
                for number in shown.attempts
                if (found := mesh.progress(view.id, stage, number)) is not None
            ]
            for view in mesh.tasks()
        },
    }


def the_same_in_every_order(deliveries: list[Delivery]) -> dict[str, Any]:
    """The state, which is asserted to be the same in all orders of a few deliveries, two hundred of many."""
    expected = state(folded(*deliveries), deliveries)
    if len(deliveries) <= 6:
        orders = [list(order) for order in itertools.permutations(deliveries)]
    else:
        chance = random.Random(len(deliveries))
        orders = [chance.sample(deliveries, len(deliveries)) for _ in range(200)]
    for order in orders:
        assert state(folded(*order), deliveries) == expected
        assert state(folded(*order, *order), deliveries) == expected  # a second time changes nothing
    return expected
