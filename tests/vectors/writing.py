"""Making vectors: a file's form, authors with fixed seeds, and texts, signatures and ids by independent libraries.

Canonical text is written by ``rfc8785`` and again by ``canonicaljson``, which must agree; Ed25519 is OpenSSL's.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import canonicaljson
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SPEC = Path(__file__).parents[2] / "spec"
FOLDER = SPEC / "vectors"
ROOM = "matrix:roomid/mesh:example.org"
NOW_MS = 1_767_225_600_000
ENVELOPE_TYPE = "application/vnd.clawnet.envelope.v1+json"
BASE_58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def table(name: str) -> Any:
    """One of the tables of the specification: ``types``, ``errors``, ``limits`` or ``states``."""
    return json.loads((SPEC / f"{name}.json").read_text("utf-8"))


ERRORS: dict[str, Any] = table("errors")
TYPES: dict[str, Any] = table("types")
LIMITS: dict[str, int] = table("limits")

# --- bytes and texts ---------------------------------------------------------------------------


def b64(data: bytes) -> str:
    """Base64url without padding (TERM-1)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def digest(data: bytes) -> str:
    """The digest of some bytes (TERM-3)."""
    return b64(sha256(data).digest())


def canonical(value: object) -> bytes:
    """The canonical text of a value that has one (chapter 03). Raises ValueError if the two libraries disagree."""
    text = rfc8785.dumps(value)  # type: ignore[arg-type]
    if text != canonicaljson.encode_canonical_json(value):
        raise ValueError(f"rfc8785 and canonicaljson write {value!r} differently")
    return text


def nearly(value: object) -> bytes:
    """What comes closest to canonical text of a value that has none: one with null, great integers, odd keys."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def did(public: bytes, *, head: bytes = b"\xed\x01") -> str:
    """The ``did:key`` of a public key (ID-4); ``head`` is the multicodec in front of it."""
    number, digits = int.from_bytes(head + public, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = BASE_58[digit] + digits
    return "did:key:z" + digits


def encoded(payload_type: str, payload: bytes) -> bytes:
    """The DSSE pre-authentication encoding (SIG-1)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def message_id(env: bytes) -> str:
    """The id of the message whose envelope has this text (SIG-3)."""
    return digest(encoded(ENVELOPE_TYPE, env))


# --- authors -----------------------------------------------------------------------------------


def fixed(name: str, length: int = 32) -> bytes:
    """Bytes that look random and are the same each time (at most 32)."""
    return sha256(b"clawnet vectors: " + name.encode()).digest()[:length]


