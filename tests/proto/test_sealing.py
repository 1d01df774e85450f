"""Sealed texts open with one key, in one place (spec/08-task.md, "Privacy")."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from clawnet_proto import base64url
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.sealing import SealKey, seal

INFO = "clawnet/1/input/Rk0e/draft/1/question"
SECRET = bytes(range(32))
KEY = SealKey(SECRET)

# RFC 9180 section A.2.1: base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305, sequence number 0.
RFC_9180 = {
    "ephemeral": "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600",
    "recipient": "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
    "enc": "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
    "info": "4f6465206f6e2061204772656369616e2055726e",
    "aad": "436f756e742d30",
    "plaintext": "4265617574792069732074727574682c20747275746820626561757479",
    "ciphertext": "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
}


class Hpke:
    """RFC 9180 in base mode, for one message, written from the RFC out of smaller primitives."""

    KEM = b"KEM" + (0x20).to_bytes(2, "big")
    SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x20, 1, 3))

    @classmethod
    def key_and_nonce(cls, shared: bytes, info: bytes) -> tuple[ChaCha20Poly1305, bytes]:
        no_psk = cls.extract(cls.SUITE, b"", b"psk_id_hash", b"")
        context = b"\0" + no_psk + cls.extract(cls.SUITE, b"", b"info_hash", info)
        secret = cls.extract(cls.SUITE, shared, b"secret", b"")
        key = cls.expand(cls.SUITE, secret, b"key", context, 32)
        return ChaCha20Poly1305(key), cls.expand(cls.SUITE, secret, b"base_nonce", context, 12)

    @classmethod
    def shared(cls, private: X25519PrivateKey, peer: bytes, enc: bytes, recipient: bytes) -> bytes:
        dh = private.exchange(X25519PublicKey.from_public_bytes(peer))
        prk = cls.extract(cls.KEM, b"", b"eae_prk", dh)
        return cls.expand(cls.KEM, prk, b"shared_secret", enc + recipient, 32)

    @staticmethod
    def extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, hashlib.sha256)

    @staticmethod
    def expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
        return hmac.digest(prk, labeled + b"\1", hashlib.sha256)[:length]

    @classmethod
    def seal(cls, ephemeral: bytes, recipient: bytes, info: bytes, aad: bytes, plaintext: bytes) -> bytes:
        private = X25519PrivateKey.from_private_bytes(ephemeral)
        enc = private.public_key().public_bytes_raw()
        aead, nonce = cls.key_and_nonce(cls.shared(private, recipient, enc, recipient), info)
        return enc + aead.encrypt(nonce, plaintext, aad)

    @classmethod
    def open(cls, secret: bytes, sealed: bytes, info: bytes, aad: bytes) -> bytes:
        private = X25519PrivateKey.from_private_bytes(secret)
        enc, recipient = sealed[:32], private.public_key().public_bytes_raw()
        aead, nonce = cls.key_and_nonce(cls.shared(private, enc, enc, recipient), info)
        return aead.decrypt(nonce, sealed[32:], aad)


def test_the_second_implementation_is_that_of_the_rfc() -> None:
    vector = {name: bytes.fromhex(value) for name, value in RFC_9180.items()}
    recipient = X25519PrivateKey.from_private_bytes(vector["recipient"]).public_key().public_bytes_raw()
    sealed = Hpke.seal(vector["ephemeral"], recipient, vector["info"], vector["aad"], vector["plaintext"])
    assert sealed == vector["enc"] + vector["ciphertext"]
    assert Hpke.open(vector["recipient"], sealed, vector["info"], vector["aad"]) == vector["plaintext"]


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_what_is_sealed_opens_with_either_implementation(plaintext: bytes, info: str) -> None:
    sealed = seal(KEY.public, plaintext, info)
    assert KEY.open(sealed, info) == plaintext
    assert Hpke.open(SECRET, base64url.decode(sealed), info.encode(), b"") == plaintext
    theirs = Hpke.seal(bytes(range(1, 33)), base64url.decode(KEY.public), info.encode(), b"", plaintext)
    assert KEY.open(base64url.encode(theirs), info) == plaintext


def test_the_same_text_is_never_sealed_the_same() -> None:
    assert seal(KEY.public, b"text", INFO) != seal(KEY.public, b"text", INFO)


def unreadable(key: SealKey, sealed: str, info: str = INFO) -> bool:
    try:
        key.open(sealed, info)
    except RemoteProtocolError as error:
        return error.code == "sealed.unreadable"
    return False


def test_it_opens_nowhere_else_and_with_no_other_key() -> None:
    sealed = seal(KEY.public, b"text", INFO)
    assert unreadable(SealKey(bytes(32)), sealed)
    for info in (
        "",
        INFO + "2",
        INFO[:-1],
        INFO.replace("/1/question", "/2/question"),
        INFO.replace("input", "output"),
    ):
        assert unreadable(KEY, sealed, info)


def test_every_changed_byte_is_noticed() -> None:
    data = base64url.decode(seal(KEY.public, b"text", INFO))
    for at in range(len(data)):
        assert unreadable(KEY, base64url.encode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]))
    for length in range(len(data)):
        assert unreadable(KEY, base64url.encode(data[:length]))
    assert unreadable(KEY, base64url.encode(data + b"\0"))


@pytest.mark.parametrize("sealed", ["", "A", "AAAA", "no base64url!", "A" * 43, "A" * 200, "é" * 80, "AAAA==", "A\nAA"])
def test_what_was_never_sealed_is_unreadable(sealed: str) -> None:
    assert unreadable(KEY, sealed)


# Points of low order (RFC 7748 section 6.1), canonical and not, and texts that are no key at all.
@pytest.mark.parametrize(
    "public",
    [
        *(
            base64url.encode(u.to_bytes(32, "little"))
            for u in (
                0,
                1,
                325606250916557431795983626356110631294008115727848805560023387167927233504,
                39382357235489614581723060781553021112529911719440698176882885853963445705823,
                2**255 - 20,
                2**255 - 19,
                2**255 - 18,
            )
        ),
        "",
        "AAAA",
        "A" * 42,
        "!" * 43,
    ],
)
def test_nothing_is_sealed_to_a_key_that_everybody_could_open(public: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        seal(public, b"text", INFO)
    assert caught.value.code == "key.invalid"


def test_a_key_never_shows_its_secret() -> None:
    assert KEY.public in repr(KEY)
    assert base64url.encode(SECRET) not in repr(KEY)
    assert SealKey(SealKey.generate_secret()).public != SealKey(SealKey.generate_secret()).public
