from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from bots.transports.activitypub import documents, notes
from bots.transports.activitypub.activities import Create, Follow, read
from bots.transports.activitypub.actors import read as read_actor
from bots.transports.activitypub.html import from_text
from bots.transports.activitypub.inbound_note import event, read_note
from bots.transports.activitypub.names import PUBLIC, Names
from bots.transports.activitypub.notes import Words
from bots.transports.activitypub.plain_json import parse
from clawnet_proto.bindings import CARRIERS, WORDS
from clawnet_proto.bindings.html_text import text_of
from tests.transports.activitypub.arrived import keys

NAMES = Names("https://my.example", "ada")
DID = "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
PEER = "https://other.example/actor"
MEMBERS = {"clawnetCarriers", "clawnetRoom", "clawnetIdentity"}


def again(document: dict[str, Any]) -> dict[str, Any]:
    """As it comes over the wire."""
    return parse(json.dumps(document).encode(), 1 << 18)


def test_an_actor_names_its_keys_and_its_identity() -> None:
    found = again(documents.actor(NAMES, keys(), DID, display_name="Ada", summary="An agent.\n\nOf <b>."))
    assert (found["type"], found["preferredUsername"], found["name"]) == ("Service", "ada", "Ada")
    assert found["summary"] == "<p>An agent.</p><p>Of &lt;b&gt;.</p>"
    assert found["publicKey"]["publicKeyPem"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert "https://www.w3.org/ns/did/v1" in found["@context"]
    actor = read_actor(found)
    assert (actor.id, actor.inbox, actor.shared_inbox) == (NAMES.actor, NAMES.inbox, NAMES.shared_inbox)
    assert {(key.id, key.algorithm) for key in actor.keys} == {
        (NAMES.main_key, "rsa-v1_5-sha256"),
        (NAMES.ed25519_key, "ed25519"),
    }
    assert actor.identity == DID != f"did:key:{found['assertionMethod'][0]['publicKeyMultibase']}"


@pytest.mark.parametrize("identity", [None, 1, "did:web:a.example", "did:key:z6Mk", DID + "\n", [DID]])
def test_an_identity_that_is_none_is_left_out(identity: object) -> None:
    assert read_actor(again(documents.actor(NAMES, keys(), DID) | {"clawnetIdentity": identity})).identity == ""


@pytest.mark.parametrize(
    "document",
    [
        documents.actor(NAMES, keys(), DID),
        notes.create(NAMES, Words(name="1", published_ms=0, text="a", carriers="{}", room="lan:a")),
    ],
)
def test_every_member_of_ours_is_declared(document: dict[str, Any]) -> None:
    declared = {name for part in document["@context"] if isinstance(part, dict) for name in part}
    used = (set(document) | set(document.get("object", ()))) & MEMBERS
    assert used and used <= declared


def test_webfinger_leads_to_the_actor() -> None:
    found = documents.webfinger(NAMES)
    assert found["subject"] == "acct:ada@my.example"
    assert found["links"] == [{"rel": "self", "type": "application/activity+json", "href": NAMES.actor}]


@pytest.mark.parametrize(
    "resource",
    ["acct:ada@my.example", "ACCT:Ada@MY.example", "acct:@ada@my.example:443", NAMES.actor, "HTTPS://My.example/actor"],
)
def test_webfinger_knows_our_actor(resource: str) -> None:
    assert documents.is_resource(NAMES, resource)


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "ada",
        "acct:ada",
        "acct:ada@",
        "acct:bert@my.example",
        "acct:ada@other.example",
        "acct:ada@my.example/x",
        "acct:ada@my.example#other.example",
        "https://my.example/",
        "https://other.example/actor",
        "acct:ada@my.example:80",
    ],
)
def test_webfinger_knows_nobody_else(resource: str) -> None:
    assert not documents.is_resource(NAMES, resource)


def test_nodeinfo_tells_what_this_is() -> None:
    (link,) = documents.nodeinfo_links(NAMES)["links"]
    assert link["href"] == "https://my.example/nodeinfo/2.1"
    found = documents.nodeinfo("1.2", 3)
    assert (found["version"], found["protocols"]) == ("2.1", ["activitypub"])
    assert found["software"] == {"name": "clawbot", "version": "1.2"}
    assert set(found) == {"version", "software", "protocols", "services", "openRegistrations", "usage", "metadata"}


def test_a_collection_and_its_page() -> None:
    found = documents.collection(NAMES.outbox, 2, f"{NAMES.outbox}?page=1")
    assert (found["type"], found["totalItems"], found["first"]) == ("OrderedCollection", 2, f"{NAMES.outbox}?page=1")
    assert "first" not in documents.collection(NAMES.followers, 2)
    page = documents.page(found["first"], NAMES.outbox, ["a"], "next")
    assert (page["type"], page["partOf"], page["orderedItems"], page["next"]) == (
        "OrderedCollectionPage", NAMES.outbox, ["a"], "next",
    )  # fmt: skip


# -- notes ---------------------------------------------------------------------------------------------------

