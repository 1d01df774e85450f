"""The embedded engine when things go wrong: dying, stuck and unstartable workers, missing and wrong files.

What cannot be had from the real llama.cpp at will, such as an abort while it loads, is done by a module
that takes its name in the worker alone.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bots.engines import Sampling, llamacpp
from bots.engines.llamacpp import LlamaCppEngine
from bots.engines.llamacpp_supervisor import RestartPolicy
from bots.errors import EngineError
from tests.engines.generation import TIMEOUT_S, completed, failed, until

SKY = "Question: Why is the sky blue?\nAnswer:"
ENDLESS = Sampling(max_tokens=1500)
SHORT = Sampling(max_tokens=4)
AT_ONCE = RestartPolicy(first_delay_s=0.0)

NewEngine = Callable[..., LlamaCppEngine]
Stub = Callable[[str], None]


@pytest.fixture
async def new_engine(model_path: Path) -> AsyncIterator[NewEngine]:
    """Make an engine, by default with the real model, that is closed after the test."""
    async with AsyncExitStack() as stack:

        def make(path: Path = model_path, *, restart: RestartPolicy = AT_ONCE, **options: float) -> LlamaCppEngine:
            engine = LlamaCppEngine(path, name="model", restart=restart, **options)  # type: ignore[arg-type]
            stack.push_async_callback(engine.close)
            return engine

        yield make


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """Put a module in xllamacpp's place in workers started from now on; its server does as the code says."""

    def put(code: str) -> None:
        tmp_path.joinpath("xllamacpp.py").write_text(
            "import os, time\n"
            "class Anything:\n"
            "    def __getattr__(self, name):\n"
            "        value = self.__dict__[name] = Anything()\n"
            "        return value\n"
            "CommonParams = llama_pooling_type = Anything\n"
            "llama_pooling_type = Anything()\n" + textwrap.dedent(code)
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return put


async def start_fails(engine: LlamaCppEngine) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await engine.start()
    assert engine.worker_pid is None
    return caught.value


async def test_a_killed_worker_is_an_error_and_then_works_again(new_engine: NewEngine) -> None:
    engine = new_engine()
    await engine.start()
    first = engine.worker_pid
    assert first is not None
    stream = engine.generate("model", SKY, ENDLESS, timeout_s=TIMEOUT_S)
    await anext(stream)
    os.kill(first, signal.SIGKILL)
    error = await failed(stream)
    assert (error.code, error.retryable) == ("engine.died", True)
    assert "memory" in error.message
    _, completion = await completed(engine.generate("model", SKY, SHORT, timeout_s=TIMEOUT_S))
    assert completion.output_tokens == 4
    assert engine.health.state == "ready"
    assert engine.health.restarts == 1
    assert engine.worker_pid not in (None, first)


async def test_a_generation_that_waits_for_its_slot_outlives_the_worker(new_engine: NewEngine) -> None:
    engine = new_engine()
    await engine.start()
    stream = engine.generate("model", SKY, ENDLESS, timeout_s=TIMEOUT_S)
    await anext(stream)
    waiting = asyncio.create_task(completed(engine.generate("model", SKY, SHORT, timeout_s=TIMEOUT_S)))
    await until(lambda: engine.health.waiting == 1)
    assert engine.worker_pid is not None
    os.kill(engine.worker_pid, signal.SIGKILL)
    assert (await failed(stream)).code == "engine.died"
    assert (await waiting)[1].output_tokens == 4


async def test_a_worker_that_dies_too_often_is_given_up_until_start(new_engine: NewEngine) -> None:
    engine = new_engine(restart=RestartPolicy(restarts=1, first_delay_s=0.0))
    await engine.start()
    for state in ("starting", "failed"):
        await until(lambda: engine.health.state == "ready")
        assert engine.worker_pid is not None
        os.kill(engine.worker_pid, signal.SIGKILL)
        await until(lambda state=state: engine.health.state == state)  # type: ignore[misc]
    assert "2 times" in engine.health.detail
    error = await failed(engine.generate("model", SKY, SHORT, timeout_s=TIMEOUT_S))
    assert (error.code, error.retryable) == ("engine.failed", True)
    await engine.start()
    assert (engine.health.state, engine.health.restarts) == ("ready", 0)


def test_deaths_wait_longer_and_longer() -> None:
    policy = RestartPolicy(first_delay_s=0.25, max_delay_s=1.5)
    assert [policy.delay_s(deaths) for deaths in range(1, 6)] == [0.25, 0.5, 1.0, 1.5, 1.5]


async def test_the_worker_goes_when_its_agent_is_killed(model_path: Path) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from bots.engines import Sampling
        from bots.engines.llamacpp import LlamaCppEngine

        async def main():
            engine = LlamaCppEngine(Path(sys.argv[1]), name="model")
            await engine.start()
            async for _ in engine.generate("model", "Once", Sampling(max_tokens=1500), timeout_s=600):
                print(engine.worker_pid, flush=True)

        asyncio.run(main())
    """
    agent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(model_path)], stdout=subprocess.PIPE, text=True
    )
    with agent:
        assert agent.stdout is not None
        worker = os.pidfd_open(int(agent.stdout.readline()))
        try:
            agent.kill()
            gone, _, _ = select.select([worker], [], [], 30)
            assert gone
        finally:
            os.close(worker)


async def test_closing_ends_the_worker_and_what_it_runs(new_engine: NewEngine) -> None:
    engine = new_engine()
    await engine.start()
    assert engine.worker_pid is not None
    worker = os.pidfd_open(engine.worker_pid)
    stream = engine.generate("model", SKY, ENDLESS, timeout_s=TIMEOUT_S)
    await anext(stream)
    await engine.close()
    await engine.close()
    assert select.select([worker], [], [], 0)[0]
    os.close(worker)
    assert engine.health.state == "stopped"
    await failed(stream)
    assert (await failed(engine.generate("model", SKY, SHORT, timeout_s=TIMEOUT_S))).code == "engine.stopped"


async def test_an_engine_that_was_never_started_says_so(new_engine: NewEngine) -> None:
    error = await failed(new_engine().generate("model", SKY, SHORT, timeout_s=TIMEOUT_S))
    assert error.code == "engine.stopped"


async def test_a_missing_file_is_named(new_engine: NewEngine, tmp_path: Path) -> None:
    error = await start_fails(new_engine(tmp_path / "absent.gguf"))
    assert error.code == "engine.model_missing"
    assert "absent.gguf" in error.message


@pytest.mark.parametrize("content", [b"", b"GGML not GGUF", b"GGUF\x03\0\0\0"])
async def test_a_file_that_is_no_model_is_refused(new_engine: NewEngine, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.gguf"
    path.write_bytes(content)
    error = await start_fails(new_engine(path))
    assert (error.code, error.retryable) == ("engine.bad_model", False)
    assert "wrong.gguf" in error.message


async def test_a_file_cut_short_is_refused_by_llamacpp(
    new_engine: NewEngine, model_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cut.gguf"
    shutil.copyfile(model_path, path)
    os.truncate(path, 40_000_000)
    engine = new_engine(path)
    error = await start_fails(engine)
    assert (error.code, error.retryable) == ("engine.bad_model", False)
    assert engine.health.state == "failed"
    assert engine.health.detail == error.message
    assert "last words of the llama.cpp worker" in caplog.text


async def test_without_xllamacpp_the_way_out_is_said(
    new_engine: NewEngine, monkeypatch: pytest.MonkeyPatch, stub: Stub
) -> None:
    stub("raise ImportError('built for another machine')")
    error = await start_fails(new_engine())
    assert error.code == "engine.package_missing"
    monkeypatch.setattr(llamacpp, "available", lambda: False)
    error = await start_fails(new_engine())
    assert error.code == "engine.package_missing"
    assert "pip install" in error.hint


async def test_too_little_memory_is_told_from_a_bad_model(
    new_engine: NewEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nulimit -v 600000\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    error = await start_fails(new_engine(context_tokens=32768))
    assert (error.code, error.retryable) == ("engine.out_of_memory", True)


async def test_an_abort_while_loading_is_told(new_engine: NewEngine, stub: Stub) -> None:
    stub("def Server(params): os.abort()")
    error = await start_fails(new_engine())
    assert (error.code, error.retryable) == ("engine.died", True)
    assert "signal 6" in error.message


async def test_loading_that_never_ends_is_given_up(new_engine: NewEngine, stub: Stub) -> None:
    stub("def Server(params): time.sleep(3600)")
    error = await start_fails(new_engine(startup_timeout_s=0.5))
    assert error.code == "engine.timeout"


async def test_what_llamacpp_prints_is_not_taken_for_an_answer(new_engine: NewEngine, stub: Stub) -> None:
    stub(
        """
        class Server:
            def __init__(self, params):
                os.write(1, b'{"type":"noise"}\\n')
            def handle_completions(self, body, callback):
                print("noise", flush=True)
                callback(b'{"choices":[{"text":"Hi","finish_reason":"stop"}],"usage":{}}')
        """
    )
    engine = new_engine()
    await engine.start()
    pieces, _ = await completed(engine.generate("model", SKY, SHORT, timeout_s=TIMEOUT_S))
    assert pieces == ["Hi"]


async def test_a_worker_that_does_not_stop_is_replaced(new_engine: NewEngine, stub: Stub) -> None:
    stub(
        """
        class Server:
            def __init__(self, params):
                pass
            def handle_completions(self, body, callback):
                callback(b'{"choices":[{"text":"Hi"}]}')
                if b"stuck" in body:
                    time.sleep(3600)
                callback(b'{"choices":[{"text":"","finish_reason":"stop"}],"usage":{}}')
        """
    )
    engine = new_engine(cancel_grace_s=0.2)
    await engine.start()
    stream = engine.generate("model", "stuck", SHORT, timeout_s=TIMEOUT_S)
    assert await anext(stream) == "Hi"
    await stream.aclose()
    assert engine.health.running == 1
    pieces, _ = await completed(engine.generate("model", "well", SHORT, timeout_s=TIMEOUT_S))
    assert pieces == ["Hi"]
    assert engine.health.restarts == 1


@pytest.mark.parametrize(
    "chunk,code",
    [
        ("""{"error":{"message":"out of memory","type":"server_error"}}""", "engine.out_of_memory"),
        ("""{"error":{"message":"x","type":"invalid_request_error"}}""", "engine.failed"),
        ("""{"choices":[]}""", "engine.failed"),
        ("not json", "engine.failed"),
    ],
)
async def test_each_fault_of_llamacpp_has_its_code(new_engine: NewEngine, stub: Stub, chunk: str, code: str) -> None:
    stub(
        f"""
        class Server:
            def __init__(self, params):
                pass
            def handle_completions(self, body, callback):
                callback(b'{chunk}')
        """
    )
    engine = new_engine()
    await engine.start()
    error = await failed(engine.generate("model", SKY, SHORT, timeout_s=TIMEOUT_S))
    assert (error.code, error.retryable) == (code, True)
    assert engine.health.state == "ready"
