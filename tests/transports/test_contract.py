"""What every transport does alike, each on real parts of its own (docs/transports.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from bots.errors import Refused, RetryLater
from bots.homeserver import Homeserver
from bots.transports import Parcel
from bots.transports.http import transport
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.transports.resident import PATIENCE_S, Resident
from tests.transports.worlds import WORLDS, Parts, Words, World, world


@pytest.fixture
def parts(homeserver: Homeserver, new_account: NewAccount, new_client: NewClient, new_room: NewRoom) -> Parts:
    return Parts(homeserver, new_account, new_client, new_room)


@pytest.fixture(params=sorted(WORLDS))
async def place(
    request: pytest.FixtureRequest, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(transport, "_BACKOFF_S", (0.02, 0.1))
    async with world(request.param, tmp_path, parts) as opened:
        yield opened


@pytest.fixture
def words(place: World) -> Words:
    return Words("somebody", place.room)


def said(place: World, txn: str, *carriers: str) -> Parcel:
    return Parcel(txn=txn, plane="room", room=place.room, carriers=carriers, body="words")


def whispered(to: Resident, txn: str, *carriers: str) -> Parcel:
    return Parcel(txn=txn, plane="direct", address=to.address, device=to.transport.device, carriers=carriers)


def parsed(carriers: Sequence[str]) -> list[object]:
    return [json.loads(carrier) for carrier in carriers]


async def heard(resident: Resident, carriers: Sequence[str], plane: str = "room") -> None:
    """Wait until all of these are there, and see that they are there once and in this order."""
    wanted = parsed(carriers)
    await resident.until(lambda: all(carrier in resident.carriers(plane) for carrier in wanted))
    assert [carrier for carrier in resident.carriers(plane) if carrier in wanted] == wanted


def liveness(resident: Resident, carrier: str) -> list[bool]:
    """Of each delivery with this carrier."""
    wanted = json.loads(carrier)
    return [delivery.live for delivery in resident.received if wanted in resident.transport.carriers(delivery)]


async def sent(resident: Resident, parcel: Parcel) -> None:
    """Send until it is taken."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await resident.transport.send(parcel)
            except RetryLater:
                await asyncio.sleep(0.02)
            else:
                return


