"""The ``identity`` family: keys given up for the next ones (spec/04-identity.md, from ID-19 on)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, UnsetType

from clawnet_proto import base64url, canonical
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import SigningKey, decode_did, verify
from clawnet_proto.signing import committed_bytes, digest
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import UNSET, Did, Digest, Line, Millis, Record, Signature


class Link(Record, frozen=True, kw_only=True):
    """One rotation: the key of a generation, and the word for it of the key before."""

    key: Did
    commitment: Signature
    since_ms: Millis  # from then on the key before it says nothing more


class Rotate(Record, frozen=True, kw_only=True):
    """``identity.rotate``: signed by the last key of the chain; proven by itself."""

    chain: Annotated[tuple[Link, ...], Meta(min_length=1, max_length=LIMITS.rotations)]
    next_key_digest: Digest

    def check_signer(self, sender: str, kid: str) -> None:
        prove_chain(sender, self.chain)
        if kid != self.chain[-1].key:
            raise RemoteProtocolError("identity.broken_chain", "not signed by the last key")


class Revoke(Record, frozen=True, kw_only=True):
    """``identity.revoke``: the identity says nothing more from ``since_ms`` on."""

    chain: Annotated[tuple[Link, ...], Meta(max_length=LIMITS.rotations)]
    since_ms: Millis
    reason: Line | UnsetType = UNSET

    def check_signer(self, sender: str, kid: str) -> None:
        prove_chain(sender, self.chain)
        if kid != (self.chain[-1].key if self.chain else sender):
            raise RemoteProtocolError("identity.broken_chain", "not signed by the last key")


def commit(key: SigningKey, *, identity: str, generation: int, following: bytes) -> str:
    """The word of ``key`` (86 characters) that the key of ``generation`` is ``following`` (32 public bytes)."""
    return base64url.encode(key.sign(_statement(identity, generation, following)))


def prove_chain(identity: str, chain: tuple[Link, ...]) -> None:
    """Check every link against the key before it. Raises RemoteProtocolError ``identity.broken_chain``."""
    seen = [identity]
    for generation, link in enumerate(chain, start=1):
        try:
            public = decode_did(link.key)
            before = decode_did(seen[-1])
            signature = base64url.decode(link.commitment)
            if link.key in seen or len(signature) != 64:
                raise ValueError
            verify(before, _statement(identity, generation, public), signature)
        except (ValueError, RemoteProtocolError):
            raise RemoteProtocolError("identity.broken_chain", f"link {generation}") from None
        seen.append(link.key)


def _statement(identity: str, generation: int, following: bytes) -> bytes:
    return committed_bytes(
        canonical.encode({"generation": generation, "identity": identity, "next_key_digest": digest(following)})
    )
