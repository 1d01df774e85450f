"""A room is replaced by somebody on another server: its id tells nobody where the new one is."""

from __future__ import annotations

from pathlib import Path

from bots.transports.matrix import addresses
from tests.federation.conftest import Islands, NewPerson
from tests.matrix_client import Account
from tests.transports.conftest import Peer


async def test_it_is_entered_by_way_of_who_said_so(islands: Islands, new_person: NewPerson, tmp_path: Path) -> None:
    ann = await new_person(islands.a, "ann")
    alias = f"#{ann.account.name}:{islands.a.server_name}"
    old = await ann.create_room(preset="public_chat", room_alias_name=ann.account.name)
    user = await islands.b.register("follower", "secret")
    anna = Peer(Account(islands.b.url, "follower", user, "secret"), tmp_path / "follower", {"rooms": (alias,)})
    try:
        await anna.start()
        await anna.until(lambda: bool(anna.joined))
        answer = await ann.request("POST", f"/rooms/{old}/upgrade", {"new_version": "12"})
        new = str(answer["replacement_room"])
        assert ":" not in new
        await anna.until(lambda: [room.uri for room in anna.transport.rooms()] == [addresses.room_uri(new)])
        assert user in await ann.members(new)
        await ann.send_text(new, "welcome")
        assert ("welcome", True) in await anna.bodies(1)
    finally:
        await anna.stop()
