"""Vectors of carriers (chapters 02 and 05): size, JSON, members, version, key, signature, and their order."""

from __future__ import annotations

import json
from typing import Any

from tests.vectors.json_reader import read_json
from tests.vectors.samples import BODIES, envelope
from tests.vectors.writing import (
    ALICE,
    BOB,
    ENVELOPE_TYPE,
    LIMITS,
    Subject,
    b64,
    canonical,
    carrier_text,
    did,
    encoded,
    message_id,
    text_of,
)

Changed = tuple[str, str, bytes, str, str]

VALUE = envelope("task.fail", BODIES["task.fail"][0] | {"message": "Tsch\u00fcss / \U0001f600"})
ENV = text_of(VALUE)
CARRIER = ALICE.carrier(ENV)
PLAIN: dict[str, Any] = json.loads(CARRIER)
SIG: str = PLAIN["sig"]


def _with(**members: object) -> bytes:
    return carrier_text(PLAIN | members)


def _without(name: str) -> bytes:
    return carrier_text({member: item for member, item in PLAIN.items() if member != name})


def _put(old: str, new: str) -> bytes:
    """The carrier with one place of its text changed."""
    text = CARRIER.decode()
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1).encode("utf-8", "surrogatepass")


def _padded(pad: str) -> str:
    """An envelope with an extension that holds this text."""
    return text_of(envelope("task.fail", BODIES["task.fail"][0], extensions={"pad": pad}))


def _of_bytes(length: int, filling: str = "x") -> str:
    """An envelope of so many bytes in UTF-8."""
    room = length - len(_padded("").encode())
    count, rest = divmod(room, len(filling.encode()))
    return _padded(filling * count + "x" * rest)


def _odd_kid(kid: str) -> bytes:
    return _with(kid=kid)


_C, _E = LIMITS["carrier_bytes"], LIMITS["envelope_bytes"]
_LAST = SIG[:-1]
_SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BENT = _LAST + _SPARE[_SPARE.index(SIG[-1]) + 1]
_LOW = did((1).to_bytes(32, "little"))
_ESCAPED = json.dumps(PLAIN, ensure_ascii=True, separators=(",", ":")).encode()
_ALL_ESCAPED = ("{" + ",".join(
    f'"{name}":"' + "".join(f"\\u{ord(unit):04X}" if ord(unit) < 0x10000 else json.dumps(unit)[1:-1] for unit in item)
    + '"' for name, item in PLAIN.items()) + "}").encode()  # fmt: skip
_SIGNED_OTHERWISE = b64(ALICE.sign(ENV.encode()))
_COMMITTED = b64(ALICE.sign(encoded("application/vnd.clawnet.commitment.v1+json", ENV.encode())))
_COUNTED = b64(ALICE.sign(b"DSSEv1 40 %s %d %s" % (ENVELOPE_TYPE.encode(), len(ENV), ENV.encode())))
_OTHER = json.loads(ALICE.carrier(VALUE | {"nonce": "A" * 22}))["sig"]
_SPACED = ENV.replace(",", ", ", 1)

GOOD: list[tuple[str, str, bytes]] = [
    ("as short as can be", "MSG-3", CARRIER),
    ("members in another order", "MSG-3", carrier_text(dict(reversed(PLAIN.items())))),
    ("white space between members", "MSG-3 MSG-4", json.dumps(PLAIN, indent="\t").replace("\n", "\r\n ").encode()),
    ("white space in front and behind", "MSG-4", b" \t\r\n" + CARRIER + b"\n\n "),
    ("all but ASCII escaped", "MSG-5", _ESCAPED),
    ("every character of every member escaped", "MSG-5", _ALL_ESCAPED),
    ("an escaped solidus", "MSG-5", _put("/", "\\/")),
    ("an escaped member name", "MSG-3", _put('"sig"', '"\\u0073\\u0069\\u0067"')),
    ("a member twice, the last one right", "MSG-4", _put('{"clawnet"', '{"clawnet":"2","clawnet"')),
    ("env twice, the last one right", "MSG-4", _put('{"clawnet"', '{"env":"","clawnet"')),
    ("a member twice, the first one no text", "MSG-4", _put('{"clawnet"', '{"sig":null,"clawnet"')),
    ("a member twice, once with an escaped name", "MSG-4", _put('{"clawnet"', '{"\\u006bid":"","clawnet"')),
    ("a member thrice, the last one right", "MSG-4", _put('{"clawnet"', '{"sig":"","kid":"","sig":1,"clawnet"')),
    ("a member twice, the first one nested 5000 deep", "MSG-4 SIG-8",
     _put('{"clawnet"', '{"sig":' + "[" * 5000 + "]" * 5000 + ',"clawnet"')),
    ("as large as a carrier can be, by white space", "MSG-6 LIM-1", CARRIER + b" " * (_C - len(CARRIER))),
    ("as large as an envelope can be", "MSG-6 LIM-1", ALICE.carrier(_of_bytes(_E))),
    ("as large as an envelope can be, in letters with marks", "MSG-6", ALICE.carrier(_of_bytes(_E, "\u00e9"))),
    ("an envelope by another key of the sender, which nothing proves here", "ID-29 SIG-6 ID-2",
     BOB.carrier(VALUE | {"kid": BOB.did}, kid=BOB.did)),
]  # fmt: skip

