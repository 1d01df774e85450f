"""Vectors of chapter 11: transcripts, and each way to damage one."""

from __future__ import annotations

import json
from typing import Any

from tests.vectors.message_model import Refused, bytes_of
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import ALICE, BOB, NOW_MS, ROOM, Subject, Vector, b64, canonical, digest

HEADER = {"clawnet_transcript": "1", "created_ms": NOW_MS, "recorder": BOB.address}
LONGEST = 8_388_608
LINES, MILLIS = ("transport", "room", "sender", "event_id"), ("received_ms",)


def entry(number: int, **members: Any) -> Vector:
    """The entry for the event of that number, without its link."""
    event = {"type": "m.room.message", "content": {"body": f"line {number}\nand more", "msgtype": "m.notice"}}
    value = {
        "transport": "matrix",
        "plane": "room",
        "room": ROOM,
        "sender": ALICE.address,
        "event_id": f"$event{number}",
        "event": json.dumps(event),
        "received_ms": NOW_MS + 1000 * number,
    }
    return value | members


def linked(before: str, value: Vector) -> Vector:
    """A header or entry with its link (TR-4)."""
    return value | {"link": digest(before.encode() + b"\n" + canonical(value | {"link": ""}))}


def lines(*values: Vector) -> list[bytes]:
    """A header and these entries as lines."""
    out, link = [], ""
    for value in (HEADER, *values):
        whole = linked(link, value)
        link = whole["link"]
        out.append(canonical(whole) + b"\n")
    return out


def fits(value: object, first: bool, checks: Checks) -> bool:
    """Whether a line's object is a header, or an entry."""
    hold = checks.hold
    if not isinstance(value, dict):
        return False
    texts = {"recorder": 300} if first else {"room": 300, "sender": 300, "event_id": 300, "transport": 64}
    integer = "created_ms" if first else "received_ms"
    words = {"clawnet_transcript": ("1",)} if first else {"plane": ("room", "direct")}
    names = {*texts, integer, *words, "link"} | (set() if first else {"event"})
    if set(value) - names and hold("lines-are-open"):
        return False
    if names - set(value):
        return False
    if any(value[name] not in known for name, known in words.items()) and hold("words-unread"):
        return False
    if type(value[integer]) is not int or value[integer] < 0 or not isinstance(value["link"], str):
        return False
    if len(value["link"]) != 43:
        return False
    long = any(not isinstance(value[name], str) or len(value[name]) > most for name, most in texts.items())
    return not (long and hold("lengths-unread")) and (first or isinstance(value["event"], str))


def damaged(text: bytes, checks: Checks = INTACT) -> list[int]:
    """The damaged lines (TR-5)."""
    hold = checks.hold
    found, link = [], ""
    parts = text.split(b"\n")
    whole, rest = parts[:-1], parts[-1]
    if not whole and not rest and hold("empty-is-fine"):
        return [1]
    for number, line in enumerate([*whole, *([rest] if rest and hold("half-lines-left-out") else [])], 1):
        ended = number <= len(whole) or not hold("last-line-need-not-end")
        value = read(line, checks) if ended and len(line) < LONGEST else None
        if value is None or (not fits(value, number == 1, checks) and hold("any-object-is-a-line")):
            found.append(number)
            link = "unknown" if hold("the-line-after-is-blamed") else ""
            continue
        bare = canonical(value | {"link": ""})
        joined = link.encode() + b"\n" + bare if hold("links-stand-alone") else b"\n" + bare
        if link != "unknown" and digest(joined) != value["link"] and hold("links-unread"):
            found.append(number)
            if not hold("all-after-are-blamed"):
                link = digest(joined)
                continue
        link = value["link"]
    return found


def read(line: bytes, checks: Checks) -> Vector | None:
    """The object of a line; None if the line is not canonical text."""
    try:
        value = json.loads(line.decode())
        if checks.hold("lines-need-not-be-canonical") and canonical(value) != line:
            return None
    except (ValueError, UnicodeError, Refused):
        return None
    return value if isinstance(value, dict) else None


def answer(vector: Vector, checks: Checks = INTACT) -> Vector:
    """What a testee with this model answers."""
    return {"ok": {"damaged": damaged(bytes_of(vector["request"]["text"]), checks)}}


