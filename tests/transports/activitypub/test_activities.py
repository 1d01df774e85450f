from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest

from bots.transports.activitypub.activities import (
    Accept,
    Create,
    CreateById,
    DeleteActor,
    Follow,
    Other,
    Reject,
    UndoFollow,
    read,
)
from bots.transports.activitypub.inbound_note import event, person_text, read_note
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.plain_json import DEPTH_MOST, NODES_MOST, Malformed, parse
from clawnet_proto.bindings import WORDS
from clawnet_proto.bindings.html_text import text_of

EVE = "https://other.example/users/eve"
OWN = "https://my.example/actor"
ID = "https://other.example/activities/1"
FOLLOW = {"id": "https://my.example/activities/f1", "type": "Follow", "actor": OWN, "object": EVE}
LINK = f"https://other.example/carriers/{'a' * 64}"


def activity(**members: Any) -> dict[str, Any]:
    return {"@context": "https://www.w3.org/ns/activitystreams", "id": ID, "actor": EVE, **members}


def a_note(**members: Any) -> dict[str, Any]:
    return {
        "id": "https://other.example/notes/1",
        "type": "Note",
        "attributedTo": EVE,
        "to": [OWN],
        "content": "<p>words</p>",
        **members,
    }


def note_of(**members: Any) -> Any:
    found = read(activity(type="Create", object=a_note(**members)))
    assert isinstance(found, Create)
    return found.note


# -- what others send ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", [OWN, {"id": OWN}, {"id": OWN, "type": "Service", "inbox": "a"}, [OWN]])
def test_a_follow_in_all_its_shapes(about: object) -> None:
    assert read(activity(type="Follow", object=about)) == Follow(id=ID, actor=EVE, object=OWN)


@pytest.mark.parametrize(
    "actor", [EVE, {"id": EVE}, {"id": EVE, "publicKey": {"publicKeyPem": "a"}}, [EVE], [{"id": EVE}]]
)
def test_an_actor_in_all_its_shapes(actor: object) -> None:
    assert read(activity(type="Follow", object=OWN) | {"actor": actor}).actor == EVE


@pytest.mark.parametrize("kind, record", [("Accept", Accept), ("Reject", Reject)])
def test_answers_to_a_follow(kind: str, record: Any) -> None:
    assert read(activity(type=kind, object=FOLLOW)) == record(id=ID, actor=EVE, follow=FOLLOW["id"], follower=OWN)
    assert read(activity(type=kind, object=FOLLOW["id"])) == record(id=ID, actor=EVE, follow=FOLLOW["id"])
    without_id = {name: value for name, value in FOLLOW.items() if name != "id"}
    assert read(activity(type=kind, object=without_id)) == record(id=ID, actor=EVE, follow="", follower=OWN)
    assert isinstance(read(activity(type=kind, object={**FOLLOW, "type": "Offer"})), Other)


def test_an_undo_of_a_follow() -> None:
    taken_back = {"id": "https://other.example/f/1", "type": "Follow", "actor": EVE, "object": OWN}
    assert read(activity(type="Undo", object=taken_back)) == UndoFollow(
        id=ID, actor=EVE, follow=taken_back["id"], object=OWN
    )
    assert read(activity(type="Undo", object=taken_back["id"])) == UndoFollow(id=ID, actor=EVE, follow=taken_back["id"])
    assert isinstance(read(activity(type="Undo", object={**taken_back, "type": "Like"})), Other)


@pytest.mark.parametrize("about", [EVE, {"id": EVE, "type": "Tombstone"}])
def test_the_end_of_an_actor(about: object) -> None:
    assert read(activity(type="Delete", object=about)) == DeleteActor(id=ID, actor=EVE)
    assert isinstance(read(activity(type="Delete", object="https://other.example/notes/1")), Other)


@pytest.mark.parametrize("kind", ["Like", "Announce", "Update", "Move", "Flag", "Block", "Add", "EmojiReact", "a"])
def test_what_means_nothing_here_is_taken_and_forgotten(kind: str) -> None:
    assert read(activity(type=kind, object={"anything": [1, 2]})) == Other(id=ID, actor=EVE, type=kind)


@pytest.mark.parametrize("kind", ["Article", "Question", "Page", "Person"])
def test_other_things_that_are_created_mean_nothing(kind: str) -> None:
    assert isinstance(read(activity(type="Create", object=a_note(type=kind))), Other)


def test_a_create_that_only_names_its_note() -> None:
    assert read(activity(type="Create", object="https://other.example/notes/1")) == CreateById(
        id=ID, actor=EVE, object="https://other.example/notes/1"
    )


