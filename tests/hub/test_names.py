from __future__ import annotations

import pytest

from bots.errors import ConfigError
from bots.transports.http.names import Names, base


@pytest.mark.parametrize(
    "written, meant",
    [
        ("https://hub.example.org", "https://hub.example.org"),
        ("https://Hub.Example.org:443/", "https://hub.example.org"),
        ("https://hub.example.org:8443", "https://hub.example.org:8443"),
        ("http://127.0.0.1:8700", "http://127.0.0.1:8700"),
        ("http://localhost", "http://localhost"),
        ("http://192.168.1.20:8700", "http://192.168.1.20:8700"),
        ("http://[::1]:8700", "http://[::1]:8700"),
        ("http://[fd00::1]", "http://[fd00::1]"),
    ],
)
def test_what_a_hub_is_called(written: str, meant: str) -> None:
    assert base(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "", "hub.example.org", "ftp://hub.example.org", "https://", "https://user@hub.example.org", "https://:p@h.org",
        "https://hub.example.org/rooms", "https://hub.example.org?x=1", "https://hub.example.org#x", "https://h\u00fcb.org",
        "https://-hub.org", "https://hub..org", "https://hub.example.org:99999", "http://hub.example.org",
        "http://93.184.216.34", "https://hub.example.org\n.evil.org", "https://[::1",
    ],
)  # fmt: skip
def test_what_cannot_be_a_hub(written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        base(written)
    assert caught.value.code == "hub.url"


def test_names_there_and_back() -> None:
    names = Names("https://hub.example.org")
    for room in ("https://hub.example.org/rooms/clawnet", "matrix:roomid/abc:example.org", "https://other.org/rooms/a"):
        assert names.room(names.url(room).rpartition("/")[2]) == room
    assert names.room("https%3A%2F%2Fhub.example.org%2Frooms%2Fclawnet") is None
    assert names.peer(names.address("did:key:z6Mk")) == "did:key:z6Mk"
    assert names.peer("https://other.org/peers/did:key:z6Mk") == ""
