"""The fold of a room: the same set of messages gives the same state, in bounded memory (spec/10-fold.md)."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest

from clawnet_proto import mesh as mesh_module
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import handshake, presence, task
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.specification import LIMITS, TYPES
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author, some_digest
from tests.proto.conversation import Conversation, normal
from tests.proto.samples import announce
from tests.proto.traces import PIPELINE

Delivery = tuple[Message, str]
ELSEWHERE = "matrix:u/relay:example.org"
DAY_MS = 86_400_000


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
                mesh.direct_address(did),
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


def code_of(mesh: Mesh, message: Message, address: str) -> str:
    try:
        mesh.add(message, address)
    except RemoteProtocolError as error:
        return error.code
    return ""


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
        NOW_MS + DAY_MS: [],
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
    assert mesh.direct_address(alice.did) is None
    mesh.add(message, addresses[2].uri)
    assert mesh.direct_address(alice.did) == addresses[2]
    assert mesh.direct_address("did:key:nobody") is None


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
def test_any_part_of_a_room_is_the_same_in_every_order(
    alice: Author, bob: Author, carol: Author, seed: int
) -> None:
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
    mine = [talk.progress(award, index) for index in (0, 2, 1)]
    talk.progress(award, 1000, by=carol)
    talk.progress(award, 1001, by=alice)
    deliveries = [(message, ELSEWHERE) for message in (talk.request, *talk.said)]
    shown = the_same_in_every_order(deliveries)
    assert shown["progress"] == {talk.request.id: [("draft", 1, mine[1].id)]}
    mesh = folded(*deliveries)
    assert mesh.progress(talk.request.id, "draft", 2) is mesh.progress(talk.request.id, "dance", 1) is None
    assert mesh.progress("nothing", "draft", 1) is None


def test_another_room_is_another_fold(alice: Author) -> None:
    message = alice.say(announce(alice), room="matrix:roomid/other:example.org")
    mesh = Mesh(ROOM)
    assert code_of(mesh, message, alice.address) == "room.mismatch"
    assert mesh.peers == {}


# --- bounds ---


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can reach."""
    bounds = msgspec.structs.replace(LIMITS, peers=8, tasks=6, messages_per_task=10, waiting_messages=12)
    monkeypatch.setattr(mesh_module, "LIMITS", bounds)


def strangers(count: int) -> list[Author]:
    return [Author(f"stranger {number}") for number in range(count)]


@pytest.mark.usefixtures("small")
def test_new_keys_displace_no_bound_peer(alice: Author, bob: Author) -> None:
    old = [(author.say(announce(author), sent_ms=NOW_MS - 5), author.address) for author in (alice, bob)]
    mesh = folded(*old)
    for stranger in strangers(50):
        mesh.add(stranger.say(announce(stranger)), ELSEWHERE)
        assert len(mesh.peers) <= 8
    assert {alice.did, bob.did} <= mesh.peers.keys()
    assert [peer.did for peer in mesh.live_peers(NOW_MS)] == sorted([alice.did, bob.did])


@pytest.mark.usefixtures("small")
def test_whoever_was_silent_longest_is_forgotten_with_all_it_held(alice: Author) -> None:
    mesh = Mesh(ROOM)
    authors = strangers(12)
    for number, author in enumerate(authors):
        mesh.add(author.say(announce(author), sent_ms=NOW_MS + number), author.address)
    assert mesh.peers.keys() == {author.did for author in authors[4:]}
    assert mesh._holders.keys() == {author.address for author in authors[4:]}


def test_an_account_proves_a_bounded_number_of_identities(alice: Author) -> None:
    mesh = Mesh(ROOM)
    codes = []
    for author in strangers(10):
        body = announce(author, addresses=(presence.Address(uri=alice.address),))
        codes.append(code_of(mesh, author.say(body), alice.address))
        assert code_of(mesh, author.say(body), alice.address) == codes[-1]
    assert codes == [""] * 8 + ["state.full"] * 2
    assert len(mesh.conflicts()[alice.address]) == 8
    assert mesh.peers[strangers(10)[9].did].announce is None


