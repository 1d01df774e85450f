"""Quotas: by address, by homeserver, one pool for all strangers, and tokens that are given back."""

from __future__ import annotations

import pytest

from bots.config import LimitsSection
from bots.quota import Bucket, Quotas, homeserver_of, is_listed

NOW = 1_000_000
MINUTE = 60_000


def address(name: str, server: str = "example.org") -> str:
    return f"matrix:u/{name}:{server}"


def admitted(quotas: Quotas, who: str, count: int, *, tokens: int = 0, now_ms: int = NOW) -> list[str]:
    return [quotas.admit(who, tokens, now_ms) for _ in range(count)]


class TestBucket:
    def test_it_is_full_at_first_and_fills_with_time(self) -> None:
        bucket = Bucket(10, NOW)
        assert [bucket.take(4, NOW) for _ in range(3)] == [True, True, False]
        assert not bucket.take(3, NOW + 5_000)
        assert bucket.take(3, NOW + 6_000)

    def test_it_never_holds_more_than_its_capacity(self) -> None:
        bucket = Bucket(10, NOW)
        bucket.give_back(5)
        assert not bucket.take(11, NOW + 100 * MINUTE)
        assert bucket.take(10, NOW + 100 * MINUTE)

    def test_a_clock_that_was_set_back_gives_and_takes_nothing(self) -> None:
        bucket = Bucket(10, NOW)
        assert bucket.take(10, NOW)
        assert not bucket.take(1, NOW - MINUTE)


class TestQuotas:
    def test_one_address(self) -> None:
        quotas = Quotas(LimitsSection(tasks_per_minute_address=2), NOW)
        assert admitted(quotas, address("eve"), 3) == ["", "", "address"]
        assert quotas.admit(address("paul"), 0, NOW) == ""
        assert quotas.admit(address("eve"), 0, NOW + MINUTE // 2) == ""

    def test_one_homeserver(self) -> None:
        limits = LimitsSection(tasks_per_minute_homeserver=3, tasks_per_minute_strangers=100)
        quotas = Quotas(limits, NOW)
        given = [quotas.admit(address(f"key-{number}"), 0, NOW) for number in range(4)]
        assert given == ["", "", "", "homeserver"]
        assert quotas.admit(address("paul", "elsewhere.example"), 0, NOW) == ""

    def test_one_pool_for_all_strangers(self) -> None:
        limits = LimitsSection(tasks_per_minute_strangers=3, listed=("@paul:example.org",))
        quotas = Quotas(limits, NOW)
        given = [quotas.admit(address("eve", f"server-{number}.example"), 0, NOW) for number in range(4)]
        assert given == ["", "", "", "strangers"]
        assert admitted(quotas, address("paul"), 5) == [""] * 5

    def test_tokens_of_all_together(self) -> None:
        quotas = Quotas(LimitsSection(tokens_per_minute=100), NOW)
        assert admitted(quotas, address("eve"), 2, tokens=60) == ["", "strangers"]
        assert quotas.admit(address("eve"), 40, NOW) == ""
        quotas.unused(address("eve"), 60)
        assert quotas.admit(address("paul"), 60, NOW) == ""

    def test_strangers_leave_half_of_the_tokens_to_those_who_are_listed(self) -> None:
        quotas = Quotas(LimitsSection(tokens_per_minute=100, listed=("@paul:example.org",)), NOW)
        assert admitted(quotas, address("eve"), 3, tokens=25) == ["", "", "strangers"]
        assert admitted(quotas, address("paul"), 3, tokens=25) == ["", "", "tokens_per_minute"]
        quotas.unused(address("paul"), 25)
        assert quotas.admit(address("eve"), 25, NOW) == "strangers"
        assert quotas.admit(address("paul"), 25, NOW) == ""

    def test_what_is_refused_is_not_charged(self) -> None:
        limits = LimitsSection(tasks_per_minute_address=1, tasks_per_minute_strangers=2, tokens_per_minute=10)
        quotas = Quotas(limits, NOW)
        assert admitted(quotas, address("eve"), 5, tokens=20) == ["strangers"] * 5
        assert quotas.admit(address("eve"), 10, NOW) == ""
        assert admitted(quotas, address("eve"), 5) == ["address"] * 5
        assert quotas.admit(address("paul"), 0, NOW) == ""

    def test_memory_is_bounded(self) -> None:
        quotas = Quotas(LimitsSection(tasks_per_minute_strangers=100_000), NOW)
        for number in range(5_000):
            quotas.admit(address(f"key-{number}", f"{number}.example"), 0, NOW)
        assert len(quotas._addresses._buckets) <= 4096
        assert len(quotas._homeservers._buckets) <= 4096


class TestLists:
    @pytest.mark.parametrize(
        "uri, server",
        [
            ("matrix:u/eve:example.org", "example.org"),
            ("matrix:u/eve:example.org:8448", "example.org:8448"),
            ("matrix:u/eve:[::1]:8448", "[::1]:8448"),
            ("https://example.org/users/eve", "https://example.org"),
            ("https://hub.example.org/peers/did:key:z6Mk", "https://hub.example.org"),
        ],
    )
    def test_the_homeserver_of_an_address(self, uri: str, server: str) -> None:
        assert homeserver_of(uri) == server

    @pytest.mark.parametrize("item", ["@eve:example.org", "matrix:u/eve:example.org", "example.org"])
    def test_listed_by_user_uri_or_server(self, item: str) -> None:
        assert is_listed("matrix:u/eve:example.org", ("elsewhere.example", item))

    @pytest.mark.parametrize("item", ["", "eve", "@eve", "@eve:example.or", "xample.org", "org", "@Eve:example.org"])
    def test_nothing_less_lists(self, item: str) -> None:
        assert not is_listed("matrix:u/eve:example.org", (item,))
