"""Encrypted rooms and the media repository: what is too large for an event."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from bots.errors import Refused
from tests.conftest import NewClient
from tests.transports.conftest import Front, NewPeer
from tests.transports.encrypted_room import arrived, encrypted_room, joined, parcel, two

pytestmark = pytest.mark.usefixtures("keys_soon")


class TestTooLargeForAnEvent:
    async def test_carriers_go_by_way_of_the_media_repository(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        founder, anna, bert, room_id = await two(new_client, new_peer, annas=front.url)
        large = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * 49_000})
        for size, media in ((40_000, 0), (45_500, 0), (46_500, 1), (49_000, 2)):
            carrier = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * size})
            await anna.transport.send(parcel(room_id, f"of {size}", carriers=(carrier,), thread_root=""))
            assert front.count("/media/v3/upload") == media, size
            assert bert.transport.carriers(await arrived(bert, f"of {size}")) == [json.loads(carrier)]
        several = (json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * 3_700}),) * 16
        await anna.transport.send(parcel(room_id, "sixteen", carriers=several))
        assert len(bert.transport.carriers(await arrived(bert, "sixteen"))) == 16
        assert large not in str(await founder.messages(room_id))

    async def test_media_that_is_away_for_a_moment(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        _, anna, bert, room_id = await two(new_client, new_peer, berts=front.url)
        failing = 1

        def fault(request: web.Request) -> web.Response | None:
            nonlocal failing
            if "/media/download/" in request.path and failing:
                failing -= 1
                return web.Response(status=502)
            return None

        front.fault = fault
        carrier = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * 48_000})
        await anna.transport.send(parcel(room_id, "large", carriers=(carrier,)))
        assert bert.transport.carriers(await arrived(bert, "large")) == [json.loads(carrier)]
        assert bert.transport.encryption.recovered == 1

    async def test_chunks_of_artifacts_are_hidden_from_the_media_repository(
        self, new_peer: NewPeer, new_client: NewClient
    ) -> None:
        founder = await new_client("founder")
        anna, bert = await new_peer("anna", owner=founder.user_id), await new_peer("bert")
        open_uri = await anna.transport.store_chunk(b"in the open")
        assert "#" not in open_uri
        room_id = await encrypted_room(founder, anna.account.user_id)
        await joined(anna, room_id)
        uri = await anna.transport.store_chunk(b"a long output")
        place, _, key = uri.partition("#")
        assert len(key) == 43 and len(uri) <= 300
        assert await bert.transport.fetch_chunk(uri, 100) == b"a long output"
        assert await bert.transport.fetch_chunk(place, 100) != b"a long output"
        assert await bert.transport.fetch_chunk(open_uri, 100) == b"in the open"
        with pytest.raises(Refused):
            await bert.transport.fetch_chunk(place + "#tooshort", 100)
