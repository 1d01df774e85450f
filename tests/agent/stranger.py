"""Somebody at the door: a key, an account, and any words a test puts into its mouth."""

from __future__ import annotations

import json
from typing import Any

from clawnet_proto.bindings import matrix as binding
from clawnet_proto.carrier import verify
from clawnet_proto.families import presence, task
from clawnet_proto.message import Message
from clawnet_proto.sealing import SealKey
from clawnet_proto.wire import Record, present
from tests.agent.network import Network, lend_key, messages_of
from tests.proto import samples
from tests.proto.authoring import Author


class Stranger(Author):
    """Somebody with a key and an account, who says whatever a test wants said."""

    def __init__(self, network: Network, name: str) -> None:
        super().__init__(name)
        self.seal = SealKey(self.key.seed)
        lend_key(self.seal, self.did)
        self.network = network
        self.account = network.account(self.address)
        self._heard: list[Message] = []
        self._read = 0

    def post(self, *carriers: bytes | dict[str, Any], body: str = "words", **content: Any) -> str:
        """Put carriers into the room, in one event, and return its id."""
        parsed = [json.loads(carrier) if isinstance(carrier, bytes) else carrier for carrier in carriers]
        given = {"msgtype": "m.notice", "body": body, binding.CARRIERS: parsed}
        return self.network.post(self.address, given | content)

    def write(self, text: str, **content: Any) -> str:
        """Write plain words into the room, as a person does."""
        return self.network.post(self.address, {"msgtype": "m.text", "body": text} | content)

    def send(self, to: str, *carriers: bytes) -> None:
        """Send carriers directly."""
        self.network.send(self.address, to, {binding.CARRIERS: [json.loads(carrier) for carrier in carriers]})

    def announcement(self, **changes: Any) -> bytes:
        """An announce that binds the account."""
        here = presence.Address(uri=self.address, device="DEVICE")
        body = samples.announce(self, **({"addresses": (here,)} | changes))
        return self.carrier(body, sent_ms=self.network.now_ms())

    def announce(self, **changes: Any) -> None:
        self.post(self.announcement(**changes))

    def says(self, body: Record, **fields: Any) -> bytes:
        """A carrier sent now."""
        return self.carrier(body, **({"sent_ms": self.network.now_ms()} | fields))

    def awards(self, asked: bytes, executor: str) -> bytes:
        """An award of the stage ``answer`` of a request, which need not have arrived."""
        asked_id = verify(asked).id
        body = task.Award(stage="answer", attempt=1, lease_ms=15_000)
        return self.says(body, recipients=(executor,), thread=asked_id, answers=asked_id)

    def heard(self, *types: str) -> list[Message]:
        """The messages that reached its account, addressed to it."""
        for delivery in self.account.log[self._read :]:
            self._heard += messages_of(json.loads(delivery.event))
        self._read = len(self.account.log)
        return [
            message
            for message in self._heard
            if message.type in types and self.did in present(message.envelope.recipients, ())
        ]
