"""Vectors of chapter 04: commitments, and rotates and revokes that prove their chain, or do not."""

from __future__ import annotations

import json
from hashlib import sha512
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vectors.message_model import COMMITMENT_TYPE, P, Refused, bytes_of, commitment_text, signed_by, verify
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.peer import Peer
from tests.vectors.writing import (
    ENVELOPE_TYPE,
    NOW_MS,
    Author,
    Subject,
    Vector,
    b64,
    canonical,
    did,
    digest,
    encoded,
    message_id,
)

ALICE, BOB = Peer("alice"), Peer("bob")
ORDER = 2**252 + 27742317777372353535851937790883648493
Chain = list[dict[str, Any]]
WEAK = {
    "the identity": 1,
    "a point of order 2": P - 1,
    "a point of order 4": 0,
    "a point of order 8": 2707385501144840649318225287225658788936804267575313519463743609750303402022,
}


def build() -> Subject:
    subject = Subject("identity", "Commitments; rotates and revokes that prove their chain, or do not.")
    commitments(subject)
    proven(subject)
    broken_links(subject)
    broken_commitments(subject)
    ends(subject)
    before_the_chain(subject)
    bodies(subject)
    return subject


def chain_of(length: int) -> Chain:
    """Links to the keys of alice, generation 1 to ``length``, one a day."""
    return ALICE.chain(*((NOW_MS - (length - number) * 86_400_000, "") for number in range(length)))


def link(before: Author, generation: int, key: Author | str, **members: Any) -> dict[str, Any]:
    """A link to a key; if it is given as a ``did``, ``public`` are its bytes. ``members`` replace the link's own."""
    public = members.pop("public", b"") or (key.public if isinstance(key, Author) else b"")
    commitment = b64(before.sign(commitment_text(generation, ALICE.did, public)))
    return {"key": key if isinstance(key, str) else key.did, "commitment": commitment, "since_ms": NOW_MS} | members


def message(kind: str, body: dict[str, Any], author: Author, **members: Any) -> Vector:
    """A request of ``verify`` for a message of alice, signed by ``author``."""
    envelope = author.envelope(kind, body, **({"sender": ALICE.did, "kid": author.did} | members))
    return {"carrier": b64(author.carrier(envelope))}


def rotate(chain: Chain, author: Author, **members: Any) -> Vector:
    body = {"chain": chain, "next_key_digest": digest(ALICE.key(17).public)} | members.pop("body", {})
    return message("identity.rotate", body, author, **members)


def revoke(chain: Chain, author: Author, **members: Any) -> Vector:
    body = {"chain": chain, "since_ms": NOW_MS} | members.pop("body", {})
    return message("identity.revoke", body, author, **members)


def answer(vector: Vector, checks: Checks = INTACT) -> Vector:
    """What a testee with this model answers."""
    request = vector["request"]
    if vector["op"] == "commitment":
        key = Ed25519PrivateKey.from_private_bytes(bytes_of(request["seed"]))
        said = commitment_text(request["generation"], request["identity"], bytes_of(request["next"]))
        return {"ok": {"commitment": b64(key.sign(said))}}
    try:
        return {"ok": verify(bytes_of(request["carrier"]), checks).answer()}
    except Refused as fault:
        return {"error": fault.code}


def commitments(subject: Subject) -> None:
    for about, author, generation, identity, following in (
        ("the first key commits to the second", ALICE.key(0), 1, ALICE.did, ALICE.key(1)),
        ("the second key commits to the third", ALICE.key(1), 2, ALICE.did, ALICE.key(2)),
        ("the sixteenth key commits to the last", ALICE.key(15), 16, ALICE.did, ALICE.key(16)),
        ("another identity, the same keys", ALICE.key(0), 1, BOB.did, ALICE.key(1)),
        ("a key commits to itself", ALICE.key(0), 1, ALICE.did, ALICE.key(0)),
        ("a generation that no chain reaches", ALICE.key(0), 2**53 - 1, ALICE.did, ALICE.key(1)),
    ):
        text = b64(author.sign(commitment_text(generation, identity, following.public)))
        request = {"seed": b64(author.seed), "generation": generation, "identity": identity}
        request["next"] = b64(following.public)
        subject.ok(f"commitment: {about}", "ID-19", "commitment", request, {"commitment": text})


def valid(subject: Subject, about: str, requirements: str, request: Vector) -> None:
    envelope = json.loads(json.loads(bytes_of(request["carrier"]))["env"])
    answer = {name: envelope[name] for name in ("sender", "kid", "type")}
    subject.ok(about, requirements, "verify", request, {"id": message_id(canonical(envelope))} | answer)


