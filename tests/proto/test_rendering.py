"""What people read: others' text, and nothing in it that moves a terminal, a room, or the eye."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawnet_proto.families import presence, task
from clawnet_proto.rendering import clean, full, line, short
from clawnet_proto.wire import Record
from tests.proto import samples
from tests.proto.authoring import Author

EVE, ADA = Author("eve"), Author("ada")
HOSTILE = "\x1b[2J\x07\u202e\u200b@room\n!claw"


def name_of(did: str) -> str:
    return {EVE.did: "eve", ADA.did: "ada"}.get(did, did[-8:])


class TestClean:
    @pytest.mark.parametrize(
        "text, expected",
        [
            ("plain words", "plain words"),
            ("naïve 🐾 日本語 عربى", "naïve 🐾 日本語 عربى"),
            ("\x1b[31mred\x1b[0m", "[31mred[0m"),
            ("\x1b]0;title\x07", "]0;title"),
            ("\x9b2J", "2J"),
            ("a\x00b\x08c\x7fd", "abcd"),
            ("one\ntwo\r\nthree\tfour", "one two three four"),
            ("one\u2028two\u2029three\x85four\x0bfive", "one two three four five"),
            ("  much   space  ", "much space"),
            ("\u202egnp.exe\u202c", "gnp.exe"),
            ("\u2066a\u2067b\u2068c\u2069\u200e\u200f\u061c", "abc"),
            ("ze\u200bro\u200c wi\u200ddth\ufeff\u2060", "zero width"),
            ("soft\u00adhyphen", "softhyphen"),
            ("tag\U000e0041\U000e0042", "tag"),
            ("private\ue000", "private"),
            ("half\ud800", "half"),
            ("", ""),
        ],
    )
    def test_what_is_left(self, text: str, expected: str) -> None:
        assert clean(text) == expected

    @pytest.mark.parametrize(
        "text, expected",
        [
            ("@room", "room"),
            ("@@room @@@room", "room room"),
            ("hello @ada:example.org!", "hello ada:example.org!"),
            ("@@ada:example.org", "ada:example.org"),
            ("@a\u200bda:example.org", "ada:example.org"),
            ("@\u202eroom", "room"),
            ("@ada:[::1]:8448", "ada:[::1]:8448"),
            ("mail me at ada@example.org", "mail me at ada@example.org"),
            ("@roommate is no mention", "@roommate is no mention"),
            ("5 @ 3", "5 @ 3"),
        ],
    )
    def test_nobody_is_mentioned(self, text: str, expected: str) -> None:
        assert clean(text) == expected

    def test_long_text_is_cut_and_says_so(self) -> None:
        assert clean("x" * 300, limit=10) == "x" * 9 + "…"
        assert clean("x" * 10, limit=10) == "x" * 10
        assert len(clean("x" * 10**7)) == 280

    def test_lines_are_kept_where_they_are_wanted(self) -> None:
        assert clean("one\ntwo\r\nthree\x0bfour", lines=True) == "one\ntwo \nthree four"

    @given(st.text(st.characters(codec=None), max_size=200), st.integers(1, 100), st.booleans())
    def test_whatever_it_is_given(self, text: str, limit: int, lines: bool) -> None:
        cleaned = clean(text, limit=limit, lines=lines)
        assert len(cleaned) <= limit
        assert lines or "\n" not in cleaned
        for character in cleaned.replace("\n", ""):
            assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        assert "@room " not in cleaned + " "

    @given(st.text(st.characters(codec=None), max_size=100))
    def test_what_is_clean_stays_as_it_is(self, text: str) -> None:
        assert clean(clean(text)) == clean(text)


class TestLines:
    @pytest.mark.parametrize("full_of_options", [False, True])
    def test_every_type_has_a_line(self, full_of_options: bool) -> None:
        for kind, envelope in samples.envelopes(EVE, ADA, full=full_of_options).items():
            body = EVE.say(envelope.body, **samples.required(kind, ADA))
            text = line(body, name_of)
            assert text and text.isprintable() and text != kind, kind
            assert len(text) < 400

    def test_ids_are_shortened(self) -> None:
        assert short("abcdefghijklmnop") == "abcdefgh"

    @pytest.mark.parametrize(
        "body, words",
        [
            (task.Award(stage="draft", attempt=1, lease_ms=1000), "awards draft to ada"),
            (task.Award(stage="draft", attempt=2, lease_ms=1000), "awards draft to ada (attempt 2)"),
            (task.Start(stage="draft", attempt=1), "starts draft for ada"),
            (task.Cancel(), "cancels task "),
            (
                task.Fail(stage="draft", attempt=1, code="oom", message="no memory", retryable=True),
                "fails draft (oom): no memory",
            ),
            (task.Close(outcome="failed", accepted=(), executions=0, message="nobody"), "failed, nobody"),
            (presence.Leave(revision=1), "leaves: no reason given"),
        ],
    )
    def test_what_they_say(self, body: Record, words: str) -> None:
        assert words in line(said(body), name_of)

    def test_a_request_for_a_person_says_who_vouches(self) -> None:
        behalf = task.OnBehalfOf(address="matrix:u/paul:example.org", event="$1", text_digest="d" * 43)
        text = line(EVE.say(samples.request(on_behalf_of=behalf, title="Why?")), name_of)
        assert text.startswith("asks for paul:example.org (vouched by the homeserver): Why? [draft] task ")

    def test_a_sealed_request_says_no_more_than_that(self) -> None:
        sealed = task.Input(name="question", digest="d" * 43)
        text = line(EVE.say(samples.request(privacy="sealed", inputs=(sealed,), title="my secret")), name_of)
        assert "a sealed task" in text and "secret" not in text

    def test_a_result_is_its_text(self) -> None:
        body = samples.result(text="first line\nsecond line @room\x1b[2J")
        assert full(said(body), name_of) == "[draft] first line\nsecond line room[2J"
        assert line(said(body), name_of).startswith(
            "result of draft: first line second line room[2J (74 tokens, 2.6 s)"
        )

    def test_a_vector_is_not_shown(self) -> None:
        body = samples.result(text="AAAA" * 100, media_type="application/octet-stream")
        assert full(said(body), name_of).startswith("result of draft: ")

    @pytest.mark.parametrize(
        "body",
        [
            samples.announce(EVE, name=HOSTILE, models=(presence.ModelCard(name=HOSTILE, kinds=("chat",)),)),
            presence.Leave(revision=1, reason=HOSTILE),
            samples.request(title=HOSTILE),
            samples.request(on_behalf_of=task.OnBehalfOf(address=HOSTILE, event=HOSTILE, text_digest="d" * 43)),
            task.Offer(stages=(task.StageOffer(stage=HOSTILE, wait_ms=0),)),
            task.Award(stage=HOSTILE, attempt=1, lease_ms=1000),
            task.Start(stage=HOSTILE, attempt=1),
            task.Progress(stage=HOSTILE, attempt=1, index=0, tokens=1, offset=0, text=HOSTILE),
            task.Ask(stage=HOSTILE, attempt=1, question=HOSTILE),
            task.Reply(stage=HOSTILE, attempt=1, text=HOSTILE),
            samples.result(text=HOSTILE, stage=HOSTILE),
            task.Fail(stage=HOSTILE, attempt=1, code="x", message=HOSTILE, retryable=False),
            task.Cancel(reason=HOSTILE),
            task.Close(outcome="failed", accepted=(), executions=0, message=HOSTILE),
        ],
        ids=lambda body: type(body).__name__,
    )
    def test_hostile_text_in_any_field_and_in_any_name(self, body: Record) -> None:
        text = line(said(body), lambda did: HOSTILE)
        assert text.isprintable() and "@room" not in text


def said(body: Record) -> Any:
    from clawnet_proto.carrier import body_type

    return EVE.say(body, **samples.required(body_type(body), ADA))
