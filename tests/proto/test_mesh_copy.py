"""A copy of a fold and the fold go on alike, and apart; so does a fold that packs tasks (spec/10-fold.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawnet_proto import mesh as mesh_module
from clawnet_proto import thread as thread_module
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import identity, presence, task
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from clawnet_proto.specification import LIMITS
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.proto.conversation import Conversation
from tests.proto.pipeline_traces import PIPELINE
from tests.proto.rooms import ELSEWHERE, Delivery, folded, state
from tests.proto.samples import announce, link, request, rotation


def _pool() -> list[Delivery]:
    """A room with tasks, keys that change, conflicts, relayed copies, and more strangers than there is room for."""
    alice, bob, carol, second, thief = (Author(f"copied {name}") for name in ("alice", "bob", "carol", "2nd", "thief"))
    addresses = {author.did: author.address for author in (alice, bob, carol)}
    messages = []
    for requester, executor, plan in ((alice, bob, PIPELINE), (alice, carol, None), (bob, alice, None)):
        talk = Conversation(requester, plan)
        award = talk.award(executor)
        talk.start(award)
        for index in range(3):
            talk.progress(award, index)
        talk.result(award, after=talk.reply(talk.ask(award)))
        talk.start(talk.award(carol, attempt=2))
        talk.award(bob, by=carol)
        talk.cancel()
        messages += [talk.request, *talk.said]

    def by(key: Author, body: Any, **fields: Any) -> Message:
        return key.say(body, sent_ms=NOW_MS + 1000, sender=alice.did, **fields)

    def rotated(key: Author) -> Message:
        chain = (link(alice, key, of=alice, since_ms=NOW_MS + 1000),)
        return by(key, identity.Rotate(chain=chain, next_key_digest=digest(carol.key.public)))

    asked = messages[0]
    awarded = task.Award(stage="draft", attempt=3, lease_ms=30_000)
    messages += [
        alice.say(announce(alice, 1, next_key_digest=digest(second.key.public))),
        rotated(second),
        rotated(thief),
        by(second, announce(alice, 2)),
        by(second, awarded, thread=asked.id, answers=asked.id, recipients=(bob.did,)),
        bob.say(announce(bob, 1)),
        bob.say(announce(bob, 1, name="twin")),
        thief.say(rotation(bob, thief), sender=bob.did),
        bob.say(identity.Revoke(chain=(), since_ms=NOW_MS + 9)),
        carol.say(announce(carol, 1, addresses=(presence.Address(uri=bob.address),))),
        carol.say(presence.Leave(revision=0)),
    ]
    own = [(message, addresses[message.sender]) for message in messages]
    strangers = [Author(f"copied stranger {number}") for number in range(6)]
    return [
        *own,
        *((message, ELSEWHERE) for message, _ in own[::3]),
        *((message, bob.address) for message, _ in own[::4]),
        *((author.say(announce(author)), author.address) for author in strangers),
    ]


POOL = _pool()
DELIVERIES = st.lists(st.sampled_from(POOL), max_size=60)
SMALL = {
    "peers": 6,
    "tasks": 2,
    "messages_per_task": 6,
    "messages_per_sender": 3,
    "senders_per_task": 2,
    "waiting_messages": 5,
}


@contextmanager
def bounds(small: bool) -> Iterator[None]:
    """The specification's bounds, or bounds that a few messages reach."""
    limits = msgspec.structs.replace(LIMITS, **SMALL) if small else LIMITS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mesh_module, "LIMITS", limits)
        patch.setattr(thread_module, "LIMITS", limits)
        patch.setattr(mesh_module, "_REMEMBERED_IDS", 10 if small else 65536)
        patch.setattr(mesh_module, "_AWAKE", 1 if small else 256)
        yield


def told(mesh: Mesh, deliveries: list[Delivery]) -> list[str]:
    """Fold, and what was said of each."""
    answers = []
    for message, address in deliveries:
        try:
            answers.append(str(mesh.add(message, address)))
        except RemoteProtocolError as error:
            answers.append(error.code)
    return answers


