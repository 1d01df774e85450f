"""A person in a room, with a chat client of plain HTTP."""

from __future__ import annotations

import re

from clawnet_proto.families import task
from clawnet_proto.message import Message
from tests.end_to_end.agent_process import AgentProcess
from tests.end_to_end.reading import Json, carried
from tests.matrix_client import MatrixClient

ANSWERED_S = 60


class Person:
    """Somebody who writes in a room and reads what comes of it."""

    def __init__(self, client: MatrixClient, room_id: str) -> None:
        self.client = client
        self.room_id = room_id
        self.address = f"matrix:u/{client.user_id.removeprefix('@')}"

    async def say(self, text: str, *mentioned: AgentProcess) -> str:
        mentions = {"user_ids": [agent.account.user_id for agent in mentioned]}
        return await self.client.send_text(self.room_id, text, **({"m.mentions": mentions} if mentioned else {}))

    async def told(self, root: str, pattern: str, timeout_s: float = ANSWERED_S) -> Json:
        """The notice in this thread that speaks to us and says something like that."""
        return await self.client.wait_for(
            lambda event: (
                in_thread(event, root)
                and self.client.user_id in event["content"]["m.mentions"].get("user_ids", ())
                and bool(re.search(pattern, event["content"]["body"]))
            ),
            timeout_s,
        )

    async def closed(self, event_id: str) -> tuple[Message, Message]:
        """The request and the receipt of the task that some agent made of this event."""
        await self.client.wait_for(lambda event: bool(self._closes(event_id, event)), ANSWERED_S)
        (request,) = self.requests(event_id)
        (close,) = [message for event in self.client.events for message in self._closes(event_id, event)]
        return request, close

    def requests(self, event_id: str) -> list[Message]:
        """What was asked on our behalf because of this event."""
        found = [message for message in self.messages() if isinstance(message.body, task.Request)]
        return [message for message in found if on_behalf(message).event == event_id]

    def messages(self) -> list[Message]:
        """Everything signed that we have seen."""
        return [message for event in self.client.events for message in carried(event)]

    def _closes(self, event_id: str, event: Json) -> list[Message]:
        tasks = {request.id for request in self.requests(event_id)}
        closes = [message for message in carried(event) if isinstance(message.body, task.Close)]
        return [message for message in closes if message.envelope.thread in tasks]


def on_behalf(request: Message) -> task.OnBehalfOf:
    behalf = request.body.on_behalf_of
    return behalf if isinstance(behalf, task.OnBehalfOf) else task.OnBehalfOf(address="", event="", text_digest="")


def in_thread(event: Json, root: str) -> bool:
    relation = event["content"].get("m.relates_to", {})
    return (relation.get("rel_type"), relation.get("event_id")) == ("m.thread", root)
