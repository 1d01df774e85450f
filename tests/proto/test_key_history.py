"""Keys that change: what an identity's keys may say, in every order of arrival (spec/04-identity.md)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import identity, presence, task
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tests.proto.authoring import NOW_MS, ROOM, Author, some_digest
from tests.proto.samples import announce, link, request, rotation

ALICE, SECOND, THIRD, THIEF = (Author(f"key history {name}") for name in ("alice", "second", "third", "thief"))
BOB = Author("bob")
SINCE = NOW_MS + 1000


def committed(to: Author) -> str:
    return digest(to.key.public)


def say(key: Author, body: Any, *, sent_ms: int = NOW_MS, **fields: Any) -> Message:
    """A message of the identity of alice, by one of her keys."""
    return key.say(body, sent_ms=sent_ms, sender=ALICE.did, **fields)


def rotate(*keys: Author, after: Author | None = None) -> identity.Rotate:
    """Rotations from alice's first key through these; what comes next is ``after``."""
    befores = (ALICE, *keys[:-1])
    chain = tuple(
        link(before, key, of=ALICE, generation=generation, since_ms=SINCE + generation)
        for generation, (before, key) in enumerate(zip(befores, keys, strict=True), start=1)
    )
    return identity.Rotate(chain=chain, next_key_digest=committed(after) if after else some_digest("next key"))


def folded(messages: tuple[Message, ...]) -> Mesh:
    mesh = Mesh(ROOM)
    for message in messages:
        mesh.add(message, ALICE.address)
    return mesh


def picture(mesh: Mesh, messages: list[Message]) -> Any:
    peer = mesh.peers.get(ALICE.did)
    return (
        None
        if peer is None
        else (peer.keys.key, peer.standing, peer.announce and peer.announce.id, peer.bound, sorted(peer.addresses)),
        {message.id: (mesh.authority(message), mesh.binding(message)) for message in messages},
        {view.id: (view.state, {name: stage.state for name, stage in view.stages.items()}) for view in mesh.tasks()},
        [found.did for found in mesh.live_peers(NOW_MS + 2000)],
    )


def in_every_order(*messages: Message) -> tuple[Mesh, dict[str, str | None]]:
    """The fold, if it is the same in every order, and the verdict of authority on each message."""
    pictures = [picture(folded(order), list(messages)) for order in itertools.permutations(messages)]
    assert all(found == pictures[0] for found in pictures)
    mesh = folded(messages)
    return mesh, {message.id: mesh.authority(message) for message in messages}


def test_after_a_rotation_the_new_key_speaks_and_the_old_one_is_history() -> None:
    before = say(ALICE, announce(ALICE, 1, next_key_digest=committed(SECOND)))
    asked = say(ALICE, request())
    rotated = say(SECOND, rotate(SECOND), sent_ms=SINCE)
    after = say(SECOND, announce(ALICE, 2), sent_ms=SINCE)
    late = say(ALICE, task.Cancel(), sent_ms=SINCE + 1, thread=asked.id, answers=asked.id)
    mesh, verdicts = in_every_order(before, asked, rotated, after, late)
    assert verdicts[before.id] == verdicts[asked.id] == "key.retired"
    assert verdicts[after.id] is None
    assert verdicts[late.id] == "key.not_authorized"
    peer = mesh.peers[ALICE.did]
    assert peer.announce == after
    assert peer.bound
    view = mesh.task(asked.id)
    assert view is not None and view.state == "submitted"


def test_a_key_that_nobody_proved_waits() -> None:
    early = say(SECOND, announce(ALICE, 2), sent_ms=SINCE)
    asked = say(SECOND, request(), sent_ms=SINCE)
    mesh, verdicts = in_every_order(early, asked)
    assert set(verdicts.values()) == {"key.unproven"}
    assert ALICE.did not in mesh.peers
    assert mesh.task(asked.id) is None
    mesh.add(say(SECOND, rotate(SECOND), sent_ms=SINCE), ALICE.address)
    assert mesh.peers[ALICE.did].announce == early
    assert mesh.task(asked.id) is not None


def test_a_task_goes_on_after_a_rotation_of_its_requester() -> None:
    asked = say(ALICE, request())
    rotated = say(SECOND, rotate(SECOND), sent_ms=SINCE)
    award = say(
        SECOND, task.Award(stage="draft", attempt=1, lease_ms=30_000),
        sent_ms=SINCE, thread=asked.id, answers=asked.id, recipients=(BOB.did,),
    )  # fmt: skip
    mesh, _ = in_every_order(asked, rotated, award)
    view = mesh.task(asked.id)
    assert view is not None and view.state == "working"


