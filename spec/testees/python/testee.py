"""The reference testee (spec/testee.md): requests on standard input, answers on standard output.

A thin shell over ``clawnet_proto``, which must be importable; Matrix and ranking are the agent's own (``bots``).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any, BinaryIO

import msgspec
from fold import Fold
from handshakes import Handshakes

from bots import ranking
from bots.transports import Delivery
from bots.transports.matrix import addresses, reading
from clawnet_proto import PROTOCOL_VERSION, artifact, base64url, canonical, carrier, keys, sealed_text, transcript
from clawnet_proto.errors import ProtocolError, RemoteProtocolError, TranscriptError
from clawnet_proto.families import identity, presence, task, task_prompt
from clawnet_proto.freshness import check_addressing, check_time
from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import open_carrier, seal_carrier
from clawnet_proto.sealing import SealKey, seal
from clawnet_proto.signing import signed_bytes

Json = dict[str, Any]


def canonical_read(request: Json) -> Json:
    try:
        text = _bytes(request["text"]).decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("canonical.syntax") from None
    canonical.parse(text)
    return {}


def canonical_write(request: Json) -> Json:
    return {"text": base64url.encode(canonical.encode(json.loads(_bytes(request["json"]))))}


def did_encode(request: Json) -> Json:
    return {"did": keys.encode_did(_bytes(request["public"]))}


def did_decode(request: Json) -> Json:
    return {"public": base64url.encode(keys.decode_did(request["did"]))}


def signature_verify(request: Json) -> Json:
    # A did is read strictly: so the point of its key is checked.
    public = keys.decode_did(keys.encode_did(_bytes(request["public"])))
    signature = _bytes(request["signature"])
    if len(signature) != 64:
        raise RemoteProtocolError("signature.malformed")
    keys.verify(public, _bytes(request["message"]), signature)
    return {}


def sign(request: Json) -> Json:
    """Let the verifier name the first fault of the text, signed as it stands; what it read is then signed properly."""
    key, env = keys.SigningKey(_bytes(request["seed"])), _bytes(request["env"])
    signature = base64url.encode(key.sign(signed_bytes(env)))
    trial = carrier.Carrier(PROTOCOL_VERSION, key.did, env.decode(), signature)
    data, message = carrier.sign(key, carrier.verify(msgspec.json.encode(trial)).envelope)
    return {"carrier": base64url.encode(data), "id": message.id}


def commitment(request: Json) -> Json:
    word = identity.commit(
        keys.SigningKey(_bytes(request["seed"])),
        identity=request["identity"],
        generation=request["generation"],
        following=_bytes(request["next"]),
    )
    return {"commitment": word}


def verify(request: Json) -> Json:
    return _verified(carrier.verify(_bytes(request["carrier"])))


def arrive(request: Json) -> Json:
    text, plane, me = _bytes(request["carrier"]), request["plane"], request["me"]
    if plane == "direct":
        text = open_carrier(text, [SealKey(_bytes(secret)) for secret in request.get("secrets", ())], me)
    message = carrier.verify(text)
    room = request["room"]
    if plane == "direct":
        # A direct message names its room itself: any that the reader is in will do.
        named = message.envelope.room
        room = named if named in request["rooms"] else "none of ours"
    check_addressing(message, me=me, room=room, plane=plane)
    check_time(message, request["now_ms"])
    return _verified(message)


def seal_text(request: Json) -> Json:
    public = base64url.encode(_bytes(request["public"]))
    return {"sealed": seal(public, _bytes(request["plaintext"]), request["info"])}


def open_text(request: Json) -> Json:
    key = SealKey(_bytes(request["secret"]))
    return {"plaintext": base64url.encode(key.open(request["sealed"], request["info"]))}


def seal_whole_carrier(request: Json) -> Json:
    public = base64url.encode(_bytes(request["public"]))
    sealed = seal_carrier(public, request["recipient"], _bytes(request["carrier"]))
    return {"carrier": base64url.encode(sealed)}


def open_secret(request: Json) -> Json:
    key = SealKey(_bytes(request["secret"]))
    secret = sealed_text.unseal(key, request["sealed"], request["info"], request.get("digest", ""))
    return {"text": secret.text}


def artifact_split(request: Json) -> Json:
    return {"artifact": msgspec.to_builtins(artifact.describe(_bytes(request["data"]), request["uris"]))}


def artifact_join(request: Json) -> Json:
    described = msgspec.convert(request["artifact"], artifact.Artifact)
    chunks = [_bytes(chunk) for chunk in request["chunks"]]
    return {"data": base64url.encode(artifact.join(described, chunks))}


def prompt(request: Json) -> Json:
    parts = msgspec.convert(request["parts"], tuple[task.TextPart | task.DataPart, ...])
    parameters = task.Parameters(max_tokens=1, temperature_milli=0, top_p_milli=1, seed=0, stop=())
    stage = task.Stage(id="stage", kind="generate", prompt=parts, parameters=parameters)
    return {"prompt": task_prompt.render(stage, request["sources"])}


def rank(request: Json) -> Json:
    def score(candidate: Json) -> float:
        load = msgspec.convert({name: candidate[name] for name in ("slots", "running", "waiting")}, presence.Load)
        return ranking.score(request["key"], candidate["did"], ranking.weight(load))

    candidates = sorted(request["candidates"], key=lambda candidate: (-score(candidate), candidate["did"]))
    return {"order": [candidate["did"] for candidate in candidates]}


def read_transcript(request: Json) -> Json:
    lines = transcript.read(BytesIO(_bytes(request["text"])))
    return {"damaged": [number for number, record in lines if isinstance(record, TranscriptError)]}


def matrix_uri(request: Json) -> Json:
    name = request["id"]
    return {"uri": addresses.user_uri(name) if name.startswith("@") else addresses.room_uri(name)}


def _json_text(value: Any) -> bytes:
    """MX-7: no white space, escapes as in canonical text, a lone surrogate by its escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text).encode()