def proven(subject: Subject) -> None:
    for length in (1, 2, 16):
        valid(subject, f"a rotate to generation {length}", "ID-19 ID-20", rotate(chain_of(length), ALICE.key(length)))
    valid(subject, "a revoke by the first key", "ID-23", revoke([], ALICE.key(0)))
    valid(subject, "a revoke by the third key", "ID-20 ID-23", revoke(chain_of(2), ALICE.key(2)))
    valid(subject, "a revoke by the last possible key", "ID-23 LIM-1", revoke(chain_of(16), ALICE.key(16)))
    said = {"reason": "x" * 300}
    valid(subject, "a revoke with a reason", "ID-23", revoke([], ALICE.key(0), body=said))
    chain = ALICE.chain((NOW_MS + 9, ""), (NOW_MS, ""))
    valid(subject, "moments that go back", "ID-20", rotate(chain, ALICE.key(2)))
    valid(subject, "a moment long after the message", "ID-20", rotate(ALICE.chain((2**53 - 1, "")), ALICE.key(1)))
    chain = ALICE.chain((0, ""))
    valid(subject, "a moment before all messages", "ID-20", rotate(chain, ALICE.key(1)))
    again = {"next_key_digest": digest(ALICE.key(1).public)}
    valid(subject, "a next key that is the one in use", "ID-20", rotate(chain_of(1), ALICE.key(1), body=again))
    leave = {"revision": 1}
    valid(
        subject,
        "a message by a key that is not the sender's first",
        "ID-2 ID-25 SIG-6",
        message("presence.leave", leave, ALICE.key(1)),
    )
    valid(
        subject,
        "a message for which a stranger's key signed",
        "ID-25 SIG-6",
        message("presence.leave", leave, BOB.key(0)),
    )


def broken(subject: Subject, about: str, requirements: str, request: Vector, kills: str) -> None:
    subject.error(about, requirements, "verify", request, "identity.broken_chain", kills)


def broken_links(subject: Subject) -> None:
    zero, one, two, three = (ALICE.key(generation) for generation in range(4))
    first = link(zero, 1, one)
    broken(
        subject,
        "a key that is no did:key",
        "ID-5 ID-20",
        rotate([link(zero, 1, "did:key:z6Mk" + "0" * 44, public=one.public), link(one, 2, two)], two),
        "malformed-keys-in-links",
    )
    broken(
        subject,
        "a key with another beginning",
        "ID-5 ID-20",
        rotate([link(zero, 1, did(one.public, head=b"\xec\x01"), public=one.public), link(one, 2, two)], two),
        "malformed-keys-in-links",
    )
    for name, y in WEAK.items():
        public = y.to_bytes(32, "little")
        chain = [link(zero, 1, did(public), public=public)]
        chain.append(link(one, 2, two, commitment=b64(forged(public, commitment_text(2, ALICE.did, two.public)))))
        broken(subject, f"a key of low order: {name}", "ID-6 ID-20", rotate(chain, two), "weak-keys-in-links")
    off = next(number for number in range(2, 100) if not on_curve(number)).to_bytes(32, "little")
    chain = [link(zero, 1, did(off), public=off), link(one, 2, two)]
    broken(subject, "a key that is no point", "ID-6 ID-20", rotate(chain, two), "no-points-in-links")
    broken(
        subject,
        "the first link names the sender",
        "ID-20",
        rotate([link(zero, 1, zero), link(zero, 2, one)], one),
        "chain-may-return-to-sender",
    )
    broken(
        subject,
        "a revoke whose chain returns to the sender",
        "ID-20 ID-23",
        revoke([first, link(one, 2, zero)], zero),
        "chain-may-return-to-sender",
    )
    broken(subject, "a key twice in a row", "ID-20", rotate([first, link(one, 2, one)], one), "keys-may-repeat")
    broken(
        subject,
        "a key that comes back",
        "ID-20",
        rotate([first, link(one, 2, two), link(two, 3, one)], one),
        "keys-may-repeat",
    )
    broken(subject, "links in reverse order", "ID-20", rotate([link(one, 2, two), first], one), "commitments-unread")
    broken(subject, "the first link left out", "ID-20", rotate([link(one, 2, two)], two), "first-link-unproven")
    broken(
        subject,
        "a link in the middle left out",
        "ID-20",
        rotate([first, link(two, 3, three)], three),
        "commitments-unread",
    )


