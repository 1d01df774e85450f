"""Sealed texts: salted, bound to their place, and nothing else than what was sealed."""

from __future__ import annotations

import pytest

from clawnet_proto import canonical
from clawnet_proto import sealed_text as sealed
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.sealing import SealKey, seal
from clawnet_proto.signing import digest
from tests.proto.authoring import some_digest

KEY, OTHER = SealKey(b"k" * 32), SealKey(b"o" * 32)
TASK = some_digest("task")
INFO = sealed.input_info(TASK, "draft", 1, "question")


def opened(text: str, info: str = INFO, key: SealKey = KEY, expected: str = "") -> str:
    return sealed.unseal(key, text, info, expected).text


def refusal(text: str, info: str = INFO, key: SealKey = KEY, expected: str = "") -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        sealed.unseal(key, text, info, expected)
    return caught.value.code


@pytest.mark.parametrize("text", ["", "words", "naïve 🐾\n\x00", "x" * 16_000])
def test_what_is_sealed_opens_in_its_place(text: str) -> None:
    secret = sealed.Secret.of(text)
    assert opened(secret.sealed_to(KEY.public, INFO), expected=secret.digest) == text


def test_two_secrets_of_one_text_have_nothing_in_common() -> None:
    first, second = sealed.Secret.of("yes"), sealed.Secret.of("yes")
    assert first.digest != second.digest
    assert first.salt != second.salt
    assert first.sealed_to(KEY.public, INFO) != first.sealed_to(KEY.public, INFO)
    assert first.digest != digest(b"yes")


def test_the_plaintext_is_canonical() -> None:
    secret = sealed.Secret(salt="A" * 22, text="a\n")
    assert secret.plaintext == b'{"salt":"AAAAAAAAAAAAAAAAAAAAAA","text":"a\\n"}'
    assert secret.digest == digest(secret.plaintext)


@pytest.mark.parametrize(
    "info",
    [
        sealed.input_info(TASK, "draft", 2, "question"),
        sealed.input_info(TASK, "revise", 1, "question"),
        sealed.input_info(TASK, "draft", 1, "draft"),
        sealed.input_info(some_digest("another task"), "draft", 1, "question"),
        sealed.output_info(TASK, "draft", 1),
        sealed.progress_info(TASK, "draft", 1, 0),
        "",
    ],
)
def test_it_opens_in_no_other_place(info: str) -> None:
    assert refusal(sealed.Secret.of("words").sealed_to(KEY.public, INFO), info) == "sealed.unreadable"


def test_places_are_those_of_the_specification() -> None:
    assert sealed.input_info("t", "s", 2, "q") == "clawnet/1/input/t/s/2/q"
    assert sealed.output_info("t", "s", 2) == "clawnet/1/output/t/s/2"
    assert sealed.progress_info("t", "s", 2, 3) == "clawnet/1/progress/t/s/2/3"


def test_it_opens_with_no_other_key() -> None:
    assert refusal(sealed.Secret.of("words").sealed_to(KEY.public, INFO), key=OTHER) == "sealed.unreadable"


@pytest.mark.parametrize("text", ["", "AAAA", "no base64url!", "A" * 80])
def test_what_was_never_sealed(text: str) -> None:
    assert refusal(text) == "sealed.unreadable"


def test_a_changed_character() -> None:
    text = sealed.Secret.of("words").sealed_to(KEY.public, INFO)
    for place in (0, 50, len(text) - 2):
        changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        assert refusal(changed) == "sealed.unreadable"


def test_another_text_than_its_digest_says() -> None:
    text = sealed.Secret.of("words").sealed_to(KEY.public, INFO)
    assert refusal(text, expected=some_digest("other words")) == "digest.mismatch"


@pytest.mark.parametrize(
    "plaintext",
    [
        b"words",
        b"\xff\xfe",
        canonical.encode({"text": "no salt"}),
        canonical.encode({"salt": "short", "text": "words"}),
        canonical.encode({"salt": "A" * 22, "text": "words", "more": 1}),
        canonical.encode({"salt": "A" * 22, "text": 7}),
        b'{"salt": "AAAAAAAAAAAAAAAAAAAAAA","text":"white space"}',
        b'{"text":"order","salt":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b"[" * 20_000,
    ],
)
def test_a_plaintext_that_is_no_secret(plaintext: bytes) -> None:
    text = seal(KEY.public, plaintext, INFO)
    assert refusal(text, expected=digest(plaintext)) == "sealed.unreadable"
