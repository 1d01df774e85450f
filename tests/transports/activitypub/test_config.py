"""What an owner may write about an actor."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bots.config import ActivityPubSection, AgentSection, Config
from bots.errors import ConfigError
from bots.transports.activitypub.config import ActivityPubConfig, base, endpoint, from_section, is_loopback, local_part

GOOD = ActivityPubConfig(host="https://agent.example.org", name="ada")


@pytest.mark.parametrize(
    "written, found",
    [
        ("https://Agent.Example.org", "https://agent.example.org"),
        (" https://agent.example.org:443/ ", "https://agent.example.org"),
        ("https://agent.example.org:8443", "https://agent.example.org:8443"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:8480", "http://127.0.0.1:8480"),
        ("http://[::1]:8480/", "http://[::1]:8480"),
    ],
)
def test_where_an_actor_may_be(written: str, found: str) -> None:
    assert base(written) == found


@pytest.mark.parametrize(
    "written",
    ["", "agent.example.org", "ftp://agent.example.org", "https://", "https://a.example/x", "https://u@a.example",
     "https://a.example/?q", "https://a.example/#f", "https://a b.example", "https://a.example:99999"],
)  # fmt: skip
def test_where_it_cannot_be(written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        base(written)
    assert caught.value.code == "activitypub.host" and caught.value.hint


@pytest.mark.parametrize(
    "name, part",
    [("ada", "ada"), ("Ada L.", "ada-l"), ("\u00c4gypten", "gypten"), ("!!!", "clawbot"), ("x" * 60, "x" * 31)],
)
def test_the_name_of_an_agent_in_its_handle(name: str, part: str) -> None:
    assert local_part(name) == part


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"name": "Ada"}, "activitypub.name"),
        ({"name": ""}, "activitypub.name"),
        ({"host": "http://agent.example.org"}, "activitypub.host"),
        ({"follow": ("bert",)}, "activitypub.follow"),
        ({"follow": ("@bert@",)}, "activitypub.follow"),
        ({"rooms": ("clawnet",)}, "activitypub.room"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, object], code: str) -> None:
    GOOD.check()
    with pytest.raises(ConfigError) as caught:
        replace(GOOD, **changes).check()
    assert caught.value.code == code and caught.value.hint


def test_where_it_listens() -> None:
    assert endpoint("127.0.0.1:8480") == ("127.0.0.1", 8480)
    assert endpoint("[::1]:0") == ("::1", 0)
    for written in ("8480", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ":80"):
        with pytest.raises(ConfigError):
            endpoint(written)
    assert is_loopback("127.0.0.1") and is_loopback("localhost") and is_loopback("::1")
    assert not is_loopback("192.0.2.1") and not is_loopback("10.0.0.1") and not is_loopback("agent.example.org")


def test_what_the_configuration_says() -> None:
    section = ActivityPubSection(host="https://Agent.example.org/", blocked=("Bad.Example",))
    found = from_section(Config(agent=AgentSection(name="Ada", description="a writer"), activitypub=section))
    assert (found.host, found.name, found.title, found.summary) == (
        "https://agent.example.org", "ada", "Ada", "a writer",
    )  # fmt: skip
    assert (found.listen, found.blocked, found.self_check) == (("127.0.0.1", 8480), ("bad.example",), True)