def matrix_carriers(request: Json) -> Json:
    delivery = Delivery(
        transport="matrix",
        plane=request["plane"],
        room="",
        sender="",
        event_id="",
        event=_bytes(request["event"]).decode(),
        received_ms=0,
        live=True,
    )
    return {"carriers": [base64url.encode(_json_text(found)) for found in reading.carriers(delivery)]}


def _verified(message: Message) -> Json:
    envelope = message.envelope
    return {"id": message.id, "sender": envelope.sender, "kid": envelope.kid, "type": envelope.type}


def _bytes(text: str) -> bytes:
    return base64url.decode(text)


OPERATIONS: Mapping[str, Callable[[Json], Json]] = {
    "canonical.read": canonical_read,
    "canonical.write": canonical_write,
    "did.encode": did_encode,
    "did.decode": did_decode,
    "signature.verify": signature_verify,
    "sign": sign,
    "commitment": commitment,
    "verify": verify,
    "arrive": arrive,
    "seal": seal_text,
    "open": open_text,
    "seal.carrier": seal_whole_carrier,
    "open.text": open_secret,
    "artifact.split": artifact_split,
    "artifact.join": artifact_join,
    "prompt": prompt,
    "rank": rank,
    "transcript": read_transcript,
    "matrix.uri": matrix_uri,
    "matrix.carriers": matrix_carriers,
    **Handshakes().operations(),
    **Fold().operations(),
}


def answer(request: Json) -> Json:
    """The answer to one request."""
    operation = OPERATIONS.get(request["op"])
    if operation is None:
        return {"unsupported": request["op"]}
    try:
        return {"ok": operation(request)}
    except ProtocolError as error:
        return {"error": error.code}


def main(lines: Iterable[bytes], out: BinaryIO) -> None:
    """Answer each line with a line."""
    for line in lines:
        out.write(msgspec.json.encode(answer(msgspec.json.decode(line))) + b"\n")
        out.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
