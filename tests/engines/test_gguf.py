"""The reader of GGUF headers: what it reads, and that nothing makes it do worse than raise GgufError."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.engines.gguf import GgufError, Header, read_header, read_metadata

U32, F32, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def pair(key: str, kind: int, value: bytes) -> bytes:
    return string(key.encode()) + struct.pack("<I", kind) + value


def array(kind: int, length: int, items: bytes) -> bytes:
    return struct.pack("<IQ", kind, length) + items


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def gguf(*pairs: bytes, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)


ARCHITECTURE = pair("general.architecture", STRING, string(b"llama"))
CONTEXT = pair("llama.context_length", U32, u32(4096))
WHOLE = gguf(
    ARCHITECTURE,
    CONTEXT,
    pair("general.name", STRING, string("Llämchen".encode())),
    pair("general.file_type", U32, u32(1024 + 7)),
    pair("llama.rope.scale", F32, struct.pack("<f", 0.5)),
    pair("tokenizer.tokens", ARRAY, array(STRING, 2, string(b"a") + string(b"\xff"))),
    pair("tokenizer.scores", ARRAY, array(F32, 2, bytes(8))),
    pair("nested", ARRAY, array(ARRAY, 2, array(U64, 1, bytes(8)) + array(STRING, 0, b""))),
    pair("tokenizer.add_bos", BOOL, b"\x01"),
    pair("tokenizer.chat_template", STRING, string(b"{{ messages }}")),
    pair("llama.pooling_type", U32, u32(1)),
)


def test_metadata_keeps_scalars_and_steps_over_arrays() -> None:
    metadata = read_metadata(WHOLE)
    assert metadata["llama.rope.scale"] == 0.5
    assert metadata["tokenizer.add_bos"] is True
    assert metadata["tokenizer.tokens"] is None
    assert metadata["nested"] is None
    assert list(metadata)[-1] == "llama.pooling_type"


def test_a_header_states_the_models_facts(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE + b"tensors")
    assert read_header(path) == Header(
        architecture="llama",
        title="Llämchen",
        context_tokens=4096,
        quantization="Q8_0",
        has_chat_template=True,
        has_pooling=True,
    )


def test_what_a_file_does_not_say_is_left_empty(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(CONTEXT, ARCHITECTURE, pair("general.file_type", U32, u32(999)), version=2))
    header = read_header(path)
    assert (header.title, header.quantization) == ("", "")
    assert not header.has_chat_template
    assert not header.has_pooling


def test_the_packaged_model(model_path: Path) -> None:
    assert read_header(model_path) == Header(
        architecture="gemma3",
        title="Gemma 3 270m",
        context_tokens=32768,
        quantization="Q4_K_M",
        has_chat_template=False,
        has_pooling=False,
    )


@pytest.mark.parametrize(
    "content,reason",
    [
        (b"", "empty"),
        (b"GGU", "does not begin"),
        (gguf(ARCHITECTURE, magic=b"GGJT"), "does not begin"),
        (gguf(ARCHITECTURE, version=1), "version 1"),
        (struct.pack(">4sI", b"GGUF", 3) + bytes(16), "little-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40), "too many"),
        (gguf(ARCHITECTURE, ARCHITECTURE, CONTEXT), "twice"),
        (gguf(CONTEXT), "architecture"),
        (gguf(ARCHITECTURE), "context length"),
        (gguf(ARCHITECTURE, pair("llama.context_length", STRING, string(b"4096"))), "context length"),
        (gguf(ARCHITECTURE, CONTEXT, pair("split.count", U32, u32(3))), "split over 3"),
        (gguf(pair("x", 13, b"")), "unknown kind 13"),
        (gguf(pair("x", ARRAY, array(99, 1, b""))), "unknown kind 99"),
        (gguf(pair("x", STRING, string(b"\xff"))), "UTF-8"),
        (gguf(pair("k" * 70_000, U32, u32(1))), "too long"),
        (gguf(pair("x", ARRAY, array(ARRAY, 1, b"") * 50)), "nested"),
        (gguf(pair("x", ARRAY, array(U64, 1 << 60, b""))), "ends in the middle"),
        (gguf(pair("x", ARRAY, array(STRING, 1 << 60, b""))), "ends in the middle"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufError, match=reason):
        read_header(path)


@pytest.mark.parametrize("size", range(0, len(WHOLE), 7))
def test_every_cut_is_noticed(size: int) -> None:
    with pytest.raises(GgufError):
        read_metadata(WHOLE[:size])


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=9))
def test_whatever_the_bytes_it_reads_or_raises_gguf_error(at: int, bytes_: bytes) -> None:
    mutated = WHOLE[:at] + bytes_ + WHOLE[at + len(bytes_) :]
    try:
        metadata = read_metadata(mutated)
    except GgufError:
        return
    assert all(isinstance(key, str) for key in metadata)