def test_two_rotations_of_one_key_dispute_the_identity() -> None:
    before = say(ALICE, announce(ALICE, 1, next_key_digest=committed(SECOND)))
    honest = say(SECOND, rotate(SECOND), sent_ms=SINCE)
    stolen = say(THIEF, rotate(THIEF), sent_ms=SINCE)
    lie = say(THIEF, announce(ALICE, 9), sent_ms=SINCE)
    mesh, verdicts = in_every_order(before, honest, stolen, lie)
    assert mesh.peers[ALICE.did].standing == "disputed"
    assert mesh.live_peers(NOW_MS + 2000) == []
    assert verdicts[before.id] == "key.retired"
    assert verdicts[lie.id] == "key.disputed"


def test_a_rotation_to_another_key_than_announced_disputes_the_identity() -> None:
    before = say(ALICE, announce(ALICE, 1, next_key_digest=committed(SECOND)))
    stolen = say(THIEF, rotate(THIEF), sent_ms=SINCE)
    lie = say(THIEF, announce(ALICE, 9), sent_ms=SINCE)
    mesh, verdicts = in_every_order(before, stolen, lie)
    assert mesh.peers[ALICE.did].standing == "disputed"
    assert verdicts[lie.id] == "key.disputed"


def test_announces_that_commit_to_two_keys_dispute_the_identity() -> None:
    one = say(ALICE, announce(ALICE, 1, next_key_digest=committed(SECOND)))
    other = say(ALICE, announce(ALICE, 2, next_key_digest=committed(THIEF)))
    mesh, _ = in_every_order(one, other)
    assert mesh.peers[ALICE.did].standing == "disputed"


def test_a_dispute_further_on_leaves_the_chain_before_it() -> None:
    first = say(SECOND, rotate(SECOND, after=THIRD), sent_ms=SINCE)
    further = say(THIRD, rotate(SECOND, THIRD), sent_ms=SINCE)
    stolen = say(THIEF, rotate(SECOND, THIEF), sent_ms=SINCE)
    old = say(ALICE, presence.Leave(revision=1), sent_ms=SINCE + 1)
    word = say(SECOND, presence.Leave(revision=1), sent_ms=SINCE + 5)
    mesh, verdicts = in_every_order(first, further, stolen, old, word)
    assert mesh.peers[ALICE.did].keys.chain == [ALICE.did, SECOND.did]
    assert verdicts[old.id] == "key.not_authorized"
    assert verdicts[word.id] == "key.retired"


def test_a_revoked_identity_says_nothing_more() -> None:
    before = say(ALICE, announce(ALICE, 1, next_key_digest=committed(SECOND)))
    revoke = say(ALICE, identity.Revoke(chain=(), since_ms=SINCE), sent_ms=SINCE)
    late = say(ALICE, request(), sent_ms=SINCE)
    mesh, verdicts = in_every_order(before, revoke, late)
    assert verdicts[before.id] == "key.retired"
    assert verdicts[late.id] == "key.not_authorized"
    assert mesh.peers[ALICE.did].standing == "revoked"
    assert mesh.task(late.id) is None


def test_a_revoke_by_a_key_that_was_rotated_away_is_void() -> None:
    revoke = say(ALICE, identity.Revoke(chain=(), since_ms=NOW_MS), sent_ms=SINCE)
    rotated = say(SECOND, rotate(SECOND), sent_ms=SINCE)
    after = say(SECOND, announce(ALICE, 2), sent_ms=SINCE)
    mesh, verdicts = in_every_order(revoke, rotated, after)
    assert mesh.peers[ALICE.did].standing == "good"
    assert verdicts[after.id] is None


def test_the_rotated_key_can_revoke() -> None:
    links = rotate(SECOND).chain
    revoke = say(SECOND, identity.Revoke(chain=links, since_ms=SINCE), sent_ms=SINCE)
    after = say(SECOND, announce(ALICE, 2), sent_ms=SINCE)
    mesh, verdicts = in_every_order(revoke, after)
    assert verdicts[after.id] == "key.not_authorized"
    assert mesh.peers[ALICE.did].announce is None


