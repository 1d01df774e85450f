"""A verifier of messages written from ``spec/``, each check of which can be left out by name.

``Verifier()`` answers every vector of the message layer as it must be answered. ``Verifier("duplicate-keys-pass")``
lacks that one check, or makes it in the wrong place; the vectors that name it in ``kills`` must expose it.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NoReturn

from tests.vectors.body_judge import BODY_MUTANTS, BodyJudge
from tests.vectors.canonical_reader import MUTANTS as CANONICAL_MUTANTS
from tests.vectors.canonical_reader import Reader, Unreadable
from tests.vectors.json_reader import JSON_MUTANTS, NoJson, read_json
from tests.vectors.key_judge import KEY_MUTANTS, KeyJudge, Unsound
from tests.vectors.message_model import chain_proven
from tests.vectors.mutants_fold import INTACT
from tests.vectors.shapes import Fitting
from tests.vectors.writing import (
    ENVELOPE_TYPE,
    LIMITS,
    TYPES,
    Author,
    Vector,
    b64,
    did,
    encoded,
    message_id,
    nearly,
)

_MEMBERS = {"clawnet", "kid", "env", "sig"}
_MESSAGE_MUTANTS = (
    "carrier-size-unchecked", "envelope-size-unchecked", "envelope-size-in-characters", "raw-surrogates-pass",
    "invalid-utf-8-replaced", "other-encodings-read", "carrier-byte-order-mark-skipped", "carrier-form-unchecked",
    "missing-members-pass",
    "extra-carrier-members-pass", "member-names-folded", "members-made-text", "carrier-surrogates-pass",
    "version-unchecked",
    "version-read-as-number", "padding-passes", "spare-bits-pass", "other-alphabet-passes", "signature-spaces-skipped",
    "signature-before-version", "canonical-before-signature", "size-after-signature", "bare-envelope-accepted",
    "payload-type-unchecked", "characters-counted", "envelope-rewritten", "key-of-envelope-used",
    "envelope-form-unchecked", "carrier-version-unmatched", "carrier-kid-unmatched", "unknown-types-pass",
    "type-before-mismatch", "critical-ignored", "critical-only-in-extensions", "critical-before-schema",
    "signs-unchecked", "plane-unchecked", "room-unchecked", "rooms-unchecked", "room-case-folded",
    "recipients-unchecked", "zero-lifetime-passes", "negative-lifetime-passes",
    "long-lifetime-passes", "one-lifetime-for-all", "future-passes", "one-skew-for-all", "expired-passes",
    "expiry-moment-passes", "time-before-addressing", "expiry-before-lifetime",
)  # fmt: skip
STRICTER = ("kid-must-be-sender", "only-first-recipient-read", "references-decoded", "bytes-counted", "utf-16-counted")
"""Verifiers that refuse too much: valid vectors expose them."""
MUTANTS = (*CANONICAL_MUTANTS, *KEY_MUTANTS, *JSON_MUTANTS, *_MESSAGE_MUTANTS, *BODY_MUTANTS)
"""All broken verifiers of the message layer."""


class Fault(Exception):
    """The code of the first check that failed."""


def _fault(code: str) -> NoReturn:
    raise Fault(code)


class Verifier:
    """Answers requests of the message layer as a testee does. ``broken`` names the check it lacks, "" for none."""

    def __init__(self, broken: str = "") -> None:
        if broken and broken not in MUTANTS + STRICTER:
            raise ValueError(f"no verifier is called {broken!r}")
        self._broken = broken
        self._keys = KeyJudge(self.lacks)
        self._bodies = BodyJudge(broken, self.lacks)
        self._fitting = Fitting(broken)

    def lacks(self, name: str) -> bool:
        """Whether the check of this name is left out."""
        return self._broken == name

    def answer(self, op: str, request: Vector) -> Vector:
        """The answer to one request. What a broken verifier lets pass may well make it crash: that is an answer too."""
        operation = getattr(self, "_" + op.replace(".", "_"))
        try:
            return {"ok": operation(request)}
        except (Fault, Unsound) as fault:
            return {"error": str(fault)}
        except Unreadable as fault:
            return {"error": f"canonical.{fault}"}
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            if not self._broken:
                raise
            return {"crash": type(error).__name__}

    # --- operations ----------------------------------------------------------------------------

    def _canonical_read(self, request: Vector) -> Vector:
        data = _bytes(request["text"])
        # Python's stand-ins for bytes that are no UTF-8 are surrogates: where it is one, the reader decides.
        lazily = self.lacks("bytes-decoded-on-the-way")
        try:
            text = data.decode("utf-8", "surrogateescape" if lazily else "strict")
        except UnicodeDecodeError:
            raise Unreadable("syntax") from None
        Reader(text, self.lacks).read()
        return {}

    def _canonical_write(self, request: Vector) -> Vector:
        return {"text": b64(nearly(json.loads(_bytes(request["json"]))))}

    def _did_encode(self, request: Vector) -> Vector:
        return {"did": did(_bytes(request["public"]))}

    def _did_decode(self, request: Vector) -> Vector:
        return {"public": b64(self._keys.read(request["did"]))}

    def _signature_verify(self, request: Vector) -> Vector:
        self._keys.verify(*(_bytes(request[name]) for name in ("public", "signature", "message")))
        return {}

    def _sign(self, request: Vector) -> Vector:
        author = Author("the signer", seed=_bytes(request["seed"]))
        env = _bytes(request["env"])
        carrier = author.carrier(env)
        if not self.lacks("signs-unchecked"):
            self._checked(carrier)
        return {"id": message_id(env), "members": json.loads(carrier)}

    def _verify(self, request: Vector) -> Vector:
        return _told(self._checked(_bytes(request["carrier"])))

    def _arrive(self, request: Vector) -> Vector:
        envelope = self._checked(_bytes(request["carrier"]))
        if self.lacks("time-before-addressing"):
            self._check_time(envelope, request)
        self._check_addressing(envelope, request)
        self._check_time(envelope, request)
        return _told(envelope)

    # --- the stages of SIG-6 -------------------------------------------------------------------

    def _checked(self, data: bytes) -> dict[str, Any]:
        """The stages from *size* to *critical*. The envelope, with the id of the message as ``id``."""
        carrier = self._read_carrier(data)
        env = carrier["env"].encode("utf-8", "surrogatepass")
        if not self.lacks("size-after-signature"):
            self._check_envelope_size(env)
        if self.lacks("signature-before-version"):
            self._check_signature(carrier, env)
        self._check_version(carrier["clawnet"])
        if self.lacks("canonical-before-signature"):
            Reader(env.decode(), self.lacks).read()
        env = self._check_signature(carrier, env)
        self._check_envelope_size(env)
        value = Reader(env.decode("utf-8", "surrogatepass"), self.lacks).read()
        if self.lacks("critical-before-schema"):
            self._check_critical(value)
        self._check_schema(carrier, value)
        self._check_critical(value)
        return {**value, "id": message_id(env)}

    def _read_carrier(self, data: bytes) -> dict[str, str]:
        if len(data) > LIMITS["carrier_bytes"] and not self.lacks("carrier-size-unchecked"):
            _fault("size.carrier")
        ways = {"invalid-utf-8-replaced": "replace", "raw-surrogates-pass": "surrogatepass"}
        try:
            encoding = json.detect_encoding(data) if self.lacks("other-encodings-read") else "utf-8"
            text = data.decode(encoding, ways.get(self._broken, "strict"))
            if text.startswith("\ufeff") and self.lacks("carrier-byte-order-mark-skipped"):
                text = text[1:]
            value = read_json(text, self.lacks)
        except (UnicodeDecodeError, NoJson):
            _fault("carrier.not_json")
        if self.lacks("carrier-form-unchecked"):
            return {name: value[name] for name in _MEMBERS}
        if not isinstance(value, dict):
            _fault("carrier.malformed")
        if self.lacks("member-names-folded"):
            value = {name.lower(): item for name, item in value.items()}
        if self.lacks("missing-members-pass"):
            value = dict.fromkeys(_MEMBERS, "") | value
        if self.lacks("members-made-text"):
            value = {name: item if isinstance(item, str) else "1" for name, item in value.items()}
        if self.lacks("extra-carrier-members-pass"):
            value = {name: item for name, item in value.items() if name in _MEMBERS}
        if set(value) != _MEMBERS or not all(isinstance(item, str) for item in value.values()):
            _fault("carrier.malformed")
        alone = any("\ud800" <= character <= "\udfff" for item in value.values() for character in item)
        if alone and not self.lacks("carrier-surrogates-pass") and not self.lacks("raw-surrogates-pass"):
            _fault("carrier.malformed")
        return dict(value)

    def _check_envelope_size(self, env: bytes) -> None:
        size = len(env.decode("utf-8", "surrogatepass")) if self.lacks("envelope-size-in-characters") else len(env)
        if size > LIMITS["envelope_bytes"] and not self.lacks("envelope-size-unchecked"):
            _fault("size.envelope")

    def _check_version(self, version: str) -> None:
        read = version
        if self.lacks("version-read-as-number") and re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", version):
            read = f"{float(version):g}"
        if read != "1" and not self.lacks("version-unchecked"):
            _fault("version.unsupported")

    def _check_signature(self, carrier: dict[str, str], env: bytes) -> bytes:
        """The stages *key* and *signature*; the bytes that were signed as envelope."""
        kid = carrier["kid"]
        if self.lacks("key-of-envelope-used"):
            kid = json.loads(env)["kid"]
        public = self._keys.read(kid)
        signature = self._signature_of(carrier["sig"])
        if self.lacks("envelope-rewritten"):
            env = nearly(json.loads(env))
        signed = [encoded(ENVELOPE_TYPE, env)]
        if self.lacks("bare-envelope-accepted"):
            signed.append(env)
        if self.lacks("payload-type-unchecked"):
            signed.append(encoded("application/vnd.clawnet.commitment.v1+json", env))
        if self.lacks("characters-counted"):
            head = signed[0][: signed[0].index(b" ", 50)]
            signed.append(head + b" %d %s" % (len(env.decode()), env))
        for number, message in enumerate(signed):
            try:
                self._keys.verify(public, signature, message)
            except Unsound:
                if number == len(signed) - 1:
                    raise
            else:
                break
        return env

    def _signature_of(self, text: str) -> bytes:
        """The bytes of base64url, strictly (TERM-2)."""
        if self.lacks("padding-passes"):
            text = text.rstrip("=")
        if self.lacks("other-alphabet-passes"):
            text = text.replace("+", "-").replace("/", "_")
        if self.lacks("signature-spaces-skipped"):
            text = "".join(text.split())
        if not re.fullmatch("[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
            _fault("signature.malformed")
        data = _bytes(text)
        if b64(data) != text and not self.lacks("spare-bits-pass"):
            _fault("signature.malformed")
        return data

    def _check_schema(self, carrier: dict[str, str], value: Any) -> None:
        shaped = isinstance(value, dict) or not self.lacks("envelope-form-unchecked")
        if shaped and not self._fitting.fits("Envelope", value):
            _fault("schema.envelope")
        self._check_more_than_asked(value)
        kind = value.get("type")
        if self.lacks("type-before-mismatch") and kind not in TYPES:
            _fault("type.unknown")
        for name, mutant in (("clawnet", "carrier-version-unmatched"), ("kid", "carrier-kid-unmatched")):
            if value.get(name) != carrier[name] and not self.lacks(mutant):
                _fault("carrier.mismatch")
        if self.lacks("kid-must-be-sender") and value["kid"] != value["sender"]:
            _fault("key.not_authorized")
        if kind not in TYPES:
            if self.lacks("unknown-types-pass"):
                return
            _fault("type.unknown")
        code = self._bodies.judge(value)
        if code:
            _fault(code)
        if kind.startswith("identity.") and not chain_proven(value, INTACT):
            _fault("identity.broken_chain")

    def _check_more_than_asked(self, value: dict[str, Any]) -> None:
        """What only the verifiers of STRICTER look at."""
        if self.lacks("references-decoded"):
            for name in ("thread", "answers", "nonce"):
                base64.b64decode(value.get(name, "") + "==", altchars=b"-_", validate=True)
        units = {"bytes-counted": "utf-8", "utf-16-counted": "utf-16-le"}.get(self._broken)
        if units and len(value["room"].encode(units)) // (2 if units != "utf-8" else 1) > 300:
            _fault("schema.envelope")

    def _check_critical(self, value: dict[str, Any]) -> None:
        names = value.get("critical", [])
        if self.lacks("critical-only-in-extensions"):
            names = [name for name in names if name in value.get("extensions", {})]
        if names and not self.lacks("critical-ignored"):
            _fault("critical.unsupported")

    def _check_addressing(self, envelope: dict[str, Any], request: Vector) -> None:
        plane, room, rooms = request["plane"], request["room"], request["rooms"]
        if plane not in TYPES[envelope["type"]]["planes"] and not self.lacks("plane-unchecked"):
            _fault("plane.mismatch")
        if plane == "room":
            fits = envelope["room"] == room or self.lacks("room-unchecked")
            if self.lacks("room-case-folded"):
                fits = envelope["room"].lower() == room.lower()
        else:
            fits = envelope["room"] in rooms or self.lacks("rooms-unchecked")
        if not fits:
            _fault("room.mismatch")
        recipients = envelope.get("recipients", [request["me"]])
        if self.lacks("only-first-recipient-read"):
            recipients = recipients[:1]
        if request["me"] not in recipients and not self.lacks("recipients-unchecked"):
            _fault("recipient.other")

    def _check_time(self, envelope: dict[str, Any], request: Vector) -> None:
        row, now = TYPES[envelope["type"]], request["now_ms"]
        sent, expires = envelope["sent_ms"], envelope["expires_ms"]
        expired = expires < now if self.lacks("expiry-moment-passes") else expires <= now
        if expired and self.lacks("expiry-before-lifetime"):
            _fault("time.expired")
        most = 604_800_000 if self.lacks("one-lifetime-for-all") else row["lifetime_ms"]
        short = (expires < sent and not self.lacks("negative-lifetime-passes")) or (
            expires == sent and not self.lacks("zero-lifetime-passes")
        )
        if short or (expires - sent > most and not self.lacks("long-lifetime-passes")):
            _fault("time.lifetime")
        skew = 300_000 if self.lacks("one-skew-for-all") else row["skew_ms"]
        if sent > now + skew and not self.lacks("future-passes"):
            _fault("time.future")
        if expired and not self.lacks("expired-passes"):
            _fault("time.expired")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _told(envelope: dict[str, Any]) -> Vector:
    return {name: envelope[name] for name in ("id", "sender", "kid", "type")}


_INTACT = Verifier()


def judge(data: bytes) -> str:
    """The code of a carrier's first fault up to the stage *critical*, "" if there is none: by the intact verifier."""
    return str(_INTACT.answer("verify", {"carrier": b64(data)}).get("error", ""))
