"""A peer of a few lines: plain HTTP and the protocol's messages, nothing of ``bots``."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from msgspec import UNSET

from clawnet_proto import base64url
from clawnet_proto.carrier import body_type, sign
from clawnet_proto.envelope import Envelope
from clawnet_proto.families import presence, task
from clawnet_proto.keys import SigningKey
from clawnet_proto.message import Message
from clawnet_proto.sealing import SealKey
from clawnet_proto.signing import digest
from clawnet_proto.wire import Record
from tests.end_to_end.reading import Json, carried
from tests.matrix_client import MatrixClient

_LIFETIME_MS = 600_000


class HandmadePeer:
    """Says and sends whatever a test wants, signed, in one room."""

    def __init__(self, client: MatrixClient, room_id: str, name: str) -> None:
        self.client = client
        self.name = name
        self.key = SigningKey(os.urandom(32))
        self.seal = SealKey(os.urandom(32))
        self._room_id = room_id
        self._room = f"matrix:roomid/{room_id.removeprefix('!')}"

    def message(self, body: Record, *, to: str = "", thread: str = "", answers: str = "") -> Json:
        """A carrier."""
        now = time.time_ns() // 1_000_000
        envelope = Envelope(
            clawnet="1", type=body_type(body), sender=self.key.did, kid=self.key.did, room=self._room, sent_ms=now,
            expires_ms=now + _LIFETIME_MS, nonce=base64url.encode(os.urandom(16)), body=body,
            recipients=(to,) if to else UNSET, thread=thread or UNSET, answers=answers or UNSET,
        )  # fmt: skip
        data, _ = sign(self.key, envelope)
        return _decoded(data)

    async def post(self, *carriers: Json) -> str:
        """Into the room, as one event."""
        content = {"msgtype": "m.notice", "body": "(signed)", "net.clawnet.carriers": list(carriers)}
        return await self.client.send(self._room_id, "m.room.message", content)

    async def direct(self, user_id: str, *carriers: Json) -> None:
        content = {"net.clawnet.carriers": list(carriers)}
        await self.client.send_to_device(user_id, "*", "net.clawnet.direct", content)

    async def announce(self) -> None:
        """That we are here, and have a model."""
        user = f"matrix:u/{self.client.user_id.removeprefix('@')}"
        await self.post(
            self.message(
                presence.Announce(
                    revision=1, name=self.name, kind="ai", role="oracle", software="handmade", versions=("1",),
                    addresses=(presence.Address(uri=user, device=self.client.device_id),),
                    next_key_digest=digest(os.urandom(32)), seal_key=self.seal.public,
                    capabilities=("generate",), models=(presence.ModelCard(name="oracle", kinds=("generate",)),),
                    wants=(), offers=(), load=presence.Load(running=0, waiting=0, slots=1), confirmed=(),
                    limits=presence.Limits(
                        open_to="room", prompt_bytes=10_000, output_tokens=512, tokens_per_minute=10_000
                    ),
                )
            )
        )  # fmt: skip

    async def received(self, kind: type[Any], timeout_s: float = 30) -> Message:
        """The first message of this kind in the room, seen already or still to come, that is for us or for all."""
        found: list[Message] = []

        def match(event: Json) -> bool:
            found[:] = [message for message in carried(event) if self._is_for_us(message, kind)]
            return bool(found)

        await self.client.wait_for(match, timeout_s)
        return found[0]

    def _is_for_us(self, message: Message, kind: type[Any]) -> bool:
        recipients = message.envelope.recipients
        return isinstance(message.body, kind) and (recipients is UNSET or self.key.did in recipients)

    def result(self, award: Message, request: task.Request, text: str) -> task.Result:
        """What an award is answered with."""
        stage = request.stage(award.body.stage)
        assert stage is not None
        digests = {item.name: item.digest for item in request.inputs}
        return task.Result(
            stage=stage.id, attempt=award.body.attempt, award=award.id,
            inputs=tuple(task.InputDigest(source=source, digest=digests[source]) for source in stage.sources),
            model="oracle", parameters=stage.parameters, output_digest=digest(text.encode()), text=text,
            media_type="text/plain", finish="stop",
            usage=task.Usage(prompt_tokens=1, output_tokens=1, queued_ms=0, prompt_ms=1, generate_ms=1),
        )  # fmt: skip


def _decoded(carrier: bytes) -> Json:
    decoded = json.loads(carrier)
    assert isinstance(decoded, dict)
    return decoded