def shown(mesh: Mesh) -> Any:
    """All that a fold tells of the whole pool, and what it keeps to go on by."""
    authority = [mesh.authority(message) for message, _ in POOL]
    kept = {did: (peer.known, peer.sent, peer.newest) for did, peer in mesh.peers.items()}
    waiting = [(space._causes, space._by_address) for space in (mesh._unasked, mesh._unproven)]
    places = (mesh._holders, mesh._known, sorted(mesh._shares._sizes.items()), mesh._shares.bytes, len(mesh._origins))
    return state(mesh, POOL), authority, mesh.presence_changes, kept, waiting, places


@given(DELIVERIES, DELIVERIES, DELIVERIES, st.booleans(), st.booleans())
def test_a_copy_and_its_original_go_on_apart(
    before: list[Delivery], ours: list[Delivery], theirs: list[Delivery], small: bool, looked_at: bool
) -> None:
    with bounds(small):
        original, twins = Mesh(ROOM), [Mesh(ROOM), Mesh(ROOM)]
        told(original, before)
        for twin in twins:
            told(twin, before)
        if looked_at:  # then the states of tasks are shared as well
            assert shown(original) == shown(twins[0]) == shown(twins[1])
        copy = original.copy()
        for mesh, twin, deliveries in ((copy, twins[0], theirs), (original, twins[1], ours)):
            assert told(mesh, deliveries) == told(twin, deliveries)
        assert [shown(copy), shown(original)] == [shown(twin) for twin in twins]


@given(DELIVERIES, DELIVERIES, st.booleans())
def test_a_copy_goes_on_like_its_original(before: list[Delivery], after: list[Delivery], small: bool) -> None:
    with bounds(small):
        original = Mesh(ROOM)
        told(original, before)
        first = original.copy()
        second = first.copy()
        answers = told(original, after)
        assert told(second, after) == answers
        assert told(first, after) == answers
        assert shown(first) == shown(second) == shown(original)


def test_a_copy_is_taken_at_every_step_without_a_trace() -> None:
    plain, copied = Mesh(ROOM), Mesh(ROOM)
    kept = []
    for number, delivery in enumerate(POOL):
        told(plain, [delivery])
        told(copied, [delivery])
        copied = copied.copy()
        kept.append((number, copied.copy()))
    assert shown(copied) == shown(plain)
    for number, mesh in kept[::7]:
        assert shown(mesh) == shown(folded(*POOL[: number + 1]))


def test_what_is_forgotten_while_somebody_goes_through_the_tasks_is_left_out() -> None:
    requester = Author("goes through")
    asked = [requester.say(request(), sent_ms=NOW_MS + number) for number in range(12)]
    with bounds(small=True):
        mesh = folded(*((message, requester.address) for message in asked[:2]))
        going = mesh.tasks()
        first = next(going)
        for message in asked[2:]:
            mesh.add(message, requester.address)
        assert [view.id for view in going] == []
        assert mesh.task(first.id) is None
        assert len(list(mesh.tasks())) == len({*mesh._awake, *mesh._threads}) == 2


def test_no_task_stays_awake_in_a_copy_that_nobody_looks_at() -> None:
    mesh = folded(*POOL[:20])
    kept = mesh.copy()
    mesh.copy()
    told(mesh, POOL[20:])
    changed = [thread for task_id, thread in kept._threads.items() if mesh._threads[task_id] is not thread]
    assert changed
    assert all(thread._asleep for thread in changed)


@given(DELIVERIES, DELIVERIES)
def test_what_is_packed_goes_on_like_what_is_not(before: list[Delivery], after: list[Delivery]) -> None:
    packing, plain = Mesh(ROOM), Mesh(ROOM)
    with pytest.MonkeyPatch.context() as patch:
        for deliveries in (before, after):
            patch.setattr(mesh_module, "_AWAKE", 1)
            answers = told(packing, deliveries)
            assert sum(not thread._asleep for thread in packing._threads.values()) <= 1
            seen = shown(packing)
            patch.setattr(mesh_module, "_AWAKE", 256)
            assert told(plain, deliveries) == answers
            assert shown(plain) == seen