class Author:
    """Somebody with keys and an address; the same name has the same ones each time.

    ``seed``, ``public``, ``did``: the Ed25519 key; ``secret``, ``seal_key`` (both bytes): the X25519 key.
    """

    def __init__(self, name: str, *, seed: bytes | None = None) -> None:
        self.name = name
        self.seed = fixed(f"seed of {name}") if seed is None else seed
        self._key = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.did = did(self.public)
        self.secret = fixed(f"secret of {name}")
        seal = X25519PrivateKey.from_private_bytes(self.secret).public_key()
        self.seal_key = seal.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.address = f"matrix:u/{name}:example.org"

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of the signature over these very bytes."""
        return self._key.sign(data)

    def envelope(self, kind: str, body: object, **members: object) -> dict[str, Any]:
        """An envelope by this author's first key: sent at NOW_MS, for as long as its type allows.

        ``members`` replace or join the others; what the type wants in recipients, thread and answers is the caller's.
        A ``sent_ms`` of its own moves ``expires_ms``. The nonce follows from all the rest, so it needs no counter.
        """
        value: dict[str, Any] = {
            "clawnet": "1",
            "type": kind,
            "sender": self.did,
            "kid": self.did,
            "room": ROOM,
            "sent_ms": NOW_MS,
            "body": body,
        } | members
        if "expires_ms" not in value:
            value["expires_ms"] = value["sent_ms"] + TYPES.get(kind, {"lifetime_ms": 60_000})["lifetime_ms"]
        value.setdefault("nonce", b64(fixed(json.dumps(value, sort_keys=True, default=str), 16)))
        return value

    def carrier(self, envelope: dict[str, Any] | str | bytes, **members: object) -> bytes:
        """A carrier with a good signature over an envelope, or over any text in its place.

        A dict is written canonically if it can be, else as :func:`nearly`. ``members`` replace or join the carrier's
        own, after it was signed.
        """
        env = text_of(envelope)
        signature = self.sign(encoded(ENVELOPE_TYPE, env.encode("utf-8", "surrogatepass")))
        return carrier_text({"clawnet": "1", "kid": self.did, "env": env, "sig": b64(signature)} | members)

    def say(self, kind: str, body: object, **members: object) -> tuple[bytes, str]:
        """A carrier and its message id, of :meth:`envelope`."""
        env = text_of(self.envelope(kind, body, **members))
        return self.carrier(env), message_id(env.encode())


def text_of(envelope: dict[str, Any] | str | bytes) -> str:
    """The text of an envelope, or the text itself."""
    if isinstance(envelope, str):
        return envelope
    if isinstance(envelope, bytes):
        return envelope.decode()
    try:
        return canonical(envelope).decode()
    except (ValueError, TypeError, RecursionError, UnicodeError):
        return nearly(envelope).decode("utf-8", "surrogatepass")


def carrier_text(members: dict[str, object]) -> bytes:
    """A carrier's text. A lone surrogate in it is written as an escape, for it has no UTF-8."""
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text).encode()


ALICE, BOB, CAROL = Author("alice"), Author("bob"), Author("carol")

# --- files -------------------------------------------------------------------------------------

Vector = dict[str, Any]


@dataclass
class Subject:
    """One file of vectors. ``name`` is that of the file without ``.json``."""

    name: str
    about: str
    vectors: list[Vector] = field(default_factory=list)

    def ok(self, about: str, requirements: str, op: str, request: Vector, answer: Vector | None = None) -> Vector:
        """A vector that expects ``{"ok": answer}``. ``requirements`` are separated by spaces."""
        return self.add(about, requirements, op=op, request=request, expect={"ok": answer or {}})

    def error(self, about: str, requirements: str, op: str, request: Vector, code: str, kills: str) -> Vector:
        """A vector that expects a code, at the stage that errors.json gives it; ``kills`` names a broken verifier."""
        expect = {"error": code}
        stage = ERRORS[code]["stage"]
        return self.add(about, requirements, op=op, request=request, expect=expect, stage=stage, kills=kills)

    def add(self, about: str, requirements: str, **members: Any) -> Vector:
        """A vector of any form. Its id is the file's name and the words of ``about``, unless ``id`` is given.

        The vector that is returned may be changed further, such as by ``class``.
        """
        words = re.sub(r"[^a-z0-9]+", "-", about.lower()).strip("-")
        vector = {"id": members.pop("id", f"{self.name}-{words}"), "about": about}
        vector |= {"requirements": requirements.split()} | members
        self.vectors.append(vector)
        return vector

    def text(self) -> bytes:
        """The bytes of the file: one vector a line."""
        ids = [vector["id"] for vector in self.vectors]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"{self.name}: these ids are used twice: {', '.join(twice)}")
        head = json.dumps({"subject": self.name, "about": self.about})[:-1]
        lines = ",\n".join(json.dumps(vector, separators=(",", ":")) for vector in self.vectors)
        return f'{head}, "vectors": [\n{lines}\n]}}\n'.encode()


def manifest(subjects: list[Subject]) -> bytes:
    """``manifest.json``: for each file its name, the digest of its bytes, and how many vectors it has."""
    files = [
        {"name": f"{subject.name}.json", "digest": digest(subject.text()), "vectors": len(subject.vectors)}
        for subject in subjects
    ]
    lines = ",\n".join(json.dumps(file) for file in files)
    return f'{{"vectors": {sum(len(subject.vectors) for subject in subjects)}, "files": [\n{lines}\n]}}\n'.encode()
