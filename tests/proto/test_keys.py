"""Keys: strict Ed25519, one text for each key, and files that only their owner reads (spec/04-identity.md)."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha512
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError

from clawnet_proto import base64url
from clawnet_proto.errors import KeyFileError, RemoteProtocolError
from clawnet_proto.keys import (
    SigningKey,
    decode_did,
    encode_did,
    read_key_file,
    verify,
    write_key_file,
)
from tests.proto.authoring import Author

BASE_58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

# RFC 8032 section 7.1: seed, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]  # fmt: skip

# The y coordinates of low order, as all their encodings but for the highest bit: three are not canonical.
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def point(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def on_curve(y: int) -> bool:
    """Euler's criterion for x^2 = (y^2 - 1) / (d y^2 + 1)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return pow(square, (P - 1) // 2, P) in (0, 1)


def code_of(public: bytes) -> str:
    try:
        decode_did(encode_did(public))
    except RemoteProtocolError as error:
        return error.code
    return ""


# --- did:key ---


@given(st.binary(min_size=32, max_size=32))
def test_a_key_has_one_text(seed: bytes) -> None:
    key = SigningKey(seed)
    assert len(key.did) == 56
    assert key.did.startswith("did:key:z6Mk")
    assert decode_did(key.did) == key.public
    assert encode_did(key.public) == key.did


def test_the_text_is_the_one_others_write() -> None:
    # An example of the did:key method's specification, which gives its public key in base 58.
    number = 0
    for character in "B12NYF8RrR3h41TDCTJojY59usg3mbtbjnFs7Eud1Y6u":
        number = number * 58 + BASE_58.index(character)
    did = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
    assert encode_did(number.to_bytes(32, "big")) == did
    assert decode_did(did) == number.to_bytes(32, "big")


