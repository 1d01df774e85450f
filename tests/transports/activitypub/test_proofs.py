from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785

from bots.message_signature import BadSignature
from bots.transports.activitypub import proofs
from bots.transports.activitypub.keys import ActorKeys, check, from_multibase
from clawnet_proto.keys import SigningKey
from tests.transports.activitypub.arrived import ED25519_ID, NOW_S, OWNER, ed25519_key, keys, rsa_key

CONTEXT = ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/data-integrity/v1"]
DOCUMENT: dict[str, Any] = {
    "@context": CONTEXT,
    "id": "https://other.example/activities/1",
    "type": "Create",
    "actor": OWNER,
    "object": {"type": "Note", "content": "words", "numbers": [1, 1.5, -0.0, 1e21, True, None], "ü": "𝄞"},
}

# The vector of FEP-8b32 (fep-8b32.feature).
VECTOR: dict[str, Any] = {
    "@context": CONTEXT,
    "id": "https://server.example/activities/1",
    "type": "Create",
    "actor": "https://server.example/users/alice",
    "object": {
        "id": "https://server.example/objects/1",
        "type": "Note",
        "attributedTo": "https://server.example/users/alice",
        "content": "Hello world",
        "location": {"type": "Place", "longitude": -71.184902, "latitude": 25.273962},
    },
}
VECTOR_PROOF: dict[str, Any] = {
    "@context": CONTEXT,
    "type": "DataIntegrityProof",
    "cryptosuite": "eddsa-jcs-2022",
    "verificationMethod": "https://server.example/users/alice#ed25519-key",
    "proofPurpose": "assertionMethod",
    "proofValue": "zLaewdp4H9kqtwyrLatK4cjY5oRHwVcw4gibPSUDYDMhi4M49v8pcYk3ZB6D69dNpAPbUmY8ocuJ3m9KhKJEEg7z",
    "created": "2023-02-24T23:36:38Z",
}
VECTOR_SEED = "c96ef9ea10c5e414c471723aff9de72c35fa5b70fae97e8832ecac7d2e2b8ed6"
VECTOR_MULTIBASE = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"


def proven(document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    return proofs.attach(document, keys(), ED25519_ID, NOW_S)


def verify(document: dict[str, Any]) -> None:
    # As it comes over the wire.
    found = proofs.claim(json.loads(json.dumps(document)))
    assert found is not None
    check(found, ed25519_key())


def changed(**members: Any) -> dict[str, Any]:
    """A proven document with other members in its proof."""
    document = proven()
    return document | {"proof": {**document["proof"], **members}}


def test_what_we_prove_holds() -> None:
    verify(proven())


def test_a_proof_repeats_the_context() -> None:
    assert proven()["proof"]["@context"] == DOCUMENT["@context"]


def test_a_proof_that_does_not_repeat_the_context_holds_too() -> None:
    document = proven()
    del document["proof"]["@context"]
    verify(document)


def test_the_vector_of_the_fep_holds() -> None:
    found = proofs.claim(VECTOR | {"proof": VECTOR_PROOF})
    assert found is not None and found.created_s == 1677281798
    check(found, from_multibase(found.key_id, VECTOR["actor"], VECTOR_MULTIBASE))


def test_we_prove_as_the_vector_of_the_fep_does() -> None:
    vector_keys = ActorKeys(keys().rsa, SigningKey(bytes.fromhex(VECTOR_SEED)))
    assert vector_keys.multibase == VECTOR_MULTIBASE
    made = proofs.attach(VECTOR, vector_keys, VECTOR_PROOF["verificationMethod"], 1677281798)
    assert made["proof"] == VECTOR_PROOF


def test_what_bears_no_proof_claims_nothing() -> None:
    assert proofs.claim(DOCUMENT) is None
    assert proofs.claim(DOCUMENT | {"proof": None}) is None


def test_proofs_by_other_cryptosuites_claim_nothing() -> None:
    assert proofs.claim(changed(cryptosuite="eddsa-rdfc-2022")) is None


def test_a_foreign_signature_is_not_part_of_what_is_proven() -> None:
    verify(proven() | {"signature": {"type": "RsaSignature2017", "signatureValue": "abc"}})


def test_a_proof_among_others_holds() -> None:
    document = proven()
    verify(document | {"proof": [document["proof"], {"type": "DataIntegrityProof", "cryptosuite": "other"}]})


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(proven() | {"actor": "https://other.example/eve"}, id="a member changed"),
        pytest.param(proven() | {"object": {"type": "Note", "content": "others"}}, id="the object changed"),
        pytest.param(proven() | {"more": 1}, id="a member more"),
        pytest.param({name: proven()[name] for name in ("@context", "id", "type", "object", "proof")}, id="one less"),
        pytest.param(proven() | {"@context": [*CONTEXT, {"object": "https://evil.example/"}]}, id="the context"),
        pytest.param(changed(created="2026-09-21T14:13:21Z"), id="the time"),
        pytest.param(changed(more="a"), id="a member more in the proof"),
        pytest.param(changed(verificationMethod=ED25519_ID + "2"), id="another key"),
    ],
)
def test_what_was_tampered_with_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(BadSignature):
        verify(document)


@pytest.mark.parametrize(
    "members",
    [
        {"type": "Ed25519Signature2020"},
        {"type": ["DataIntegrityProof"]},
        {"proofPurpose": "authentication"},
        {"@context": CONTEXT[:1]},
        {"verificationMethod": "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"},
        {"verificationMethod": {"id": ED25519_ID}},
        {"verificationMethod": None},
        {"created": None},
        {"created": "2026-09-21T14:13:20"},
        {"created": "today"},
        {"created": 1},
        {"expires": "2020-09-21T14:13:20Z"},
        {"expires": 1},
        {"proofValue": None},
        {"proofValue": "z"},
        {"proofValue": "z" + "1" * 88},
        {"proofValue": "z" + "z" * 88},
        {"proofValue": "u" + proven()["proof"]["proofValue"][1:]},
        {"proofValue": "z1" + proven()["proof"]["proofValue"][1:]},
        {"proofValue": proven()["proof"]["proofValue"] + "1" * 9},
    ],
)
def test_a_proof_of_another_form_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(BadSignature):
        proofs.claim(changed(**members))


@pytest.mark.parametrize("proof", ["a", [1], [proven()["proof"]] * 2, [{}] * 5, 1, True])
def test_what_is_no_proof_is_refused(proof: object) -> None:
    with pytest.raises(BadSignature):
        proofs.claim(DOCUMENT | {"proof": proof})


@pytest.mark.parametrize("number", [2**53, -(2**53), float("inf"), float("nan")])
def test_what_has_no_canonical_text_is_refused(number: float) -> None:
    found = proofs.claim(proven() | {"more": number})
    assert found is not None
    with pytest.raises(BadSignature, match="canonical"):
        found.message()


def test_the_canonical_text_is_computed_last_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[object] = []
    real = rfc8785.dumps

    def dumps(value: Any) -> bytes:
        computed.append(value)
        return real(value)

    document = proven()
    monkeypatch.setattr(rfc8785, "dumps", dumps)
    found = proofs.claim(document)
    assert found is not None and not computed
    with pytest.raises(BadSignature):
        check(found, rsa_key())
    assert not computed
    for _ in range(2):
        check(found, ed25519_key())
    assert computed.count(CONTEXT) == 1


def test_only_the_ed25519_key_proves() -> None:
    found = proofs.claim(proven())
    assert found is not None and found.algorithms == ("ed25519",)
    with pytest.raises(BadSignature, match="kind"):
        check(found, rsa_key())
