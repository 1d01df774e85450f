"""A model file as an engine needs it: where it is, what it says of itself, and its digest."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bots.engines.digest import file_digest
from bots.engines.gguf import GgufError, Header, read_header
from bots.errors import EngineError


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF file that holds one whole model."""

    path: Path
    header: Header
    digest: str  # "sha256:<64 hex digits>"


def read_model_file(path: Path) -> ModelFile:
    """Read a model's facts. Blocks: a new file's digest takes about a second for each gigabyte.

    Raises EngineError ``engine.model_missing`` or ``engine.bad_model``.
    """
    try:
        return ModelFile(path=path.absolute(), header=read_header(path), digest=file_digest(path))
    except FileNotFoundError:
        raise EngineError(
            "engine.model_missing",
            f"There is no model file {path}.",
            "Give the path of a GGUF file, or none for the packaged model.",
        ) from None
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise EngineError(
            "engine.model_missing",
            f"The model file {path} cannot be read: {reason}.",
            "Give the path of a GGUF file that this user may read.",
        ) from error
    except GgufError as error:
        raise EngineError(
            "engine.bad_model",
            f"{path} is not a model that llama.cpp can load. {error}",
            "Give the path of a whole GGUF file.",
            retryable=False,
        ) from error