@pytest.mark.parametrize(
    "change",
    [
        lambda did: "",
        lambda did: did[:-1],
        lambda did: did + "1",
        lambda did: did[:9] + "1" + did[9:-1],
        lambda did: did[:9] + "1" + did[9:],  # the same number
        lambda did: " " + did[:-1],
        lambda did: did[:-1] + "\n",
        lambda did: did.upper(),
        lambda did: did.replace("did:key:z", "did:key:f"),
        lambda did: did.replace("did:key:z", "did:web:z"),
        lambda did: did[:-1] + "0",
        lambda did: did[:-1] + "O",
        lambda did: did[:-1] + "I",
        lambda did: did[:-1] + "l",
        lambda did: did[:-1] + "é",
        lambda did: did[:9] + "z" * 47,  # more than 34 bytes
        lambda did: did[:9] + "1" * 47,
        lambda did: "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc",  # an X25519 key
        lambda did: did + "#" + did[8:],
    ],
)
def test_other_texts_are_malformed(alice: Author, change: Callable[[str], str]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_did(change(alice.did))
    assert caught.value.code == "key.malformed"


@given(st.text(st.sampled_from("16MkzZAa9"), min_size=47, max_size=47))
def test_a_text_that_is_accepted_is_the_one_its_key_has(digits: str) -> None:
    did = "did:key:z" + digits
    try:
        public = decode_did(did)
    except RemoteProtocolError:
        return
    assert encode_did(public) == did


# --- points ---


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("encoding", LOW_ORDER)
def test_keys_of_low_order_are_refused(encoding: str, sign: int) -> None:
    assert code_of(point(int.from_bytes(bytes.fromhex(encoding), "little"), sign)) == "key.invalid"


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", range(P, 2**255))
def test_keys_that_are_not_canonical_are_refused(y: int, sign: int) -> None:
    assert code_of(point(y, sign)) == "key.invalid"


@pytest.mark.parametrize("y", range(2, 40))
def test_keys_off_the_curve_are_refused(y: int) -> None:
    for sign in (0, 1):
        assert code_of(point(y, sign)) == ("" if on_curve(y) else "key.invalid")


# --- signatures ---


@pytest.mark.parametrize("seed,public,message,signature", RFC_8032)
def test_signatures_are_those_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verify(key.public, bytes.fromhex(message), bytes.fromhex(signature))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_openssl_signs_and_verifies_the_same(seed: bytes, message: bytes) -> None:
    ours, theirs = SigningKey(seed), Ed25519PrivateKey.from_private_bytes(seed)
    assert ours.public == theirs.public_key().public_bytes_raw()
    assert ours.sign(message) == theirs.sign(message)
    verify(ours.public, message, theirs.sign(message))


def refused(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        verify(public, message, signature)
    except RemoteProtocolError as error:
        return error.code == "signature.invalid"
    return False


def test_every_flipped_bit_is_noticed(alice: Author) -> None:
    message = b"said"
    signature = alice.key.sign(message)
    theirs = Ed25519PublicKey.from_public_bytes(alice.key.public)
    for bit in range(512):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(alice.key.public, message, bytes(flipped))
        with pytest.raises(InvalidSignature):
            theirs.verify(bytes(flipped), message)
    assert refused(alice.key.public, b"sand", signature)


def test_a_signature_with_the_group_order_added_is_refused(alice: Author) -> None:
    signature = alice.key.sign(b"said")
    scalar = int.from_bytes(signature[32:], "little")
    for times in range(1, 16):
        shifted = (scalar + times * L).to_bytes(33, "little")[:32]
        assert refused(alice.key.public, b"said", signature[:32] + shifted)


def scalar_of(seed: bytes) -> int:
    digest = bytearray(sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] &= 63
    digest[31] |= 64
    return int.from_bytes(digest, "little")


@pytest.mark.parametrize("r", LOW_ORDER)
@pytest.mark.parametrize("sign", [0, 1])
def test_a_signature_whose_r_has_low_order_is_refused(alice: Author, r: str, sign: int) -> None:
    """S = k a fits the equation with cofactor for each of these R, and the one without for the neutral point."""
    encoded = point(int.from_bytes(bytes.fromhex(r), "little"), sign)
    k = int.from_bytes(sha512(encoded + alice.key.public + b"said").digest(), "little") % L
    s = k * scalar_of(alice.key.seed) % L
    assert refused(alice.key.public, b"said", encoded + s.to_bytes(32, "little"))


def refused_by_libsodium(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return True
    return False


@given(st.data())
def test_libsodium_accepts_the_same(data: st.DataObject) -> None:
    """Halves of good signatures, shifted, flipped and mixed with points of low order: one verdict."""
    seed = data.draw(st.binary(min_size=32, max_size=32))
    message = data.draw(st.binary(max_size=100))
    key = SigningKey(seed)
    good = key.sign(message)
    low = st.sampled_from(
        [point(int.from_bytes(bytes.fromhex(y), "little"), sign) for y in LOW_ORDER for sign in (0, 1)]
    )
    r = data.draw(st.just(good[:32]) | low | st.binary(min_size=32, max_size=32))
    k = int.from_bytes(sha512(r + key.public + message).digest(), "little") % L
    fitting = (k * scalar_of(seed) % L).to_bytes(32, "little")
    scalar = int.from_bytes(good[32:], "little")
    shifted = st.integers(0, 15).map(lambda times: (scalar + times * L).to_bytes(33, "little")[:32])
    s = data.draw(shifted | st.just(fitting) | st.binary(min_size=32, max_size=32))
    assert refused(key.public, message, r + s) == refused_by_libsodium(key.public, message, r + s)


@pytest.mark.parametrize("length", [0, 1, 63])
def test_a_short_signature_is_refused(alice: Author, length: int) -> None:
    assert refused(alice.key.public, b"", alice.key.sign(b"")[:length])


# --- secrets ---


def test_a_key_never_shows_its_secret(alice: Author) -> None:
    shown = f"{alice.key!r} {alice.key}"
    assert alice.did in shown
    assert alice.key.seed.hex() not in shown
    assert base64url.encode(alice.key.seed) not in shown


def test_generated_keys_differ() -> None:
    first, second = SigningKey.generate(), SigningKey.generate()
    assert first.did != second.did
    assert bindings.crypto_sign_seed_keypair(first.seed)[0] == first.public


# --- files ---


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_key_file_is_its_owners_alone_and_comes_back(tmp_path: Path, alice: Author, mask: int) -> None:
    path = tmp_path / "identity.key"
    before = os.umask(mask)
    try:
        write_key_file(path, alice.key.seed, "identity")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_file(path, "identity") == alice.key.seed


def test_a_key_file_is_never_overwritten(tmp_path: Path, alice: Author, bob: Author) -> None:
    path = tmp_path / "identity.key"
    write_key_file(path, alice.key.seed, "identity")
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key_file(path, bob.key.seed, "identity")
    link = tmp_path / "link.key"
    link.symlink_to(tmp_path / "elsewhere.key")
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key_file(link, bob.key.seed, "identity")
    assert read_key_file(path, "identity") == alice.key.seed
    assert not (tmp_path / "elsewhere.key").exists()


@contextmanager
def no_space() -> Iterator[None]:
    """No file of this process can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_key_file_that_cannot_be_written_leaves_nothing(tmp_path: Path, alice: Author) -> None:
    path = tmp_path / "identity.key"
    with no_space(), pytest.raises(KeyFileError, match="cannot be written") as caught:
        write_key_file(path, alice.key.seed, "identity")
    assert base64url.encode(alice.key.seed) not in str(caught.value)
    assert not path.exists()
    with pytest.raises(KeyFileError, match="cannot be written"):
        write_key_file(tmp_path / "missing" / "identity.key", alice.key.seed, "identity")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610, 0o601])
def test_a_key_file_that_others_can_open_is_refused(tmp_path: Path, alice: Author, mode: int) -> None:
    path = tmp_path / "identity.key"
    write_key_file(path, alice.key.seed, "identity")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key_file(path, "identity")


SECRET = base64url.encode(bytes(range(32)))


@pytest.mark.parametrize(
    "content",
    [
        "",
        SECRET,
        f"clawnet-seal-key-1:{SECRET}\n",
        f"clawnet-identity-key-2:{SECRET}\n",
        f"clawnet-identity-key-1:{SECRET}\n\n",
        f"clawnet-identity-key-1:{SECRET} \n",
        f"clawnet-identity-key-1: {SECRET}\n",
        f"clawnet-identity-key-1:{SECRET}=\n",
        f"clawnet-identity-key-1:{SECRET[:-1]}\n",
        f"clawnet-identity-key-1:{SECRET[:-1]}9\n",
        f"clawnet-identity-key-1:{SECRET}AAAA\n",
        f"clawnet-identity-key-1:{SECRET}\nclawnet-identity-key-1:{SECRET}\n",
        f"\ufeffclawnet-identity-key-1:{SECRET}\n",
    ],
)
def test_a_malformed_key_file_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "identity.key"
    path.write_text(content, "utf-8")
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        read_key_file(path, "identity")
    assert str(path) in str(caught.value)
    assert SECRET[:8] not in str(caught.value)


def test_a_key_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.key", tmp_path):
        with pytest.raises(KeyFileError, match="cannot be read"):
            read_key_file(path, "identity")
