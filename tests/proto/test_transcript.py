"""Transcripts: whatever is changed in one is found (spec/11-transcript.md)."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawnet_proto.errors import TranscriptError
from clawnet_proto.signing import digest
from clawnet_proto.transcript import Entry, Header, Writer, read
from tests.proto.authoring import NOW_MS, ROOM, Author, canonical_text
from tests.proto.samples import announce

RECORDER = "matrix:u/recorder:example.org"


def entry(number: int, **changes: Any) -> dict[str, Any]:
    author = Author("alice")
    carrier = author.carrier(announce(author, revision=number))
    return {
        "transport": "matrix",
        "plane": "room",
        "room": ROOM,
        "sender": author.address,
        "event_id": f"$event{number}",
        "event": '{"content": {"claw":' + carrier.decode() + "}}",
        "received_ms": NOW_MS + number,
    } | changes


def written(*entries: dict[str, Any]) -> list[bytes]:
    writer = Writer()
    return [writer.header(created_ms=NOW_MS, recorder=RECORDER), *(writer.entry(**entry) for entry in entries)]


# Short, so that every byte of it can be tried.
SMALL = written(*(entry(number, event=f'{{"n":{number},"é":"\\u0000"}}') for number in (1, 2, 3)))


def bad_lines(lines: list[bytes]) -> list[int]:
    found = []
    for number, record in read(lines):
        if isinstance(record, TranscriptError):
            assert record.line == number
            found.append(number)
    return found


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a file, as reading it gives them."""
    return list(io.BytesIO(data))


def test_what_was_written_is_read_again() -> None:
    entries = [entry(number) for number in (1, 2, 3)]
    (first, header), *rest = read(written(*entries))
    assert first == 1
    assert isinstance(header, Header)
    assert (header.created_ms, header.recorder) == (NOW_MS, RECORDER)
    for expected, (number, record) in zip(enumerate(entries, 2), rest, strict=True):
        assert isinstance(record, Entry)
        assert (number, {name: getattr(record, name) for name in expected[1]}) == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=64)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**53 - 1))))
def test_any_event_comes_back_unchanged(events: list[tuple[str, str, str, int]]) -> None:
    entries = [
        entry(1, transport=transport, sender=sender, event_id=sender, event=event, received_ms=received_ms)
        for transport, sender, event, received_ms in events
    ]
    lines = written(*entries)
    read_again = [record for _, record in read(lines_of(b"".join(lines)))][1:]
    assert [record.event for record in read_again if isinstance(record, Entry)] == [event for _, _, event, _ in events]


def test_the_links_are_those_of_the_specification() -> None:
    previous = ""
    for line in SMALL:
        record = json.loads(line)
        unlinked = canonical_text(record | {"link": ""})
        previous = digest(f"{previous}\n{unlinked}".encode())
        assert record["link"] == previous


def test_every_flipped_bit_is_found_where_it_is() -> None:
    data = b"".join(SMALL)
    for at in range(len(data)):
        line = data[:at].count(b"\n") + 1
        for bit in (1, 2, 32, 128):
            bad = bad_lines(lines_of(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]))
            assert bad, (at, bit)
            assert bad[0] == line
            # Only a changed link is seen in the next line too; a line feed more or less moves the others.
            assert len(bad) <= 2 or data[at : at + 1] == b"\n"


def test_every_removed_and_every_added_byte_is_found() -> None:
    data = b"".join(SMALL)
    for at in range(len(data)):
        for changed in (data[:at] + data[at + 1 :], data[:at] + b" " + data[at:], data[:at] + b"\n" + data[at:]):
            assert bad_lines(lines_of(changed)), at


def test_a_lost_a_moved_a_doubled_line_is_found() -> None:
    for at in range(len(SMALL) - 1):
        assert bad_lines(SMALL[:at] + SMALL[at + 1 :]) == [at + 1]
    for first, second in itertools.combinations(range(len(SMALL)), 2):
        swapped = list(SMALL)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        assert bad_lines(swapped)[0] == first + 1
    for at in range(len(SMALL)):
        assert bad_lines(SMALL[: at + 1] + SMALL[at:])[0] == at + 2


def test_a_cut_is_found_unless_it_falls_between_lines() -> None:
    """What was never written cannot be missed: lines cut off at the end leave no trace."""
    data = b"".join(SMALL)
    for length in range(1, len(data)):
        cut = lines_of(data[:length])
        assert bad_lines(cut) == ([] if data[:length].endswith(b"\n") else [len(cut)])
    assert bad_lines([]) == [1]


def test_a_forged_line_is_found() -> None:
    other = written(entry(7), entry(1), entry(2), entry(3))
    for at in range(1, len(SMALL)):
        assert bad_lines([*SMALL[:at], other[at + 1], *SMALL[at + 1 :]])[0] == at + 1
        assert bad_lines([*SMALL[:at], other[at + 1], *SMALL[at:]])[0] == at + 1


def test_a_bad_line_hides_no_other() -> None:
    lines = [SMALL[0], b"not JSON\n", SMALL[2], SMALL[3].replace(b"event3", b"event4")]
    assert bad_lines(lines) == [2, 4]
    records = [record for _, record in read(lines)]
    assert isinstance(records[2], Entry)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'"\xff"\n',
        b"\xef\xbb\xbf" + SMALL[1],
        b" " + SMALL[1],
        SMALL[1][:-1] + b"\r\n",
        SMALL[1].replace(b'"event_id"', b'"event_ID"'),
        SMALL[1].replace(b'"room"', b'"room":"","room"'),
        SMALL[1].replace(b'"plane":"room"', b'"plane":"bulk"'),
        SMALL[1].replace(b'"received_ms":', b'"received_ms":-'),
        SMALL[1].replace(b'"plane":"room"', b'"plane":"\\u0072oom"'),
        SMALL[1].replace(b'"received_ms":%d' % (NOW_MS + 1), b'"received_ms":%d.0' % (NOW_MS + 1)),
        json.dumps(dict(reversed(json.loads(SMALL[1]).items())), separators=(",", ":")).encode() + b"\n",
        SMALL[1].replace(b"matrix", b"m" * 65, 1),
        SMALL[0],
        b"[" * 100_000 + b"\n",
        SMALL[1].replace(b"$event1", b"$" * (1 << 20)),
    ],
    ids=lambda line: ascii(line[:24]),
)
def test_a_line_that_is_no_entry_is_named(line: bytes) -> None:
    assert bad_lines([SMALL[0], line, SMALL[2], SMALL[3]]) == [2]
