"""Vectors of chapter 16: bytes cut into chunks, and put together again."""

from __future__ import annotations

from typing import Any

from tests.vectors.message_model import Refused, bytes_of
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import LIMITS, Subject, Vector, b64, digest, fixed

CHUNK = LIMITS["chunk_bytes"]


def split(data: bytes, uris: list[str]) -> Vector:
    """The Artifact of some bytes (ART-1)."""
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    listed = [{"digest": digest(chunk), "uri": uri} for chunk, uri in zip(chunks, uris, strict=True)]
    return {"digest": digest(data), "bytes": len(data), "chunks": listed}


def join(artifact: Vector, chunks: list[bytes], checks: Checks = INTACT) -> bytes:
    """The bytes of an artifact, checked as ART-2 and ART-3 say. Raises Refused."""
    hold = checks.hold
    if len(chunks) < len(artifact["chunks"]):
        if hold("missing-chunks-unseen"):
            raise Refused("artifact.mismatch")
        return b"".join(chunks)
    if len(chunks) > len(artifact["chunks"]):
        if hold("surplus-chunks-unseen"):
            raise Refused("artifact.mismatch")
        chunks = chunks[: len(artifact["chunks"])]
    for number, (chunk, listed) in enumerate(zip(chunks, artifact["chunks"], strict=False)):
        wanted = min(CHUNK, artifact["bytes"] - number * CHUNK)
        if len(chunk) != wanted and hold("chunk-lengths-unread"):
            raise Refused("artifact.mismatch")
        if digest(chunk) != listed["digest"] and hold("chunk-digests-unread") and hold("digests-unread"):
            raise Refused("artifact.mismatch")
    data = b"".join(chunks)
    if digest(data) != artifact["digest"] and hold("whole-digest-unread") and hold("digests-unread"):
        raise Refused("artifact.mismatch")
    return data


def answer(vector: Vector, checks: Checks = INTACT) -> Vector:
    """What a testee with this model answers."""
    request = vector["request"]
    if vector["op"] == "artifact.split":
        return {"ok": {"artifact": split(bytes_of(request["data"]), request["uris"])}}
    try:
        data = join(request["artifact"], [bytes_of(chunk) for chunk in request["chunks"]], checks)
    except Refused as fault:
        return {"error": fault.code}
    return {"ok": {"data": b64(data)}}


def uris(count: int) -> list[str]:
    return [f"mxc://example.org/chunk{number}" for number in range(1, count + 1)]


def build() -> Subject:
    subject = Subject("artifact", "Long outputs: cut into chunks, and put together again.")
    short = b"Scattering, by a factor that falls with the fourth power of the wavelength."
    full = bytes(CHUNK)
    longer = bytes(CHUNK - 1) + b"ab"

    def cut(about: str, data: bytes) -> None:
        listed = uris(-(-len(data) // CHUNK))
        request = {"data": b64(data), "uris": listed}
        subject.ok(f"split: {about}", "ART-1", "artifact.split", request, {"artifact": split(data, listed)})

    def joined(about: str, data: bytes) -> None:
        count = -(-len(data) // CHUNK)
        chunks = [b64(data[start : start + CHUNK]) for start in range(0, len(data), CHUNK)]
        request = {"artifact": split(data, uris(count)), "chunks": chunks}
        subject.ok(f"join: {about}", "ART-2 ART-3", "artifact.join", request, {"data": b64(data)})

    def fails(about: str, requirements: str, artifact: Vector, chunks: list[bytes], kills: str) -> None:
        request: dict[str, Any] = {"artifact": artifact, "chunks": [b64(chunk) for chunk in chunks]}
        subject.error(f"join: {about}", requirements, "artifact.join", request, "artifact.mismatch", kills)

    cut("one short chunk", short)
    cut("one byte", b"\0")
    cut("exactly one full chunk", full)
    cut("a full chunk and one byte", longer)
    joined("one short chunk", short)
    joined("bytes that are no text", fixed("noise"))
    joined("a full chunk and one byte", longer)

    whole = split(short, uris(1))
    other = bytes([short[0] ^ 1]) + short[1:]
    fails("a chunk with another byte", "ART-2", whole, [other], "digests-unread")
    fails(
        "a chunk whose digest is not the one beside it, in a good whole",
        "ART-2",
        whole | {"chunks": [{"digest": digest(other), "uri": uris(1)[0]}]},
        [short],
        "chunk-digests-unread",
    )
    fails("a good chunk in another whole", "ART-3", whole | {"digest": digest(other)}, [short], "whole-digest-unread")
    fails(
        "a chunk that is shorter than bytes says",
        "ART-2",
        whole | {"bytes": len(short) + 1},
        [short],
        "chunk-lengths-unread",
    )
    fails(
        "a chunk that is longer than bytes says",
        "ART-2",
        whole | {"bytes": len(short) - 1},
        [short],
        "chunk-lengths-unread",
    )
    fails("no chunk at all", "ART-2", whole, [], "missing-chunks-unseen")
    fails("one chunk too many", "ART-2", whole, [short, short], "surplus-chunks-unseen")
    fails("an empty chunk too many", "ART-2", whole, [short, b""], "surplus-chunks-unseen")
    empty = {"digest": digest(b""), "bytes": 1, "chunks": [{"digest": digest(b""), "uri": uris(1)[0]}]}
    fails("an empty chunk", "ART-1 ART-2", empty, [b""], "chunk-lengths-unread")
    cut_early = [longer[: CHUNK - 1], longer[CHUNK - 1 :]]
    listed = [{"digest": digest(chunk), "uri": uri} for chunk, uri in zip(cut_early, uris(2), strict=True)]
    fails(
        "cut a byte too early",
        "ART-1 ART-2",
        split(longer, uris(2)) | {"chunks": listed},
        cut_early,
        "chunk-lengths-unread",
    )
    return subject
