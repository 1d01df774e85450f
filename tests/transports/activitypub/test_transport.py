"""An actor as a transport: who is in the room, what is of which plane, what is past, and what people ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from msgspec.structs import replace

from bots.errors import Fatal, RetryLater, StoreError
from bots.transports import Parcel
from bots.transports.activitypub import members, notes, sending
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.notes import Document
from bots.transports.activitypub.transport import ActivityPubTransport
from clawnet_proto.families import identity, presence
from tests.agent.virtual_time import until
from tests.proto.authoring import Author
from tests.proto.samples import announce
from tests.transports.activitypub.stranger import PATIENCE_S, Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import ActivityPubWorld, Words, now_ms

if TYPE_CHECKING:
    from tests.transports.activitypub.conftest import NewStranger

DID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"


def of(resident: Resident) -> ActivityPubTransport:
    assert isinstance(resident.transport, ActivityPubTransport)
    return resident.transport


class Voice:
    """The ClawNet identity of a stranger."""

    def __init__(self, stranger: Stranger) -> None:
        self.author = Author(stranger.name)
        self._address = stranger.names.actor

    def here(self, revision: int = 1, *, address: str = "", room: str = PUBLIC, life_ms: int = 3_600_000) -> str:
        uris = (presence.Address(uri=address or self._address),)
        body = announce(self.author, revision, addresses=uris)
        return self.author.carrier(body, room=room, sent_ms=now_ms(), expires_ms=now_ms() + life_ms).decode()

    def gone(self, revision: int = 1, room: str = PUBLIC) -> str:
        body = presence.Leave(revision=revision, reason="stopping")
        return self.author.carrier(body, room=room, sent_ms=now_ms()).decode()


async def said(to: Resident, stranger: Stranger, *carriers: str, room: str = "") -> None:
    document = stranger.carries(*carriers, room=room)
    assert (await stranger.post(of(to).names.inbox, document))[0] == 202


class TestMembers:
    async def test_who_announces_itself_to_us_is_one_until_it_leaves(self, ada: Resident, eve: Stranger) -> None:
        voice, is_member = Voice(eve), partial(ada.transport.is_member, PUBLIC, eve.names.actor)
        await said(ada, eve, voice.here(1))
        assert is_member() and ada.transport.rooms()[0].members == 2
        await ada.restart()
        assert ada.transport.is_member(PUBLIC, eve.names.actor)
        await said(ada, eve, voice.gone(1))
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)
        # An announce that the leave has ended already comes late.
        await said(ada, eve, voice.here(1))
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)
        await said(ada, eve, voice.here(2))
        assert ada.transport.is_member(PUBLIC, eve.names.actor)

    async def test_only_whom_the_announce_names(self, ada: Resident, eve: Stranger) -> None:
        await said(ada, eve, Voice(eve).here(address="https://example.org/actor"))
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)
        assert not ada.transport.is_member(PUBLIC, "https://example.org/actor")

    async def test_only_by_an_announce_that_holds(self, ada: Resident, eve: Stranger) -> None:
        carrier = json.loads(Voice(eve).here())
        carrier["sig"] = "A" * 86
        await said(ada, eve, json.dumps(carrier))
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)

    async def test_only_in_the_room_that_it_names(self, ada: Resident, eve: Stranger) -> None:
        await said(ada, eve, Voice(eve).here(room="lan:clawnet"))
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)

    async def test_not_by_what_is_handed_on(self, ada: Resident, new_stranger: NewStranger) -> None:
        eve, mallory = await new_stranger("eve"), await new_stranger("mallory", number=1)
        document = eve.proven(eve.carries(Voice(eve).here()))
        assert (await mallory.post(of(ada).names.inbox, document))[0] == 202
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)
        assert [one.sender for one in ada.received if one.sender != ada.address] == [eve.names.actor]

    async def test_what_is_handed_on_first_does_not_stand_in_the_way_of_its_actor(
        self, ada: Resident, new_stranger: NewStranger
    ) -> None:
        eve, mallory = await new_stranger("eve"), await new_stranger("mallory", number=1)
        document = eve.proven(eve.carries(Voice(eve).here()))
        for one in (mallory, eve, mallory):
            assert (await one.post(of(ada).names.inbox, document))[0] == 202
        assert ada.transport.is_member(PUBLIC, eve.names.actor)
        assert [one.sender for one in ada.received if one.sender != ada.address] == [eve.names.actor]

    async def test_who_is_revoked_stays_so(self, ada: Resident, eve: Stranger) -> None:
        voice = Voice(eve)
        await said(ada, eve, voice.here(1))
        revoke = identity.Revoke(chain=(), since_ms=now_ms(), reason="compromised")
        await said(ada, eve, voice.author.carrier(revoke, room=PUBLIC, sent_ms=now_ms()).decode())
        await said(ada, eve, voice.here(2))
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)

    async def test_one_host_has_no_more_members_for_having_many_ports(
        self, ada: Resident, new_stranger: NewStranger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(members, "_OF_SITE", 1)
        for number, name in enumerate(("eve", "mallory")):
            one = await new_stranger(name, number=number)
            await said(ada, one, Voice(one).here())
        assert ada.transport.rooms()[0].members == 2

    async def test_an_announce_expires(self, ada: Resident, eve: Stranger) -> None:
        await said(ada, eve, Voice(eve).here(life_ms=300))
        assert ada.transport.is_member(PUBLIC, eve.names.actor)
        await until(lambda: not ada.transport.is_member(PUBLIC, eve.names.actor), PATIENCE_S)

    async def test_a_full_room_takes_nobody_new(
        self, ada: Resident, new_stranger: NewStranger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(members, "_MOST", 1)
        eve, late = await new_stranger("eve"), await new_stranger("late", number=1)
        for one in (eve, late):
            await said(ada, one, Voice(one).here())
        assert ada.transport.is_member(PUBLIC, eve.names.actor)
        assert not ada.transport.is_member(PUBLIC, late.names.actor)
        # For whom the owner names there is always space.
        of(ada)._contacts.want(late.names.actor)
        await said(ada, late, Voice(late).here(2))
        assert ada.transport.is_member(PUBLIC, late.names.actor)


class TestPlanes:
    async def test_what_is_said_in_the_room_goes_to_members_and_is_not_public(
        self, ada: Resident, new_stranger: NewStranger
    ) -> None:
        eve, fan = await new_stranger("eve"), await new_stranger("fan", number=1)
        await fan.post(of(ada).names.inbox, fan.follow(ada.address))
        await fan.got("Create")
        await said(ada, eve, Voice(eve).here())
        env = json.dumps({"type": "task.request", "room": PUBLIC})
        carrier = json.dumps({"clawnet": "1", "kid": "did:key:z", "env": env, "sig": "x"})
        await ada.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(carrier,), body="words"))
        (created,) = await eve.got("Create")
        assert (created["to"], created["cc"]) == ([eve.names.actor], [])
        assert len(fan.of("Create")) == 1
        # A reader takes it for what is said in a room.
        back = eve.carries(carrier, to=(ada.address,))
        await eve.post(of(ada).names.inbox, back)
        assert [one.room for one in ada.received if one.sender == eve.names.actor][-1] == PUBLIC

    async def test_who_is_not_named_any_more_hears_it_all_the_same(
        self, ada: Resident, new_stranger: NewStranger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sending, "_NAMED_MOST", 1)
        env = json.dumps({"type": "task.request", "room": PUBLIC})
        carrier = json.dumps({"clawnet": "1", "kid": "did:key:z", "env": env, "sig": "x"})
        both = [await new_stranger("eve"), await new_stranger("bert", number=1)]
        for one in both:
            await said(ada, one, Voice(one).here())
        await ada.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(carrier,), body="words"))
        for one in both:
            (created,) = await one.got("Create")
            assert len(created["to"]) == 1

    async def test_what_is_for_somebody_else_is_not_for_us(self, ada: Resident, eve: Stranger) -> None:
        document = eve.carries(Voice(eve).here(), to=("https://example.org/actor",))
        assert (await eve.post(of(ada).names.inbox, document))[0] == 202
        assert all(one.sender == ada.address for one in ada.received)

    async def test_what_is_sealed_is_direct(self, ada: Resident, eve: Stranger) -> None:
        sealed = json.dumps({"clawnet": "1", "seal_key": "x", "sealed": "y"})
        await eve.post(of(ada).names.inbox, eve.carries(sealed, to=(ada.address,)))
        assert [one.plane for one in ada.received if one.sender == eve.names.actor] == ["direct"]

    async def test_carriers_that_are_only_named_are_fetched(self, ada: Resident, eve: Stranger) -> None:
        document = eve.carries(Voice(eve).here())
        text = document["object"].pop("clawnetCarriers")
        eve.texts[document["object"]["attachment"][0]["href"].rpartition(eve.names.base)[2]] = text
        assert (await eve.post(of(ada).names.inbox, document))[0] == 202
        assert ada.transport.is_member(PUBLIC, eve.names.actor)

    async def test_a_room_of_another_transport(self, world: ActivityPubWorld, eve: Stranger) -> None:
        late = await world.resident("late", rooms=("lan:clawnet",))
        assert [room.uri for room in late.transport.rooms()] == [PUBLIC, "lan:clawnet"]
        await said(late, eve, Voice(eve).here(room="lan:clawnet"), room="lan:clawnet")
        await said(late, eve, Voice(eve).here(room="lan:other"), room="lan:other")
        assert late.transport.is_member("lan:clawnet", eve.names.actor)
        assert not late.transport.is_member(PUBLIC, eve.names.actor)
        assert [one.room for one in late.received if one.sender == eve.names.actor] == ["lan:clawnet"]

    async def test_of_a_room_of_another_transport_only_agents_hear(
        self, world: ActivityPubWorld, new_stranger: NewStranger
    ) -> None:
        late = await world.resident("late", rooms=("lan:clawnet",))
        fan, bert = await new_stranger("fan"), await new_stranger("bert", number=1, did=DID)
        for one in (fan, bert):
            await one.post(of(late).names.inbox, one.follow(late.address))
            await one.got("Create")
        carrier = _own_announce(late, "lan:clawnet")
        await late.transport.send(Parcel(txn="t1", plane="room", room="lan:clawnet", carriers=(carrier,), body="words"))
        (_, created) = await bert.got("Create", 2)
        assert (created["to"], created["object"]["clawnetRoom"]) == ([bert.names.actor], "lan:clawnet")
        # Who comes later hears it at once, if it is an agent.
        cora = await new_stranger("cora", number=2, did=DID)
        await cora.post(of(late).names.inbox, cora.follow(late.address))
        assert len(await cora.got("Create", 2)) == 2
        assert len(fan.of("Create")) == 1
        # A reader takes it for what is said in that room.
        document = fan.carries(Voice(fan).here(room="lan:clawnet"), to=(late.address,), room="lan:clawnet")
        await fan.post(of(late).names.inbox, document)
        assert late.transport.is_member("lan:clawnet", fan.names.actor)


def _own_announce(resident: Resident, room: str) -> str:
    """An announce by the identity of one of ours."""
    author, identity = Author("own"), of(resident)._own()
    author.key, author.did = identity.key, identity.did
    body = announce(author, 9, addresses=(presence.Address(uri=resident.address),))
    return author.carrier(body, room=room, sent_ms=now_ms()).decode()


class TestPast:
    async def accepted(self, ada: Resident, eve: Stranger) -> None:
        await eve.post(of(ada).names.inbox, eve.follow(ada.address))
        (follow,) = await eve.got("Follow")
        accept = notes.accept(eve.names, eve.fresh(), ada.address, follow["id"])
        assert (await eve.post(of(ada).names.inbox, accept))[0] == 202
        await ada.until(lambda: of(ada)._contacts.knows_past(eve.names.actor))

    async def test_only_its_own_public_notes_with_carriers(
        self, ada: Resident, new_stranger: NewStranger, words: Words
    ) -> None:
        eve, mallory = await new_stranger("eve", did=DID), await new_stranger("mallory", number=1)
        own = [words.carrier() for _ in range(2)]
        eve.outbox = [
            eve.carries(own[1]),
            eve.says("only words"),
            mallory.carries(words.carrier()),
            eve.carries(words.carrier(), to=(ada.address,)),
            {"type": "Announce", "id": f"{eve.names.base}/a", "actor": eve.names.actor, "object": "https://x/y"},
            eve.carries(own[0]),
        ]
        await self.accepted(ada, eve)
        past = [one for one in ada.received if not one.live]
        assert [ada.transport.carriers(one) for one in past] == [[json.loads(carrier)] for carrier in own]
        assert {one.sender for one in past} == {eve.names.actor}
        # Who is read about is nobody that has come.
        assert not ada.transport.is_member(PUBLIC, eve.names.actor)

    async def test_what_came_by_itself_already_is_not_past(
        self, ada: Resident, new_stranger: NewStranger, words: Words
    ) -> None:
        eve = await new_stranger("eve", did=DID)
        document = eve.carries(words.carrier())
        await eve.post(of(ada).names.inbox, document)
        eve.outbox = [document]
        await self.accepted(ada, eve)
        assert [one.live for one in ada.received if one.sender == eve.names.actor] == [True]

    async def test_an_outbox_is_read_in_one_go_however_often_it_is_accepted(
        self, ada: Resident, new_stranger: NewStranger, words: Words
    ) -> None:
        eve = await new_stranger("eve", did=DID)
        eve.pages["/actor/outbox"] = web.Response(status=503)
        eve.outbox = [eve.carries(words.carrier())]
        await eve.post(of(ada).names.inbox, eve.follow(ada.address))
        (follow,) = await eve.got("Follow")
        for _ in range(3):
            accept = notes.accept(eve.names, eve.fresh(), ada.address, follow["id"])
            assert (await eve.post(of(ada).names.inbox, accept))[0] == 202
        await ada.until(lambda: of(ada)._contacts.knows_past(eve.names.actor))
        assert eve.requests.count(("GET", "/actor/outbox")) == 3  # in vain, then the outbox and its page
        assert of(ada)._past._wanted == {}

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda eve: eve.document.pop("outbox"),
            lambda eve: eve.document.update(outbox="https://example.org/outbox"),
            lambda eve: eve.document.update(outbox=7),
            lambda eve: eve.outbox.extend([None, 7, "x", {"type": "Create"}]),
        ],
    )
    async def test_an_outbox_that_is_none(
        self, ada: Resident, new_stranger: NewStranger, spoil: Callable[[Stranger], object]
    ) -> None:
        eve = await new_stranger("eve", did=DID)
        spoil(eve)
        await self.accepted(ada, eve)
        assert all(one.live for one in ada.received)


class TestPeople:
    async def test_a_person_asks_by_a_public_post_and_is_answered_there(
        self, ada: Resident, new_stranger: NewStranger
    ) -> None:
        ann, names = await new_stranger("ann", kind="Person"), of(ada).names
        question = ann.asks(f"{names.handle} Why is the sky blue?", ada.address, names.handle)
        await ann.post(names.inbox, question)
        (delivery,) = [one for one in ada.received if one.sender == ann.names.actor]
        words = ada.transport.person_text(delivery)
        assert words is not None and words.mentions_us and words.text == "Why is the sky blue?"
        await ada.transport.send(
            Parcel(
                txn="t1", plane="room", room=delivery.room, body="Because.", mention=delivery.sender,
                thread_root=words.thread_root,
            )
        )  # fmt: skip
        (answer,) = await ann.got("Create")
        note = answer["object"]
        assert note["cc"] == [PUBLIC]  # where everybody can read on, and no follower is sent it
        assert (note["to"], note["inReplyTo"]) == ([ann.names.actor], question["object"]["id"])
        assert "Because." in note["content"]
        assert [tag["href"] for tag in note["tag"]] == [ann.names.actor]

    async def test_what_is_asked_in_private_is_not_passed_on(self, ada: Resident, new_stranger: NewStranger) -> None:
        ann, names = await new_stranger("ann", kind="Person"), of(ada).names
        await ann.post(names.inbox, ann.asks("@ada my secret", ada.address, names.handle, private=True))
        (answer,) = await ann.got("Create")
        assert "public post" in answer["object"]["content"]
        # Perhaps it is a machine that answers whatever it gets.
        await ann.post(names.inbox, ann.asks("@ada what?", ada.address, names.handle, private=True))
        assert of(ada)._outgoing.waiting == 0 and len(ann.of("Create")) == 1
        assert all(one.sender == ada.address for one in ada.received)

    async def test_a_question_that_was_handed_on_first_is_heard_from_who_asks(
        self, ada: Resident, new_stranger: NewStranger
    ) -> None:
        ann, mallory, names = await new_stranger("ann", kind="Person"), await new_stranger("m", number=1), of(ada).names
        question = ann.proven(ann.asks("@ada Why?", ada.address, names.handle))
        for one in (mallory, ann, mallory):
            assert (await one.post(names.inbox, question))[0] == 202
        assert [one.sender for one in ada.received if one.sender != ada.address] == [ann.names.actor]

    async def test_machines_are_not_answered(self, ada: Resident, eve: Stranger) -> None:
        names = of(ada).names
        for private in (False, True):
            await eve.post(names.inbox, eve.asks("@ada Who?", ada.address, names.handle, private=private))
        assert eve.posted == [] and all(one.sender == ada.address for one in ada.received)

    async def test_who_does_not_mention_us_does_not_ask_us(self, ada: Resident, new_stranger: NewStranger) -> None:
        ann = await new_stranger("ann", kind="Person")
        await ann.post(of(ada).names.inbox, ann.says("Good morning"))
        assert all(one.sender == ada.address for one in ada.received)

    async def test_words_alone_for_nobody_go_nowhere(self, ada: Resident) -> None:
        assert await ada.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, body="words")) == ""


class TestLife:
    async def test_who_cannot_be_reached_says_nothing(self, world: ActivityPubWorld, words: Words) -> None:
        late = await world.resident("late")
        await world.cut()
        with pytest.raises(RetryLater) as caught:
            await late.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(words.carrier(),)))
        assert caught.value.code == "activitypub.unreachable"
        await world.heal()
        await late.until(lambda: late.transport.online)

    async def test_another_agent_at_our_place_is_told(self, world: ActivityPubWorld, eve: Stranger) -> None:
        late = await world.resident("late")
        of(late)._self_check._actor = f"{eve.names.base}/actor?"  # where another actor answers
        await late.until(lambda: not late.transport.online)

    async def test_a_port_that_is_taken(self, ada: Resident, eve: Stranger) -> None:
        before = of(ada)
        await ada.stop()
        ada.open()
        of(ada)._config = replace(before._config, listen=("127.0.0.1", eve.port))
        with pytest.raises(Fatal) as caught:
            await ada.transport.run()
        assert caught.value.code == "activitypub.port"

    async def test_an_agent_that_has_lost_its_store_hears_everything_anew(
        self, ada: Resident, eve: Stranger, words: Words
    ) -> None:
        document: Document = eve.carries(words.carrier())
        await eve.post(of(ada).names.inbox, document)
        await ada.stop()
        (ada.directory / "store.sqlite").unlink()
        ada.open()
        await ada.start()
        await eve.post(of(ada).names.inbox, document)
        assert [one.sender for one in ada.received] == [eve.names.actor]

    async def test_what_cannot_be_kept_is_not_taken(
        self, ada: Resident, eve: Stranger, words: Words, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        document = eve.carries(words.carrier())

        def full(*_: object, **__: object) -> None:
            raise StoreError("store.full", "The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(ada, "commit", full)
            status, answer, headers = await eve.post(of(ada).names.inbox, document)
            assert (status, answer["code"]) == (503, "store.full")
            assert int(headers["Retry-After"]) > 0
        assert (await eve.post(of(ada).names.inbox, document))[0] == 202
        assert [one.sender for one in ada.received if one.sender != ada.address] == [eve.names.actor]
