"""The fold of a room: the same set of messages gives the same state, in every order (spec/10-fold.md)."""

from __future__ import annotations

import itertools
import random

import pytest

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import handshake, presence, task
from clawnet_proto.mesh import Mesh
from clawnet_proto.specification import TYPES
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author, some_digest
from tests.proto.conversation import Conversation
from tests.proto.pipeline_traces import PIPELINE
from tests.proto.rooms import ELSEWHERE, Delivery, folded, state, the_same_in_every_order
from tests.proto.samples import announce

# --- who is there ---


def test_an_announce_from_its_own_address_binds(alice: Author) -> None:
    message = alice.say(announce(alice))
    mesh = Mesh(ROOM)
    assert mesh.binding(message) == "unbound"
    assert mesh.add(message, alice.address) == "new"
    assert mesh.add(message, alice.address) == "duplicate"
    assert mesh.binding(message) == "bound"
    (peer,) = mesh.live_peers(NOW_MS)
    assert (peer.did, peer.name, peer.bound, peer.addresses) == (alice.did, "alice", True, {alice.address})


def test_an_announce_from_elsewhere_binds_nothing(alice: Author) -> None:
    message = alice.say(announce(alice))
    mesh = folded((message, ELSEWHERE))
    assert mesh.binding(message) == "unbound"
    assert mesh.peers[alice.did].announce == message
    assert not mesh.peers[alice.did].bound
    assert mesh.live_peers(NOW_MS) == []


def test_the_address_of_a_named_bridge_is_proven_for_bridges_alone(alice: Author, bob: Author) -> None:
    """Whoever names it beyond the bridge, first or last, and in a copy of the room, too."""
    bridge, both = presence.Address(uri=ELSEWHERE), Mesh(ROOM, frozenset({ELSEWHERE}))
    lent = alice.say(announce(alice, addresses=(presence.Address(uri=alice.address), bridge)))
    own = bob.say(announce(bob, addresses=(bridge,), kind="system", role="bridge"))
    for mesh in (both, both.copy()):
        for message in (lent, own, lent):
            mesh.add(message, ELSEWHERE)
        assert mesh.claimants(ELSEWHERE) == [bob.did]
        assert (mesh.binding(lent), mesh.binding(own)) == ("unbound", "bound")
        assert mesh.vouched(lent)
        mesh.add(lent, alice.address)
        assert mesh.peers[alice.did].addresses == {alice.address}


def test_a_relayed_copy_first_does_not_use_up_the_place_of_the_original(alice: Author) -> None:
    message = alice.say(announce(alice))
    mesh = folded((message, ELSEWHERE))
    assert mesh.add(message, alice.address) == "duplicate"
    assert mesh.binding(message) == "bound"
    assert mesh.peers[alice.did].bound
    the_same_in_every_order([(message, ELSEWHERE), (message, alice.address), (message, "matrix:u/other:example.org")])


def test_a_message_is_judged_by_all_addresses_that_delivered_it(alice: Author) -> None:
    asked = alice.say(samples.request())
    mesh = folded((asked, alice.address))
    assert mesh.binding(asked) == "unbound"
    mesh.add(alice.say(announce(alice)), alice.address)
    assert mesh.binding(asked) == "bound"
    relayed = alice.say(samples.request())
    mesh.add(relayed, ELSEWHERE)
    assert mesh.binding(relayed) == "relayed"
    assert mesh.add(relayed, alice.address) == "duplicate"
    assert mesh.binding(relayed) == "bound"


def test_the_highest_revision_from_a_bound_address_counts(alice: Author) -> None:
    first, second, third = (alice.say(announce(alice, revision, name=f"{revision}")) for revision in (1, 2, 3))
    shown = the_same_in_every_order([(first, alice.address), (second, alice.address), (third, ELSEWHERE)])
    assert shown["peers"][alice.did][0] == second.id
    shown = the_same_in_every_order([(first, ELSEWHERE), (third, ELSEWHERE)])
    assert shown["peers"][alice.did][:2] == (third.id, False)


def test_an_address_once_proven_stays_proven(alice: Author) -> None:
    other = "matrix:u/alice2:example.org"
    moved = announce(alice, 2, addresses=(presence.Address(uri=other),))
    deliveries = [(alice.say(announce(alice)), alice.address), (alice.say(moved), other)]
    shown = the_same_in_every_order(deliveries)
    assert shown["peers"][alice.did][2] == sorted([alice.address, other])
    assert set(shown["bindings"].values()) == {"bound"}


