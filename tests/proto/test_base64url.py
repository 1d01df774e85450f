"""Canonical base64url: one text for each byte string (spec/01-terms.md)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawnet_proto import base64url


@given(st.binary(max_size=70))
def test_bytes_come_back_and_the_standard_library_agrees(data: bytes) -> None:
    text = base64url.encode(data)
    assert base64url.decode(text) == data
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "AA==", "AAA=", "AAAA=", "AAAA====", "=", "====", "A===", "AB", "AAB", "A A", "AAAA\n", "\nAAAA",
     " AAAA", "AA+A", "AA/A", "AA!A", "AA.A", "ÄÄÄÄ", "AAA\u2003", "\ud800AAA", "AA\x00A"],
    ids=ascii,
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        base64url.decode(text)


@given(st.text(st.sampled_from("AQgwEI-_+/= \n4é"), max_size=9))
def test_what_is_accepted_is_written_the_same(text: str) -> None:
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(data) == text