@pytest.mark.usefixtures("small")
def test_of_too_many_tasks_the_oldest_are_forgotten_in_every_order(alice: Author) -> None:
    requests = [alice.say(samples.request(), sent_ms=NOW_MS + number // 2) for number in range(10)]
    kept = sorted(requests, key=lambda message: (message.envelope.sent_ms, message.id))[-6:]
    chance = random.Random(1)
    for _ in range(50):
        mesh = folded(*((message, alice.address) for message in chance.sample(requests, len(requests))))
        assert [view.id for view in mesh.tasks()] == [message.id for message in kept]


@pytest.mark.usefixtures("small")
def test_a_task_has_a_bounded_number_of_messages(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    mesh = folded((talk.request, alice.address), (award, alice.address))
    codes = [code_of(mesh, talk.start(award), bob.address) for _ in range(12)]
    assert codes == [""] * 9 + ["state.full"] * 3
    assert code_of(mesh, talk.said[1], ELSEWHERE) == ""  # what is there already needs no room
    assert code_of(mesh, talk.progress(award), bob.address) == "state.full"


@pytest.mark.usefixtures("small")
def test_progress_cannot_fill_a_task_however_it_is_labeled(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    mesh = folded((talk.request, alice.address), (award, alice.address))
    assert [code_of(mesh, talk.progress(award, index), bob.address) for index in range(30)] == [""] * 30
    codes = []
    for number in range(12):
        body = task.Progress(stage=f"s{number}", attempt=1 + number, index=0, tokens=0, offset=0)
        codes.append(code_of(mesh, talk.say(bob, body, award, alice.did), bob.address))
    assert codes == [""] * 8 + ["state.full"] * 4


@pytest.mark.usefixtures("small")
def test_what_waits_is_bounded(alice: Author, bob: Author) -> None:
    mesh = Mesh(ROOM)
    talks = [Conversation(alice) for _ in range(20)]
    for talk in talks:
        award = talk.award(bob)
        mesh.add(award, alice.address)
        mesh.add(award, ELSEWHERE)  # a second copy takes no second place
        assert mesh._waiting_count == sum(map(len, mesh._waiting.values())) <= 12
    for talk in talks:
        mesh.add(talk.request, alice.address)
    states = [view.stages["draft"].state for view in mesh.tasks() if view.stages["draft"].state == "awarded"]
    assert 1 <= len(states) <= 6
    assert (mesh._waiting_count, mesh._waiting) == (0, {})


@pytest.mark.usefixtures("small")
def test_more_may_wait_than_a_task_can_hold(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    mesh = folded(*((talk.start(award), bob.address) for _ in range(11)))
    assert code_of(mesh, talk.request, alice.address) == ""
    assert (mesh._waiting_count, mesh._waiting) == (0, {})
    assert code_of(mesh, award, alice.address) == "state.full"


def test_remembered_ids_are_bounded(alice: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "_REMEMBERED_IDS", 5)
    mesh = Mesh(ROOM)
    messages = [alice.say(presence.Leave(revision=number)) for number in range(9)]
    for message in messages:
        assert mesh.add(message, alice.address) == "new"
    assert len(mesh._origins) == 5
    assert mesh.add(messages[-1], alice.address) == "duplicate"
    assert mesh.add(messages[0], alice.address) == "new"  # forgotten; folding it again changes nothing
    assert mesh.peers[alice.did].left_revision == 8


def test_a_thread_without_a_request_is_no_task(alice: Author, bob: Author) -> None:
    cancel = alice.say(task.Cancel(), thread=some_digest("x"), answers=some_digest("x"))
    mesh = folded((cancel, alice.address))
    assert mesh.task(some_digest("x")) is None
    assert list(mesh.tasks()) == []
