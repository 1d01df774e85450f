"""Which engine runs the models here: the one the owner names, else the first that has a model."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from bots.engines import Engine
from bots.errors import EngineError

log = logging.getLogger(__name__)

Preference = Literal["auto", "ollama", "llamacpp", "none"]


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner may say of an engine; each engine takes what concerns it. None: its own default."""

    slots: int = 1
    context_tokens: int | None = None
    ollama_host: str | None = None  # also read from OLLAMA_HOST
    model_path: Path | None = None  # a GGUF file; None is the packaged model
    threads: int | None = None


class EngineKind(msgspec.Struct, frozen=True):
    """A row of the table: how to make an engine, and whether it could generate text here and now."""

    make: Callable[[EngineOptions], Engine]
    usable: Callable[[EngineOptions], Awaitable[bool]]


def _make_ollama(options: EngineOptions) -> Engine:
    from bots.engines.ollama import OllamaEngine

    if options.context_tokens is None:
        return OllamaEngine(options.ollama_host, options.slots)
    return OllamaEngine(options.ollama_host, options.slots, context_tokens=options.context_tokens)


async def _ollama_usable(options: EngineOptions) -> bool:
    from bots.engines import ollama

    if not await ollama.available(options.ollama_host):
        return False
    engine = _make_ollama(options)
    try:
        await engine.start()
        return any(model.chat or not model.embed for model in await engine.models())
    except EngineError as error:
        log.warning("Ollama answers but cannot be used: %s", error)
        return False
    finally:
        await engine.close()


def _make_llamacpp(options: EngineOptions) -> Engine:
    from bots.engines.llamacpp import LlamaCppEngine

    if options.context_tokens is None:
        return LlamaCppEngine(options.model_path, slots=options.slots, threads=options.threads)
    return LlamaCppEngine(
        options.model_path,
        slots=options.slots,
        threads=options.threads,
        context_tokens=options.context_tokens,
    )


async def _llamacpp_usable(options: EngineOptions) -> bool:
    from bots.engines import llamacpp, packaged_model

    return llamacpp.available() and (options.model_path is not None or packaged_model.installed())


# In the order in which "auto" tries them: what the owner runs anyway comes before what we would start.
ENGINES: Mapping[str, EngineKind] = {
    "ollama": EngineKind(_make_ollama, _ollama_usable),
    "llamacpp": EngineKind(_make_llamacpp, _llamacpp_usable),
}


async def find_engine(preference: Preference, options: EngineOptions | None = None) -> Engine | None:
    """The engine to use, not yet started; None for "none", or if "auto" finds nothing.

    An engine that the owner names is made without asking whether it is there: its ``start`` says what
    is missing.
    """
    options = options or EngineOptions()
    if preference == "none":
        return None
    if preference != "auto":
        return ENGINES[preference].make(options)
    for kind in ENGINES.values():
        if await kind.usable(options):
            return kind.make(options)
    return None
