"""What a GGUF file says of itself: a strict reader of its header, without loading the model.

The layout is that of the GGUF specification, versions 2 and 3, little-endian: magic, version, number of
tensors, number of key-value pairs, then the pairs. Arrays (a vocabulary has hundreds of thousands of
entries) are stepped over, never kept.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path

import msgspec

Scalar = str | int | float | bool

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_PAIRS = 100_000
MAX_KEY_BYTES = 65_535
MAX_ARRAY_DEPTH = 4

_STRING, _ARRAY, _BOOL = 8, 9, 7
_FORMATS: Mapping[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    _BOOL: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32 = _FORMATS[4]
_U64 = _FORMATS[10]

# llama.cpp's names for `general.file_type`: how most of the weights are stored.
_QUANTIZATIONS: Mapping[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
}
_GUESSED = 1024  # a flag that llama.cpp adds when the file did not say


class GgufError(ValueError):
    """This is not a GGUF file that holds one whole model. The text says why, in one sentence."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a model that its file states."""

    architecture: str
    title: str  # for people, e.g. "Gemma 3 270m"; "" if the file does not say
    context_tokens: int  # what the model was trained for
    quantization: str  # e.g. "Q4_K_M"; "" if the file does not say
    has_chat_template: bool
    has_pooling: bool  # made for embeddings: states how token vectors become one


class _Cursor:
    """A position in the bytes of a header; every read is checked against their end."""

    def __init__(self, data: mmap.mmap | bytes) -> None:
        self._data = data
        self._size = len(data)
        self._at = 0

    def skip(self, count: int) -> None:
        if count > self._size - self._at:
            raise GgufError("The file ends in the middle of its header.")
        self._at += count

    def take(self, count: int) -> bytes:
        start = self._at
        self.skip(count)
        return self._data[start : self._at]

    def number(self, layout: struct.Struct) -> int | float:
        start = self._at
        self.skip(layout.size)
        value: int | float = layout.unpack_from(self._data, start)[0]
        return value

    def count(self, layout: struct.Struct) -> int:
        return int(self.number(layout))

    def string(self, max_bytes: int | None = None) -> str:
        size = self.count(_U64)
        if max_bytes is not None and size > max_bytes:
            raise GgufError("The header holds a key that is too long.")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise GgufError("The header holds text that is not UTF-8.") from None

    def skip_array(self, depth: int = 1) -> None:
        if depth > MAX_ARRAY_DEPTH:
            raise GgufError("The header holds arrays nested too deeply.")
        kind, length = self.count(_U32), self.count(_U64)
        if kind in _FORMATS:
            self.skip(length * _FORMATS[kind].size)
        elif kind == _STRING:
            for _ in range(length):
                self.skip(self.count(_U64))
        elif kind == _ARRAY:
            for _ in range(length):
                self.skip_array(depth + 1)
        else:
            raise GgufError(f"The header holds values of the unknown kind {kind}.")

    def value(self) -> Scalar | None:
        """The next value; None for an array."""
        kind = self.count(_U32)
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            self.skip_array()
            return None
        if kind not in _FORMATS:
            raise GgufError(f"The header holds a value of the unknown kind {kind}.")
        number = self.number(_FORMATS[kind])
        return bool(number) if kind == _BOOL else number


def read_metadata(data: mmap.mmap | bytes) -> dict[str, Scalar | None]:
    """The header's key-value pairs, in their order; arrays are None. Raises GgufError."""
    cursor = _Cursor(data)
    if bytes(data[:4]) != MAGIC:
        raise GgufError("The file does not begin as a GGUF file does.")
    cursor.skip(len(MAGIC))
    version = cursor.count(_U32)
    if version not in VERSIONS:
        raise GgufError(f"The file has GGUF version {version}; versions 2 and 3 (little-endian) are known.")
    cursor.skip(_U64.size)  # the number of tensors
    pairs = cursor.count(_U64)
    if pairs > MAX_PAIRS:
        raise GgufError("The header claims too many entries.")
    metadata: dict[str, Scalar | None] = {}
    for _ in range(pairs):
        key = cursor.string(MAX_KEY_BYTES)
        if key in metadata:
            raise GgufError(f"The header states {key[:80]!r} twice.")
        metadata[key] = cursor.value()
    return metadata


def read_header(path: Path) -> Header:
    """The facts of the model in ``path``. Raises GgufError, and OSError if it cannot be read."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise GgufError("The file is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            metadata = read_metadata(data)
    architecture = _text(metadata, "general.architecture")
    if not architecture:
        raise GgufError("The header does not state the model's architecture.")
    if isinstance(parts := metadata.get("split.count"), int) and parts > 1:
        raise GgufError(f"The model is split over {parts} files; join them with llama-gguf-split --merge.")
    context = metadata.get(f"{architecture}.context_length")
    if not isinstance(context, int) or context < 1:
        raise GgufError("The header states no context length: the file is not a language model.")
    file_type = metadata.get("general.file_type")
    return Header(
        architecture=architecture,
        title=_text(metadata, "general.name"),
        context_tokens=context,
        quantization=_QUANTIZATIONS.get(file_type & ~_GUESSED, "") if isinstance(file_type, int) else "",
        has_chat_template=bool(_text(metadata, "tokenizer.chat_template")),
        has_pooling=f"{architecture}.pooling_type" in metadata,
    )


def _text(metadata: Mapping[str, Scalar | None], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""
