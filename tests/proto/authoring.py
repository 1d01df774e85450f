"""Authors: keys made from names, which sign any body in an envelope with sensible defaults."""

from __future__ import annotations

import itertools
import json
import re
from hashlib import sha256
from typing import Any

from clawnet_proto import PROTOCOL_VERSION, base64url
from clawnet_proto.carrier import body_type, sign, verify
from clawnet_proto.envelope import Envelope
from clawnet_proto.keys import SigningKey
from clawnet_proto.message import Message
from clawnet_proto.signing import digest, signed_bytes
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import Record

ROOM = "matrix:roomid/mesh:example.org"
NOW_MS = 1_800_000_000_000


class Author:
    """Somebody with a key and an address; the same name gives the same key, and the same messages in the same order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = SigningKey(sha256(name.encode()).digest())
        self.did = self.key.did
        self.address = f"matrix:u/{name}:example.org"
        self._nonces = itertools.count()

    def envelope(self, body: Record, *, sent_ms: int = NOW_MS, **fields: Any) -> Envelope[Any]:
        """An envelope that lives as long as its type allows. What the type requires beside it is the caller's."""
        kind = body_type(body)
        nonce = sha256(f"{self.name} {next(self._nonces)}".encode()).digest()[:16]
        defaults: dict[str, Any] = {
            "clawnet": PROTOCOL_VERSION,
            "type": kind,
            "sender": self.did,
            "kid": self.did,
            "room": ROOM,
            "sent_ms": sent_ms,
            "expires_ms": sent_ms + TYPES[kind].lifetime_ms,
            "nonce": base64url.encode(nonce),
            "body": body,
        }
        return Envelope(**(defaults | fields))

    def carrier(self, body: Record, **fields: Any) -> bytes:
        """A signed carrier."""
        return sign(self.key, self.envelope(body, **fields))[0]

    def say(self, body: Record, **fields: Any) -> Message:
        """A message that was signed and verified."""
        return verify(self.carrier(body, **fields))

    def carrier_of(self, env: str, members: dict[str, object] | None = None) -> bytes:
        """A carrier with a valid signature over any text at all; ``members`` replace or join its own."""
        signature = self.key.sign(signed_bytes(env.encode("utf-8", "surrogatepass")))
        carrier = {"clawnet": "1", "kid": self.did, "env": env, "sig": base64url.encode(signature)}
        text = json.dumps(carrier | (members or {}), ensure_ascii=False, separators=(",", ":"))
        # Only as an escape can a surrogate travel in UTF-8.
        return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text).encode()


def canonical_text(value: object) -> str:
    """Canonical text of a canonical value, by Python's own encoder; of another value, what comes closest."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def some_digest(of: str) -> str:
    """A digest that stands for a message or a text of this name."""
    return digest(of.encode())
