"""A second verifier, written from ``spec/`` alone: slow, plain, and sharing only the codes of the canonical reader.

JSON by the standard library, signatures by OpenSSL made strict by hand, shapes by JSON Schema from ``spec/schemas``.
"""

from __future__ import annotations

import base64
import binascii
import json
import json.scanner
import sys
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jsonschema import Draft202012Validator

from clawnet_proto import canonical
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.specification import directory

_BASE_58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_LOW = (
    0,
    1,
    _P - 1,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
)
_HEAD = b"DSSEv1 40 application/vnd.clawnet.envelope.v1+json "


class Fault(Exception):
    """The code of the first check that failed."""


def judge(data: bytes) -> str:
    """The code of the first fault of a carrier's text, "" if there is none."""
    try:
        _verify(data)
    except Fault as fault:
        return str(fault)
    return ""


def _demand(holds: bool, code: str) -> None:
    if not holds:
        raise Fault(code)


def _verify(data: bytes) -> None:
    _demand(len(data) <= _LIMITS["carrier_bytes"], "size.carrier")
    carrier = _read_carrier(data)
    env = carrier["env"].encode()
    _demand(len(env) <= _LIMITS["envelope_bytes"], "size.envelope")
    _demand(carrier["clawnet"] == "1", "version.unsupported")
    public = _read_key(carrier["kid"])
    _check_signature(carrier["sig"], public, env)
    value = _read_canonical(carrier["env"])
    _demand(_HEADER.is_valid(value), "schema.envelope")
    _demand((value["clawnet"], value["kid"]) == (carrier["clawnet"], carrier["kid"]), "carrier.mismatch")
    _demand(value["type"] in _TYPES, "type.unknown")
    _demand(_MESSAGES[value["type"]].is_valid(value), "schema.body")
    _check_row(value)
    _check_own_rules(value["type"], value["body"])
    _check_chain(value)
    _demand("critical" not in value, "critical.unsupported")


def _read_carrier(data: bytes) -> dict[str, str]:
    try:
        carrier = _load(data.decode("utf-8"))
    except ValueError:
        raise Fault("carrier.not_json") from None
    _demand(isinstance(carrier, dict) and set(carrier) == {"clawnet", "kid", "env", "sig"}, "carrier.malformed")
    for text in carrier.values():
        _demand(isinstance(text, str) and _plain(text), "carrier.malformed")
    return dict(carrier)


