"""The same deliveries give the same state in every order; no order breaks a bound or what is counted along."""

from __future__ import annotations

from random import Random
from typing import Any
from unittest.mock import patch

import msgspec

from clawnet_proto import mesh as mesh_module
from clawnet_proto import thread as thread_module
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import handshake, presence
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.specification import LIMITS
from tests.fuzz.choices import Choices
from tests.fuzz.identities import Renewable
from tests.fuzz.mutation import mutated_bytes
from tests.fuzz.talk import Talk
from tests.proto.authoring import NOW_MS, ROOM
from tests.proto.rooms import ELSEWHERE, Delivery, folded, state
from tests.proto.samples import announce

_MOST = 32  # deliveries in one room
_ROTATIONS = 3  # of one identity
_ORDER = 64  # the last bytes choose the orders
_BOUNDS = {
    "peers": 3,
    "tasks": 2,
    "messages_per_task": 4,
    "messages_per_sender": 3,
    "senders_per_task": 1,
    "waiting_messages": 3,
    "fold_bytes": 9000,
}
_SMALL = msgspec.structs.replace(LIMITS, **_BOUNDS)


def check(data: bytes) -> None:
    deliveries = _deliveries(Choices(data[:-_ORDER]))
    order = Choices(data[-_ORDER:])
    once, again = order.shuffled(deliveries), order.shuffled(deliveries)
    expected = _state(folded(*deliveries), deliveries)
    assert _state(folded(*once), deliveries) == expected
    assert _state(folded(*again, *once), deliveries) == expected
    _check_bounds(once)


def _state(mesh: Mesh, deliveries: list[Delivery]) -> dict[str, Any]:
    """All that a fold tells, and whose keys it trusts."""
    return state(mesh, deliveries) | {
        "keys": {did: (peer.standing, peer.keys.chain) for did, peer in sorted(mesh.peers.items())},
        "authority": {message.id: mesh.authority(message) for message, _ in deliveries},
    }


def _check_bounds(deliveries: list[Delivery]) -> None:
    with patch.object(mesh_module, "LIMITS", _SMALL), patch.object(thread_module, "LIMITS", _SMALL):
        mesh = Mesh(ROOM)
        for message, address in deliveries:
            assert _refusal(mesh, message, address) in ("", "state.full")
            _check_accounts(mesh)
        _state(mesh, deliveries)


def _refusal(mesh: Mesh, message: Message, address: str) -> str:
    """The code, "" if it was folded."""
    try:
        mesh.add(message, address)
    except RemoteProtocolError as error:
        return error.code
    return ""


def _check_accounts(mesh: Mesh) -> None:
    """What is counted along the way is what is there."""
    assert len(mesh.peers) <= _SMALL.peers
    assert len(mesh._threads) <= _SMALL.tasks
    assert mesh._shares.bytes == sum(thread.size for thread in mesh._threads.values()) <= _SMALL.fold_bytes
    assert len(mesh._unasked) <= _SMALL.waiting_messages
    assert len(mesh._unproven) <= _SMALL.waiting_messages
    for address, dids in mesh._holders.items():
        assert dids and all(address in mesh.peers[did].addresses for did in dids)
    for peer in mesh.peers.values():
        assert all(peer.did in mesh._holders[address] for address in peer.addresses)
        assert not peer.bound or peer.addresses


def _deliveries(choices: Choices) -> list[Delivery]:
    people = [Renewable(name) for name in ("alice", "bob", "carol", "dave")]
    addresses = [*(author.address for author in people), ELSEWHERE]
    talks = [Talk(choices, people), Talk(choices, people[1:])]
    made: list[Delivery] = []
    said: list[Message] = []
    while choices and len(made) < _MOST:
        way = choices.below(10)
        author = choices.pick(people)
        author.choose_key(choices)
        if way == 8 and author.rotations < _ROTATIONS:
            said.append(author.say(author.rotate(choices), sent_ms=NOW_MS - choices.below(4)))
        elif way == 9 and choices.rarely():
            said.append(author.say(author.revoke(choices), sent_ms=NOW_MS - choices.below(4)))
        elif way == 9 and choices.rarely():
            author.step_back()
        elif way < 2:
            said.append(author.say(_announce(choices, author, addresses), sent_ms=NOW_MS - choices.below(4)))
        elif way == 2:
            said.append(author.say(presence.Leave(revision=choices.below(4)), sent_ms=NOW_MS - choices.below(4)))
        elif way == 3 and choices.below(2):
            hello = handshake.Hello(versions=("1",), address=presence.Address(uri=author.address))
            said.append(author.say(hello, recipients=(choices.pick(people).did,)))
        elif way == 3 or not said:
            said.append(choices.pick(talks).conversation.request)
        elif way in (4, 5, 6):
            talk = choices.pick(talks)
            talk.say()
            said.append(talk.conversation.said[-1])
        if not said:
            continue
        message = choices.pick(said) if way == 7 else said[-1]
        own = next(author.address for author in people if author.did == message.sender)
        made.append((message, choices.pick([own, own, *addresses])))
    return made


def _announce(choices: Choices, author: Renewable, addresses: list[str]) -> presence.Announce:
    places = [author.address] if choices.below(2) else [choices.pick(addresses), choices.pick(addresses)]
    uris = tuple(presence.Address(uri=uri) for uri in dict.fromkeys(places))
    name = choices.pick([author.name, "twin"])
    named = author.next_key_digest(choices)
    return announce(author, choices.below(4), name=name, addresses=uris, next_key_digest=named)


def seeds() -> list[bytes]:
    chance = Random("room")
    return [chance.randbytes(length) for length in (80, 100, 140, 180, 220, 260, 300)]


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    return mutated_bytes(data, chance, other)
