"""The pure parts of the Matrix transport: addresses, what is read, what is written. No homeserver."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.errors import Refused
from bots.transports import Delivery, Parcel, Plane
from bots.transports.matrix import addresses, events, reading, writing
from bots.transports.matrix.addresses import RoomTarget

US = "@claw:example.org"
NAME = "Claw the agent"


class TestAddresses:
    @pytest.mark.parametrize(
        "identifier, uri",
        [
            ("@alice:example.org", "matrix:u/alice:example.org"),
            ("@a=/_b.c-d+e:[::1]:8448", "matrix:u/a=%2F_b.c-d+e:%5B::1%5D:8448"),
            ("@ünï code%:x", "matrix:u/%C3%BCn%C3%AF%20code%25:x"),
        ],
    )
    def test_users(self, identifier: str, uri: str) -> None:
        assert addresses.user_uri(identifier) == uri
        assert addresses.user_id(uri) == identifier

    @pytest.mark.parametrize(
        "identifier, uri",
        [
            ("!opaque:example.org", "matrix:roomid/opaque:example.org"),
            ("!abcDEF_-0", "matrix:roomid/abcDEF_-0"),
            ("!a/b?c#d:x", "matrix:roomid/a%2Fb%3Fc%23d:x"),
        ],
    )
    def test_rooms(self, identifier: str, uri: str) -> None:
        assert addresses.room_uri(identifier) == uri
        assert addresses.room_id(uri) == identifier

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    def test_any_id_has_one_uri(self, opaque: str) -> None:
        uri = addresses.room_uri("!" + opaque)
        assert addresses.room_id(uri) == "!" + opaque
        assert uri.isascii() and not set(uri) & set(' "<>\\^`{|}?#[]')
        user = addresses.user_uri(f"@{opaque}:x")
        assert addresses.user_id(user) == f"@{opaque}:x"

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "matrix:u/",
            "matrix:u/alice",
            "matrix:u/%61lice:example.org",
            "matrix:u/alice%3Aexample.org",
            "matrix:u/%c3%bc:x",
            "matrix:u/%FF:x",
            "matrix:u/a b:x",
            "matrix:roomid/a:x",
            "MATRIX:u/a:x",
            "https://example.org",
        ],
    )
    def test_what_is_no_address(self, uri: str) -> None:
        with pytest.raises(ValueError):
            addresses.user_id(uri)

    @pytest.mark.parametrize("identifier", ["", "alice", "@alice", "alice:x", "@\ud800:x"])
    def test_what_is_no_user_id(self, identifier: str) -> None:
        with pytest.raises(ValueError):
            addresses.user_uri(identifier)

    @pytest.mark.parametrize(
        "text, target",
        [
            ("#lobby:example.org", RoomTarget("#lobby:example.org")),
            (" !abc?via=a.org&via=b.org ", RoomTarget("!abc", ("a.org", "b.org"))),
            ("!abc:x", RoomTarget("!abc:x")),
            ("matrix:r/lobby:x", RoomTarget("#lobby:x")),
            ("matrix:roomid/abc?via=x&action=join", RoomTarget("!abc", ("x",))),
            ("https://matrix.to/#/%23lobby%3Ax", RoomTarget("#lobby:x")),
            ("https://matrix.to/#/!abc?via=x", RoomTarget("!abc", ("x",))),
        ],
    )
    def test_rooms_as_people_name_them(self, text: str, target: RoomTarget) -> None:
        assert addresses.room_target(text) == target

    @pytest.mark.parametrize("text", ["", "lobby", "#lobby", "#", "!", "@a:x", "matrix:u/a:x", "#a b:x"])
    def test_what_is_no_room(self, text: str) -> None:
        with pytest.raises(ValueError):
            addresses.room_target(text)


def arrived(content: object, *, plane: Plane = "room", **fields: object) -> Delivery:
    kind = "net.clawnet.direct" if plane == "direct" else "m.room.message"
    event = {"type": kind, "sender": "@alice:x", "event_id": "$e", "content": content} | fields
    return Delivery(
        transport="matrix",
        plane=plane,
        room="matrix:roomid/a" if plane == "room" else "",
        sender="matrix:u/alice:x",
        event_id="$e" if plane == "room" else "",
        event=json.dumps(event),
        received_ms=0,
        live=True,
    )


class TestCarriers:
    @pytest.mark.parametrize("count", [1, 16])
    @pytest.mark.parametrize("plane", ["room", "direct"])
    def test_a_well_shaped_array(self, count: int, plane: Plane) -> None:
        given = [{"n": number} for number in range(count)]
        delivery = arrived({"net.clawnet.carriers": given}, plane=plane)
        assert reading.carriers(delivery) == given

    @pytest.mark.parametrize("given", [[1], [{}, []], [None]])
    def test_what_is_no_object_is_left_to_the_verifier(self, given: list[object]) -> None:
        assert reading.carriers(arrived({"net.clawnet.carriers": given})) == given

    @pytest.mark.parametrize("value", [None, {}, [], "x", [{}] * 17])
    def test_any_other_shape(self, value: object) -> None:
        assert reading.carriers(arrived({"net.clawnet.carriers": value})) == []

    @pytest.mark.parametrize(
        "content, fields",
        [
            ({"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}, {}),
            ({}, {"unsigned": {"redacted_because": {}}}),
            ({}, {"type": "m.room.topic"}),
            ({}, {"type": "net.clawnet.direct"}),
            ({}, {"state_key": ""}),
        ],
    )
    def test_edits_redactions_and_other_events(self, content: dict[str, Any], fields: dict[str, Any]) -> None:
        delivery = arrived(content | {"net.clawnet.carriers": [{}]}, **fields)
        assert reading.carriers(delivery) == []

    @given(
        st.text()
        | st.recursive(
            st.none() | st.text() | st.integers(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "type",
                            "content",
                            "m.relates_to",
                            "rel_type",
                            "event_id",
                            "body",
                            "unsigned",
                            "m.mentions",
                        ]
                    ),
                    inner,
                )
            ),
        ).map(json.dumps)
    )
    def test_nothing_makes_reading_raise(self, text: str) -> None:
        planes: tuple[Plane, ...] = ("room", "direct")
        for plane in planes:
            delivery = Delivery(
                transport="matrix",
                plane=plane,
                room="",
                sender="s",
                event_id="$e",
                event=text,
                received_ms=0,
                live=True,
            )
            assert reading.carriers(delivery) == []
            reading.person_text(delivery, US, NAME)
            reading.thread_root(delivery)


class TestPersonText:
    @pytest.mark.parametrize(
        "body, text, ours",
        [
            ("hello all", "hello all", False),
            ("!claw ask why?", "!claw ask why?", False),
            ("@claw:example.org: why?", "why?", True),
            ("@claw why?", "why?", True),
            ("@claw", "", True),
            ("@clawfoot why?", "@clawfoot why?", False),
            ("claw: why?", "why?", True),
            ("CLAW, why?", "why?", True),
            ("claw sharpens", "claw sharpens", False),
            ("clawing: why?", "clawing: why?", False),
            ("Claw the agent: why?", "why?", True),
            ("claw the Agent, !claw peers", "!claw peers", True),
            ("@Claw the agent why?", "why?", True),
            ("ask claw: why?", "ask claw: why?", False),
        ],
    )
    def test_mentions_in_the_body(self, body: str, text: str, ours: bool) -> None:
        words = reading.person_text(arrived({"msgtype": "m.text", "body": body}), US, NAME)
        assert words is not None
        assert (words.text, words.mentions_us) == (text, ours)

    @pytest.mark.parametrize(
        "mentions, ours",
        [
            ({"user_ids": [US]}, True),
            ({"user_ids": ["@b:x"]}, False),
            ({}, False),
            ({"user_ids": US}, False),
            ([], False),
        ],
    )
    def test_mentions_in_the_content(self, mentions: object, ours: bool) -> None:
        content = {"msgtype": "m.text", "body": "why?", "m.mentions": mentions}
        words = reading.person_text(arrived(content), US, NAME)
        assert words is not None
        assert words.mentions_us is ours

    @pytest.mark.parametrize(
        "content, fields",
        [
            ({"msgtype": "m.notice"}, {}),
            ({"msgtype": "m.emote"}, {}),
            ({"body": 7}, {}),
            ({"net.clawnet.carriers": [{}]}, {}),
            ({"net.clawnet.carriers": "broken"}, {}),
            ({}, {"type": "m.sticker"}),
            ({}, {"state_key": ""}),
            ({}, {"unsigned": {"redacted_because": {}}}),
        ],
    )
    def test_what_is_no_persons_text(self, content: dict[str, Any], fields: dict[str, Any]) -> None:
        delivery = arrived({"msgtype": "m.text", "body": "claw: why?"} | content, **fields)
        assert reading.person_text(delivery, US, NAME) is None
        assert reading.person_text(arrived({"msgtype": "m.text", "body": "x"}), "@alice:x", NAME) is None
        assert reading.person_text(arrived({"msgtype": "m.text", "body": "x"}, plane="direct"), US, NAME) is None

    def test_a_quoted_answer(self) -> None:
        body = "> <@claw:example.org> first\n> second\n\nand why?"
        content = {"msgtype": "m.text", "body": body, "m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}}
        words = reading.person_text(arrived(content), US, NAME)
        assert words is not None
        assert (words.text, words.thread_root) == ("and why?", "$e")
        words = reading.person_text(arrived({"msgtype": "m.text", "body": body}), US, NAME)
        assert words is not None
        assert words.text == body, "no answer, no fallback"


@pytest.mark.parametrize(
    "relation, root",
    [
        (None, "$e"),
        ({"rel_type": "m.thread", "event_id": "$root"}, "$root"),
        ({"rel_type": "m.thread", "event_id": "root"}, "$e"),
        ({"rel_type": "m.thread", "event_id": "$" + "x" * 300}, "$e"),
        ({"rel_type": "m.thread", "event_id": 7}, "$e"),
        ({"m.in_reply_to": {"event_id": "$x"}}, "$e"),
        ({"rel_type": "m.reference", "event_id": "$x"}, ""),
        ("x", "$e"),
    ],
)
def test_thread_roots(relation: object, root: str) -> None:
    content = {"msgtype": "m.text", "body": "x"} | ({"m.relates_to": relation} if relation is not None else {})
    assert reading.thread_root(arrived(content)) == root


class TestWriting:
    def parcel(self, **fields: object) -> Parcel:
        return Parcel(**({"txn": "1", "plane": "room", "room": "matrix:roomid/a", "body": "words"} | fields))  # type: ignore[arg-type]

    def test_a_plain_notice(self) -> None:
        assert writing.room_content(self.parcel()) == {
            "msgtype": "m.notice",
            "body": "words",
            "m.mentions": {},
        }

    @pytest.mark.parametrize(
        "carrier",
        [
            '{"a":1.5}',
            '{"a":1e3}',
            '{"a":NaN}',
            '{"a":Infinity}',
            '{"a":9007199254740992}',
            '{"a":-9007199254740992}',
            '{"a":"\\ud800"}',
            '{"\\udc00":1}',
            "[]",
            "7",
            "{",
            "[" * 5000,
            '{"a":' + "1" * 5000 + "}",
        ],
    )
    def test_what_no_homeserver_may_be_given(self, carrier: str) -> None:
        for write in (writing.room_content, writing.direct_messages):
            with pytest.raises(Refused) as caught:
                write(self.parcel(carriers=(carrier,), address="matrix:u/a:x"))
            assert caught.value.code == "matrix.bad_content"

    def test_what_is_let_through(self) -> None:
        carrier = '{"a":9007199254740991,"b":"\\ud83d\\ude00","c":null,"d":[true]}'
        content = writing.room_content(self.parcel(carriers=(carrier,)))
        assert content["net.clawnet.carriers"] == [{"a": 2**53 - 1, "b": "😀", "c": None, "d": [True]}]

    def test_half_a_pair_in_the_words(self) -> None:
        with pytest.raises(Refused, match="surrogate"):
            writing.room_content(self.parcel(body="\ud800"))

    def test_size(self) -> None:
        writing.room_content(self.parcel(body="é" * 30_000))
        with pytest.raises(Refused) as caught:
            writing.room_content(self.parcel(body="é" * 31_000))
        assert caught.value.code == "matrix.too_large"

    def test_seventeen_carriers(self) -> None:
        with pytest.raises(Refused):
            writing.room_content(self.parcel(carriers=("{}",) * 17))


class TestDefusing:
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_what_is_harmless_stays_as_it_is(self, value: object) -> None:
        for text in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode()):
            assert events.defused(text) == text

    @pytest.mark.parametrize(
        "bad, good",
        [
            (b'["\\ud800"]', ["\ufffd"]),
            (b'["\\udc00 \\uD83D\\uDE00 \\\\ud800"]', ["\ufffd 😀 \\ud800"]),
            (b'["\xff"]', ["\ufffd"]),
            (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b',"b":1}', None),
        ],
    )
    def test_what_is_not(self, bad: bytes, good: object) -> None:
        value = json.loads(events.defused(bad))
        assert value["b"] == 1 if good is None else value == good


def test_the_seam_does_not_load_nio() -> None:
    program = (
        "import sys, bots.transports, bots.outbox, bots.store, bots.transports.matrix.config\n"
        "print([name for name in ('nio', 'aiohttp') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_reader_hears_of_its_rooms_alone_whatever_the_homeserver_mentions() -> None:
    news: dict[str, object] = {"!a": {}, "!b": {}}
    body = json.dumps({"next_batch": "s1", "rooms": {"join": news, "leave": news, "invite": news}}).encode()
    assert events.sync(body).rooms.join.keys() == news.keys()
    told = events.sync(body, ["!b"])
    assert [*told.rooms.join, *told.rooms.leave, *told.rooms.invite] == ["!b"] * 3
    assert told.next_batch == "s1"