@pytest.mark.parametrize(
    "members",
    [
        {"type": ["Follow"], "object": OWN},
        {"type": ["Create", "Follow"], "object": a_note()},
        {"type": None},
        {"type": "a" * 65},
        {},
        {"type": "Follow"},
        {"type": "Follow", "object": None},
        {"type": "Follow", "object": [OWN, OWN]},
        {"type": "Follow", "object": {"type": "Service"}},
        {"type": "Follow", "object": "acct:a@b"},
        {"type": "Follow", "object": OWN, "actor": None},
        {"type": "Follow", "object": OWN, "actor": [EVE, OWN]},
        {"type": "Follow", "object": OWN, "id": None},
        {"type": "Follow", "object": OWN, "id": "https://evil.example/1"},
        {"type": "Follow", "object": OWN, "id": "https://other.example:8443/1"},
        {"type": "Follow", "object": OWN, "id": "http://other.example/1"},
        {"type": "Accept", "object": {"type": "Follow"}},
        {"type": "Create", "object": "https://evil.example/notes/1"},
        {"type": "Create", "object": a_note(type=["Note", "Article"])},
        {"type": "Create", "object": a_note(id="https://evil.example/notes/1")},
        {"type": "Create", "object": a_note(id=None)},
        {"type": "Create", "object": a_note(attributedTo=OWN)},
        {"type": "Create", "object": a_note(attributedTo=None)},
        {"type": "Create", "object": a_note(attributedTo=[EVE, OWN])},
        {"type": "Create", "object": a_note(to=[EVE] * 257)},
        {"type": "Create", "object": a_note(tag=[{}] * 257)},
        {"type": "Create", "object": a_note(clawnetCarriers=["{}"])},
        {"type": "Create", "object": a_note(clawnetCarriers="")},
        {"type": "Create", "object": a_note(clawnetCarriers="ü" * 32_769)},
        {"type": "Create", "object": a_note(clawnetRoom="not a room")},
        {"type": "Create", "object": a_note(clawnetRoom=1)},
    ],
)
def test_what_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(activity(**members))


def test_hosts_are_compared_as_names_are() -> None:
    found = read(activity(type="Follow", object=OWN) | {"actor": "HTTPS://Other.Example:443/users/eve"})
    assert found.actor == EVE


# -- notes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to, expected",
    [
        (OWN, (OWN,)),
        ([OWN, EVE, OWN], (OWN, EVE)),
        ("as:Public", (PUBLIC,)),
        (["Public", PUBLIC], (PUBLIC,)),
        ([{"id": OWN}, 1, None, "a", {}], (OWN,)),
        (None, ()),
    ],
)
def test_who_a_note_is_for(to: object, expected: tuple[str, ...]) -> None:
    found = note_of(to=to)
    assert found.to == expected and found.is_public == (PUBLIC in expected)


def test_public_in_cc_is_public_too() -> None:
    assert note_of(cc=PUBLIC).is_public


@pytest.mark.parametrize(
    "tag", [{"type": "Mention", "href": OWN}, [{"type": "Hashtag"}, {"type": "Mention", "href": OWN, "name": "a"}, 1]]
)
def test_who_a_note_mentions(tag: object) -> None:
    assert note_of(tag=tag).mentions == (OWN,)


@pytest.mark.parametrize("tag", [None, [], {"type": "Mention"}, {"type": "Mention", "href": 1}, "a", [["a"]]])
def test_a_mention_of_nobody(tag: object) -> None:
    assert note_of(tag=tag).mentions == ()


@pytest.mark.parametrize(
    "published, expected",
    [
        ("2026-09-21T14:13:20Z", 1_790_000_000_000),
        ("2026-09-21T14:13:20.123456Z", 1_790_000_000_123),
        ("2026-09-21T16:13:20+02:00", 1_790_000_000_000),
        ("1066-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59-23:59", 253402387139000),
        ("now", 0),
        ("", 0),
        (None, 0),
        (1, 0),
        ("2026-09-21T14:13:20Z" * 9, 0),
    ],
)
def test_when_a_note_was_published(published: object, expected: int) -> None:
    assert note_of(published=published).published_ms == expected


@pytest.mark.parametrize("reply", [None, 1, "a", {"type": "Note"}, []])
def test_what_a_note_answers_may_be_nothing(reply: object) -> None:
    assert note_of(inReplyTo=reply).in_reply_to == ""


def test_a_link_to_carriers_is_found_among_attachments() -> None:
    link = {"type": "Link", "mediaType": "application/clawnet+json", "href": LINK}
    image = {"type": "Document", "mediaType": "image/png", "url": "https://other.example/a.png"}
    assert note_of(attachment=[image, link]).link == note_of(attachment=link).link == LINK
    assert note_of(attachment=[image, {**link, "type": "Document"}, {**link, "mediaType": "a/b"}]).link == ""


@pytest.mark.parametrize(
    "href",
    [
        None,
        "a",
        f"https://evil.example/carriers/{'a' * 64}",
        "https://other.example/carriers/abc",
        LINK + "#a",
        LINK + "a",
    ],
)
def test_a_link_to_another_place_is_refused(href: object) -> None:
    with pytest.raises(Malformed):
        note_of(attachment=[{"type": "Link", "mediaType": "application/clawnet+json", "href": href}])


# -- what a person wrote -------------------------------------------------------------------------------------

MENTION = (
    '<p><span class="h-card"><a href="https://my.example/actor" class="u-url mention">@<span>ada</span></a></span>'
)


