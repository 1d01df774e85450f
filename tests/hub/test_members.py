"""Who is in a room of a hub, and how readers are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from bots.hub.archive import Bounds
from clawnet_proto.families import presence
from tests.hub.visitor import Visitor

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hub.conftest import NewHub, Running

HOUR_MS = 3_600_000


def leave(hub: Running, visitor: Visitor, revision: int) -> bytes:
    return visitor.author.carrier(presence.Leave(revision=revision), room=hub.room(), sent_ms=hub.clock.ms)


def enter(hub: Running, address: str, *, until_ms: int = 0, network: str = "elsewhere") -> bool:
    now_ms = hub.clock.ms
    return hub.archive.members.enter(hub.room(), address, 1, until_ms or now_ms + HOUR_MS, now_ms, network)


async def test_many_members_are_told_in_lines_of_bounded_length(
    new_hub: NewHub, session: aiohttp.ClientSession
) -> None:
    hub = await new_hub(bounds=Bounds(members_of_network=5000))
    bert = Visitor("bert", hub.base, session, hub.clock)
    addresses = {f"{hub.base}/peers/{number}" for number in range(1470)}
    with hub.archive.transaction():
        assert all(enter(hub, address) for address in addresses)
    async with bert.stream(hub.room()) as stream:
        await stream.next()
        assert stream.members == addresses
        assert stream.told == [*[("members", 100, True)] * 14, ("members", 70, False)]


async def test_who_comes_and_goes_is_told_alone_and_before_it_speaks(hub: Running, ada: Visitor, bert: Visitor) -> None:
    await bert.say(hub.room(), bert.announce(hub.room()))
    async with bert.stream(hub.room()) as stream:
        for _ in range(2):
            await stream.next()
        assert (stream.members, stream.told) == ({bert.address}, [("members", 1, False)])
        await ada.say(hub.room(), ada.announce(hub.room()))
        await stream.next()
        assert stream.members == {ada.address, bert.address}
        await ada.say(hub.room(), leave(hub, ada, 1))
        await stream.next()
        assert stream.members == {bert.address}
        assert stream.told[1:] == [("joined", 1, False), ("left", 1, False)]


async def test_who_expires_is_told_too(hub: Running, ada: Visitor, bert: Visitor) -> None:
    await ada.say(hub.room(), ada.announce(hub.room(), expires_ms=hub.clock.ms + 5000))
    async with bert.stream(hub.room()) as stream:
        for _ in range(2):
            await stream.next()
        assert stream.members == {ada.address}
        hub.clock.ms += 6000
        await bert.say(hub.room(), bert.announce(hub.room()))
        await stream.next()
        assert stream.members == {bert.address}


async def test_a_reader_far_behind_is_told_all_anew(hub: Running) -> None:
    roster = hub.hub.roster(hub.room())
    before = roster.version
    for number in range(1100):
        roster.note(str(number), hub.clock.ms + HOUR_MS)
    assert roster.since(before) is None
    assert [change.address for change in roster.since(before + 1098) or ()] == ["1098", "1099"]
    assert roster.since(roster.version) == []


async def test_a_full_room_takes_nobody_new_and_loses_nobody(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(bounds=Bounds(members=2))
    ada, bert = (Visitor(name, hub.base, session, hub.clock) for name in ("ada", "bert"))
    await ada.say(hub.room(), ada.announce(hub.room(), expires_ms=hub.clock.ms + HOUR_MS))
    assert enter(hub, "stranger 1", until_ms=hub.clock.ms + 1000 * HOUR_MS)
    assert not enter(hub, "stranger 2", until_ms=hub.clock.ms + 1000 * HOUR_MS)
    assert (await bert.say(hub.room(), bert.announce(hub.room())))[0] == 200
    assert hub.hub.roster(hub.room()).addresses == sorted([ada.address, "stranger 1"])
    # Whoever is in may say so again.
    assert (await ada.say(hub.room(), ada.announce(hub.room())))[0] == 200
    hub.clock.ms += 6 * HOUR_MS
    assert enter(hub, "stranger 2")


async def test_one_network_does_not_fill_a_room(new_hub: NewHub) -> None:
    hub = await new_hub(bounds=Bounds(members_of_network=3))
    assert [enter(hub, str(number), network="192.0.2.1") for number in range(5)] == [True, True, True, False, False]
    assert enter(hub, "another", network="192.0.2.2")


async def test_who_left_is_not_brought_back_by_an_old_announce(hub: Running, ada: Visitor) -> None:
    old, new = ada.announce(hub.room()), ada.announce(hub.room())
    await ada.say(hub.room(), new)
    await ada.say(hub.room(), leave(hub, ada, 2))
    hub.clock.ms += HOUR_MS
    assert enter(hub, "somebody else")  # what has no meaning any more is forgotten now
    await ada.say(hub.room(), old)
    assert hub.hub.roster(hub.room()).addresses == ["somebody else"]


async def test_what_is_not_kept_makes_no_member(hub: Running, ada: Visitor, tmp_path: Path) -> None:
    hub.archive._database.execute("CREATE TRIGGER fault BEFORE INSERT ON members BEGIN SELECT RAISE(ABORT, 'no'); END")
    carrier = ada.announce(hub.room())
    assert (await ada.say(hub.room(), carrier))[0] == 503
    assert hub.hub.after(hub.room(), "").said == []
    hub.archive._database.execute("DROP TRIGGER fault")
    assert (await ada.say(hub.room(), carrier))[0] == 200
    assert hub.hub.roster(hub.room()).addresses == [ada.address]