def _load(text: str) -> Any:
    """JSON by the standard library's reader in Python, for which no nesting is too deep."""
    # Typeshed knows only the reader in C.
    library: Any = json
    decoder: Any = json.JSONDecoder(parse_constant=_no_constant, parse_int=float)
    decoder.parse_object, decoder.parse_array = library.decoder.JSONObject, library.decoder.JSONArray
    decoder.scan_once = library.scanner.py_make_scanner(decoder)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    try:
        return decoder.decode(text)
    finally:
        sys.setrecursionlimit(before)


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _read_key(did: str) -> bytes:
    _demand(did.startswith("did:key:z") and all(digit in _BASE_58 for digit in did[9:]), "key.malformed")
    _demand(len(did) == 56, "key.malformed")
    number = 0
    for digit in did[9:]:
        number = number * 58 + _BASE_58.index(digit)
    _demand(number >> 256 == 0xED01, "key.malformed")
    public = (number & (1 << 256) - 1).to_bytes(32, "big")
    y = _y(public)
    _demand(y < _P and y not in _LOW, "key.invalid")
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    _demand(pow(square, (_P - 1) // 2, _P) == 1, "key.invalid")
    return public


def _y(point: bytes) -> int:
    return int.from_bytes(point, "little") & (1 << 255) - 1


def _check_signature(sig: str, public: bytes, env: bytes) -> None:
    _check_bytes(sig, public, _HEAD + str(len(env)).encode() + b" " + env)


def _check_bytes(sig: str, public: bytes, signed: bytes) -> None:
    try:
        signature = base64.b64decode(sig + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Fault("signature.malformed") from None
    _demand(base64.urlsafe_b64encode(signature).rstrip(b"=").decode() == sig, "signature.malformed")
    _demand(len(signature) == 64, "signature.malformed")
    _demand(int.from_bytes(signature[32:], "little") < _L, "signature.invalid")
    _demand(_y(signature[:32]) % _P not in _LOW, "signature.invalid")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except InvalidSignature:
        raise Fault("signature.invalid") from None


def _read_canonical(text: str) -> Any:
    """Whether it is canonical is judged here; which fault comes first, the canonical reader says."""
    try:
        value = json.loads(text)
        if _is_canonical(text, value):
            return value
    except (ValueError, RecursionError):
        pass
    try:
        canonical.parse(text)
    except RemoteProtocolError as error:
        raise Fault(error.code) from None
    raise AssertionError(f"the canonical reader takes {text!r}")


def _is_canonical(text: str, value: Any) -> bool:
    written = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    small = _depth(value) <= _LIMITS["depth"] and _nodes(value) <= _LIMITS["nodes"]
    return written == text and small and _plain(value)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _depth(value: Any) -> int:
    return max(map(_depth, _inside(value)), default=0) + isinstance(value, dict | list)


def _nodes(value: Any) -> int:
    return 1 + sum(map(_nodes, _inside(value)))


def _plain(value: Any) -> bool:
    """No null, no fraction, no great integer, no odd key, no surrogate, anywhere."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) < 2**53
    if isinstance(value, dict) and not all(_is_key(key) for key in value):
        return False
    return isinstance(value, dict | list) and all(map(_plain, _inside(value)))


def _is_key(key: str) -> bool:
    return 1 <= len(key) <= 64 and set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-")


def _check_row(value: Any) -> None:
    """Recipients, thread and answers, as the type's row says."""
    row = _TYPES[value["type"]]
    count = len(value.get("recipients", ()))
    _demand({"none": count == 0, "one": count == 1, "optional": True}[row["recipients"]], "schema.body")
    for name in ("thread", "answers"):
        _demand((name in value) == (row[name] == "required"), "schema.body")


def _check_own_rules(kind: str, body: Any) -> None:
    if kind == "task.request":
        _check_request(body)
    elif kind == "task.result":
        _demand(len({"text", "sealed", "artifact"} & set(body)) == 1, "schema.body")
        _check_text(body, "output_digest")
        _check_artifact(body)
    elif kind == "task.award":
        for item in body.get("inputs", ()):
            _demand(("sealed" in item) != ("artifact" in item), "schema.body")
            _check_artifact(item)


def _check_artifact(holder: Any) -> None:
    if "artifact" in holder:
        artifact = holder["artifact"]
        size = _LIMITS["chunk_bytes"]
        _demand(len(artifact["chunks"]) == (artifact["bytes"] + size - 1) // size, "schema.body")


def _check_chain(value: Any) -> None:
    if not value["type"].startswith("identity."):
        return
    keys = [value["sender"]]
    try:
        for generation, link in enumerate(value["body"]["chain"], 1):
            statement = json.dumps(
                {"generation": generation, "identity": keys[0], "next_key_digest": _digest(_read_key(link["key"]))},
                separators=(",", ":"),
            ).encode()
            signed = b"DSSEv1 42 application/vnd.clawnet.commitment.v1+json %d %s" % (len(statement), statement)
            _demand(link["key"] not in keys, "")
            _check_bytes(link["commitment"], _read_key(keys[-1]), signed)
            keys.append(link["key"])
        _demand(value["kid"] == keys[-1], "")
    except Fault:
        raise Fault("identity.broken_chain") from None


def _check_request(body: Any) -> None:
    known: list[str] = []
    for item in body["inputs"]:
        _demand(item["name"] not in known, "schema.body")
        known.append(item["name"])
    for stage in body["stages"]:
        _demand(stage["id"] not in known, "schema.body")
        _demand(all(part["source"] in known for part in stage["prompt"] if part["part"] == "data"), "schema.body")
        known.append(stage["id"])
    for item in body["inputs"]:
        _demand(("text" in item) == (body["privacy"] == "public"), "schema.body")
        _check_text(item, "digest")


def _check_text(holder: Any, name: str) -> None:
    if "text" in holder:
        text = holder["text"].encode()
        _demand(len(text) <= _LIMITS["inline_text_bytes"], "schema.body")
        _demand(holder[name] == _digest(text), "digest.mismatch")


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


def _table(name: str) -> Any:
    return json.loads((directory() / name).read_text())


def _ecma(schema: Any) -> Any:
    """ECMA-262's $, which JSON Schema means, is Python's \\Z."""
    if isinstance(schema, dict):
        return {key: item.replace("$", r"\Z") if key == "pattern" else _ecma(item) for key, item in schema.items()}
    return [_ecma(item) for item in schema] if isinstance(schema, list) else schema


def _header() -> Draft202012Validator:
    """The schema of any envelope: that of one type, its body left open."""
    schema = _ecma(_table("schemas/task.cancel.json"))
    schema["$defs"]["Envelope_Cancel_"]["properties"]["body"] = {}
    return Draft202012Validator(schema)


_LIMITS = _table("limits.json")
_TYPES = _table("types.json")
_MESSAGES = {kind: Draft202012Validator(_ecma(_table(f"schemas/{kind}.json"))) for kind in _TYPES}
_HEADER = _header()
