"""Transcripts: what a peer received, kept so that anyone can verify it later (spec/11-transcript.md).

JSON lines in canonical text. The first line is a header; every line carries a link, the digest of the link
before it and of its own content, so that a changed character, a lost line or a changed order is found even
where no signature reaches. The raw event travels as text, byte for byte what the transport gave.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from clawnet_proto import canonical
from clawnet_proto.errors import ProtocolError, TranscriptError
from clawnet_proto.signing import digest
from clawnet_proto.wire import Digest, Millis, Record

FORMAT = "1"
_LINE_BYTES = 1 << 23


class Header(Record, frozen=True, kw_only=True):
    """The first line."""

    clawnet_transcript: Literal["1"]
    created_ms: Millis
    recorder: Annotated[str, Meta(max_length=300)]  # the address that received what follows
    link: Digest


class Entry(Record, frozen=True, kw_only=True):
    """One raw event and what the transport vouched for."""

    transport: Annotated[str, Meta(max_length=64)]
    plane: Literal["room", "direct"]
    room: Annotated[str, Meta(max_length=300)]
    sender: Annotated[str, Meta(max_length=300)]
    event_id: Annotated[str, Meta(max_length=300)]
    event: str
    received_ms: Millis
    link: Digest


_encode = msgspec.json.Encoder(order="sorted").encode
_DECODERS: Mapping[type[Record], Any] = {kind: msgspec.json.Decoder(kind).decode for kind in (Header, Entry)}


def _link(previous: str, record: Record) -> str:
    return digest(previous.encode() + b"\n" + _encode(msgspec.structs.replace(record, link="")))


class Writer:
    """Makes the lines of one transcript, newline included."""

    def __init__(self) -> None:
        self._previous = ""

    def header(self, *, created_ms: int, recorder: str) -> bytes:
        return self._line(Header(clawnet_transcript="1", created_ms=created_ms, recorder=recorder, link=""))

    def entry(
        self,
        *,
        transport: str,
        plane: Literal["room", "direct"],
        room: str,
        sender: str,
        event_id: str,
        event: str,
        received_ms: int,
    ) -> bytes:
        return self._line(
            Entry(
                transport=transport,
                plane=plane,
                room=room,
                sender=sender,
                event_id=event_id,
                event=event,
                received_ms=received_ms,
                link="",
            )
        )

    def _line(self, record: Record) -> bytes:
        self._previous = _link(self._previous, record)
        return _encode(msgspec.structs.replace(record, link=self._previous)) + b"\n"


def read(lines: Iterable[bytes]) -> Iterator[tuple[int, Header | Entry | TranscriptError]]:
    """Every line with its number: its record, or what is wrong with it. Reading goes on after a bad line.

    A line whose content fits the line before it but not its own link is named once; the lines after it are
    checked against the link it carries.
    """
    previous = ""
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            record = _read_line(line, Header if number == 1 else Entry)
        except TranscriptError as error:
            yield number, TranscriptError(number, error.detail)
            previous = "?"
            continue
        link = str(record.link)
        if previous != "?" and _link(previous, record) != link:
            yield number, TranscriptError(number, "the line, or the one before it, was changed, added or lost")
        else:
            yield number, record
        previous = link
    if number == 0:
        yield 1, TranscriptError(1, "the transcript is empty")


def _read_line(line: bytes, kind: type[Header] | type[Entry]) -> Header | Entry:
    if not line.endswith(b"\n"):
        raise TranscriptError(0, "the line is cut off")
    if len(line) > _LINE_BYTES:
        raise TranscriptError(0, "the line is too long")
    text = line[:-1]
    try:
        record: Header | Entry = _DECODERS[kind](text)
        # What differs from its own encoding is not canonical: read the slow way, which names the fault.
        if _encode(record) == text:
            return record
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return msgspec.convert(canonical.parse(text.decode("utf-8")), kind)
    except ProtocolError as error:
        raise TranscriptError(0, str(error)) from None
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise TranscriptError(0, f"not a transcript line: {error}") from None
