"""What rooms and transcripts hold, read without the agent: raw events in, verified messages out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clawnet_proto.carrier import verify
from clawnet_proto.families import task
from clawnet_proto.message import Message
from tests.matrix_client import MatrixClient

Json = dict[str, Any]


def carried(event: Json) -> list[Message]:
    """The messages a Matrix event carries, but those sealed to somebody.

    Raises RemoteProtocolError if a signature does not hold.
    """
    carriers = event["content"].get("net.clawnet.carriers", [])
    return [verify(json.dumps(carrier).encode()) for carrier in carriers if "sealed" not in carrier]


def messages_of(transcript: Path) -> list[Message]:
    """All messages of a transcript, in order of arrival."""
    _, *entries = transcript.read_text("utf-8").splitlines()
    return [message for entry in entries for message in carried(json.loads(json.loads(entry)["event"]))]


def about(task_id: str, messages: Iterable[Message]) -> list[Message]:
    """The messages of one task."""
    return [message for message in messages if task_id in (message.id, message.envelope.thread)]


def results(task_id: str, messages: Iterable[Message]) -> list[Message]:
    """The results of one task, each once."""
    found = [message for message in about(task_id, messages) if isinstance(message.body, task.Result)]
    return list({message.id: message for message in found}.values())


def awards(task_id: str, messages: Iterable[Message]) -> list[Message]:
    """The awards of one task, each once."""
    found = [message for message in about(task_id, messages) if isinstance(message.body, task.Award)]
    return list({message.id: message for message in found}.values())


async def room_messages(client: MatrixClient, room_id: str) -> list[Message]:
    """Everything signed in a room, as this client may see it."""
    events = await client.messages(room_id)
    return [message for event in events if event["type"] == "m.room.message" for message in carried(event)]
