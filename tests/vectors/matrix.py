"""Vectors of the Matrix binding: names, and which carriers an event holds."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from tests.vectors.message_model import bytes_of
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import ALICE, Subject, Vector, b64

KEY = "net.clawnet.carriers"
SAFE = "-._~!$&'()*+,;=:@"


def uri(name: str, checks: Checks = INTACT) -> str:
    """MX-1 and MX-2."""
    hold = checks.hold
    safe = SAFE if hold("slashes-stay") else SAFE + "/"
    safe = safe if hold("subdelims-are-encoded") else "-._~:@"
    text = quote(name[1:].encode() if hold("latin-1") else name[1:].encode("latin-1", "replace"), safe=safe)
    if not hold("tilde-is-encoded"):
        text = text.replace("~", "%7E")
    if not hold("percents-stay"):
        text = text.replace("%25", "%")
    if not hold("case-is-folded"):
        text = text.lower()
    if not hold("hexadecimal-in-lower-case"):
        text = "%".join([text.split("%")[0], *(part[:2].lower() + part[2:] for part in text.split("%")[1:])])
    return ("matrix:u/" if name[0] == "@" else "matrix:roomid/") + text


def carriers(event: bytes, plane: str, checks: Checks = INTACT) -> list[bytes]:
    """MX-5 to MX-7 and MX-17."""
    hold = checks.hold
    value = json.loads(event)
    wanted = "m.room.message" if plane == "room" else "net.clawnet.direct"
    if value.get("type") != wanted and hold("types-unread"):
        return []
    if value.get("state_key", "") is None and not hold("null-state-key-passes"):
        del value["state_key"]
    if "state_key" in value and (value["state_key"] or hold("empty-state-key-passes")) and hold("state-key-unread"):
        return []
    content = value.get("content")
    if not isinstance(content, dict):
        return []
    relation = content.get("m.relates_to")
    if isinstance(relation, dict) and relation.get("rel_type") == "m.replace" and hold("edits-are-read"):
        return []
    if relation is not None and not hold("related-events-are-left-out"):
        return []
    if "redacted_because" in value.get("unsigned", {}) and hold("redacted-is-read"):
        return []
    if content.get("msgtype", "m.notice") != "m.notice" and not hold("notices-alone"):
        return []
    found = content.get(KEY)
    if found is None and not hold("new-content-is-read"):
        found = content.get("m.new_content", {}).get(KEY)
    if isinstance(found, dict) and not hold("one-object-is-an-array"):
        found = [found]
    if not isinstance(found, list):
        return []
    if not found or (len(found) > 16 and hold("any-number")):
        return []
    if not hold("others-are-left-out"):
        found = [item for item in found if isinstance(item, dict)]
    if not hold("one-spoils-all") and not all(isinstance(item, dict) for item in found):
        return []
    spaces = (",", ":") if hold("written-with-spaces") else (", ", ": ")
    texts = [json.dumps(item, ensure_ascii=not hold("written-with-escapes"), separators=spaces) for item in found]
    if not hold("slashes-escaped"):
        texts = [text.replace("/", "\\/") for text in texts]
    if not hold("short-escapes-unknown"):
        texts = [text.replace("\\n", "\\u000a").replace("\\t", "\\u0009") for text in texts]
    return [unpaired(text).encode() for text in texts]


def unpaired(text: str) -> str:
    """JSON text with lone surrogates as escapes, for they have no UTF-8."""
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text)


def answer(vector: Vector, checks: Checks = INTACT) -> Vector:
    """What a testee with this model answers."""
    request = vector["request"]
    if vector["op"] == "matrix.uri":
        return {"ok": {"uri": uri(request["id"], checks)}}
    return {"ok": {"carriers": [b64(text) for text in carriers(bytes_of(request["event"]), request["plane"], checks)]}}


def build() -> Subject:
    subject = Subject("matrix", "The Matrix binding: names, and the carriers of an event.")
    names(subject)
    taken(subject)
    left(subject)
    texts(subject)
    return subject


def names(subject: Subject) -> None:
    for about, name, wanted, kills in (
        ("a user", "@alice:example.org", "matrix:u/alice:example.org", ""),
        ("a room", "!opaque:example.org", "matrix:roomid/opaque:example.org", ""),
        (
            "a room of version 12",
            "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM",
            "matrix:roomid/31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM",
            "case-is-folded",
        ),
        ("capital letters", "@Alice:Example.ORG", "matrix:u/Alice:Example.ORG", "case-is-folded"),
        ("a slash", "@al/ice:example.org", "matrix:u/al%2Fice:example.org", "slashes-stay"),
        ("a per cent sign", "@50%25:example.org", "matrix:u/50%2525:example.org", "percents-stay"),
        ("a port", "@alice:example.org:8448", "matrix:u/alice:example.org:8448", ""),
        (
            "an IPv6 address",
            "@alice:[2001:db8::1]:8448",
            "matrix:u/alice:%5B2001:db8::1%5D:8448",
            "hexadecimal-in-lower-case",
        ),
        (
            "characters beyond ASCII",
            "!rüm☃\U0001f600:example.org",
            "matrix:roomid/r%C3%BCm%E2%98%83%F0%9F%98%80:example.org",
            "latin-1",
        ),
        (
            "all that stays",
            "@-._~!$&'()*+,;=:@:example.org",
            "matrix:u/-._~!$&'()*+,;=:@:example.org",
            "subdelims-are-encoded",
        ),
        ("a tilde", "@~alice:example.org", "matrix:u/~alice:example.org", "tilde-is-encoded"),
        (
            "marks that URIs give a meaning",
            '@a?b#c d"<>\\^`{|}:example.org',
            "matrix:u/a%3Fb%23c%20d%22%3C%3E%5C%5E%60%7B%7C%7D:example.org",
            "hexadecimal-in-lower-case",
        ),
        (
            "a control character",
            "!a\x07\x7f:example.org",
            "matrix:roomid/a%07%7F:example.org",
            "hexadecimal-in-lower-case",
        ),
        ("a sigil inside", "!a!b@c:example.org", "matrix:roomid/a!b@c:example.org", "subdelims-are-encoded"),
    ):
        vector = subject.ok(f"uri: {about}", "MX-1 MX-2", "matrix.uri", {"id": name}, {"uri": wanted})
        if kills:
            vector["kills"] = kills


def some(number: int = 0) -> Vector:
    """A carrier, with its members in ascending order, so that a reader may write them in that one or as they came."""
    carrier = json.loads(ALICE.say("presence.leave", {"revision": number})[0])
    return dict(sorted(carrier.items()))


def event(value: object, *, kind: str = "m.room.message", content: Vector | None = None, **members: Any) -> Vector:
    body = {"msgtype": "m.notice", "body": "alice leaves", "m.mentions": {}, KEY: value} | (content or {})
    if kind == "net.clawnet.direct":
        body = {KEY: value} | (content or {})
    return {"type": kind, "sender": "@alice:example.org", "event_id": "$one", "content": body} | members


def case(
    subject: Subject,
    about: str,
    requirements: str,
    value: Vector | bytes,
    wanted: list[object],
    kills: str,
    plane: str = "room",
) -> None:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    expected = [item if isinstance(item, bytes) else plain(item) for item in wanted]
    request = {"event": b64(text), "plane": plane}
    vector = subject.ok(about, requirements, "matrix.carriers", request, {"carriers": [b64(item) for item in expected]})
    if kills:
        vector["kills"] = kills


def plain(value: object) -> bytes:
    """JSON text without white space and with only the escapes that JSON demands."""
    return unpaired(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()


def taken(subject: Subject) -> None:
    one, two = some(1), some(2)
    case(subject, "one carrier", "MX-5 MX-6 MX-7", event([one]), [one], "written-with-spaces")
    case(subject, "two carriers, in their order", "MX-5 MX-6", event([two, one]), [two, one], "written-with-spaces")
    many = [some(number) for number in range(16)]
    case(subject, "sixteen carriers", "MX-5 MX-6", event(many), [*many], "")
    case(subject, "the same one twice", "MX-6", event([one, one]), [one, one], "")
    text = {"msgtype": "m.text", "body": "something else"}
    case(subject, "another msgtype", "MSG-7 MX-6", event([one], content=text), [one], "notices-alone")
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$root", "is_falling_back": True}}
    case(subject, "in a thread", "MX-6 MX-16", event([one], content=thread), [one], "related-events-are-left-out")
    odd = {"m.relates_to": ["m.replace"], "m.new_content": 7}
    case(subject, "a relation that is none", "MX-6", event([one], content=odd), [one], "related-events-are-left-out")
    case(
        subject, "no msgtype and no body", "MSG-7 MX-6", {"type": "m.room.message", "content": {KEY: [one]}}, [one], ""
    )
    new = {"m.new_content": {KEY: [two]}}
    case(subject, "new content in what is no edit is not looked at", "MSG-7 MX-6", event([one], content=new), [one], "")
    mixed: list[Any] = [one, "text", 7, True, None, [], {}, two]
    case(
        subject,
        "values that are no objects, among others",
        "MX-6 MX-7 MX-8",
        event(mixed),
        mixed,
        "others-are-left-out",
    )
    case(
        subject,
        "a carrier with more members",
        "MX-6 MX-7",
        event([one | {"zone": [1, {"deep": "er"}]}]),
        [one | {"zone": [1, {"deep": "er"}]}],
        "",
    )
    case(subject, "a text alone", "MX-6 MX-7", event(["text"]), ["text"], "one-spoils-all")
    direct = event([one, two], kind="net.clawnet.direct")
    case(subject, "on the direct plane", "MX-17", direct, [one, two], "written-with-spaces", "direct")
    sealed = {"clawnet": "1", "seal_key": "k" * 43, "sealed": "c2VhbGVk"}
    case(
        subject,
        "a sealed carrier on the direct plane",
        "MX-17",
        event([sealed], kind="net.clawnet.direct"),
        [sealed],
        "written-with-spaces",
        "direct",
    )


def left(subject: Subject) -> None:
    one = some(1)
    for about, value, kills, plane in (
        ("an event of another type", event([one], kind="m.room.topic"), "types-unread", "room"),
        ("an encrypted event", event([one], kind="m.room.encrypted"), "types-unread", "room"),
        ("an event of the direct plane in the room", event([one], kind="net.clawnet.direct"), "types-unread", "room"),
        ("an event of the room plane on the direct one", event([one]), "types-unread", "direct"),
        ("a state event", event([one], state_key="x"), "state-key-unread", "room"),
        ("a state_key that is null", event([one], state_key=None), "null-state-key-passes", "room"),
        ("a state event with an empty key", event([one], state_key=""), "empty-state-key-passes", "room"),
        (
            "a redacted event",
            event([one], unsigned={"redacted_because": {"type": "m.room.redaction"}}),
            "redacted-is-read",
            "room",
        ),
        ("an object in place of the array", event(one), "one-object-is-an-array", "room"),
        ("a text in place of the array", event(json.dumps([one])), "", "room"),
        ("an empty array", event([]), "", "room"),
        ("seventeen carriers", event([some(number) for number in range(17)]), "any-number", "room"),
        (
            "seventeen on the direct plane",
            event([some(number) for number in range(17)], kind="net.clawnet.direct"),
            "any-number",
            "direct",
        ),
        ("no carriers", {"type": "m.room.message", "content": {"msgtype": "m.text", "body": "hello"}}, "", "room"),
        (
            "a redacted event, stripped",
            {"type": "m.room.message", "content": {}, "unsigned": {"redacted_because": {"type": "m.room.redaction"}}},
            "",
            "room",
        ),
        ("content that is no object", {"type": "m.room.message", "content": [one]}, "", "room"),
        ("no content", {"type": "m.room.message"}, "", "room"),
        ("carriers beside the content", {"type": "m.room.message", "content": {}, KEY: [one]}, "", "room"),
    ):
        case(subject, about, "MX-6 MX-17" if plane == "direct" else "MX-6", value, [], kills, plane)
    edit = {"rel_type": "m.replace", "event_id": "$before"}
    both = {"m.relates_to": edit, "m.new_content": {"msgtype": "m.notice", "body": "x", KEY: [one]}}
    case(subject, "an edit", "MX-6 MSG-8", event([one], content=both), [], "edits-are-read")
    only = {"type": "m.room.message", "content": both | {"msgtype": "m.notice", "body": "* x"}}
    case(subject, "an edit with carriers in its new content alone", "MX-6 MSG-8", only, [], "")
    fresh = {"type": "m.room.message", "content": {"msgtype": "m.notice", "m.new_content": {KEY: [one]}}}
    case(subject, "new content without an edit", "MX-6 MSG-8", fresh, [], "new-content-is-read")
    case(
        subject,
        "an edit on the direct plane",
        "MX-6 MX-17",
        event([one], kind="net.clawnet.direct", content={"m.relates_to": edit}),
        [],
        "edits-are-read",
        "direct",
    )


def texts(subject: Subject) -> None:
    """Each value is escaped in the event in some way, and written with as few escapes as can be."""
    for about, inside, outside, kills in (
        ("an escaped slash", r'"a\/b"', '"a/b"', "slashes-escaped"),
        ("escapes of what needs none", r'"\u0041\u007a\u0020"', '"Az "', ""),
        ("escapes beyond ASCII", r'"\u00e9\u2028\u2603"', '"é\u2028☃"', "written-with-escapes"),
        ("characters beyond ASCII", '"é\u2028☃\U0001f600\x7f"', '"é\u2028☃\U0001f600\x7f"', "written-with-escapes"),
        ("two escapes for one character", r'"\ud83d\ude00"', '"\U0001f600"', "written-with-escapes"),
        ("quotation mark and backslash", r'"\u0022\u005c\"\\"', r'"\"\\\"\\"', ""),
        ("a byte order mark", r'"\ufeff"', '"\ufeff"', "written-with-escapes"),
        (
            "white space between members",
            '{ "clawnet" : "1" ,\n\t"env" : "x y" }',
            '{"clawnet":"1","env":"x y"}',
            "written-with-spaces",
        ),
        ("an escaped key", r'{"\u0063lawnet":"1"}', '{"clawnet":"1"}', ""),
        (
            "control characters",
            r'"\u0008\u0009\u000a\u000c\u000d\u0000\u001F\u000B"',
            r'"\b\t\n\f\r\u0000\u001f\u000b"',
            "short-escapes-unknown",
        ),
        ("a lone surrogate", r'"a\uD800b\udc00"', r'"a\ud800b\udc00"', ""),
        ("integers", "[0,-1,9007199254740991]", "[0,-1,9007199254740991]", "written-with-spaces"),
    ):
        raw = f'{{"type":"m.room.message","content":{{"msgtype":"m.notice","{KEY}":[{inside}]}}}}'.encode()
        case(subject, f"written again: {about}", "MX-7 MSG-5", raw, [outside.encode()], kills)