async def test_everybody_hears_everything_in_order_and_who_said_it(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    carriers = [words.carrier() for _ in range(12)]
    for number, carrier in enumerate(carriers[:4]):
        await ada.transport.send(said(place, f"t{number}", carrier))
    event = await ada.transport.send(said(place, "t9", *carriers[4:]))
    for resident in (ada, bert):
        await heard(resident, carriers)
    last = [delivery for delivery in bert.received if delivery.event_id == event]
    assert [bert.transport.carriers(delivery) for delivery in last] == [parsed(carriers[4:])]
    assert (last[0].room, last[0].plane, last[0].live) == (place.room, "room", True)


async def test_a_parcel_that_is_sent_again_is_no_second_event(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    parcel, last = said(place, "t1", words.carrier(), words.carrier()), words.carrier()
    assert await ada.transport.send(parcel) == await ada.transport.send(parcel)
    await ada.transport.send(said(place, "t2", last))
    await heard(bert, [*parcel.carriers, last])


async def test_from_one_to_another_and_nobody_else(place: World, words: Words) -> None:
    ada, bert, cleo = [await place.resident(name) for name in ("ada", "bert", "cleo")]
    carriers = [words.carrier() for _ in range(3)]
    for number, carrier in enumerate(carriers):
        assert await ada.transport.send(whispered(bert, f"t{number}", carrier)) == ""
    await heard(bert, carriers, "direct")
    delivery = next(delivery for delivery in bert.received if delivery.plane == "direct")
    assert (delivery.sender, delivery.room, delivery.event_id, delivery.live) == (ada.address, "", "", True)
    assert cleo.carriers("direct") == ada.carriers("direct") == []


async def test_what_is_said_while_one_is_away_is_there_when_it_is_back(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    before, after = words.carrier(), [words.carrier() for _ in range(3)]
    await ada.transport.send(said(place, "t0", before))
    await heard(bert, [before])
    await bert.stop()
    for number, carrier in enumerate(after, start=1):
        await ada.transport.send(said(place, f"t{number}", carrier))
    secret = words.carrier()
    await ada.transport.send(whispered(bert, "t9", secret))
    bert.open()
    await bert.start()
    await heard(bert, [before, *after])
    await heard(bert, [secret], "direct")
    assert all(delivery.live for delivery in bert.received if parsed(after)[0] in bert.transport.carriers(delivery))


async def test_a_restart_brings_nothing_twice(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    carriers, secret = [words.carrier() for _ in range(3)], words.carrier()
    await ada.transport.send(said(place, "t1", *carriers))
    await ada.transport.send(whispered(bert, "t2", secret))
    await heard(bert, carriers)
    await heard(bert, [secret], "direct")
    for _ in range(2):
        await bert.restart()
    last = words.carrier()
    await ada.transport.send(said(place, "t3", last))
    await heard(bert, [*carriers, last])
    assert bert.carriers("direct") == parsed([secret])


async def test_what_is_said_after_a_break_is_live(place: World, words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    monkeypatch.setattr(transport, "_BACKOFF_S", (0.5, 0.5))  # so that it is said before bert is back
    for number in range(2):
        await place.cut()
        await bert.until(lambda: not bert.transport.online)
        await place.heal()
        carrier = words.carrier()
        await sent(ada, said(place, f"t{number}", carrier))
        await heard(bert, [carrier])
        assert liveness(bert, carrier) == [True]
        await bert.until(lambda: bert.transport.online)


async def test_what_is_said_after_a_restart_is_live(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    for number in range(2):
        away, back = words.carrier(), words.carrier()
        await bert.stop()
        await ada.transport.send(said(place, f"a{number}", away))
        bert.open()
        await bert.start()
        await ada.transport.send(said(place, f"b{number}", back))
        await heard(bert, [away, back])
        assert liveness(bert, away) == liveness(bert, back) == [True]


async def test_what_was_before_a_newcomer_is_context(place: World, words: Words) -> None:
    ada = await place.resident("ada")
    past, now = words.carrier(), words.carrier()
    await ada.transport.send(said(place, "t1", past))
    await heard(ada, [past])
    late = await place.resident("late")
    await ada.transport.send(said(place, "t2", now))
    await heard(late, [past, now])
    assert (liveness(late, past), liveness(late, now)) == ([False], [True])
    await late.restart()
    assert (liveness(late, past), liveness(late, now)) == ([False], [True])


async def test_the_other_side_goes_away_and_comes_back(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    parcel = said(place, "t1", words.carrier())
    await place.cut()
    with pytest.raises(RetryLater) as caught:
        await ada.transport.send(parcel)
    assert caught.value.code.endswith(".unreachable")
    for resident in (ada, bert):
        await resident.until(lambda: not ada.transport.online and not bert.transport.online)
    await place.heal()
    for resident in (ada, bert):
        await resident.until(lambda: ada.transport.online and bert.transport.online)
        assert resident.online[-2:] == [False, True]
    await ada.transport.send(parcel)
    await heard(bert, parcel.carriers)


async def test_as_large_as_a_batch_may_be(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    carriers = [words.carrier(300) for _ in range(16)]
    await ada.transport.send(said(place, "t1", *carriers))
    await heard(bert, carriers)


async def test_what_is_too_large_is_refused_and_the_next_goes(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    with pytest.raises(Refused) as caught:
        await ada.transport.send(said(place, "t1", *['{"x":"' + "y" * 10_000 + '"}'] * 7))
    assert caught.value.code.rpartition(".")[2] in ("too_large", "bad_content")
    carrier = words.carrier()
    await ada.transport.send(said(place, "t2", carrier))
    await heard(bert, [carrier])


async def test_whoever_is_not_there_is_nobody_to_write_to(place: World, words: Words) -> None:
    ada = await place.resident("ada")
    nobody = f"{ada.address}x"
    # A transport that knows says so; one that does not takes it and drops it.
    with contextlib.suppress(Refused):
        await ada.transport.send(Parcel(txn="t1", plane="direct", address=nobody, carriers=(words.carrier(),)))
    carrier = words.carrier()
    await ada.transport.send(said(place, "t2", carrier))
    await heard(ada, [carrier])


async def test_members_are_known(place: World) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    for resident in (ada, bert):
        for one in (ada, bert):
            await resident.until(partial(resident.transport.is_member, place.room, one.address))
    assert not ada.transport.is_member(place.room, f"{ada.address}x")
    assert not ada.transport.is_member("matrix:roomid/elsewhere:example.org", ada.address)


async def test_a_slow_reader_gets_everything_all_the_same(place: World, words: Words) -> None:
    ada, bert = await place.resident("ada"), await place.resident("bert")
    bert.commit_s = 0.2
    carriers = [words.carrier() for _ in range(96)]
    for start in range(0, 96, 16):
        await ada.transport.send(said(place, f"t{start}", *carriers[start : start + 16]))
    await heard(bert, carriers)


async def test_closing_ends_the_run_and_may_be_repeated(place: World) -> None:
    ada = await place.resident("ada")
    await ada.closed()
    await ada.transport.close()
    await ada.transport.run()