def build() -> Subject:
    subject = Subject("transcript", "Transcripts: which lines are damaged.")
    header, first, second, third = good = lines(*(entry(number) for number in range(1, 4)))

    def case(about: str, requirements: str, text: bytes | list[bytes], wanted: list[int], kills: str = "") -> None:
        whole = text if isinstance(text, bytes) else b"".join(text)
        vector = subject.ok(about, requirements, "transcript", {"text": b64(whole)}, {"damaged": wanted})
        if kills:
            vector["kills"] = kills

    def relinked(line: bytes, before: str = "", **members: Any) -> bytes:
        """A line with other members; with ``before`` also a new link after that one."""
        value = json.loads(line) | members
        del value["link"]
        link = linked(before, value) if before else value | {"link": json.loads(line)["link"]}
        return canonical(link) + b"\n"

    def link_of(line: bytes) -> str:
        return str(json.loads(line)["link"])

    case("a header and three entries", "TR-1 TR-4 TR-5", good, [])
    case("a header alone", "TR-1 TR-4 TR-5", [header], [])
    direct = entry(1, plane="direct", room="", event_id="", event="not json \u2028 \x07")
    case("an event of the direct plane that is no JSON", "TR-1 TR-2 TR-5", lines(direct), [])
    case("an event changed", "TR-4 TR-5", [header, relinked(first, event="other"), second, third], [2], "links-unread")
    case(
        "an event changed, and its link with it",
        "TR-4 TR-5",
        [header, relinked(first, link_of(header), event="other"), second, third],
        [3],
        "links-stand-alone",
    )
    case(
        "a moment changed in the last line",
        "TR-4 TR-5",
        [header, first, second, relinked(third, received_ms=1)],
        [4],
        "links-unread",
    )
    case(
        "the header changed",
        "TR-4 TR-5",
        [relinked(header, created_ms=1), first, second, third],
        [1],
        "all-after-are-blamed",
    )
    case("a line left out", "TR-4 TR-5", [header, first, third], [3], "links-stand-alone")
    case("a line twice", "TR-4 TR-5", [header, first, first, second, third], [3], "links-stand-alone")
    case("two lines in another order", "TR-3 TR-4 TR-5", [header, second, first, third], [2, 3, 4], "links-unread")
    case("the last line cut off", "TR-5", [header, first, second], [])
    case(
        "the last line without line feed",
        "TR-1 TR-5",
        [header, first, second, third[:-1]],
        [4],
        "last-line-need-not-end",
    )
    case("half of the last line", "TR-1 TR-5", [header, first, second, third[:40]], [4], "half-lines-left-out")
    case("no line at all", "TR-5", b"", [1], "empty-is-fine")
    case("a line feed alone", "TR-1 TR-5", b"\n", [1])
    case("no header", "TR-1 TR-5", [first, second, third], [1], "the-line-after-is-blamed")
    case("the header twice", "TR-1 TR-5", [header, header, first, second], [2], "the-line-after-is-blamed")
    case(
        "a line that is no JSON: the next link is taken as it stands",
        "TR-5",
        [header, b"{\n", second, third],
        [2],
        "the-line-after-is-blamed",
    )
    case("two lines that are no JSON", "TR-5", [header, b"{\n", b"[]\n", third], [2, 3], "the-line-after-is-blamed")
    case("an empty line", "TR-1 TR-5", [header, first, b"\n", second, third], [3], "the-line-after-is-blamed")
    case(
        "bytes that are no UTF-8",
        "TR-1 TR-5",
        [header, first[:-3] + b"\xff" + first[-2:], second, third],
        [2],
        "the-line-after-is-blamed",
    )
    case(
        "a space in a line",
        "TR-1 TR-5",
        [header, first.replace(b'","', b'", "', 1), second, third],
        [2],
        "lines-need-not-be-canonical",
    )
    case(
        "lines that end as on Windows",
        "TR-1 TR-5",
        [line[:-1] + b"\r\n" for line in good],
        [1, 2, 3, 4],
        "lines-need-not-be-canonical",
    )
    case("a byte order mark", "TR-1 TR-5", [b"\xef\xbb\xbf" + header, first], [1], "the-line-after-is-blamed")
    case("an entry with another member", "TR-1 TR-5", lines(entry(1, note="x"), entry(2)), [2], "lines-are-open")
    case("an entry of another plane", "TR-1 TR-5", lines(entry(1, plane="bulk"), entry(2)), [2], "words-unread")
    case(
        "an entry whose transport is too long",
        "TR-1 TR-5",
        lines(entry(1, transport="x" * 65), entry(2)),
        [2],
        "lengths-unread",
    )
    late = HEADER | {"clawnet_transcript": "2"}
    case(
        "a header of another version",
        "TR-1 TR-5",
        [canonical(linked("", late)) + b"\n", canonical(linked(linked("", late)["link"], entry(1))) + b"\n"],
        [1],
        "words-unread",
    )
    broken = [header, relinked(first, event="other"), b"nothing\n", third[:-1]]
    case("several damages", "TR-5", broken, [2, 3, 4], "last-line-need-not-end")
    short = canonical(json.loads(first) | {"link": link_of(first)[:-1]}) + b"\n"
    case(
        "a link that is too short: it is not an entry",
        "TR-1 TR-5",
        [header, short, second, third],
        [2],
        "the-line-after-is-blamed",
    )
    return subject
