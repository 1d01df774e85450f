"""The vectors of identity, sealing, artifact, handshake, prompt, rank, transcript, matrix and traces.

The intact model gives what is expected, the broken one that a vector names does not, and no broken model is left.
"""

from __future__ import annotations

import ast
import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from tests.vectors.hpke_model import context, exchange, open_sealed, public_of_secret, seal
from tests.vectors.message_model import bytes_of
from tests.vectors.mutants_fold import INTACT, MUTANTS, Checks
from tests.vectors.traces.scene import orders_in, run
from tests.vectors.writing import BOB, FOLDER, SPEC, Subject, Vector, b64

LEAST = {
    "identity": 30,
    "sealing": 30,
    "artifact": 12,
    "handshake": 20,
    "prompt": 14,
    "rank": 5,
    "transcript": 12,
    "matrix": 16,
    "traces": 30,
}
HERE = Path(__file__).parent


@cache
def subject(name: str) -> Subject:
    built: Subject = importlib.import_module(f"tests.vectors.{name}").build()
    return built


def vectors(name: str) -> list[Vector]:
    return subject(name).vectors


def right(name: str, vector: Vector, checks: Checks = INTACT) -> bool:
    """Whether a testee with this model passes the vector."""
    if name == "traces":
        return all(
            run(vector, order, checks)
            == (vector["state"], [vector["deliveries"][place].get("error") for place in order])
            for order in orders_in(vector)
        )
    answer: Any = importlib.import_module(f"tests.vectors.{name}").answer(vector, checks)
    if "steps" in vector:
        return bool(answer == [step["expect"] for step in vector["steps"]])
    if "opens" in vector["expect"]:
        return bool("ok" in answer and opens(vector, answer["ok"]))
    return bool(answer == vector["expect"])


def opens(vector: Vector, answer: dict[str, str]) -> bool:
    """Whether what was sealed opens as expected."""
    wanted = vector["expect"]["opens"]
    sealed = answer["sealed"] if vector["op"] == "seal" else json.loads(bytes_of(answer["carrier"]))["sealed"]
    return bool(b64(open_sealed(bytes_of(wanted["secret"]), wanted["info"].encode(), sealed)) == wanted["plaintext"])


@pytest.mark.parametrize("name", LEAST)
def test_intact_model_gives_what_is_expected(name: str) -> None:
    assert [vector["id"] for vector in vectors(name) if not right(name, vector)] == []


@pytest.mark.parametrize("name", LEAST)
def test_the_broken_model_that_a_vector_names_fails_it(name: str) -> None:
    named = [vector for vector in vectors(name) if "kills" in vector]
    assert [vector["id"] for vector in named if right(name, vector, Checks(vector["kills"]))] == []


@pytest.mark.parametrize("name", LEAST)
def test_no_broken_model_is_left(name: str) -> None:
    left = set(MUTANTS[name]) - {vector.get("kills") for vector in vectors(name)}
    passing = {mutant for mutant in left if all(right(name, vector, Checks(mutant)) for vector in vectors(name))}
    assert passing == set()


@pytest.mark.parametrize("name", LEAST)
def test_what_expects_a_code_names_a_broken_model(name: str) -> None:
    for vector in vectors(name):
        codes = '"error":' in json.dumps(vector, separators=(",", ":")) or name == "traces"
        assert "kills" in vector or not codes, vector["id"]


@pytest.mark.parametrize("name", LEAST)
def test_vectors_are_the_same_each_time_and_on_disk(name: str) -> None:
    again = importlib.import_module(f"tests.vectors.{name}").build()
    assert again.text() == subject(name).text() == (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", LEAST)
def test_there_are_enough(name: str) -> None:
    assert len(vectors(name)) >= LEAST[name]


def test_models_do_not_know_the_reference() -> None:
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if not path.name.startswith("test_"):
                assert not [name for name in names if name.split(".")[0] in {"clawnet_proto", "bots"}], path


def carriers(value: Any) -> list[bytes]:
    """All carriers in a vector that stand there unsealed."""
    if isinstance(value, dict):
        own = [bytes_of(text) for key, text in value.items() if key == "carrier"]
        return own + [carrier for item in value.values() for carrier in carriers(item)]
    return [carrier for item in value for carrier in carriers(item)] if isinstance(value, list) else []


@cache
def validator(kind: str) -> jsonschema.protocols.Validator:
    schema = json.loads((SPEC / "schemas" / f"{kind}.json").read_text("utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.mark.parametrize("name", ["traces", "handshake"])
def test_messages_fit_their_schemas(name: str) -> None:
    for vector in vectors(name):
        for carrier in carriers(vector):
            envelope = json.loads(json.loads(carrier)["env"])
            validator(envelope["type"]).validate(envelope)


# --- sealing against others --------------------------------------------------------------------


def test_sealing_gives_what_rfc_9180_prints() -> None:
    """RFC 9180 appendix A.2.1, the first message."""
    ephemeral = bytes.fromhex("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600")
    recipient = bytes.fromhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
    info = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
    enc = public_of_secret(ephemeral)
    key, nonce = context(exchange(ephemeral, recipient), enc, recipient, info)
    assert key.hex() == "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91"
    assert nonce.hex() == "5c4d98150661b848853b547f"
    sealed = seal(ephemeral, recipient, info, b"Beauty is truth, truth beauty", b"Count-0")
    assert sealed[32:].hex() == (
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    )


SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def test_another_library_opens_what_the_model_sealed() -> None:
    opened = [vector for vector in vectors("sealing") if vector["op"] == "open" and "ok" in vector["expect"]]
    for vector in opened:
        request = vector["request"]
        secret = X25519PrivateKey.from_private_bytes(bytes_of(request["secret"]))
        plaintext = SUITE.decrypt(bytes_of(request["sealed"]), secret, request["info"].encode())
        assert b64(plaintext) == vector["expect"]["ok"]["plaintext"]
    assert opened


def test_the_model_opens_what_another_library_sealed() -> None:
    sealed = SUITE.encrypt(b"a text", X25519PublicKey.from_public_bytes(BOB.seal_key), b"a place")
    assert open_sealed(BOB.secret, b"a place", b64(sealed)) == b"a text"
