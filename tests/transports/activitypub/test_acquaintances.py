from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from typing import Any

import pytest

from bots.transports.activitypub import acquaintances
from bots.transports.activitypub.activities import DeleteActor
from bots.transports.activitypub.fetcher import Bad, FetchError
from bots.transports.activitypub.request import Request
from bots.transports.activitypub.verification import Verifier
from tests.transports.activitypub.here import OWN, Here, Keeper, gets, posted
from tests.transports.activitypub.stranger import Stranger


async def test_an_actor_is_fetched_once_an_hour(here: Here, eve: Stranger) -> None:
    requests = [posted(eve.follow(OWN), eve) for _ in range(20)]
    await asyncio.gather(*map(here.takes, requests))
    assert gets(eve) == 1
    here.monotonic.ms += 3_500_000
    await here.takes(posted(eve.follow(OWN), eve))
    assert gets(eve) == 1
    here.monotonic.ms += 200_000
    await here.takes(posted(eve.follow(OWN), eve))
    assert gets(eve) == 2


async def test_a_new_key_is_looked_for_once_and_not_twice_a_minute(
    here: Here, eve: Stranger, mallory: Stranger
) -> None:
    await here.takes(posted(eve.follow(OWN), eve))
    assert gets(eve) == 1
    eve.keys, old = mallory.keys, eve.keys
    eve.document["publicKey"]["publicKeyPem"] = eve.keys.pem
    await here.takes(posted(eve.follow(OWN), eve))
    assert gets(eve) == 2
    eve.keys = old
    for _ in range(5):
        await here.refuses(posted(eve.follow(OWN), eve), 401, "signature")
    assert gets(eve) == 2
    here.monotonic.ms += 60_000
    await here.refuses(posted(eve.follow(OWN), eve), 401, "signature")
    assert gets(eve) == 3


async def test_a_document_just_fetched_is_not_fetched_again(here: Here, eve: Stranger, mallory: Stranger) -> None:
    body = json.dumps(eve.follow(OWN)).encode()
    eve.keys = mallory.keys
    await here.refuses(posted(body, eve), 401, "signature")
    assert gets(eve) == 1


async def test_who_was_not_found_is_not_looked_for_at_once(here: Here, eve: Stranger) -> None:
    document, eve.document = eve.document, {}
    for _ in range(3):
        await here.refuses(posted(eve.follow(OWN), eve), 401, "unfetched")
    assert gets(eve) == 1
    eve.document = document
    here.monotonic.ms += 60_000
    await here.takes(posted(eve.follow(OWN), eve))


async def test_an_actor_counts_for_a_day_while_its_server_is_away(here: Here, eve: Stranger) -> None:
    await here.takes(posted(eve.follow(OWN), eve))
    await eve.away()
    here.monotonic.ms += 86_000_000
    await here.takes(posted(eve.follow(OWN), eve))
    here.monotonic.ms += 500_000
    await here.refuses(posted(eve.follow(OWN), eve), 503, "unreachable")


@pytest.mark.parametrize("later_ms", [0, 3_600_000, 100_000_000])
async def test_the_end_of_an_actor_is_known_by_the_key_it_had(here: Here, eve: Keeper, later_ms: int) -> None:
    gone = eve.ends()
    await here.takes(posted(eve.follow(OWN), eve))
    eve.gone = True
    here.monotonic.ms += later_ms
    assert isinstance((await here.takes(posted(gone, eve))).activity, DeleteActor)


async def test_a_key_counts_no_more_than_an_hour_once_its_actor_is_gone(here: Here, eve: Keeper) -> None:
    await here.takes(posted(eve.follow(OWN), eve))
    eve.gone = True
    await here.takes(posted(eve.follow(OWN), eve))
    here.monotonic.ms += 3_600_000
    await here.refuses(posted(eve.follow(OWN), eve), 401, "unfetched")


async def test_the_end_of_an_actor_that_nobody_knows_is_nothing(here: Here, eve: Stranger) -> None:
    eve.names = type(eve.names)(eve.names.base + "/nothing", "eve")
    await here.refuses(posted(eve.ends(), eve), 202, "gone")
    await here.refuses(posted(eve.follow(OWN), eve), 401, "unfetched")


