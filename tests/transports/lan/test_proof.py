"""How a node proves who it is: what is checked, and in which order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawnet_proto import base64url
from clawnet_proto.bindings import lan
from clawnet_proto.bindings.lan import Proof, Proven
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.signing import signed_bytes
from tests.proto.authoring import NOW_MS, Author, some_digest
from tests.proto.samples import link

ADA, BERT, CLEO, SECOND, THIRD = (Author(name) for name in ("ada", "bert", "cleo", "second", "third"))
AT = "192.168.1.5:40123"
NONCE = some_digest("nonce")
ASKED = {"node": BERT.did, "reader": ADA.did, "at": AT, "nonce": NONCE}
CHAIN = (link(BERT, SECOND, of=BERT, generation=1),)


def proof(**changes: Any) -> Proof:
    fields: dict[str, Any] = {**ASKED, "ticket": some_digest("ticket"), "now_ms": NOW_MS, "rooms": ("lan:clawnet",)}
    return Proof(**(fields | changes))


def answer(made: Proof, author: Author = BERT, chain: tuple[Any, ...] = ()) -> bytes:
    return msgspec.json.encode(lan.prove(author.key, chain, made))


def code(data: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        lan.read(data, **ASKED)
    return caught.value.code


def test_a_node_proves_who_it_is() -> None:
    assert lan.read(answer(proof()), **ASKED)[0] == proof()
    read, proven = lan.read(answer(proof(), SECOND, CHAIN), **ASKED)
    assert (read, proven.kid) == (proof(), SECOND.did)


def test_the_text_is_canonical() -> None:
    assert msgspec.json.decode(answer(proof()), type=Proven).proof == (
        f'{{"at":"{AT}","node":"{BERT.did}","nonce":"{NONCE}","now_ms":{NOW_MS},"reader":"{ADA.did}",'
        f'"rooms":["lan:clawnet"],"ticket":"{some_digest("ticket")}"}}'
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"node": CLEO.did},
        {"reader": CLEO.did},
        {"at": "192.168.1.66:40123"},
        {"at": "192.168.1.5:40124"},
        {"nonce": some_digest("another")},
    ],
)
def test_a_proof_for_another_one_is_none(changes: dict[str, Any]) -> None:
    assert code(answer(proof(**changes))) == "signature.invalid"


def test_nobody_proves_for_another() -> None:
    assert code(answer(proof(), CLEO)) == "identity.broken_chain"
    forged = msgspec.structs.replace(lan.prove(CLEO.key, (), proof()), kid=BERT.did)
    assert code(msgspec.json.encode(forged)) == "signature.invalid"
    assert code(answer(proof(), THIRD, (link(SECOND, THIRD, of=BERT, generation=1),))) == "identity.broken_chain"
    assert code(answer(proof(), BERT, CHAIN)) == "identity.broken_chain"  # the key before the last


def test_no_other_signature_of_a_key_is_a_proof() -> None:
    made = lan.prove(BERT.key, (), proof())
    for message in (signed_bytes(made.proof.encode()), made.proof.encode()):
        other = msgspec.structs.replace(made, sig=base64url.encode(BERT.key.sign(message)))
        assert code(msgspec.json.encode(other)) == "signature.invalid"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"proof":"{}"}', b'{"proof":1}', b"[" * 100_000, b'{"proof":"\\ud800"}']
)
def test_what_is_no_proof_at_all(data: bytes) -> None:
    assert code(data) == "carrier.malformed"


@given(st.binary(max_size=400))
def test_no_bytes_are_a_proof(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        lan.read(data, **ASKED)


@given(st.text(max_size=200))
def test_no_text_that_a_node_signs_does_more_than_fail(text: str) -> None:
    pre = f"DSSEv1 {len(lan.PROOF_TYPE)} {lan.PROOF_TYPE} {len(text.encode())} {text}".encode()
    sig = base64url.encode(BERT.key.sign(pre))
    with pytest.raises(RemoteProtocolError):
        lan.read(msgspec.json.encode(Proven(proof=text, kid=BERT.did, sig=sig)), **ASKED)


def test_addresses_and_rooms() -> None:
    assert lan.identity(lan.address(ADA.did)) == ADA.did
    for text in ("", "lan:", f"lan:{ADA.did}x", f"LAN:{ADA.did}", ADA.did, "lan:clawnet", f"lan:{ADA.did}\n"):
        assert lan.identity(text) == ""
    assert lan.is_room("lan:clawnet")
    for text in ("lan:", "lan:Clawnet", "lan:-a", "lan:a/b", f"lan:{ADA.did}", "clawnet", "lan:a\n"):
        assert not lan.is_room(text)
