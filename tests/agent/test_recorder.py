"""The transcript an agent writes: 0600, never over another, verified line by line."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from bots.errors import ConfigError
from bots.recorder import Recorder
from bots.transports import Delivery
from clawnet_proto.errors import TranscriptError
from clawnet_proto.transcript import Entry, Header, read
from tests.agent.simulated import Room, order
from tests.agent.virtual_time import in_virtual_time, until

DELIVERY = Delivery(
    transport="matrix",
    plane="room",
    room="matrix:roomid/mesh:example.org",
    sender="matrix:u/eve:example.org",
    event_id="$1",
    event='{"content":{"body":"naïve \\ud83d\\udc3e\\u0000"}}',
    received_ms=1_800_000_000_000,
    live=True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "today.jsonl"


def lines(path: Path) -> list[Header | Entry | TranscriptError]:
    with path.open("rb") as file:
        return [record for _, record in read(file)]


def test_what_was_recorded_is_read_again(path: Path) -> None:
    recorder = Recorder(path)
    recorder.begin(created_ms=1, recorder="matrix:u/ada:example.org")
    recorder.record(DELIVERY)
    # A line is there before anybody acts on it, not when the agent ends.
    header, entry = lines(path)
    assert isinstance(header, Header) and isinstance(entry, Entry)
    assert (header.recorder, header.created_ms) == ("matrix:u/ada:example.org", 1)
    for name in ("transport", "plane", "room", "sender", "event_id", "event", "received_ms"):
        assert getattr(entry, name) == getattr(DELIVERY, name)
    recorder.close()
    recorder.close()


def test_it_is_for_the_owner_alone(path: Path) -> None:
    Recorder(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_never_over_an_existing_file(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ConfigError, match="exists already") as caught:
        Recorder(path)
    assert caught.value.code == "record.exists"
    assert path.read_text() == "precious"


def test_a_link_is_no_way_around_that(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="exists already"):
        Recorder(path)
    assert not (tmp_path / "elsewhere").exists()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written") as caught:
        Recorder(tmp_path / "missing" / "today.jsonl")
    assert caught.value.code == "record.unwritable"


def test_a_changed_character_is_found(path: Path) -> None:
    recorder = Recorder(path)
    recorder.begin(created_ms=1, recorder="matrix:u/ada:example.org")
    recorder.record(DELIVERY)
    recorder.record(DELIVERY)
    recorder.close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"eve", b"eva", 1))
    _, changed, after = lines(path)
    assert isinstance(changed, TranscriptError) and changed.line == 2
    assert isinstance(after, Entry)


@in_virtual_time
async def test_an_agent_records_what_arrives_and_its_own_last_words(tmp_path: Path, path: Path) -> None:
    async with Room(tmp_path) as room:
        bert = await room.join("bert")
        ada = room.member("ada")
        agent = ada.open(Recorder(path))
        running = asyncio.ensure_future(agent.run())
        await agent.synced.wait()
        await until(lambda: bert.did in ada.mesh.peers)
        await ada.outcome(ada.ask(order()))
        agent.stop()
        await running
        agent.store.close()
        records = lines(path)
        assert not [record for record in records if isinstance(record, TranscriptError)]
        recorded = [record.event_id for record in records if isinstance(record, Entry) and record.plane == "room"]
        assert recorded == [event["event_id"] for event in room.network.timeline]
        assert room.network.posted("presence.leave", by=ada.address)
