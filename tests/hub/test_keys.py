"""Which key speaks for whom at a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from bots.hub.archive import Bounds
from clawnet_proto.families import identity, presence
from tests.hub.visitor import Visitor
from tests.proto.authoring import Author, some_digest
from tests.proto.samples import announce, link, rotation

if TYPE_CHECKING:
    from tests.hub.conftest import NewHub, Running

ADA, SECOND, THIRD, FALSE, FALSER = (Author(name) for name in ("ada", "second", "third", "false", "falser"))


def rotate(hub: Running, *keys: Author) -> bytes:
    """What ada's last key says of all that came after the first."""
    links = tuple(
        link(before, after, of=ADA, generation=generation)
        for generation, (before, after) in enumerate(zip((ADA, *keys), keys, strict=False), start=1)
    )
    body = identity.Rotate(chain=links, next_key_digest=some_digest("one more"))
    return keys[-1].carrier(body, sender=ADA.did, room=hub.room(), sent_ms=hub.clock.ms)


def speaks(hub: Running, *keys: Author) -> list[bool]:
    return [hub.hub.speaker(key.did) == ADA.did for key in keys]


async def test_the_last_key_of_a_chain_speaks(hub: Running, ada: Visitor) -> None:
    assert speaks(hub, ADA, SECOND) == [True, False]
    for chain, status in (((SECOND,), 200), ((SECOND, THIRD), 200), ((SECOND,), 400)):
        assert (await ada.say(hub.room(), rotate(hub, *chain)))[0] == status
    assert speaks(hub, ADA, SECOND, THIRD) == [False, False, True]


async def test_the_thief_of_a_key_that_was_given_up_takes_nothing_over(hub: Running, ada: Visitor) -> None:
    await ada.say(hub.room(), rotate(hub, SECOND))
    assert (await ada.say(hub.room(), rotate(hub, FALSE, FALSER)))[0] == 200
    assert speaks(hub, ADA, SECOND, FALSE, FALSER) == [False, True, False, False]


async def test_nobody_takes_the_key_of_another(hub: Running, ada: Visitor) -> None:
    await ada.say(hub.room(), rotate(hub, SECOND))
    bert = Author("bert")
    body = rotation(bert, SECOND)
    carrier = SECOND.carrier(body, sender=bert.did, room=hub.room(), sent_ms=hub.clock.ms)
    assert (await ada.say(hub.room(), carrier))[0] == 200
    assert speaks(hub, SECOND) == [True]
    assert hub.hub.speaker(bert.did) == bert.did


@pytest.mark.parametrize("bounds", [Bounds(keys=2), Bounds(keys_of_network=2)])
async def test_no_key_is_dropped_for_a_new_one(new_hub: NewHub, session: aiohttp.ClientSession, bounds: Bounds) -> None:
    hub = await new_hub(bounds=bounds)
    ada = Visitor("ada", hub.base, session, hub.clock)
    await ada.say(hub.room(), rotate(hub, SECOND))
    for name in ("x", "y", "z"):
        author, following = Author(name), Author(f"{name} 2")
        body = rotation(author, following)
        await ada.say(hub.room(), following.carrier(body, sender=author.did, room=hub.room(), sent_ms=hub.clock.ms))
    assert speaks(hub, ADA, SECOND) == [False, True]
    assert [hub.hub.speaker(Author(f"{name} 2").did) == Author(name).did for name in "xyz"] == [True, False, False]


async def test_a_revoked_identity_signs_nothing_and_is_nowhere(hub: Running, ada: Visitor) -> None:
    await ada.say(hub.room(), ada.announce(hub.room()))
    assert (await ada.read(ada.address, signed=True))[0] == 200
    revoke = identity.Revoke(chain=(), since_ms=hub.clock.ms)
    assert (await ada.say(hub.room(), ADA.carrier(revoke, room=hub.room(), sent_ms=hub.clock.ms)))[0] == 200
    assert (await ada.read(ada.address, signed=True))[0] == 401
    await ada.say(hub.room(), ada.announce(hub.room()))
    assert hub.hub.roster(hub.room()).addresses == []
    # Its owner, who has the next key, comes back.
    await ada.say(hub.room(), rotate(hub, SECOND))
    assert speaks(hub, ADA, SECOND) == [False, True]


async def test_a_key_that_was_given_up_revokes_nothing(hub: Running, ada: Visitor) -> None:
    await ada.say(hub.room(), rotate(hub, SECOND))
    revoke = identity.Revoke(chain=(), since_ms=hub.clock.ms)
    await ada.say(hub.room(), ADA.carrier(revoke, room=hub.room(), sent_ms=hub.clock.ms))
    assert speaks(hub, SECOND) == [True]


async def test_a_key_that_was_given_up_does_not_make_its_owner_leave(hub: Running, ada: Visitor) -> None:
    for _ in range(3):
        await ada.say(hub.room(), ada.announce(hub.room()))
    # The new key counts its revisions from the beginning.
    body = announce(ADA, 1, addresses=(presence.Address(uri=ada.address),))
    first = SECOND.carrier(body, sender=ADA.did, room=hub.room(), sent_ms=hub.clock.ms, expires_ms=hub.clock.ms + 9000)
    assert (await ada.say(hub.room(), rotate(hub, SECOND), first))[0] == 200
    leave = ADA.carrier(presence.Leave(revision=99), room=hub.room(), sent_ms=hub.clock.ms)
    await ada.say(hub.room(), leave)
    assert hub.hub.roster(hub.room()).addresses == [ada.address]
    hub.clock.ms += 10_000  # it was the second key's announce that counted
    assert hub.hub.roster(hub.room()).addresses == []
