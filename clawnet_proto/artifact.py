"""Artifacts: outputs too long for a message, as chunks with digests (spec/16-artifacts.md)."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Annotated

from msgspec import Meta

from clawnet_proto import base64url
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.signing import digest
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import Digest, Record, Uri

MOST_CHUNKS = LIMITS.artifact_bytes // LIMITS.chunk_bytes


class Chunk(Record, frozen=True, kw_only=True):
    """A piece of an artifact, and where it is stored."""

    digest: Digest
    uri: Uri


class Artifact(Record, frozen=True, kw_only=True):
    """All that is needed to fetch and check the bytes."""

    digest: Digest
    bytes: Annotated[int, Meta(ge=1, le=LIMITS.artifact_bytes)]
    chunks: Annotated[tuple[Chunk, ...], Meta(min_length=1, max_length=MOST_CHUNKS)]

    def check(self) -> None:
        if len(self.chunks) != -(-self.bytes // LIMITS.chunk_bytes):
            raise RemoteProtocolError("schema.body", "number of chunks")

    def chunk_length(self, index: int) -> int:
        """How many bytes the chunk has: never read more than that from a stranger."""
        return min(LIMITS.chunk_bytes, self.bytes - index * LIMITS.chunk_bytes)

    def check_chunk(self, index: int, data: builtins.bytes) -> None:
        """Check one fetched chunk. Raises RemoteProtocolError ``artifact.mismatch``."""
        if len(data) != self.chunk_length(index) or digest(data) != self.chunks[index].digest:
            raise RemoteProtocolError("artifact.mismatch", f"chunk {index}")


def pieces(data: bytes) -> Iterator[bytes]:
    """The chunks of some bytes, in order: what is to be stored before ``describe``."""
    for start in range(0, len(data), LIMITS.chunk_bytes):
        yield data[start : start + LIMITS.chunk_bytes]


def describe(data: bytes, uris: Sequence[str]) -> Artifact:
    """The artifact of 1 to ``artifact_bytes`` bytes whose chunks are stored at ``uris``. Raises ValueError."""
    if not 1 <= len(data) <= LIMITS.artifact_bytes:
        raise ValueError(f"an artifact has 1 to {LIMITS.artifact_bytes} bytes, not {len(data)}")
    chunks = tuple(Chunk(digest=digest(piece), uri=uri) for piece, uri in zip(pieces(data), uris, strict=True))
    return Artifact(digest=digest(data), bytes=len(data), chunks=chunks)


def join(artifact: Artifact, chunks: Sequence[bytes]) -> bytes:
    """The bytes, checked chunk by chunk and as a whole. Raises RemoteProtocolError ``artifact.mismatch``."""
    if len(chunks) != len(artifact.chunks):
        raise RemoteProtocolError("artifact.mismatch", f"{len(chunks)} of {len(artifact.chunks)} chunks")
    whole = sha256()
    for index, data in enumerate(chunks):
        artifact.check_chunk(index, data)
        whole.update(data)
    if base64url.encode(whole.digest()) != artifact.digest:
        raise RemoteProtocolError("artifact.mismatch", "the whole")
    return b"".join(chunks)