def on_curve(y: int) -> bool:
    d = -121665 * pow(121666, -1, P) % P
    return pow((y * y - 1) * pow(d * y * y + 1, -1, P) % P, (P - 1) // 2, P) == 1


def forged(public: bytes, text: bytes) -> bytes:
    """A signature that OpenSSL takes for one by a key of low order.

    Such a key times a multiple of its order is the neutral point; then [*S*]*B* alone is *R*, whatever the text says.
    So one text in at most eight fits, and a few scalars are tried.
    """
    for number in range(400):
        author = Author(f"nobody {number}")
        signature = author.public + (secret_scalar(author.seed) % ORDER).to_bytes(32, "little")
        if signed_by(public, signature, text):
            return signature
    raise ValueError("no forgery found")


def secret_scalar(seed: bytes) -> int:
    """The secret scalar of a seed (RFC 8032 section 5.1.5)."""
    number = int.from_bytes(sha512(seed).digest()[:32], "little")
    return (number & ((1 << 254) - 8)) | (1 << 254)


def broken_commitments(subject: Subject) -> None:
    zero, one, two = (ALICE.key(generation) for generation in range(3))

    good = zero.sign(commitment_text(1, ALICE.did, one.public))
    value = {"generation": 1, "identity": ALICE.did, "next_key_digest": digest(one.public)}
    s = int.from_bytes(good[32:], "little") + ORDER
    spare = b64(good)[:-1] + chr(ord(b64(good)[-1]) + 1)
    bob = BOB.key(0)
    cases: list[tuple[str, str, bytes | str, str]] = [
        ("generation 0", "ID-19", zero.sign(commitment_text(0, ALICE.did, one.public)), "generation-not-signed"),
        (
            "generation 2 in the first link",
            "ID-19",
            zero.sign(commitment_text(2, ALICE.did, one.public)),
            "generation-not-signed",
        ),
        ("for another identity", "ID-19", zero.sign(commitment_text(1, BOB.did, one.public)), "commitments-unread"),
        ("to another key", "ID-19", zero.sign(commitment_text(1, ALICE.did, two.public)), "commitments-unread"),
        (
            "to the text of the did",
            "ID-19",
            zero.sign(encoded(COMMITMENT_TYPE, canonical(value | {"next_key_digest": digest(one.did.encode())}))),
            "digest-of-the-did",
        ),
        (
            "by the new key itself",
            "ID-19 ID-20",
            one.sign(commitment_text(1, ALICE.did, one.public)),
            "commitment-by-its-own-key",
        ),
        ("by a stranger", "ID-19 ID-20", bob.sign(commitment_text(1, ALICE.did, one.public)), "commitments-unread"),
        (
            "over the payload type of envelopes",
            "ID-19",
            zero.sign(encoded(ENVELOPE_TYPE, canonical(value))),
            "commitment-as-envelope",
        ),
        ("over the canonical text alone", "ID-19", zero.sign(canonical(value)), "commitment-without-type"),
        ("with another bit", "ID-19 SIG-4", good[:40] + bytes([good[40] ^ 4]) + good[41:], "commitments-unread"),
        ("with S beyond L", "ID-20 SIG-4", good[:32] + s.to_bytes(32, "little"), "commitment-malleable"),
        ("with spare bits", "ID-20 TERM-2", spare, "commitment-lax-base64"),
        ("with the other base64 alphabet", "ID-20 TERM-2", other_alphabet(zero, one), "commitment-lax-base64"),
    ]
    for about, requirements, made, kills in cases:
        chain = [link(zero, 1, one, commitment=made if isinstance(made, str) else b64(made))]
        broken(subject, f"a commitment {about}", requirements, rotate(chain, one), kills)
    second = one.sign(commitment_text(2, one.did, two.public))
    chain = [link(zero, 1, one), link(one, 2, two, commitment=b64(second))]
    broken(
        subject,
        "a commitment for the key before as identity",
        "ID-19",
        rotate(chain, two),
        "identity-is-the-key-before",
    )
    chain = [link(zero, 1, one), link(zero, 2, two)]
    broken(subject, "a second link by the first key", "ID-20", rotate(chain, two), "commitment-by-first-key")
    chain = [link(zero, 1, one), link(one, 3, two)]
    broken(subject, "generation 3 in the second link", "ID-19 ID-20", rotate(chain, two), "generation-not-signed")
    chain = [*chain_of(15), link(ALICE.key(15), 16, ALICE.key(16), commitment=b64(good))]
    broken(subject, "a fault in the last of sixteen links", "ID-20", rotate(chain, ALICE.key(16)), "commitments-unread")


def other_alphabet(before: Author, key: Author) -> str:
    """A good commitment, with ``+`` and ``/`` for ``-`` and ``_``; the identity is alice whatever the key."""
    text = b64(before.sign(commitment_text(1, ALICE.did, key.public)))
    if not set(text) & {"-", "_"}:
        raise ValueError("this commitment is written alike in both alphabets")
    return text.replace("-", "+").replace("_", "/")


def ends(subject: Subject) -> None:
    chain = chain_of(2)
    broken(subject, "a rotate signed by the key before", "ID-20", rotate(chain, ALICE.key(1)), "kid-need-not-be-last")
    broken(subject, "a rotate signed by the first key", "ID-20", rotate(chain, ALICE.key(0)), "kid-need-not-be-last")
    broken(subject, "a rotate signed by the key after", "ID-20", rotate(chain, ALICE.key(3)), "kid-need-not-be-last")
    broken(subject, "a revoke signed by the key before", "ID-23", revoke(chain, ALICE.key(1)), "kid-need-not-be-last")
    broken(
        subject,
        "a revoke with a chain signed by the first key",
        "ID-23",
        revoke(chain, ALICE.key(0)),
        "kid-need-not-be-last",
    )
    broken(subject, "a revoke without its chain", "ID-23", revoke([], ALICE.key(2)), "kid-need-not-be-last")
    broken(
        subject,
        "a chain of another identity",
        "ID-20",
        rotate(chain, ALICE.key(2), sender=BOB.did),
        "commitments-unread",
    )


def before_the_chain(subject: Subject) -> None:
    """What is found before anybody looks at the chain."""
    one = ALICE.key(1)
    body = {"chain": chain_of(1), "next_key_digest": digest(ALICE.key(2).public)}
    envelope = one.envelope("identity.rotate", body, sender=ALICE.did, kid=one.did)
    by_another = BOB.key(0).carrier(envelope, kid=one.did)
    subject.error(
        "a rotate that its own key did not sign",
        "SIG-2 SIG-6",
        "verify",
        {"carrier": b64(by_another)},
        "signature.invalid",
        "any-signature-passes",
    )
    carrier = {"carrier": b64(ALICE.key(0).carrier(envelope))}
    subject.error(
        "a rotate that the first key signed for the new one",
        "ID-20 MSG-12",
        "verify",
        carrier,
        "carrier.mismatch",
        "kid-of-envelope-unread",
    )


def bodies(subject: Subject) -> None:
    def unfit(about: str, requirements: str, request: Vector, kills: str) -> None:
        subject.error(about, requirements, "verify", request, "schema.body", kills)

    one, good = ALICE.key(1), chain_of(1)
    unfit("seventeen links", "ID-20 LIM-1 SIG-9", rotate(chain_of(17), ALICE.key(17)), "rotations-unbounded")
    unfit(
        "a revoke with seventeen links", "ID-23 LIM-1 SIG-9", revoke(chain_of(17), ALICE.key(17)), "rotations-unbounded"
    )
    unfit("a rotate without a link", "ID-20 SIG-9", rotate([], ALICE.key(0)), "empty-rotate-passes")
    short = [good[0] | {"commitment": good[0]["commitment"][:-1]}]
    unfit("a truncated commitment", "ID-20 SIG-9", rotate(short, one), "link-lengths-unread")
    short = [good[0] | {"key": good[0]["key"][:-1]}]
    unfit("a truncated key", "ID-20 SIG-9", rotate(short, one), "link-lengths-unread")
    unfit("a link with another member", "MSG-11 SIG-9", rotate([good[0] | {"note": "x"}], one), "links-are-open")
    late = [{name: value for name, value in good[0].items() if name != "since_ms"}]
    unfit("a link without a moment", "SIG-9", rotate(late, one), "since-unread")
    unfit("a moment below zero", "TERM-4 SIG-9", rotate([good[0] | {"since_ms": -1}], one), "since-unread")
    unfit("a rotate with another member", "MSG-11 SIG-9", rotate(good, one, body={"reason": "x"}), "bodies-are-open")
    unfit(
        "a next key digest that is too short",
        "ID-7 SIG-9",
        rotate(good, one, body={"next_key_digest": digest(one.public)[:-1]}),
        "digest-length-unread",
    )
    unfit(
        "a rotate with recipients", "MSG-18 SIG-9", rotate(good, one, recipients=[BOB.did]), "addressing-members-unread"
    )
    unfit(
        "a revoke with answers",
        "MSG-19 SIG-9",
        revoke([], ALICE.key(0), answers=digest(b"a message")),
        "addressing-members-unread",
    )
