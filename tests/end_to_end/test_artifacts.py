"""Outputs too long for a message, between agents on the real homeserver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from msgspec import UNSET

from bots.api import Clawnet
from bots.behaviours.requester import Order
from bots.events import AnyEvent, TaskEnded
from bots.homeserver import Homeserver
from clawnet_proto.families import task
from clawnet_proto.signing import digest
from tests.agent.simulated import echo
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import start_all
from tests.end_to_end.conftest import NO_MODEL, NewAgent
from tests.end_to_end.reading import results, room_messages
from tests.matrix_client import MatrixClient

PARTS = {
    "one": "".join(f"{number} leagues under the sea. " for number in range(520)).strip(),
    "two": "".join(f"{number} days around the world. " for number in range(520)).strip(),
}


@pytest.mark.parametrize("private", [False, True])
async def test_a_long_output_goes_through_the_media_repository(
    homeserver: Homeserver, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent,
    monkeypatch: pytest.MonkeyPatch, private: bool,
) -> None:  # fmt: skip
    client = await new_client("witness")
    room_id = await new_room(client)
    ada = await new_agent("ada", room_id, *NO_MODEL)
    bert, cora = [await new_agent(name, room_id, *NO_MODEL, limits_prompt_bytes="200000") for name in ("bert", "cora")]
    await start_all([bert, cora])
    for name, value in ada.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    stages = (echo("join", *PARTS), echo("twice", "join", *PARTS), echo("last", "twice"))
    async with Clawnet.open(ada.name, password=ada.account.password) as mesh:
        async with asyncio.timeout(60):
            while len(mesh.discover_peers()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        end = await ended(mesh, Order(room=mesh.room, title="long", inputs=PARTS, stages=stages, private=private))
    assert end.outcome == "completed", end
    joined = "".join(f"|{text}" for text in PARTS.values())
    assert end.text == f"||{joined}{joined}"
    assert len(end.text) > 55_000

    messages = await room_messages(client, room_id)
    posted: list[task.Result] = [message.body for message in results(end.task, messages)]
    assert [result.stage for result in posted] == ["join", "twice", "last"]
    for result in posted:
        assert result.artifact is not UNSET
        for chunk in result.artifact.chunks:
            assert chunk.uri.startswith(f"mxc://{homeserver.server_name}/")
            stored = await download(client, chunk.uri)
            assert digest(stored) == chunk.digest
            assert (b"leagues" in stored) != private


async def ended(mesh: Clawnet, order: Order) -> TaskEnded:
    """How a task ends that is more than one question."""
    done: asyncio.Future[TaskEnded] = asyncio.get_running_loop().create_future()

    def observe(event: AnyEvent) -> None:
        if isinstance(event, TaskEnded) and not done.done():
            done.set_result(event)

    stop: Callable[[], None] = mesh.agent.observe(observe)
    try:
        mesh.agent.requester.request(order)
        async with asyncio.timeout(90):
            return await done
    finally:
        stop()


async def download(client: MatrixClient, uri: str) -> bytes:
    """A chunk as any user of the homeserver can fetch it."""
    url = f"{client.account.homeserver}/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}"
    headers = {"Authorization": f"Bearer {client.token}"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert answer.status == 200
        return await answer.read()
