"""The one way a command writes. Names, texts and errors hold what others said: none of it may steer a terminal."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple, TextIO

import msgspec


class Painted(NamedTuple):
    """Text with a colour (an SGR number), which shows only where somebody looks."""

    colour: str
    text: str


def printable(text: str) -> str:
    """Text without control characters, direction overrides and line breaks."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)


def write(stream: TextIO, *pieces: str | Painted) -> None:
    """Write pieces of one line, at once."""
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    for piece in pieces:
        painted = piece if isinstance(piece, Painted) else Painted("", piece)
        text = printable(painted.text)
        stream.write(f"\x1b[{painted.colour}m{text}\x1b[0m" if colour and painted.colour else text)
    stream.flush()


def write_line(stream: TextIO, *pieces: str | Painted) -> None:
    """Write one line."""
    write(stream, *pieces)
    stream.write("\n")
    stream.flush()


def write_json(stream: TextIO, value: Any) -> None:
    """Write one JSON object as a line: for a program byte for byte, for a terminal with escapes."""
    data = msgspec.json.encode(value, enc_hook=str)
    if stream.isatty():
        stream.write("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in data.decode()) + "\n")
    else:
        stream.flush()
        stream.buffer.write(data + b"\n")
    stream.flush()