TEXT = notes.carriers_text(['{"clawnet":"1","env":"{\\"a\\":\\"ü\\"}"}', "{}"])
WORDS_OF = Words(
    name="n1",
    published_ms=1_790_000_000_123,
    text='says <b> & "more"\nand a line\n\nand a paragraph',
    carriers=TEXT,
    to=(PEER,),
    cc=(PUBLIC,),
    mentions=((PEER, "@eve@other.example"),),
    in_reply_to="https://other.example/notes/1",
    room="matrix:roomid/a:b",
)


def test_a_note_carries_the_same_bytes_twice() -> None:
    found = notes.note(NAMES, WORDS_OF)
    assert found["clawnetCarriers"] == TEXT and isinstance(found["type"], str)
    (link,) = found["attachment"]
    assert (link["type"], link["mediaType"]) == ("Link", "application/clawnet+json")
    assert link["href"] == f"https://my.example/carriers/{hashlib.sha256(TEXT.encode()).hexdigest()}"


def test_a_note_reads_well_to_people() -> None:
    found = notes.note(NAMES, WORDS_OF)["content"]
    assert found == (
        '<p><span class="h-card"><a href="https://other.example/actor" class="u-url mention">@eve@other.example</a>'
        '</span> says &lt;b&gt; &amp; "more"<br>and a line</p><p>and a paragraph</p>'
    )
    assert text_of(found) == '@eve@other.example says <b> & "more"\nand a line\n\nand a paragraph'


def test_what_we_create_is_read_as_it_was_meant() -> None:
    document = notes.create(NAMES, WORDS_OF)
    assert (document["to"], document["cc"]) == ([PEER], [PUBLIC])
    activity = read(again(document))
    assert isinstance(activity, Create)
    note = activity.note
    assert (activity.id, note.id, note.actor) == (NAMES.activity("n1"), NAMES.note("n1"), NAMES.actor)
    assert (note.to, note.cc, note.mentions, note.is_public) == ((PEER,), (PUBLIC,), (PEER,), True)
    assert (note.carriers, note.room, note.in_reply_to) == (TEXT, WORDS_OF.room, WORDS_OF.in_reply_to)
    assert (note.published_ms, note.edited) == (1_790_000_000_000, False)
    assert note == read_note(again(notes.note(NAMES, WORDS_OF)), NAMES.actor)


def test_the_event_that_a_note_becomes_holds_its_carriers() -> None:
    raw = event(read_note(again(notes.note(NAMES, WORDS_OF)), NAMES.actor))
    for plane in ("room", "direct"):
        found = CARRIERS["activitypub"](raw, plane)
        assert found == [{"clawnet": "1", "env": '{"a":"ü"}'}, {}]
    assert WORDS["activitypub"](raw) == ""
    assert read_note(json.loads(raw), NAMES.actor).carriers == TEXT


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"carriers":[]}', '{"carriers":{}}', '{"carriers":[' + "1," * 16 + "1]}", "a", "\ud800",
             '{"carriers":[1', "[" * 100_000],
)  # fmt: skip
def test_an_event_without_carriers_holds_none(text: str) -> None:
    raw = json.dumps({"type": "Note", "clawnetCarriers": text})
    assert CARRIERS["activitypub"](raw, "room") == []


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"clawnetCarriers":["{}"]}', '{"clawnetCarriers":{"carriers":[1]}}'])
def test_what_is_no_event_holds_nothing(raw: str) -> None:
    assert CARRIERS["activitypub"](raw, "room") == [] and WORDS["activitypub"](raw) == ""


def test_an_edited_note_holds_no_carriers() -> None:
    raw = json.loads(event(read_note(again(notes.note(NAMES, WORDS_OF)), NAMES.actor)))
    for change in ({"updated": "2026-09-21T14:13:20Z"}, {"updated": None}, {"type": "Article"}, {"type": ["Note"]}):
        assert CARRIERS["activitypub"](json.dumps(raw | change), "room") == []
    edited = again(notes.note(NAMES, WORDS_OF)) | {"updated": "2026-09-21T14:13:20Z"}
    assert CARRIERS["activitypub"](event(read_note(edited, NAMES.actor)), "room") == []


def test_following_and_what_answers_it() -> None:
    asked = notes.follow(NAMES, "f1", PEER)
    assert read(again(asked)) == Follow(id=NAMES.activity("f1"), actor=NAMES.actor, object=PEER)
    undone = notes.undo(NAMES, "u1", "f1", PEER)
    assert undone["object"]["id"] == asked["id"] and undone["object"]["object"] == PEER
    for make, kind in ((notes.accept, "Accept"), (notes.reject, "Reject")):
        answer = make(NAMES, "a1", PEER, "https://other.example/f/1")
        assert (answer["type"], answer["to"]) == (kind, [PEER])
        assert (answer["object"]["actor"], answer["object"]["object"]) == (PEER, NAMES.actor)


@pytest.mark.parametrize(
    "text, html",
    [("", "<p></p>"), ("a", "<p>a</p>"), ("\n\n\na\n\n\n\nb\n", "<p>a</p><p>b</p>"), ("a\nb", "<p>a<br>b</p>"),
     ("<script>&amp;", "<p>&lt;script&gt;&amp;amp;</p>")],
)  # fmt: skip
def test_text_as_html(text: str, html: str) -> None:
    assert from_text(text) == html


def test_a_mention_cannot_break_out_of_its_link() -> None:
    found = from_text("a", (('https://a.example/"><script>', "<b>"),))
    assert "<script>" not in found and "<b>" not in found
