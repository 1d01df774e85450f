"""What we say, signed: the agent's identity and the key it has in use (spec/04-identity.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import UNSET, structs

from bots import identity as identities
from bots.identity import Identity
from clawnet_proto import PROTOCOL_VERSION, base64url
from clawnet_proto.carrier import body_type, sign
from clawnet_proto.envelope import Envelope
from clawnet_proto.families import identity
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import Record

# Whoever comes back after some days shall still find the word for the key.
KEYS_LIFETIME_MS = TYPES["identity.rotate"].lifetime_ms


class Author:
    """Signs with the key in use. ``now_ms`` is the wall clock, ``entropy`` gives so many unforeseeable bytes.

    ``signed`` is told of every new message, before anybody else.
    """

    def __init__(
        self,
        own: Identity,
        now_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
        signed: Callable[[Message], None],
    ) -> None:
        self.identity = own
        self._now_ms = now_ms
        self._entropy = entropy
        self._signed = signed

    def sign(
        self,
        room: str,
        body: Record,
        *,
        lifetime_ms: int,
        recipients: Sequence[str] = (),
        thread: str = "",
        answers: str = "",
    ) -> tuple[bytes, Message]:
        """A carrier and the message it holds. Raises LocalProtocolError for what others would refuse."""
        now = self._now_ms()
        kind = body_type(body)
        envelope = Envelope(
            clawnet=PROTOCOL_VERSION,
            type=kind,
            sender=self.identity.did,
            kid=self.identity.key.did,
            room=room,
            sent_ms=now,
            expires_ms=now + min(lifetime_ms, TYPES[kind].lifetime_ms),
            nonce=self._nonce(),
            body=body,
            recipients=tuple(recipients) or UNSET,
            thread=thread or UNSET,
            answers=answers or UNSET,
        )
        data, message = sign(self.identity.key, envelope)
        # People give the ids of tasks to commands, and those take what begins with a dash for an option.
        while kind == "task.request" and message.id.startswith("-"):
            data, message = sign(self.identity.key, structs.replace(envelope, nonce=self._nonce()))
        self._signed(message)
        return data, message

    def _nonce(self) -> str:
        return base64url.encode(self._entropy(16))

    def sign_again(self, message: Message) -> bytes:
        """The carrier of a message that the key in use has signed before."""
        data, again = sign(self.identity.key, message.envelope)
        assert again.id == message.id
        return data

    @property
    def rotation(self) -> identity.Rotate | None:
        """What goes ahead of our announces: the same in every room and every time, None while the key is our first."""
        own = self.identity
        return identity.Rotate(chain=own.chain, next_key_digest=own.next_key_digest) if own.chain else None

    @property
    def revocation(self) -> identity.Revoke | None:
        """The word that we say nothing more, None while we do."""
        own = self.identity
        if own.revocation is None:
            return None
        return identity.Revoke(chain=own.chain, since_ms=own.revocation.since_ms, reason=own.revocation.reason or UNSET)

    def rotate(self, since_ms: int) -> None:
        """Sign with the next key from now on; it is on disk before this returns. Raises ConfigError."""
        assert self.identity.folder is not None
        self.identity = identities.rotate(self.identity.folder, since_ms, self._entropy)

    def revoke(self, since_ms: int, reason: str) -> None:
        """Note on disk that the identity says nothing more. Raises ConfigError."""
        assert self.identity.folder is not None
        self.identity = identities.revoke(self.identity.folder, since_ms, reason)