def said(content: str, **members: Any) -> Any:
    tag = [{"type": "Mention", "href": OWN}]
    raw = event(read_note(a_note(content=content, tag=tag, **members), EVE))
    return person_text(raw, OWN)


def test_a_person_s_words_are_read_without_the_mention() -> None:
    found = said(f"{MENTION} what is<br />this &amp; that?</p><p>Thanks</p>", published="2026-09-21T14:13:20Z")
    assert found.text == "what is\nthis & that?\n\nThanks"
    assert found.body.startswith("<p><span") and found.mentions_us and not found.edited
    assert (found.thread_root, found.sent_ms) == ("https://other.example/notes/1", 1_790_000_000_000)


def test_an_answer_goes_below_the_question_and_nowhere_else() -> None:
    found = said("why?", inReplyTo="https://victim.example/notes/7")
    assert found.thread_root == "https://other.example/notes/1"


@pytest.mark.parametrize(
    "content, text",
    [
        ("@ada@my.example, hello", "hello"),
        ("@ada @eve@other.example hello @bert", "hello @bert"),
        ("hello @ada", "hello @ada"),
        ("@ada", ""),
        ("a@b.example is mine", "a@b.example is mine"),
        ("<p>a</p><script>alert(1)</script><style>b</style><p>c</p>", "a\n\nc"),
        ("<p>a\u202eb\x1b[1m\x00c</p>", "ab[1mc"),
        ("&lt;b&gt;&#65;&amp;amp;", "<b>A&amp;"),
    ],
)
def test_a_person_s_words_are_harmless_text(content: str, text: str) -> None:
    assert said(content).text == text


def test_words_of_others_are_no_words() -> None:
    assert said("") is None
    assert said("<p> </p>") is None
    assert said("words", clawnetCarriers="{}") is None
    assert said("words", updated="2026-09-21T14:13:20Z") is None
    assert person_text("", OWN) is None
    assert person_text('{"type":"Note","content":"a"}', OWN) is None


def test_who_is_not_mentioned_is_told_so() -> None:
    raw = event(read_note(a_note(), EVE))
    found = person_text(raw, OWN)
    assert found is not None and not found.mentions_us
    assert WORDS["activitypub"](raw) == "words"


@pytest.mark.parametrize(
    "html",
    [
        "<" * 60_000,
        "<a " * 20_000,
        "<!--" * 16_000,
        "&" * 60_000,
        "&#" + "1" * 60_000 + ";",
        "<p>" * 20_000,
        "</" * 30_000,
        "<script>" * 8_000,
        '<a x="' * 10_000,
        "<![foo",
    ],
    ids=range(10),
)
def test_no_html_takes_long_to_read(html: str) -> None:
    assert len(text_of(html)) <= 16_384


# -- JSON ----------------------------------------------------------------------------------------------------


def test_of_members_that_come_twice_the_last_counts() -> None:
    body = json.dumps(activity(type="Follow", object=OWN)).encode()
    twice = b'{"actor":"https://evil.example/actor","type":"Create",' + body[1:]
    assert read(parse(twice, 1 << 18)).actor == EVE


def test_the_bounds_of_json() -> None:
    deep = b'{"a":' + b"[" * (DEPTH_MOST - 2) + b"]" * (DEPTH_MOST - 2) + b"}"
    parse(deep, 1 << 18)
    with pytest.raises(Malformed, match="deeper"):
        parse(deep.replace(b"[]", b"[[[]]]"), 1 << 18)
    wide = b'{"a":[' + b",".join([b"0"] * (NODES_MOST - 2)) + b"]}"
    parse(wide, 1 << 18)
    with pytest.raises(Malformed, match="more than"):
        parse(wide.replace(b"[0,", b"[0,0,0,"), 1 << 18)
    with pytest.raises(Malformed, match="bytes"):
        parse(b'{"a":1}', 6)
    assert parse(b'{"a":-9007199254740991,"b":1.5e300,"c":-0}', 100)["b"] == 1.5e300


def test_nothing_that_is_not_as_it_should_be_is_anything_but_malformed() -> None:
    chance = random.Random(7)
    junk: list[Any] = [
        None,
        1,
        1.5,
        True,
        "",
        "a",
        EVE,
        OWN,
        [],
        {},
        [EVE],
        {"id": EVE},
        [[]],
        {"type": 1},
        "x" * 3000,
        PUBLIC,
    ]
    whole = activity(type="Create", object=a_note(cc=[], tag=[], attachment=[], published="", inReplyTo=EVE))
    for _ in range(3000):
        document = json.loads(json.dumps(whole))
        document["type"] = chance.choice(["Create", "Follow", "Accept", "Undo", "Delete", "Reject"])
        for _ in range(chance.randint(1, 3)):
            where = chance.choice(
                [document, document["object"]] if isinstance(document["object"], dict) else [document]
            )
            where[chance.choice(list(where) or ["id"])] = chance.choice(junk)
        with contextlib.suppress(Malformed):
            read(document)
