"""Texts too long for a message: as artifacts, sealed or not (spec/16-artifacts.md, ART-6)."""

from __future__ import annotations

from bots.artifacts import Artifacts, Unavailable
from bots.behaviours import Context
from clawnet_proto import base64url
from clawnet_proto.artifact import Artifact
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.sealed_text import Secret, unseal
from clawnet_proto.sealing import SealKey


async def store(context: Context, room: str, did: str, text: str) -> Artifact:
    """Store a public text for a peer in a room. Raises Unavailable."""
    return await context.artifacts.put(room, _address(context, room, did), text.encode())


async def fetch(artifacts: Artifacts, artifact: Artifact, expected_digest: str, most: int) -> str:
    """A public text of at most ``most`` bytes. Raises Unavailable."""
    data = await artifacts.get(artifact, most)
    try:
        if artifact.digest == expected_digest:
            return data.decode()
    except UnicodeDecodeError:
        pass
    raise Unavailable("The artifact is not the text that was promised.")


async def store_sealed(context: Context, room: str, did: str, secret: Secret, public: str, info: str) -> Artifact:
    """Store a text sealed to a peer in a room. Raises Unavailable, or RemoteProtocolError for a key that is none."""
    # Of what is stored, everybody may know the bytes.
    return await context.artifacts.put(
        room, _address(context, room, did), base64url.decode(secret.sealed_to(public, info))
    )


async def fetch_sealed(
    artifacts: Artifacts, artifact: Artifact, key: SealKey, info: str, expected_digest: str, most: int
) -> Secret:
    """A text sealed to us, of at most ``most`` bytes. Raises Unavailable."""
    # Sealing adds a key and a tag, the salt and JSON some more, and an escape can be six characters.
    data = await artifacts.get(artifact, 6 * most + 512)
    try:
        secret = unseal(key, base64url.encode(data), info, expected_digest, most=len(data))
    except RemoteProtocolError as error:
        raise Unavailable(f"The sealed artifact does not open: {error}.") from None
    if len(secret.text.encode(errors="replace")) > most:
        raise Unavailable(f"The artifact holds more than {most} bytes of text.")
    return secret


def _address(context: Context, room: str, did: str) -> str:
    to = context.direct_address(room, did)
    return "" if to is None else to.uri
