from __future__ import annotations

import pytest

from bots.transports.activitypub.names import BadUrl, Names, ascii_authority, canonical, host, origin, path, site


@pytest.mark.parametrize(
    "url, expected",
    [
        ("HTTPS://Example.ORG", "https://example.org/"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
        ("https://BÜCHER.example/a", "https://xn--bcher-kva.example/a"),
        ("https://xn--bcher-kva.example/a", "https://xn--bcher-kva.example/a"),
        ("https://a。example/", "https://a.example/"),
        ("https://EXAMPLE.org:443/A?B=c#D", "https://example.org/A?B=c#D"),
        ("http://a.example:80/", "http://a.example/"),
        ("https://a.example:8443", "https://a.example:8443/"),
        ("https://[2606:4700:0::1111]/a", "https://[2606:4700::1111]/a"),
        ("https://a.example/%7Ea", "https://a.example/%7Ea"),
    ],
)
def test_a_url_has_one_way_to_be_written(url: str, expected: str) -> None:
    assert canonical(url) == expected == canonical(expected)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "//a.example/",
        "https:",
        "https:/a.example/",
        "https:a.example",
        "https:///a",
        "ftp://a.example/",
        "https://user@a.example/",
        "https://user:pass@a.example/",
        "https://a.example\\@b.example/",
        "https://a.example/ä",
        "https://a.example/a b",
        "https://a.example/\t",
        "https://a.example/\u202e",
        "https://\u200da.example/",
        "https://a.example./",
        "https://a..example/",
        "https://-a.example/",
        "https://1.2.3/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://a.0x7f/",
        "https://１２７.0.0.1/",
        "https://[::1]a/",
        "https://[v1.a]/",
        "https://[::1%25lo]/",
        "https://a.example:b/",
        "https://a.example:99999/",
        "https://a%2eexample/",
        f"https://a.example/{'a' * 2048}",
        "https://a.example/\ud800",
        'https://a.example/"',
        "https://a.example/<b>",
    ],
)
def test_what_is_no_url_of_ours(url: str) -> None:
    with pytest.raises(BadUrl):
        canonical(url)


def test_the_parts_of_a_url() -> None:
    url = "https://a.example:8443/b?c#d"
    assert (origin(url), host(url), path(url)) == ("https://a.example:8443", "a.example:8443", "/b?c")


@pytest.mark.parametrize(
    "text, expected",
    [("MY.example", "my.example"), ("my.example:443", "my.example"), ("my.example:80", "my.example:80"),
     ("my.example/", ""), ("my.example#", ""), ("my.example?", ""), ("a@my.example", ""), ("", "")],
)  # fmt: skip
def test_a_host_header_is_compared_as_a_host(text: str, expected: str) -> None:
    assert ascii_authority(text, "https://my.example") == expected


@pytest.mark.parametrize(
    "url, expected",
    [
        ("https://example.org/a", "example.org"),
        ("https://a.b.example.org:8443/", "example.org"),
        ("https://a.my.co.uk/", "my.co.uk"),
        ("https://co.uk/", "co.uk"),
        ("https://a.bit.ly/", "bit.ly"),
        ("http://localhost:1/", "localhost"),
        ("http://192.168.1.2:81/", "192.168.1.2"),
        ("https://[2606:4700:0:1::1111]:8443/a", "2606:4700:0:1::/64"),
    ],
)
def test_names_of_one_domain_share_one_share(url: str, expected: str) -> None:
    assert site(url) == expected


def test_the_names_of_an_actor() -> None:
    names = Names("https://my.example:8443", "ada")
    assert (names.handle, names.actor) == ("@ada@my.example:8443", "https://my.example:8443/actor")
    assert names.carriers("ab") == "https://my.example:8443/carriers/ab"
