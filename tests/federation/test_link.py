"""The wire that other tests cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bots.homeserver.configuration import free_port
from tests.federation.conftest import Islands, NewPerson
from tests.federation.link import HOST, Link


@pytest.fixture
async def echo() -> AsyncIterator[Link]:
    """A link to a server that sends back what it gets."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        with Link(free_port(), server.sockets[0].getsockname()[1]) as link:
            yield link


async def test_bytes_pass_in_both_directions(echo: Link) -> None:
    reader, writer = await asyncio.open_connection(HOST, echo.port)
    writer.write(b"there and back")
    writer.write_eof()
    assert await reader.read() == b"there and back"
    writer.close()
    assert echo.opened == 1


async def test_a_cut_resets_what_is_open_and_refuses_what_comes(echo: Link) -> None:
    reader, writer = await asyncio.open_connection(HOST, echo.port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    echo.cut()
    assert not echo.whole
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, echo.port)
    echo.cut()

    echo.heal()
    echo.heal()
    reader, writer = await asyncio.open_connection(HOST, echo.port)
    writer.write(b"y")
    assert await reader.readexactly(1) == b"y"
    writer.close()


async def test_what_the_homeservers_say_to_each_other_goes_over_the_links(
    islands: Islands, new_person: NewPerson
) -> None:
    ann, ben = await new_person(islands.a, "ann"), await new_person(islands.b, "ben")
    room = await ann.create_room(preset="public_chat", room_alias_name=ann.account.name)
    await ben.join(f"#{ann.account.name}:{islands.a.server_name}")
    assert all(link.opened for link in islands.links)

    islands.cut()
    await ann.send_text(room, "lost for the moment")
    await ben.send_text(room, "this too")
    await ann.sync()
    await ben.sync()
    assert "this too" not in [event["content"].get("body") for event in ann.events]
    assert "lost for the moment" not in [event["content"].get("body") for event in ben.events]

    islands.heal()
    await ann.wait_for_text("this too")
    await ben.wait_for_text("lost for the moment")
