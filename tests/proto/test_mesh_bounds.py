"""The fold of a room stays within its bounds, whatever strangers send (spec/10-fold.md, "Bounds")."""

from __future__ import annotations

import random

import msgspec
import pytest

from clawnet_proto import mesh as mesh_module
from clawnet_proto import thread as thread_module
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import presence, task
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.specification import LIMITS
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.proto.conversation import Conversation
from tests.proto.rooms import ELSEWHERE, folded
from tests.proto.samples import announce


def code_of(mesh: Mesh, message: Message, address: str) -> str:
    try:
        mesh.add(message, address)
    except RemoteProtocolError as error:
        return error.code
    return ""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test can reach."""
    bounds = {
        "peers": 8,
        "tasks": 6,
        "messages_per_task": 10,
        "messages_per_sender": 5,
        "senders_per_task": 3,
        "waiting_messages": 12,
    }
    limits = msgspec.structs.replace(LIMITS, **bounds)
    monkeypatch.setattr(mesh_module, "LIMITS", limits)
    monkeypatch.setattr(thread_module, "LIMITS", limits)


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
def test_whoever_was_silent_longest_is_forgotten_with_all_it_held() -> None:
    mesh = Mesh(ROOM)
    authors = strangers(12)
    for number, author in enumerate(authors):
        mesh.add(author.say(announce(author), sent_ms=NOW_MS + number), author.address)
    assert mesh.peers.keys() == {author.did for author in authors[4:]}
    assert mesh._holders.keys() == {author.address for author in authors[4:]}


@pytest.mark.usefixtures("small")
def test_an_address_outlives_one_of_its_identities(alice: Author) -> None:
    mesh = Mesh(ROOM)
    pair = strangers(2)
    for number, author in enumerate(pair):
        body = announce(author, addresses=(presence.Address(uri=alice.address),))
        mesh.add(author.say(body, sent_ms=NOW_MS + number), alice.address)
    assert len(mesh.conflicts()[alice.address]) == 2
    for author in strangers(9)[2:]:
        mesh.add(author.say(announce(author), sent_ms=NOW_MS + 5), author.address)
    assert pair[0].did not in mesh.peers
    assert pair[1].did in mesh.peers
    assert mesh.conflicts() == {}


def test_an_account_that_makes_new_identities_displaces_its_own(alice: Author, bob: Author) -> None:
    mesh = folded((bob.say(announce(bob)), bob.address))
    authors = strangers(10)
    announces = []
    for number, author in enumerate(authors):
        body = announce(author, addresses=(presence.Address(uri=alice.address),))
        announces.append(author.say(body, sent_ms=NOW_MS + number))
        assert code_of(mesh, announces[-1], alice.address) == ""
    assert mesh.conflicts() == {alice.address: sorted(author.did for author in authors[2:])}
    assert [mesh.binding(message) for message in announces] == ["unbound"] * 2 + ["bound"] * 8
    assert [peer.did for peer in mesh.live_peers(NOW_MS)] == sorted([authors[-1].did, bob.did])


@pytest.mark.usefixtures("small")
def test_of_too_many_tasks_the_oldest_are_forgotten_in_every_order(alice: Author) -> None:
    requests = [alice.say(samples.request(), sent_ms=NOW_MS + number // 2) for number in range(10)]
    kept = sorted(requests, key=lambda message: (message.envelope.sent_ms, message.id))[-6:]
    chance = random.Random(1)
    for _ in range(50):
        mesh = folded(*((message, alice.address) for message in chance.sample(requests, len(requests))))
        assert [view.id for view in mesh.tasks()] == [message.id for message in kept]


@pytest.mark.usefixtures("small")
def test_everybody_fills_only_what_is_his_own(alice: Author, bob: Author, carol: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    mesh = folded((talk.request, alice.address), (award, alice.address))
    strange = [code_of(mesh, talk.start(award, by=carol), carol.address) for _ in range(7)]
    assert strange == [""] * 5 + ["state.full"] * 2
    codes = [code_of(mesh, talk.start(award), bob.address) for _ in range(7)]
    assert codes == [""] * 5 + ["state.full"] * 2
    assert code_of(mesh, talk.said[-7], ELSEWHERE) == ""  # what is there already needs no room
    assert code_of(mesh, talk.progress(award), bob.address) == "state.full"
    awards = [code_of(mesh, talk.award(bob, attempt=number), alice.address) for number in range(2, 13)]
    assert awards == [""] * 9 + ["state.full"] * 2


@pytest.mark.usefixtures("small")
def test_progress_cannot_fill_a_task_however_it_is_labeled(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    mesh = folded((talk.request, alice.address), (award, alice.address))
    assert [code_of(mesh, talk.progress(award, index), bob.address) for index in range(30)] == [""] * 30
    codes = []
    for number in range(7):
        body = task.Progress(stage=f"s{number}", attempt=1 + number, index=0, tokens=0, offset=0)
        codes.append(code_of(mesh, talk.say(bob, body, award, alice.did), bob.address))
    assert codes == [""] * 4 + ["state.full"] * 3


@pytest.mark.usefixtures("small")
def test_many_senders_displace_neither_the_requester_nor_whom_it_awarded(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    start = talk.start(award)
    mesh = folded((talk.request, alice.address), (award, alice.address), (start, bob.address))
    for stranger in strangers(12):
        assert code_of(mesh, talk.start(award, by=stranger), stranger.address) == ""
    view = mesh.task(talk.request.id)
    assert view is not None
    assert view.stages["draft"].state == "working"
    assert list(view.errors.values()) == ["task.not_permitted"] * 2
    assert mesh._shares.bytes == mesh._threads[talk.request.id].size


@pytest.mark.usefixtures("small")
def test_a_task_has_a_bounded_number_of_executors(alice: Author) -> None:
    talk = Conversation(alice)
    mesh = folded((talk.request, alice.address))
    codes = []
    for number, author in enumerate(strangers(5), 1):
        award = talk.award(author, attempt=number)
        mesh.add(award, alice.address)
        codes.append(code_of(mesh, talk.start(award), author.address))
    assert codes == [""] * 3 + ["state.full"] * 2


def test_offers_are_for_the_requester_and_take_no_room(alice: Author) -> None:
    talk = Conversation(alice)
    mesh = folded((talk.request, alice.address))
    before = mesh._shares.bytes
    offer = task.Offer(stages=(task.StageOffer(stage="draft", wait_ms=0),))
    for stranger in strangers(80):
        assert code_of(mesh, talk.say(stranger, offer, talk.request, alice.did), stranger.address) == ""
    assert mesh._shares.bytes == before


def test_tasks_have_a_bounded_number_of_bytes(alice: Author, bob: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [Conversation(alice) for _ in range(5)]
    whole = sum(talk.request.size for talk in talks)
    monkeypatch.setattr(mesh_module, "LIMITS", msgspec.structs.replace(LIMITS, fold_bytes=whole))
    chance = random.Random(2)
    for _ in range(20):
        mesh = folded(*((talk.request, alice.address) for talk in chance.sample(talks, len(talks))))
        assert mesh._shares.bytes == whole
    oldest = min(talks, key=lambda talk: talk.request.id)
    mesh.add(oldest.award(bob), alice.address)
    assert mesh.task(oldest.request.id) is None
    assert mesh._shares.bytes == whole - oldest.request.size
    for talk in talks:
        for index in range(40):
            mesh.add(talk.progress(talk.award(bob, attempt=1 + index), index), bob.address)
            assert mesh._shares.bytes == sum(thread.size for thread in mesh._threads.values()) <= whole


@pytest.mark.usefixtures("small")
def test_what_waits_is_bounded(alice: Author, bob: Author) -> None:
    mesh = Mesh(ROOM)
    talks = [Conversation(alice) for _ in range(20)]
    for talk in talks:
        award = talk.award(bob)
        mesh.add(award, alice.address)
        mesh.add(award, ELSEWHERE)  # a second copy takes no second place
        assert len(mesh._unasked) <= 12
    for talk in talks:
        mesh.add(talk.request, alice.address)
    states = [view.stages["draft"].state for view in mesh.tasks() if view.stages["draft"].state == "awarded"]
    assert 1 <= len(states) <= 6
    assert len(mesh._unasked) == 0


@pytest.mark.usefixtures("small")
def test_more_may_wait_than_a_task_can_hold(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    mesh = folded(*((talk.start(award), bob.address) for _ in range(11)))
    assert code_of(mesh, talk.request, alice.address) == ""
    assert len(mesh._unasked) == 0
    assert code_of(mesh, talk.start(award), bob.address) == "state.full"
    assert code_of(mesh, award, alice.address) == ""


def test_who_asked_is_known_however_much_is_said_since(alice: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_module, "_REMEMBERED_IDS", 5)
    asked = alice.say(samples.request())
    mesh = folded((asked, ELSEWHERE), (asked, alice.address), (alice.say(announce(alice)), alice.address))
    for stranger in strangers(20):
        mesh.add(stranger.say(announce(stranger)), ELSEWHERE)
    assert mesh.binding(asked) == mesh.copy().binding(asked) == "bound"


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


@pytest.mark.usefixtures("small")
def test_whoever_asks_for_most_makes_room_for_others(alice: Author, bob: Author, carol: Author) -> None:
    old = [author.say(samples.request(), sent_ms=NOW_MS - 1000) for author in (alice, bob)]
    mesh = folded(*((message, message_of.address) for message, message_of in zip(old, (alice, bob), strict=True)))
    # Free keys make no difference: an account has one share.
    for author in (carol, *strangers(30)):
        mesh.add(author.say(samples.request()), carol.address)
    assert {message.id for message in old} < {view.id for view in mesh.tasks()}
    assert len(list(mesh.tasks())) == 6


def test_whoever_fills_the_room_makes_room_for_others(
    alice: Author, bob: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = alice.say(samples.request(), sent_ms=NOW_MS - 1000)
    monkeypatch.setattr(mesh_module, "LIMITS", msgspec.structs.replace(LIMITS, fold_bytes=5 * asked.size))
    mesh = folded((asked, alice.address))
    for _ in range(20):
        mesh.add(bob.say(samples.request()), bob.address)
        assert mesh._shares.bytes == sum(thread.size for thread in mesh._threads.values()) <= 5 * asked.size
    assert mesh.has_task(asked.id)


def test_strangers_cannot_fill_a_task(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    start = talk.start(award)
    mesh = folded((talk.request, alice.address), (award, alice.address), (start, bob.address))
    honest = mesh._shares.bytes
    for stranger in strangers(40):
        long = samples.result(award.id, text="x" * 15_000)
        message = stranger.say(long, recipients=(alice.did,), thread=talk.request.id, answers=award.id)
        assert code_of(mesh, message, ELSEWHERE) == ""
        assert mesh._shares.bytes == mesh._threads[talk.request.id].size <= honest + 8 * LIMITS.envelope_bytes
    assert code_of(mesh, talk.result(award), bob.address) == ""
    view = mesh.task(talk.request.id)
    assert view is not None
    assert view.state == "completed"


@pytest.mark.usefixtures("small")
def test_who_makes_others_wait_most_is_forgotten_first(alice: Author, bob: Author, carol: Author) -> None:
    mesh = Mesh(ROOM)
    talk = Conversation(alice)
    mesh.add(talk.award(bob), alice.address)
    for _ in range(40):
        mesh.add(Conversation(carol).award(bob), carol.address)
    mesh.add(talk.request, alice.address)
    view = mesh.task(talk.request.id)
    assert view is not None
    assert view.stages["draft"].state == "awarded"


def test_an_identity_forgotten_first_may_change_while_others_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is the one that a look at all of them would give, whatever became of them since."""
    monkeypatch.setattr(mesh_module, "LIMITS", msgspec.structs.replace(LIMITS, peers=8))
    chance = random.Random(3)
    authors = strangers(40)
    mesh = Mesh(ROOM)
    for number in range(2000):
        author = chance.choice(authors)
        place = chance.choice([author.address, "matrix:u/shared:example.org", ELSEWHERE])
        announced = announce(author, number, addresses=(presence.Address(uri=place),))
        here = chance.choice([place, ELSEWHERE])
        message = author.say(announced, sent_ms=NOW_MS + chance.randrange(1000))
        full = author.did not in mesh.peers and len(mesh.peers) == 8
        peers = mesh.peers.values()
        first = min(peers, key=lambda peer: (bool(peer.known), peer.last_sent_ms, peer.did)).did if full else ""
        mesh.add(message, here)
        assert first not in mesh.peers
        assert len(mesh.peers) <= 8
