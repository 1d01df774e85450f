"""spec/14-example.md is computed again, from the texts that stand in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from hashlib import sha256

import pytest

from clawnet_proto import base64url, canonical, transcript
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import SigningKey, decode_did, encode_did
from clawnet_proto.sealing import SealKey
from clawnet_proto.signing import PAYLOAD_TYPE, digest, message_id, signed_bytes
from clawnet_proto.specification import directory

TEXT = (directory() / "14-example.md").read_text("utf-8")
# "**name**, some words:" and the fenced block below it.
BLOCKS: dict[str, str] = dict(
    re.findall(r"^\*\*([a-z ]+)\*\*[^`]*?(?:`[^`\n]*`[^`]*?)*\n```text\n(.*?)\n```$", TEXT, re.M | re.S)
)
KEY = SigningKey(bytes.fromhex(BLOCKS["seed"]))
OTHER = SigningKey(bytes.fromhex(BLOCKS["recipient seed"]))


def rows(heading: str) -> list[list[str]]:
    """The cells of the one table under a heading, without its head."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def signed_anew(env: str) -> dict[str, str]:
    """A carrier of whatever text, signed by the example's key."""
    signature = base64url.encode(KEY.sign(signed_bytes(env.encode())))
    return {"clawnet": "1", "kid": KEY.did, "env": env, "sig": signature}


def test_keys() -> None:
    assert KEY.seed == bytes(range(1, 33))
    assert OTHER.seed == bytes(range(33, 65))
    assert KEY.public.hex() == BLOCKS["public key"]
    assert KEY.did == BLOCKS["did"] == encode_did(bytes.fromhex(BLOCKS["public key"]))
    assert decode_did(BLOCKS["did"]) == KEY.public
    assert OTHER.did == BLOCKS["recipient did"]


def test_envelope_is_canonical_and_the_one_spread_out() -> None:
    value = canonical.parse(BLOCKS["envelope"])
    assert canonical.encode(value).decode() == BLOCKS["envelope"]
    spread = re.search(r"```json\n(.*?)\n```", TEXT, re.S)
    assert spread is not None and json.loads(spread.group(1)) == value
    assert f"as canonical text, {len(BLOCKS['envelope'].encode())} bytes" in TEXT


def test_signed_bytes() -> None:
    lines = BLOCKS["signed bytes"].splitlines()
    dumped = bytes.fromhex("".join(line[6:53] for line in lines))
    envelope = BLOCKS["envelope"].encode()
    assert dumped == f"DSSEv1 40 {PAYLOAD_TYPE} {len(envelope)} ".encode() + envelope
    assert dumped == signed_bytes(envelope)
    assert [int(line[:4], 16) for line in lines] == list(range(0, len(dumped), 16))
    shown = "".join(line[55:] for line in lines)
    assert shown == dumped.decode()
    assert f"{len(dumped)} bytes." in TEXT


def test_id_and_signature() -> None:
    signed = signed_bytes(BLOCKS["envelope"].encode())
    assert BLOCKS["message id"] == base64url.encode(sha256(signed).digest()) == message_id(signed)
    assert BLOCKS["signature"] == base64url.encode(KEY.sign(signed))


def test_carrier() -> None:
    carrier = BLOCKS["carrier"]
    assert json.loads(carrier) == signed_anew(BLOCKS["envelope"])
    assert f"**carrier**, {len(carrier.encode())} bytes" in TEXT
    message = verify(carrier)
    assert message.id == BLOCKS["message id"]
    assert message.type == "handshake.hello"
    assert message.sender == KEY.did


def test_how_the_carrier_is_written_does_not_matter() -> None:
    loose = json.dumps(dict(reversed(json.loads(BLOCKS["carrier"]).items())), indent=2)
    assert verify(loose).id == BLOCKS["message id"]


def _changed(**members: object) -> dict[str, object]:
    carrier: dict[str, object] = json.loads(BLOCKS["carrier"])
    return carrier | members


ENVELOPE = BLOCKS["envelope"]
CHANGES: list[Callable[[], dict[str, object] | dict[str, str]]] = [
    lambda: _changed(clawnet="2"),
    lambda: _changed(kid=KEY.did[:-1] + "0"),
    lambda: _changed(sig=BLOCKS["signature"][:-1] + "B"),
    lambda: _changed(env=ENVELOPE.replace("ALICE1", "ALICE2")),
    lambda: _changed(x=1),
    lambda: signed_anew(ENVELOPE.replace("{", "{ ", 1)),
    lambda: signed_anew(ENVELOPE.replace(f'"kid":"{KEY.did}"', f'"kid":"{OTHER.did}"')),
    lambda: signed_anew(ENVELOPE.replace("hello", "howdy")),
    lambda: signed_anew(ENVELOPE.replace('"versions":["1"]', '"versions":[]')),
]


@pytest.mark.parametrize("row", range(len(CHANGES)))
def test_what_breaks_it(row: int) -> None:
    table = rows("What breaks it")
    assert len(table) == len(CHANGES)
    changed = CHANGES[row]()
    assert changed != json.loads(BLOCKS["carrier"])
    with pytest.raises(RemoteProtocolError) as caught:
        verify(json.dumps(changed))
    assert f"`{caught.value.code}`" == table[row][1]


def test_sealed_text() -> None:
    key = SealKey(bytes.fromhex(BLOCKS["seal secret"]))
    assert key.public == BLOCKS["seal key"]
    assert BLOCKS["info"] == f"clawnet/1/output/{BLOCKS['message id']}/draft/1"
    plaintext = key.open(BLOCKS["sealed"], BLOCKS["info"])
    assert plaintext.decode() == BLOCKS["plaintext"]
    assert canonical.encode(canonical.parse(BLOCKS["plaintext"])) == plaintext
    assert digest(plaintext) == BLOCKS["plaintext digest"]


def test_ranking() -> None:
    table = rows("A ranking")
    assert [row[0] for row in table] == [f"`{KEY.did}`", f"`{OTHER.did}`"]
    for did, weight, n, score in table:
        data = f"{BLOCKS['message id']}\0draft\0{did.strip('`')}".encode()
        number = int.from_bytes(sha256(data).digest()[:8], "big")
        assert n == f"`{number:016x}`"
        assert score == f"{-float(weight) / math.log((number + 0.5) / 2**64):.6f}"
    assert float(table[0][3]) > float(table[1][3])


def test_transcript() -> None:
    lines = [line.encode() + b"\n" for line in BLOCKS["transcript"].splitlines()]
    header, entry = (record for _, record in transcript.read(lines))
    assert isinstance(header, transcript.Header)
    assert isinstance(entry, transcript.Entry)
    previous = ""
    for line in lines:
        link = json.loads(line)["link"]
        hashed = previous.encode() + b"\n" + line.rstrip(b"\n").replace(link.encode(), b"")
        assert link == digest(hashed)
        previous = link
