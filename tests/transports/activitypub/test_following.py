"""Who follows whom: asking for announces, and no more."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from bots.transports import Parcel
from bots.transports.activitypub import contacts, notes
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.transport import ActivityPubTransport
from tests.transports.activitypub.stranger import Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import ActivityPubWorld, Words, now_ms

if TYPE_CHECKING:
    from tests.transports.activitypub.conftest import NewStranger

DID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"


def of(resident: Resident) -> ActivityPubTransport:
    assert isinstance(resident.transport, ActivityPubTransport)
    return resident.transport


def followers(resident: Resident) -> list[str]:
    return list(of(resident)._contacts.followers())


def state(resident: Resident, actor: str) -> str:
    found = of(resident)._contacts.followed(actor)
    return "" if found is None else found.state


async def test_a_new_follower_is_accepted_and_gets_the_latest_announce(ada: Resident, eve: Stranger) -> None:
    follow = eve.follow(ada.address)
    assert (await eve.post(of(ada).names.inbox, follow))[0] == 202
    (accept,) = await eve.got("Accept")
    assert (accept["actor"], accept["object"]["id"]) == (ada.address, follow["id"])
    (announce,) = await eve.got("Create")
    assert announce["to"] == [PUBLIC] and announce["cc"] == [of(ada).names.followers]
    assert followers(ada) == [eve.names.actor]
    # Whoever has no ClawNet identity is not followed back.
    assert not eve.of("Follow") and state(ada, eve.names.actor) == ""


async def test_following_is_no_membership(ada: Resident, eve: Stranger) -> None:
    await eve.post(of(ada).names.inbox, eve.follow(ada.address))
    await eve.got("Accept")
    assert not ada.transport.is_member(PUBLIC, eve.names.actor)


async def test_followers_hear_announces_and_nothing_else(ada: Resident, eve: Stranger, words: Words) -> None:
    await eve.post(of(ada).names.inbox, eve.follow(ada.address))
    await eve.got("Create")
    await ada.transport.send(
        Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(_request(),), body="a question for agents")
    )
    carrier = words.carrier()
    await ada.transport.send(Parcel(txn="t2", plane="room", room=PUBLIC, carriers=(carrier,), body="here I am"))
    heard = await eve.got("Create", 2)
    assert json.loads(heard[1]["object"]["clawnetCarriers"])["carriers"] == [json.loads(carrier)]
    assert "here I am" in heard[1]["object"]["content"]


async def test_an_agent_that_follows_is_followed_back(ada: Resident, new_stranger: NewStranger) -> None:
    bert = await new_stranger("bert", did=DID)
    await bert.post(of(ada).names.inbox, bert.follow(ada.address))
    (follow,) = await bert.got("Follow")
    assert (follow["actor"], follow["object"], state(ada, bert.names.actor)) == (
        ada.address, bert.names.actor, "asked",
    )  # fmt: skip
    accept = notes.accept(bert.names, bert.fresh(), ada.address, follow["id"])
    assert (await bert.post(of(ada).names.inbox, accept))[0] == 202
    assert state(ada, bert.names.actor) == "accepted"


async def test_only_who_was_asked_can_accept(ada: Resident, new_stranger: NewStranger) -> None:
    bert, mallory = await new_stranger("bert", did=DID), await new_stranger("mallory", number=1)
    await bert.post(of(ada).names.inbox, bert.follow(ada.address))
    (follow,) = await bert.got("Follow")
    forged = notes.accept(mallory.names, mallory.fresh(), ada.address, follow["id"])
    await mallory.post(of(ada).names.inbox, forged)
    other = notes.accept(bert.names, bert.fresh(), ada.address, f"{follow['id']}x")
    await bert.post(of(ada).names.inbox, other)
    assert state(ada, bert.names.actor) == "asked" and state(ada, mallory.names.actor) == ""


async def test_whoever_turns_us_down_is_not_asked_again_today(ada: Resident, new_stranger: NewStranger) -> None:
    bert = await new_stranger("bert", did=DID)
    await bert.post(of(ada).names.inbox, bert.follow(ada.address))
    (follow,) = await bert.got("Follow")
    reject = notes.reject(bert.names, bert.fresh(), ada.address, follow["id"])
    await bert.post(of(ada).names.inbox, reject)
    assert state(ada, bert.names.actor) == "rejected"
    await bert.post(of(ada).names.inbox, bert.follow(ada.address))
    await bert.got("Accept", 2)
    assert len(bert.of("Follow")) == 1


async def test_who_takes_it_back_gets_nothing_more(ada: Resident, eve: Stranger) -> None:
    follow = eve.follow(ada.address)
    await eve.post(of(ada).names.inbox, follow)
    await eve.got("Accept")
    undo = notes.undo(eve.names, eve.fresh(), follow["id"].rpartition("/")[2], ada.address)
    assert (await eve.post(of(ada).names.inbox, undo))[0] == 202
    assert followers(ada) == []


async def test_only_the_follower_takes_it_back(ada: Resident, new_stranger: NewStranger) -> None:
    eve, mallory = await new_stranger("eve"), await new_stranger("mallory", number=1)
    follow = eve.follow(ada.address)
    await eve.post(of(ada).names.inbox, follow)
    undo = notes.undo(eve.names, eve.fresh(), follow["id"].rpartition("/")[2], ada.address)
    assert (await mallory.post(of(ada).names.inbox, undo))[0] in (401, 403)
    undo["id"], undo["actor"] = f"{mallory.names.base}/activities/u", mallory.names.actor
    await mallory.post(of(ada).names.inbox, undo)
    assert followers(ada) == [eve.names.actor]


async def test_what_only_names_a_follow_must_name_that_one(ada: Resident, eve: Stranger) -> None:
    follow = eve.follow(ada.address)
    await eve.post(of(ada).names.inbox, follow)
    undo = notes.undo(eve.names, eve.fresh(), "x", ada.address)
    assert (await eve.post(of(ada).names.inbox, undo | {"object": f"{eve.names.base}/likes/1"}))[0] == 202
    assert followers(ada) == [eve.names.actor]
    undo = notes.undo(eve.names, eve.fresh(), "x", ada.address)
    assert (await eve.post(of(ada).names.inbox, undo | {"object": follow["id"]}))[0] == 202
    assert followers(ada) == []


async def test_who_follows_us_no_more_is_followed_no_more(ada: Resident, new_stranger: NewStranger) -> None:
    bert = await new_stranger("bert", did=DID)
    asked = bert.follow(ada.address)
    await bert.post(of(ada).names.inbox, asked)
    (follow,) = await bert.got("Follow")
    await bert.post(of(ada).names.inbox, notes.undo(bert.names, bert.fresh(), "x", ada.address))
    (undo,) = await bert.got("Undo")
    assert undo["object"]["id"] == follow["id"] and state(ada, bert.names.actor) == ""


async def test_whom_we_follow_is_bounded_by_host(
    ada: Resident, new_stranger: NewStranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts, "_FOLLOWING_OF_SITE", 1)
    for number, name in enumerate(("bert", "cora")):
        one = await new_stranger(name, did=DID, number=number)
        await one.post(of(ada).names.inbox, one.follow(ada.address))
        await one.got("Accept")
    assert len(of(ada)._contacts.following()) == 1
    # Who has not answered for a day makes room.
    known = of(ada)._contacts
    assert not known.may_ask(one.names.actor, now_ms()) and known.may_ask(one.names.actor, now_ms() + 86_400_000)


async def test_whom_the_owner_names_no_more_is_followed_no_more(
    world: ActivityPubWorld, new_stranger: NewStranger
) -> None:
    eve, bert = await new_stranger("eve"), await new_stranger("bert", number=1)
    late = await world.resident("late", follow=(eve.names.actor, bert.names.actor))
    (follow,) = await eve.got("Follow")
    await bert.got("Follow")
    await late.stop()
    late.open()
    of(late)._config = replace(of(late)._config, follow=(bert.names.actor,))
    await late.start()
    (undo,) = await eve.got("Undo")
    assert undo["object"]["id"] == follow["id"]
    assert (state(late, eve.names.actor), state(late, bert.names.actor)) == ("", "asked")
    assert not bert.of("Undo")


async def test_an_actor_that_is_deleted_is_forgotten(ada: Resident, eve: Stranger) -> None:
    await eve.post(of(ada).names.inbox, eve.follow(ada.address))
    await eve.got("Accept")
    assert (await eve.post(of(ada).names.inbox, eve.ends()))[0] == 202
    assert followers(ada) == [] and of(ada)._contacts.contact(eve.names.actor) is None


async def test_followers_are_bounded(ada: Resident, new_stranger: NewStranger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "FOLLOWERS_MOST", 1)
    eve, late = await new_stranger("eve"), await new_stranger("late", number=1)
    for one in (eve, late):
        await one.post(of(ada).names.inbox, one.follow(ada.address))
    await late.got("Reject")
    assert followers(ada) == [eve.names.actor]
    # Who is one already may say so again.
    await eve.post(of(ada).names.inbox, eve.follow(ada.address))
    assert len(await eve.got("Accept", 2)) == 2


async def test_somebody_elses_follow_is_not_ours(ada: Resident, eve: Stranger) -> None:
    await eve.post(of(ada).names.inbox, eve.follow("https://example.org/actor"))
    assert followers(ada) == []


async def test_whom_the_owner_names_is_found_by_handle_however_long_it_takes(
    world: ActivityPubWorld, eve: Stranger
) -> None:
    port = eve.port
    await eve.away()
    late = await world.resident("late", follow=(eve.names.actor,))
    assert state(late, eve.names.actor) == ""
    await eve.start(port)
    await late.until(partial(state, late, eve.names.actor))
    (follow,) = await eve.got("Follow")
    assert follow["object"] == eve.names.actor


async def test_whom_a_handle_names_is_followed(world: ActivityPubWorld, ada: Resident, tmp_path: Path) -> None:
    late = await world.resident("late", follow=(of(ada).names.handle,))
    await late.until(lambda: state(late, ada.address) == "accepted")


async def test_all_of_it_survives_a_restart(ada: Resident, new_stranger: NewStranger) -> None:
    bert = await new_stranger("bert", did=DID)
    await bert.post(of(ada).names.inbox, bert.follow(ada.address))
    await bert.got("Follow")
    await ada.restart()
    assert followers(ada) == [bert.names.actor] and state(ada, bert.names.actor) == "asked"


def _request() -> str:
    """A carrier of a type that is for the room alone; nobody verifies it here."""
    env = json.dumps({"type": "task.request", "sender": "did:key:z", "room": PUBLIC, "expires_ms": 9_000_000_000_000})
    return json.dumps({"clawnet": "1", "kid": "did:key:z", "env": env, "sig": "x"})