def test_a_leave_ends_what_came_before_it(alice: Author) -> None:
    first, second = alice.say(announce(alice, 1)), alice.say(announce(alice, 3))
    leave = alice.say(presence.Leave(revision=2))
    gone = [(first, alice.address), (leave, ELSEWHERE)]
    assert the_same_in_every_order(gone)["live"] == []
    assert the_same_in_every_order([*gone, (second, alice.address)])["live"] == [alice.did]
    equal = alice.say(presence.Leave(revision=3))
    assert the_same_in_every_order([*gone, (second, alice.address), (equal, alice.address)])["live"] == []


def test_an_announce_is_live_while_it_lasts(alice: Author) -> None:
    message = alice.say(announce(alice), expires_ms=NOW_MS + 1000)
    mesh = folded((message, alice.address))
    skew = TYPES["presence.announce"].skew_ms
    moments = {
        NOW_MS - skew - 1: [],  # it comes from the future
        NOW_MS - skew: [alice.did],
        NOW_MS + 999: [alice.did],
        NOW_MS + 1000: [],
        NOW_MS + 86_400_000: [],
    }
    assert {now_ms: [peer.did for peer in mesh.live_peers(now_ms)] for now_ms in moments} == moments
    assert mesh.peers[alice.did].announce == message


def test_two_announces_with_one_revision_are_equivocation(alice: Author) -> None:
    twins = [(alice.say(announce(alice, 5, name=name)), alice.address) for name in ("a", "b", "c")]
    shown = the_same_in_every_order([*twins, (alice.say(announce(alice, 4)), alice.address)])
    assert shown["peers"][alice.did][0] == max(message.id for message, _ in twins)
    assert shown["peers"][alice.did][5]
    later = (alice.say(announce(alice, 6)), alice.address)
    assert not the_same_in_every_order([*twins, later])["peers"][alice.did][5]
    assert not folded(twins[0], (twins[0][0], ELSEWHERE)).peers[alice.did].equivocates


def test_two_identities_at_one_address_are_a_conflict_and_one_voice(alice: Author, bob: Author) -> None:
    shared = announce(bob, addresses=(presence.Address(uri=alice.address),))
    deliveries = [
        (alice.say(announce(alice)), alice.address),
        (bob.say(shared, sent_ms=NOW_MS + 1), alice.address),
    ]
    shown = the_same_in_every_order(deliveries)
    assert shown["conflicts"] == {alice.address: sorted([alice.did, bob.did])}
    assert shown["live"] == [bob.did]  # heard of last
    again = (alice.say(presence.Leave(revision=0), sent_ms=NOW_MS + 2), alice.address)
    assert the_same_in_every_order([*deliveries, again])["live"] == [alice.did]


def test_direct_messages_go_where_the_address_is_proven(alice: Author) -> None:
    addresses = (
        presence.Address(uri="matrix:u/unproven:example.org", device="A"),
        presence.Address(uri=alice.address),
        presence.Address(uri="matrix:u/second:example.org", device="B"),
    )
    message = alice.say(announce(alice, addresses=addresses))
    mesh = folded((message, alice.address))
    assert mesh.direct_addresses(alice.did) == ()
    mesh.add(message, addresses[2].uri)
    assert mesh.direct_addresses(alice.did) == (addresses[2],)
    assert mesh.direct_addresses("did:key:nobody") == ()


# --- tasks ---


