"""Where health may be told, and what a request may call that place."""

from __future__ import annotations

import pytest

from bots.config import HealthSection
from bots.errors import ConfigError
from bots.health.endpoint import Endpoint, endpoint, is_named_rightly


@pytest.mark.parametrize(
    "listen, host, port",
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        ("localhost:0", "127.0.0.1", 0),
        (":9464", "127.0.0.1", 9464),
        ("9464", "127.0.0.1", 9464),
        ("[::1]:9464", "::1", 9464),
        ("127.8.8.8:1", "127.8.8.8", 1),
    ],
)
def test_places_on_this_machine(listen: str, host: str, port: int) -> None:
    assert endpoint(HealthSection(listen=listen)) == Endpoint(host, port)


def test_nowhere_unless_wanted() -> None:
    assert endpoint(HealthSection()) is None


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:9464"])
def test_other_machines_only_if_told_explicitly(listen: str) -> None:
    with pytest.raises(ConfigError, match="other machines") as caught:
        endpoint(HealthSection(listen=listen))
    assert caught.value.code == "health.remote"
    assert endpoint(HealthSection(listen=listen, allow_remote=True)) is not None


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536", "x:1", "a b"])
def test_what_is_no_place(listen: str) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint(HealthSection(listen=listen))
    assert caught.value.code == "health.address"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:9464", "localhost:9464", "LOCALHOST", "[::1]:9464", "[::1]", "192.0.2.7:80", "ada:1"],
)
def test_names_of_ours(host: str) -> None:
    assert is_named_rightly(host, ["Ada"])


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:9464",
        "localhost.evil.example",
        "127.0.0.1.evil.example:9464",
        "ada.b:1",
        "fe80::1%evil.example",
        "[fe80::1%evil.example]:9464",
    ],
)
def test_a_web_page_that_leads_its_own_name_here_is_known_by_it(host: str) -> None:
    assert not is_named_rightly(host, ["ada"])