async def test_no_more_actors_are_kept_than_there_is_space_for(
    here: Here, eve: Stranger, mallory: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquaintances, "ACTORS_MOST", 3)
    here.verifier = Verifier(here.fetcher, OWN, here.now_ms, here.monotonic)
    # Of another host: the port makes none.
    eve.document = json.loads(json.dumps(eve.document).replace("127.0.0.1", "localhost"))
    await here.verifier.actor(eve.document["id"])

    def also(number: int) -> str:
        return f"{mallory.names.base}/actor?{number}"

    document = mallory.document
    for number in range(5):
        mallory.document = document | {"id": also(number)}
        await here.verifier.actor(also(number))
    # Whoever brought most made room: the others' is still there.
    known = here.verifier._acquaintances
    assert [known.cached(actor) is not None for actor in (eve.document["id"], also(0), also(3), also(4))] == [
        True,
        False,
        True,
        True,
    ]


async def test_one_host_does_not_keep_us_busy(here: Here, eve: Stranger, mallory: Stranger) -> None:
    gate = asyncio.Event()
    real = here.fetcher.document

    async def held(url: str, *, hearsay: bool = False) -> dict[str, Any]:
        await gate.wait()
        return await real(url, hearsay=hearsay)

    here.fetcher.document = held  # type: ignore[method-assign]
    waiting = [asyncio.create_task(here.verifier.actor(f"{eve.names.base}/{number}")) for number in range(8)]
    await asyncio.sleep(0)
    # At another port, it is still that host.
    await here.refuses(posted(mallory.follow(OWN), mallory), 503, "unreachable")
    gate.set()
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(found, FetchError)


async def test_strangers_make_us_fetch_from_one_host_so_often_a_minute(here: Here, eve: Stranger) -> None:
    def claims(number: int) -> Request:
        text = json.dumps(eve.follow(OWN)).replace(eve.names.actor, f"{eve.names.base}/nobody{number}")
        return posted(text.encode(), eve)

    for number in range(60):
        await here.refuses(claims(number), 401, "unfetched")
    asked = len(eve.requests)
    await here.refuses(claims(60), 503, "unreachable")
    assert len(eve.requests) == asked
    await here.verifier.actor(eve.names.actor)  # what we want ourselves is not bounded so
    here.monotonic.ms += 1000
    await here.refuses(claims(61), 401, "unfetched")


async def test_nothing_is_kept_of_what_was_no_actor(here: Here, eve: Stranger) -> None:
    eve.document |= {"type": "Note", "content": "a" * 500_000}
    tracemalloc.start()
    try:
        for number in range(10):
            eve.document["id"] = actor = f"{eve.names.base}/actor?{number}"
            with pytest.raises(Bad):
                await here.verifier.actor(actor)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1_500_000
    finally:
        tracemalloc.stop()
    here.monotonic.ms += acquaintances.ABSENT_MS
    with pytest.raises(Bad):
        await here.verifier.actor(actor)
    assert len(here.verifier._acquaintances._absent) == 1


@pytest.mark.parametrize(
    "told, known",
    [
        ("eve_1.2-x", "eve_1.2-x"),
        ("eve</a> @admin@victim.example\u202e\n", "eveaadminvictim.example"),
        ("字", ""),
        (1, ""),
    ],
)
async def test_a_local_name_holds_no_markup_and_no_handle(here: Here, eve: Stranger, told: object, known: str) -> None:
    eve.document["preferredUsername"] = told
    assert (await here.verifier.actor(eve.names.actor)).user == known


@pytest.mark.parametrize(
    "change", [{"type": "Note"}, {"type": ["Person"]}, {"inbox": None}, {"inbox": "a"}, {"publicKey": [{}] * 300}]
)
async def test_what_is_no_actor_is_none(here: Here, eve: Stranger, change: dict[str, Any]) -> None:
    eve.document |= change
    with pytest.raises(Bad):
        await here.verifier.actor(eve.names.actor)
