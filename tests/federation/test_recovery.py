"""What a homeserver missed while it was cut off reaches whoever lives on it, each event once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bots.homeserver import Homeserver
from tests.federation.conftest import Islands, NewPerson
from tests.matrix_client import Account, MatrixClient
from tests.transports.conftest import NewPeer, Peer


@pytest.fixture
async def new_peer(islands: Islands, tmp_path: Path) -> AsyncIterator[NewPeer]:
    """Make an agent's transport with an account on the second server; it runs."""
    async with AsyncExitStack() as stack:

        async def make(name: str, **_: object) -> Peer:
            server: Homeserver = islands.b
            user = await server.register(name, "secret")
            peer = Peer(Account(server.url, name, user, "secret"), tmp_path / name, {})
            stack.push_async_callback(peer.stop)
            await peer.start()
            return peer

        yield make


async def say(client: MatrixClient, room: str, prefix: str, count: int) -> list[str]:
    texts = [f"{prefix}{number}" for number in range(count)]
    for text in texts:
        await client.send_text(room, text)
    return texts


@pytest.mark.parametrize("here, there", [(5, 120), (60, 20)])
async def test_both_wrote_and_nothing_is_lost(
    islands: Islands, new_person: NewPerson, new_peer: NewPeer, here: int, there: int
) -> None:
    ann, ben = await new_person(islands.a, "ann"), await new_person(islands.b, "ben")
    room = await ann.create_room(preset="public_chat", room_alias_name=ann.account.name)
    anna = await new_peer(f"anna-{here}")
    await anna.transport.join(f"#{ann.account.name}:{islands.a.server_name}")
    await anna.until(lambda: bool(anna.transport.rooms()))
    await ben.join(room)
    await say(ann, room, "before ", 1)
    await anna.bodies(1)

    islands.cut()
    written = await say(ann, room, "there ", there) + await say(ben, room, "here ", here)
    newcomer = await new_peer(f"newcomer-{here}")
    await newcomer.join(room)
    # What it had in memory to send is gone: it will tell of its newest event alone.
    await islands.a.restart()
    islands.heal()
    written += await say(ann, room, "after ", 1)

    found = await anna.bodies(1 + len(written))
    assert Counter(text for text, _ in found) == Counter(["before 0", *written])
    assert all(live for _, live in found)

    expected = 1 + len(written)
    told = await newcomer.bodies(expected)
    assert Counter(text for text, _ in told) == Counter(["before 0", *written])
    # The past of its own island is no work for it; what came after its join is, wherever it was said.
    live = {text for text, live in told if live}
    assert live >= {"after 0", f"there {there - 1}"}
    assert not live & {"before 0", *(text for text in written if text.startswith("here "))}
