"""The SHA-256 of a model file, computed once: it is kept beside the file for as long as that is unchanged."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file beside the model holds; size and time tell whether it still speaks of that file."""

    size: int
    mtime_ns: int
    sha256: str


def file_digest(path: Path) -> str:
    """``"sha256:<64 hex digits>"`` of the file's bytes. Blocks; raises OSError if it cannot be read."""
    status = path.stat()
    kept_at = path.with_name(path.name + ".sha256")
    with contextlib.suppress(OSError, msgspec.DecodeError):
        kept = msgspec.json.decode(kept_at.read_bytes(), type=_Kept)
        if (kept.size, kept.mtime_ns) == (status.st_size, status.st_mtime_ns) and _is_sha256(kept.sha256):
            return f"sha256:{kept.sha256}"
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    _keep(kept_at, _Kept(status.st_size, status.st_mtime_ns, sha256))
    return f"sha256:{sha256}"


def _is_sha256(text: str) -> bool:
    return len(text) == hashlib.sha256().digest_size * 2 and set(text) <= set("0123456789abcdef")


def _keep(kept_at: Path, kept: _Kept) -> None:
    """Keep a digest. Where nothing can be written it is computed anew each time."""
    partial = kept_at.with_name(f"{kept_at.name}.{os.getpid()}")
    try:
        partial.write_bytes(msgspec.json.encode(kept))
        partial.replace(kept_at)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