_DEEP = b"[" * 5000 + b"]" * 5000

FAULTY: list[Changed] = [
    ("one byte too large, by white space", "MSG-6 LIM-1", CARRIER + b" " * (_C + 1 - len(CARRIER)), "size.carrier",
     "carrier-size-unchecked"),
    ("too large, and no JSON", "LIM-4 SIG-6", b"{" * (_C + 1), "size.carrier", "carrier-size-unchecked"),
    ("no text", "SIG-8", b"", "carrier.not_json", "empty-carrier-passes"),
    ("white space alone", "SIG-8", b" \n", "carrier.not_json", "empty-carrier-passes"),
    ("a byte order mark", "MSG-4 SIG-8", b"\xef\xbb\xbf" + CARRIER, "carrier.not_json",
     "carrier-byte-order-mark-skipped"),
    ("a byte that is no UTF-8", "SIG-8", CARRIER.replace(b"Tsch", b"T\xff"), "carrier.not_json",
     "invalid-utf-8-replaced"),
    ("an overlong solidus", "SIG-8", CARRIER.replace(b"/", b"\xc0\xaf"), "carrier.not_json", "invalid-utf-8-replaced"),
    ("UTF-8 that ends too early", "SIG-8", CARRIER.replace("\u00fc".encode(), b"\xc3"), "carrier.not_json",
     "invalid-utf-8-replaced"),
    ("a raw surrogate", "SIG-8", _put("Tsch", "\ud800"), "carrier.not_json", "raw-surrogates-pass"),
    ("a character beyond U+10FFFF", "SIG-8", CARRIER.replace("\U0001f600".encode(), b"\xf4\x90\x80\x80"),
     "carrier.not_json", "invalid-utf-8-replaced"),
    ("UTF-16", "MSG-4 SIG-8", CARRIER.decode().encode("utf-16-le"), "carrier.not_json", "other-encodings-read"),
    ("UTF-32", "MSG-4 SIG-8", CARRIER.decode().encode("utf-32-be"), "carrier.not_json", "other-encodings-read"),
    ("text behind the object", "MSG-4 SIG-8", CARRIER + b"x", "carrier.not_json", "carrier-text-after-passes"),
    ("a second carrier behind the first", "MSG-4", CARRIER + CARRIER, "carrier.not_json", "carrier-text-after-passes"),
    ("a NUL behind the object", "MSG-4", CARRIER + b"\0", "carrier.not_json", "carrier-text-after-passes"),
    ("no closing brace", "SIG-8", CARRIER[:-1], "carrier.not_json", "carrier-unclosed-passes"),
    ("a comma after the last member", "SIG-8", CARRIER[:-1] + b",}", "carrier.not_json",
     "carrier-trailing-commas-pass"),
    ("a raw line feed in a text", "SIG-8", _put("Tsch", "\n"), "carrier.not_json", "carrier-raw-controls-pass"),
    ("an escape that JSON does not know", "SIG-8", _put("Tsch", "\\x"), "carrier.not_json",
     "carrier-unknown-escapes-pass"),
    ("NaN", "SIG-8", _put('"1"', "NaN"), "carrier.not_json", "carrier-constants-pass"),
    ("minus Infinity", "SIG-8", _put('"1"', "-Infinity"), "carrier.not_json", "carrier-constants-pass"),
    ("a number with a leading zero", "SIG-8", _put('"1"', "01"), "carrier.not_json", "carrier-leading-zeros-pass"),
    ("a comment", "SIG-8", _put('"1"', '"1"/* one */'), "carrier.not_json", "carrier-comments-pass"),
    ("apostrophes for quotation marks", "SIG-8", _put('"1"', "'1'"), "carrier.not_json", "carrier-apostrophes-pass"),
    ("an array nested 5000 deep", "SIG-8", _DEEP, "carrier.malformed", "deep-nesting-is-no-json"),
    ("a member nested 5000 deep", "SIG-8 MSG-3", CARRIER[:-1] + b',"x":' + _DEEP + b"}", "carrier.malformed",
     "deep-nesting-is-no-json"),
    ("objects nested 4000 deep", "SIG-8", b'{"a":' * 4000 + b"1" + b"}" * 4000, "carrier.malformed",
     "deep-nesting-is-no-json"),
    ("an array nested 5000 deep without its last bracket", "SIG-8", _DEEP[:-1], "carrier.not_json",
     "deep-nesting-is-json"),
    ("an array nested 5000 deep with a bracket too many", "SIG-8", _DEEP + b"]", "carrier.not_json",
     "deep-nesting-is-json"),
    ("an array nested 5000 deep with a fault inside", "SIG-8", b"[" * 5000 + b"01" + b"]" * 5000, "carrier.not_json",
     "deep-nesting-is-json"),
    ("null", "MSG-3", b"null", "carrier.malformed", "carrier-form-unchecked"),
    ("an array of one carrier", "MSG-3", b"[" + CARRIER + b"]", "carrier.malformed", "carrier-form-unchecked"),
    ("a text that holds a carrier", "MSG-3", json.dumps(CARRIER.decode()).encode(), "carrier.malformed",
     "carrier-form-unchecked"),
    ("a number of many digits", "MSG-3 SIG-8", b"1" * 6000, "carrier.malformed", "carrier-form-unchecked"),
    ("a number beyond binary64", "MSG-3 SIG-8", _put('"1"', "1e999"), "carrier.malformed", "members-made-text"),
    ("no members", "MSG-3", b"{}", "carrier.malformed", "missing-members-pass"),
    *((f"without {name}", "MSG-3", _without(name), "carrier.malformed", "missing-members-pass") for name in PLAIN),
    ("a member more", "MSG-3", _with(extra="x"), "carrier.malformed", "extra-carrier-members-pass"),
    ("an id of its own", "MSG-3 MSG-17", _with(id=message_id(ENV.encode())), "carrier.malformed",
     "extra-carrier-members-pass"),
    ("a member without a name", "MSG-3", _with(**{"": "x"}), "carrier.malformed", "extra-carrier-members-pass"),
    ("the member __proto__", "MSG-3", _with(__proto__="x"), "carrier.malformed", "extra-carrier-members-pass"),
    ("a member name in upper case", "MSG-3", _put('"sig"', '"SIG"'), "carrier.malformed", "member-names-folded"),
    ("a member more whose name differs in case alone", "MSG-3", _with(Sig=SIG), "carrier.malformed",
     "member-names-folded"),
    ("an escaped surrogate as member name", "MSG-3", _with(**{"\ud800": "x"}), "carrier.malformed",
     "extra-carrier-members-pass"),
    ("a member sealed", "MSG-3", _with(sealed="x"), "carrier.malformed", "extra-carrier-members-pass"),
    ("clawnet is an integer", "MSG-3", _with(clawnet=1), "carrier.malformed", "members-made-text"),
    ("kid is null", "MSG-3", _with(kid=None), "carrier.malformed", "members-made-text"),
    ("env is an object", "MSG-3", _with(env=VALUE), "carrier.malformed", "members-made-text"),
    ("sig is an array", "MSG-3", _with(sig=[SIG]), "carrier.malformed", "members-made-text"),
    ("sig is true", "MSG-3", _with(sig=True), "carrier.malformed", "members-made-text"),
    ("a member twice, the last one no text", "MSG-4", CARRIER[:-1] + b',"sig":1}', "carrier.malformed",
     "first-member-counts"),
    ("an escaped surrogate in env", "SIG-8", ALICE.carrier(ENV.replace("Tsch", "\ud800")), "carrier.malformed",
     "carrier-surrogates-pass"),
    ("escaped surrogates in the wrong order in env", "SIG-8", ALICE.carrier(ENV.replace("Tsch", "\ude00\ud83d")),
     "carrier.malformed", "carrier-surrogates-pass"),
    ("an escaped surrogate in kid", "SIG-8", _odd_kid(ALICE.did[:-1] + "\udfff"), "carrier.malformed",
     "carrier-surrogates-pass"),
    ("an envelope one byte too large", "MSG-6 LIM-1", ALICE.carrier(_of_bytes(_E + 1)), "size.envelope",
     "envelope-size-unchecked"),
    ("an envelope one byte too large, in letters with marks", "MSG-6 TERM-6",
     ALICE.carrier(_of_bytes(_E + 1, "\u00e9")), "size.envelope", "envelope-size-in-characters"),
    *((f"version {json.dumps(version)}", "MSG-22 VER-2", _with(clawnet=version), "version.unsupported", kills)
      for version, kills in (("2", "version-unchecked"), ("10", "version-unchecked"), ("", "version-unchecked"),
                             ("01", "version-read-as-number"), ("1.0", "version-read-as-number"),
                             ("1 ", "version-read-as-number"), ("\uff11", "version-unchecked"))),
    ("version 2 after version 1", "MSG-4 MSG-22", _put('"1"', '"1","clawnet":"2"'), "version.unsupported",
     "first-member-counts"),
    ("kid without its beginning", "ID-5", _odd_kid(ALICE.did[9:]), "key.malformed", "did-prefix-unchecked"),
    ("kid with a line feed", "ID-5", _odd_kid(ALICE.did + "\n"), "key.malformed", "did-trimmed"),
    ("kid with a fragment", "ID-5", _odd_kid(ALICE.did + "#" + ALICE.did[8:]), "key.malformed", "did-cut-at-56"),
    ("kid of X25519", "ID-5", _odd_kid(did(ALICE.public, head=b"\xec\x01")), "key.malformed", "multicodec-unchecked"),
    ("kid is the neutral point", "ID-6", _odd_kid(_LOW), "key.invalid", "low-order-keys-pass"),
    ("kid is no point", "ID-6", _odd_kid(did((2).to_bytes(32, "little"))), "key.invalid", "off-curve-keys-pass"),
    ("sig with padding", "TERM-1 TERM-2 SIG-2", _with(sig=SIG + "=="), "signature.malformed", "padding-passes"),
    ("sig in the other alphabet", "TERM-1 TERM-2 SIG-2",
     ALICE.carrier(ENV, sig=SIG.replace("-", "+").replace("_", "/")), "signature.malformed", "other-alphabet-passes"),
    ("sig with a line feed", "TERM-2", _with(sig=SIG + "\n"), "signature.malformed", "signature-spaces-skipped"),
    ("sig with a space in the middle", "TERM-2", _with(sig=SIG[:40] + " " + SIG[40:]), "signature.malformed",
     "signature-spaces-skipped"),
    ("sig with spare bits", "TERM-1 TERM-2", _with(sig=_BENT), "signature.malformed", "spare-bits-pass"),
    ("an empty sig", "SIG-2", _with(sig=""), "signature.malformed", "signature-length-unchecked"),
    ("a sig of 63 bytes", "SIG-2", _with(sig=b64(bytes(63))), "signature.malformed", "signature-length-unchecked"),
    ("a sig of 65 bytes", "SIG-2", _with(sig=SIG + "AA"), "signature.malformed", "signature-length-unchecked"),
    ("another character in env", "SIG-2 MSG-5", _put("Tsch", "tsch"), "signature.invalid", "equation-unchecked"),
    ("the signature of another message", "SIG-2", _with(sig=_OTHER), "signature.invalid", "equation-unchecked"),
    ("a signature by another key", "SIG-2", BOB.carrier(ENV, kid=ALICE.did), "signature.invalid",
     "equation-unchecked"),
    ("a kid that did not sign, though the envelope's did", "SIG-2", _odd_kid(BOB.did), "signature.invalid",
     "key-of-envelope-used"),
    ("a signature over the envelope alone", "SIG-1", _with(sig=_SIGNED_OTHERWISE), "signature.invalid",
     "bare-envelope-accepted"),
    ("a signature for another payload type", "SIG-1", _with(sig=_COMMITTED), "signature.invalid",
     "payload-type-unchecked"),
    ("a signature whose length counts characters", "SIG-1 TERM-6", _with(sig=_COUNTED), "signature.invalid",
     "characters-counted"),
    ("a signature over the canonical form of env", "MSG-5 SIG-7", _with(env=_SPACED), "signature.invalid",
     "envelope-rewritten"),
    ("a normalised env", "TERM-7 MSG-5", ALICE.carrier(ENV, env=ENV.replace("\u00fc", "u\u0308")), "signature.invalid",
     "equation-unchecked"),
    ("S + L as signature", "SIG-4", _with(sig=b64(ALICE.sign(encoded(ENVELOPE_TYPE, ENV.encode()))[:32] + (
        int.from_bytes(ALICE.sign(encoded(ENVELOPE_TYPE, ENV.encode()))[32:], "little")
        + 2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little"))), "signature.invalid",
     "great-s-passes"),
    ("env is no canonical text", "MSG-11", ALICE.carrier(_SPACED), "canonical.whitespace", "white-space-skipped"),
    ("env is not even JSON", "MSG-11", ALICE.carrier("{"), "canonical.syntax", "unclosed-values-pass"),
]  # fmt: skip

# Two faults each: the stage that comes first reports.
_BAD_KEY = _LOW
ORDER: list[Changed] = [
    ("no JSON, and an envelope that is too large", "SIG-6", ALICE.carrier(_of_bytes(_E + 1)) + b"x",
     "carrier.not_json", "carrier-text-after-passes"),
    ("a member more, and version 2", "SIG-6", _with(extra="x", clawnet="2"), "carrier.malformed",
     "extra-carrier-members-pass"),
    ("an envelope that is too large, and version 2", "SIG-6", ALICE.carrier(_of_bytes(_E + 1), clawnet="2"),
     "size.envelope", "size-after-signature"),
    ("version 2, and a bad key", "SIG-6 MSG-22", _with(clawnet="2", kid=_BAD_KEY), "version.unsupported",
     "signature-before-version"),
    ("version 2, and a bad signature", "SIG-6 MSG-22", _with(clawnet="2", sig=b64(bytes(64))), "version.unsupported",
     "signature-before-version"),
    ("version 2, and an envelope that is no canonical text", "SIG-6", ALICE.carrier("x", clawnet="2"),
     "version.unsupported", "version-unchecked"),
    ("a malformed key, and a malformed signature", "SIG-6", _with(kid=ALICE.did + "\n", sig=""), "key.malformed",
     "did-trimmed"),
    ("an invalid key, and a malformed signature", "SIG-6", _with(kid=_BAD_KEY, sig=""), "key.invalid",
     "low-order-keys-pass"),
    ("a malformed signature, and an envelope that is no canonical text", "SIG-6 SIG-7", _with(env="x", sig=SIG + "AA"),
     "signature.malformed", "canonical-before-signature"),
    ("an invalid signature, and an envelope that is no canonical text", "SIG-6 SIG-7", _with(env="x"),
     "signature.invalid", "canonical-before-signature"),
    ("an invalid signature, and an envelope with null", "SIG-6 SIG-7", _with(env='{"body":null}'),
     "signature.invalid", "canonical-before-signature"),
]  # fmt: skip


def build() -> Subject:
    """All vectors of the subject."""
    subject = Subject("carrier", "carriers: size, JSON, members, version, key and signature, and the order of checks")
    for about, requirements, carrier in GOOD:
        members = read_json(carrier.decode(), lambda name: False)
        value = json.loads(members["env"])
        if canonical(value) != members["env"].encode():
            raise ValueError(f"{about}: this envelope is no canonical text")
        answer = {name: value[name] for name in ("sender", "kid", "type")}
        answer["id"] = message_id(members["env"].encode())
        subject.ok(about, requirements, "verify", {"carrier": b64(carrier)}, answer)
    for about, requirements, carrier, code, kills in FAULTY:
        subject.error(about, requirements, "verify", {"carrier": b64(carrier)}, code, kills)
    for about, requirements, carrier, code, kills in ORDER:
        subject.error(
            f"order of checks: {about}", f"ERR-1 {requirements}", "verify", {"carrier": b64(carrier)}, code, kills
        )
    return subject