def everything(alice: Author, bob: Author, carol: Author) -> list[Delivery]:
    """A room with two tasks, a handshake, relayed and unbound copies, equivocation, a conflict and a leave."""
    shared = announce(carol, addresses=(presence.Address(uri=bob.address, device="C"),))
    talk = Conversation(alice, PIPELINE)
    award = talk.award(bob)
    for index in (2, 0, 1):
        talk.progress(award, index)
    talk.progress(award, 99, by=carol)
    reply = talk.reply(talk.ask(award))
    talk.result(award, after=reply)
    talk.start(talk.award(carol, "critique"))
    other = Conversation(bob)
    other.cancel()
    other.award(alice, by=carol)
    address = presence.Address(uri=alice.address)
    hello = alice.say(handshake.Hello(versions=("1",), address=address), recipients=(bob.did,))
    messages = [talk.request, *talk.said, other.request, *other.said, hello]
    addresses = {author.did: author.address for author in (alice, bob, carol)}
    return [
        *((message, addresses[message.sender]) for message in messages),
        *((message, ELSEWHERE) for message in messages[::2]),
        *((author.say(announce(author, 2)), author.address) for author in (alice, bob)),
        (bob.say(announce(bob, 2, name="twin")), ELSEWHERE),
        (alice.say(announce(alice, 1)), alice.address),
        (carol.say(shared), bob.address),
        (carol.say(presence.Leave(revision=0)), ELSEWHERE),
    ]


def test_a_whole_room_is_the_same_in_every_order(alice: Author, bob: Author, carol: Author) -> None:
    deliveries = everything(alice, bob, carol)
    shown = the_same_in_every_order(deliveries)
    assert set(shown["bindings"].values()) == {"bound", "relayed"}
    assert len(shown["tasks"]) == 2
    assert shown["conflicts"]


@pytest.mark.parametrize("seed", range(30))
def test_any_part_of_a_room_is_the_same_in_every_order(alice: Author, bob: Author, carol: Author, seed: int) -> None:
    chance = random.Random(seed)
    whole = everything(alice, bob, carol)
    part = chance.sample(whole, chance.randrange(1, len(whole)))
    expected = state(folded(*part), part)
    for _ in range(12):
        assert state(folded(*chance.sample(part, len(part))), part) == expected


def test_messages_wait_for_their_request_and_their_cause(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    start = talk.start(award)
    mesh = folded((start, bob.address))
    assert mesh.task(talk.request.id) is None
    mesh.add(talk.request, alice.address)
    view = mesh.task(talk.request.id)
    assert view is not None
    assert view.errors == {start.id: "state.waiting"}
    mesh.add(award, alice.address)
    view = mesh.task(talk.request.id)
    assert view is not None
    assert (view.errors, view.stages["draft"].state) == ({}, "working")


def test_tasks_come_by_the_time_of_their_request(alice: Author, bob: Author) -> None:
    requests = [alice.say(samples.request(), sent_ms=sent_ms) for sent_ms in (NOW_MS, NOW_MS - 5, NOW_MS, NOW_MS + 5)]
    expected = sorted(requests, key=lambda message: (message.envelope.sent_ms, message.id))
    for order in itertools.permutations(requests):
        mesh = folded(*((message, alice.address) for message in order))
        assert [view.id for view in mesh.tasks()] == [message.id for message in expected]


def test_the_newest_progress_of_the_executor_is_shown(alice: Author, bob: Author, carol: Author) -> None:
    """Nobody else's progress takes its place, whatever index it claims."""
    talk = Conversation(alice)
    award = talk.award(bob)
    mine = [talk.progress(award, index) for index in (0, 2, 1, 2)]
    newest = max(mine[1], mine[3], key=lambda message: message.id)
    talk.progress(award, 1000, by=carol)
    talk.progress(award, 1001, by=alice)
    deliveries = [(message, ELSEWHERE) for message in (talk.request, *talk.said)]
    shown = the_same_in_every_order(deliveries)
    assert shown["progress"] == {talk.request.id: [("draft", 1, newest.id)]}
    mesh = folded(*deliveries)
    assert mesh.progress(talk.request.id, "draft", 2) is mesh.progress(talk.request.id, "dance", 1) is None
    assert mesh.progress("nothing", "draft", 1) is None


def test_another_room_is_another_fold(alice: Author) -> None:
    message = alice.say(announce(alice), room="matrix:roomid/other:example.org")
    mesh = Mesh(ROOM)
    with pytest.raises(RemoteProtocolError) as caught:
        mesh.add(message, alice.address)
    assert caught.value.code == "room.mismatch"
    assert mesh.peers == {}


def test_a_thread_without_a_request_is_no_task(alice: Author, bob: Author) -> None:
    cancel = alice.say(task.Cancel(), thread=some_digest("x"), answers=some_digest("x"))
    mesh = folded((cancel, alice.address))
    assert mesh.task(some_digest("x")) is None
    assert list(mesh.tasks()) == []
