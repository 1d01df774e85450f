"""The local network: names, what events hold, and how a node proves who it is (spec/bindings/lan.md)."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from clawnet_proto import base64url, canonical
from clawnet_proto.bindings.http import carriers
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.identity import Link, prove_chain
from clawnet_proto.keys import SigningKey, decode_did, verify
from clawnet_proto.signing import pre_authentication
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import Did, Digest, Millis, Record, Signature, Uri

__all__ = [
    "PROOF_TYPE", "ROOMS_MOST", "Proof", "Proven",
    "address", "carriers", "chunk", "chunk_uri", "identity", "is_room", "prove", "read",
]  # fmt: skip

PROOF_TYPE: Final = "application/vnd.clawnet.lan-proof.v1+json"
ROOMS_MOST: Final = 16

_ADDRESS: Final = re.compile(r"lan:(did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44})")
_CHUNK: Final = re.compile(r"lan:(did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44})/chunks/([A-Za-z0-9_-]{43})")
_ROOM: Final = re.compile(r"lan:[a-z0-9][a-z0-9._-]{0,63}")
_proven_bytes: Final = pre_authentication(PROOF_TYPE)


def address(did: str) -> str:
    """The address of an identity (LAN-2)."""
    return f"lan:{did}"


def identity(text: str) -> str:
    """The did in an address, "" if it is none."""
    found = _ADDRESS.fullmatch(text)
    return found[1] if found else ""


def chunk_uri(did: str, digest: str) -> str:
    """The URI of a chunk that a node keeps (LAN-14)."""
    return f"lan:{did}/chunks/{digest}"


def chunk(uri: str) -> tuple[str, str]:
    """Of the URI of a chunk the identity of who keeps it, and its digest; "" and "" if it is none."""
    found = _CHUNK.fullmatch(uri)
    return (found[1], found[2]) if found else ("", "")


def is_room(text: str) -> bool:
    """Whether this is a room of the local network itself (LAN-1)."""
    return _ROOM.fullmatch(text) is not None


class Proof(Record, frozen=True, kw_only=True):
    """What a node signs for one reader, once (LAN-6)."""

    node: Did
    reader: Did
    at: Annotated[str, Meta(max_length=64)]  # where the node was asked, as "address:port"
    nonce: Digest  # the reader's
    ticket: Digest  # the node's
    now_ms: Millis  # the node's clock
    rooms: Annotated[tuple[Uri, ...], Meta(max_length=ROOMS_MOST)]


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """A proof as it travels: its text, and what shows that it is the node's."""

    proof: str
    kid: Did
    chain: Annotated[tuple[Link, ...], Meta(max_length=LIMITS.rotations)] = ()
    sig: Signature


def prove(key: SigningKey, chain: tuple[Link, ...], proof: Proof) -> Proven:
    """Sign a proof with the key in use of an identity that was rotated along ``chain``."""
    text = msgspec.json.encode(proof, order="sorted")
    return Proven(proof=text.decode(), kid=key.did, chain=chain, sig=base64url.encode(key.sign(_proven_bytes(text))))


def read(data: bytes, *, node: str, reader: str, at: str, nonce: str) -> tuple[Proof, Proven]:
    """The proof in an answer of a node, checked against what was asked (LAN-7). Raises RemoteProtocolError."""
    try:
        proven = msgspec.json.decode(data, type=Proven)
        text, signature = proven.proof.encode(), base64url.decode(proven.sig)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise RemoteProtocolError("carrier.malformed", "no proof") from None
    prove_chain(node, proven.chain)
    if proven.kid != (proven.chain[-1].key if proven.chain else node):
        raise RemoteProtocolError("identity.broken_chain", "not signed by the last key")
    verify(decode_did(proven.kid), _proven_bytes(text), signature)
    try:
        proof = msgspec.convert(canonical.parse(proven.proof), Proof)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError("schema.body", str(error)) from None
    if (proof.node, proof.reader, proof.at, proof.nonce) != (node, reader, at, nonce):
        raise RemoteProtocolError("signature.invalid", "a proof for another one")
    return proof, proven
