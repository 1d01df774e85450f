"""The Ollama engine against a server that speaks Ollama's documented API, faults included.

What was not tried is a real Ollama server: none can be had where these tests run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bots.engines import Message, Sampling
from bots.engines.ollama import OllamaEngine, available, server_url
from bots.errors import ConfigError, EngineError
from bots.homeserver.configuration import free_port
from tests.engines.generation import TIMEOUT_S, completed, failed
from tests.engines.ollama_server import WEIGHTS, OllamaServer, shown

MODEL = "llama3.2:latest"
SAMPLING = Sampling(max_tokens=32)


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    async with OllamaServer() as server:
        yield server


@pytest.fixture
async def engine(server: OllamaServer) -> AsyncIterator[OllamaEngine]:
    engine = OllamaEngine(server.url)
    await engine.start()
    yield engine
    await engine.close()


async def test_models_are_described_by_what_the_server_shows(server: OllamaServer, engine: OllamaEngine) -> None:
    server.models = {
        "chatty:1b": shown(capabilities=["completion", "thinking"], context_length=1024),
        "base:1b": shown(template="{{ .Prompt }}", capabilities=["completion"]),
        "embedder:latest": shown(template="{{ .Prompt }}", capabilities=["embedding"]),
        "old:latest": shown(),
        "old-embedder:latest": shown(template="", info={"bert.pooling_type": 1}),
        "elsewhere:120b-cloud": shown(weights="", capabilities=["completion"]),
    }
    models = {model.name: model for model in await engine.models()}
    assert list(models) == ["base:1b", "chatty:1b", "embedder:latest", "old-embedder:latest", "old:latest"]
    assert {model.engine for model in models.values()} == {"ollama"}
    assert {model.digest for model in models.values()} == {f"sha256:{WEIGHTS}"}
    assert {model.quantization for model in models.values()} == {"Q4_0"}
    assert [model.chat for model in models.values()] == [False, True, False, False, True]
    assert [model.embed for model in models.values()] == [False, False, True, True, False]
    assert models["chatty:1b"].context_tokens == 1024
    assert models["base:1b"].context_tokens == 4096


async def test_a_model_is_asked_about_once_until_its_digest_changes(server: OllamaServer, engine: OllamaEngine) -> None:
    assert await engine.models() == await engine.models()
    assert [name for name, _ in server.requests] == ["show"]


async def test_generate_streams_a_raw_prompt(server: OllamaServer, engine: OllamaEngine) -> None:
    sampling = Sampling(max_tokens=7, temperature_milli=0, seed=3, stop=("\n", "Q:"))
    pieces, completion = await completed(engine.generate(MODEL, "Why is the sky blue?", sampling, timeout_s=TIMEOUT_S))
    assert pieces == server.words
    assert completion.text == "The sky is blue."
    assert (completion.finish, completion.prompt_tokens, completion.output_tokens) == ("stop", 26, 5)
    name, body = server.requests[-1]
    assert (name, body["model"], body["prompt"], body["raw"]) == (
        "generate",
        MODEL,
        "Why is the sky blue?",
        True,
    )
    assert body["options"] == {
        "num_ctx": 4096,
        "num_predict": 7,
        "temperature": 0.0,
        "top_k": 1,
        "top_p": 1.0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "seed": 3,
        "stop": ["\n", "Q:"],
    }


async def test_text_beyond_ascii_arrives_whole(server: OllamaServer, engine: OllamaEngine) -> None:
    server.words = ["naïve ", "日本", " 😀", "\u2028end"]
    pieces, completion = await completed(engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S))
    assert pieces == server.words
    assert completion.text == "naïve 日本 😀\u2028end"


async def test_finish_tells_that_max_tokens_were_reached(server: OllamaServer, engine: OllamaEngine) -> None:
    server.done_reason = "length"
    _, completion = await completed(engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S))
    assert completion.finish == "length"


async def test_chat_uses_the_models_template_and_does_not_think_aloud(
    server: OllamaServer, engine: OllamaEngine
) -> None:
    server.models[MODEL] = shown(capabilities=["completion", "thinking"])
    await engine.models()
    messages = [Message("system", "Be brief."), Message("user", "Why?")]
    pieces, completion = await completed(engine.chat(MODEL, messages, SAMPLING, timeout_s=TIMEOUT_S))
    assert "".join(pieces) == completion.text == "The sky is blue."
    name, body = server.requests[-1]
    assert (name, body["think"]) == ("chat", False)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
    ]


async def test_embed_gives_a_vector_for_each_text(engine: OllamaEngine) -> None:
    vectors = await engine.embed(MODEL, ["hello", "hi"], timeout_s=TIMEOUT_S)
    assert vectors == [[5.0, 0.5, -1.25], [2.0, 0.5, -1.25]]


async def test_a_text_too_long_to_embed_is_an_error(engine: OllamaEngine) -> None:
    with pytest.raises(EngineError) as caught:
        await engine.embed(MODEL, ["x" * 2000], timeout_s=TIMEOUT_S)
    assert (caught.value.code, caught.value.retryable) == ("engine.prompt_too_long", False)


async def test_a_prompt_that_the_server_cut_is_an_error(server: OllamaServer, engine: OllamaEngine) -> None:
    server.prompt_tokens = 4096
    error = await failed(engine.generate(MODEL, "x " * 9000, SAMPLING, timeout_s=TIMEOUT_S))
    assert (error.code, error.retryable) == ("engine.prompt_too_long", False)


@pytest.mark.parametrize("kind", ["generate", "chat", "embed"])
async def test_a_missing_model_says_how_to_get_it(engine: OllamaEngine, kind: str) -> None:
    with pytest.raises(EngineError) as caught:
        if kind == "embed":
            await engine.embed("absent:7b", ["x"], timeout_s=TIMEOUT_S)
        elif kind == "chat":
            await completed(engine.chat("absent:7b", [Message("user", "x")], SAMPLING, timeout_s=TIMEOUT_S))
        else:
            await completed(engine.generate("absent:7b", "x", SAMPLING, timeout_s=TIMEOUT_S))
    assert caught.value.code == "engine.model_missing"
    assert "ollama pull absent:7b" in caught.value.hint


@pytest.mark.parametrize(
    "fault,code",
    [
        ("out of memory", "engine.out_of_memory"),
        ("error line", "engine.failed"),
        ("not json", "engine.failed"),
        ("not an object", "engine.failed"),
        ("end early", "engine.failed"),
        ("disconnect", "engine.unreachable"),
    ],
)
async def test_each_fault_has_its_code_and_the_next_call_works(
    server: OllamaServer, engine: OllamaEngine, fault: str, code: str
) -> None:
    server.fault = fault
    error = await failed(engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S))
    assert (error.code, error.retryable) == (code, True)
    assert error.message.isprintable()
    server.fault = ""
    _, completion = await completed(engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S))
    assert completion.text == "The sky is blue."
    assert engine.health.running == 0


async def test_a_stall_ends_in_a_timeout_and_stops_the_server(server: OllamaServer, engine: OllamaEngine) -> None:
    server.fault = "stall"
    error = await failed(engine.generate(MODEL, "x", SAMPLING, timeout_s=0.2))
    assert (error.code, error.retryable) == ("engine.timeout", True)
    await server.left.wait()
    assert engine.health.running == 0


async def test_leaving_a_generation_stops_the_server(server: OllamaServer, engine: OllamaEngine) -> None:
    server.fault = "stall"
    stream = engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S)
    assert await anext(stream) == "The"
    await stream.aclose()
    await server.left.wait()
    assert engine.health.running == 0


async def test_canceling_a_task_stops_the_server(server: OllamaServer, engine: OllamaEngine) -> None:
    server.fault = "stall"
    stream = engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S)
    assert [await anext(stream), await anext(stream)] == ["The", " sky"]
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.left.wait()
    assert engine.health.running == 0


async def test_slots_bound_what_runs_at_once(server: OllamaServer) -> None:
    engine = OllamaEngine(server.url, slots=2)
    await engine.start()
    server.fault = "stall"
    answers = asyncio.gather(*(completed(engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S)) for _ in range(5)))
    await server.two_running.wait()
    assert (engine.health.running, engine.health.waiting) == (2, 3)
    server.went_on.set()
    completions = [completion for _, completion in await answers]
    assert server.most_running == 2
    assert {completion.text for completion in completions} == {"The sky is blue."}
    assert all(completion.queued_ms >= 0 for completion in completions)
    await engine.close()


async def test_no_server_is_one_clear_sentence() -> None:
    engine = OllamaEngine(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(EngineError) as caught:
        await engine.start()
    assert caught.value.code == "engine.unreachable"
    assert "ollama serve" in caught.value.hint
    assert engine.health.state == "stopped"


async def test_a_server_that_goes_away_is_reported_and_found_again(server: OllamaServer) -> None:
    engine = OllamaEngine(server.url)
    await engine.start()
    await server.__aexit__()
    error = await failed(engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S))
    assert error.code == "engine.unreachable"
    assert (engine.health.state, engine.health.detail) == ("failed", error.message)
    await engine.close()
    assert engine.health.state == "stopped"


async def test_a_stopped_engine_says_so(server: OllamaServer) -> None:
    engine = OllamaEngine(server.url)
    error = await failed(engine.generate(MODEL, "x", SAMPLING, timeout_s=TIMEOUT_S))
    assert error.code == "engine.stopped"
    await engine.close()


async def test_available_tells_a_server_from_none(server: OllamaServer) -> None:
    assert await available(server.url)
    assert not await available(f"127.0.0.1:{free_port()}")
    server.fault = "mute"
    assert not await available(server.url, timeout_s=0.1)


@pytest.mark.parametrize(
    "host,url",
    [
        (None, "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":56789", "http://127.0.0.1:56789"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("https://example.com", "https://example.com"),
        ("https://me:secret@example.com:444/ollama/", "https://example.com:444/ollama"),
    ],
)
def test_hosts_are_read_as_ollama_reads_them(host: str | None, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    assert server_url(host) == url
    if host is not None:
        monkeypatch.setenv("OLLAMA_HOST", host)
        assert server_url() == url


@pytest.mark.parametrize("host", ["ftp://example.com", "example.com:port", "http://[::1"])
def test_a_host_that_is_none_is_a_clear_error(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot be understood"):
        server_url(host)