@pytest.mark.parametrize(
    "body,key",
    [
        (rotation(ALICE, SECOND), THIEF),
        (rotation(BOB, SECOND), SECOND),
        (identity.Rotate(chain=(link(ALICE, ALICE, of=ALICE),), next_key_digest=some_digest("x")), ALICE),
        (identity.Rotate(chain=(link(SECOND, SECOND, of=ALICE),), next_key_digest=some_digest("x")), SECOND),
        (
            identity.Rotate(chain=(link(ALICE, SECOND, of=ALICE, generation=2),), next_key_digest=some_digest("x")),
            SECOND,
        ),
        (identity.Revoke(chain=(), since_ms=SINCE), SECOND),
        (identity.Revoke(chain=rotate(SECOND).chain, since_ms=SINCE), ALICE),
    ],
)
def test_what_the_chain_does_not_prove_is_refused(body: Any, key: Author) -> None:
    with pytest.raises(Exception, match=r"identity\.broken_chain"):
        say(key, body)


def code_of(mesh: Mesh, message: Message, address: str) -> str:
    try:
        mesh.add(message, address)
    except RemoteProtocolError as error:
        return error.code
    return ""


def test_what_waits_for_a_rotation_displaces_nobody() -> None:
    mesh = Mesh(ROOM)
    asked = BOB.say(request())
    award = task.Award(stage="draft", attempt=1, lease_ms=30_000)
    awarded = BOB.say(award, thread=asked.id, answers=asked.id, recipients=(ALICE.did,))
    mesh.add(awarded, BOB.address)
    codes = [
        code_of(mesh, say(THIEF, presence.Leave(revision=number)), f"matrix:u/{number // 50}:example.org")
        for number in range(3000)
    ]
    assert codes[:33] == [""] * 32 + ["state.full"]
    assert len(mesh._unproven) <= 1024
    mesh.add(asked, BOB.address)
    view = mesh.task(asked.id)
    assert view is not None and view.state == "working"


def test_new_identities_do_not_make_a_room_forget_that_a_key_was_given_up() -> None:
    mesh = Mesh(ROOM)
    mesh.add(say(ALICE, announce(ALICE, 1, next_key_digest=committed(SECOND))), ALICE.address)
    mesh.add(say(ALICE, identity.Revoke(chain=(), since_ms=SINCE), sent_ms=SINCE), ALICE.address)
    late = say(ALICE, request(), sent_ms=SINCE)
    for number in range(4200):
        stranger = Author(f"stranger {number}")
        mesh.add(stranger.say(identity.Revoke(chain=(), since_ms=0)), "matrix:u/stranger:example.org")
    assert len(mesh.peers) <= 4096
    assert mesh.authority(late) == "key.not_authorized"


def test_who_was_forgotten_is_known_again_by_the_same_message() -> None:
    mesh = Mesh(ROOM)
    revoke = say(ALICE, identity.Revoke(chain=(), since_ms=SINCE))
    mesh.add(revoke, ALICE.address)
    mesh._forget_peer()
    assert ALICE.did not in mesh.peers
    mesh.add(revoke, ALICE.address)
    assert mesh.peers[ALICE.did].standing == "revoked"


def test_a_key_that_was_given_up_uses_up_no_place_of_the_new_one() -> None:
    mesh = Mesh(ROOM)
    asked = say(ALICE, request())
    mesh.add(asked, ALICE.address)
    mesh.add(say(SECOND, rotate(SECOND), sent_ms=SINCE), ALICE.address)
    for _ in range(600):
        code_of(mesh, say(ALICE, task.Cancel(), sent_ms=SINCE + 1, thread=asked.id, answers=asked.id), ALICE.address)
    close = task.Close(outcome="failed", accepted=(), executions=0)
    mesh.add(say(SECOND, close, sent_ms=SINCE, thread=asked.id, answers=asked.id), ALICE.address)
    view = mesh.task(asked.id)
    assert view is not None and view.state == "failed"


def test_only_the_last_key_says_when_the_ones_before_it_ended() -> None:
    early = identity.Rotate(chain=(link(ALICE, SECOND, of=ALICE, since_ms=0),), next_key_digest=committed(THIRD))
    asked = say(ALICE, request())
    rotated = say(SECOND, rotate(SECOND, after=THIRD), sent_ms=SINCE)
    again = say(THIRD, rotate(SECOND, THIRD), sent_ms=SINCE)
    lie = say(SECOND, early, sent_ms=SINCE)
    mesh, verdicts = in_every_order(asked, rotated, again, lie)
    assert verdicts[asked.id] == "key.retired"
    assert mesh.task(asked.id) is not None


def test_what_keys_do_elsewhere_derives_no_task_anew() -> None:
    mesh = Mesh(ROOM)
    asked = BOB.say(request())
    mesh.add(asked, BOB.address)
    view = mesh.task(asked.id)
    mesh.add(say(ALICE, identity.Revoke(chain=(), since_ms=SINCE)), ALICE.address)
    assert mesh.task(asked.id) is view
