"""The process that holds llama.cpp: ``python -m bots.engines.llamacpp_worker``, spoken to in JSON lines.

It is a process of its own because llama.cpp aborts the process it runs in when something is wrong, and
because the kernel kills whoever holds the memory when that runs out: the agent must survive both.
It ends with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from bots.engines import Sampling
from bots.engines.llamacpp_messages import (
    Cancel,
    Canceled,
    Chat,
    Command,
    Done,
    Embed,
    Failed,
    Generate,
    Load,
    Piece,
    Ready,
    Report,
    Request,
    Unloadable,
    Vector,
)

T = TypeVar("T")

TOP_K = 40
PR_SET_PDEATHSIG = 1
OOM_SCORE = "600"  # of 1000: who is killed first when memory runs out
MAX_SOCKET_PATH = 100  # bytes; the smallest limit of any system is 104


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Fault(msgspec.Struct):
    message: str = ""
    type: str = ""


class _Chunk(msgspec.Struct):
    """One event of llama.cpp's stream, OpenAI-shaped; what is not named here is of no interest."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Fault | None = None


class _Embedding(msgspec.Struct):
    embedding: list[float]


class _Embeddings(msgspec.Struct):
    data: list[_Embedding] = []
    error: _Fault | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_embeddings = msgspec.json.Decoder(_Embeddings).decode


class Worker:
    """Serves one agent: reads its commands, runs each request in a thread, writes what comes of it."""

    def __init__(self, commands: BinaryIO, reports: BinaryIO) -> None:
        self._commands = commands
        self._reports = reports
        self._writing = threading.Lock()
        self._encode = msgspec.json.Encoder().encode
        self._canceled: dict[int, threading.Event] = {}
        self._server: Any = None
        self.loaded = False

    def serve(self) -> None:
        """Until the agent closes its end."""
        decode = msgspec.json.Decoder(Command).decode
        for line in self._commands:
            command = decode(line)
            if isinstance(command, Load):
                self._spawn(self._load, command)
            elif isinstance(command, Cancel):
                if command.id in self._canceled:
                    self._canceled[command.id].set()
            else:
                self._canceled[command.id] = threading.Event()
                self._spawn(self._run, command)

    def _spawn(self, work: Callable[[T], None], command: T) -> None:
        threading.Thread(target=work, args=(command,), daemon=True).start()

    def _report(self, report: Report) -> None:
        line = self._encode(report) + b"\n"
        try:
            with self._writing:
                self._reports.write(line)
                self._reports.flush()
        except OSError:
            os._exit(0)

    def _load(self, load: Load) -> None:
        try:
            self._server = _start_server(load)
        except ImportError:
            self._report(
                Unloadable(
                    "engine.package_missing",
                    "The package xllamacpp is not installed, or not for this kind of machine.",
                    "Install it with: pip install 'clawnet-mesh[embedded]'",
                )
            )
        except MemoryError:
            self._report(Unloadable("engine.out_of_memory", "There is not enough memory for the model."))
        except Exception:
            self._report(
                Unloadable(
                    "engine.bad_model",
                    "llama.cpp cannot load the model.",
                    "See the agent's log for llama.cpp's own words.",
                )
            )
        else:
            self.loaded = True
            self._report(Ready())

    def _run(self, request: Request) -> None:
        canceled = self._canceled[request.id]
        try:
            if isinstance(request, Embed):
                self._embed(request, canceled)
            else:
                self._generate(request, canceled)
        except Exception as error:
            self._report(Failed(request.id, "engine.failed", f"llama.cpp failed: {type(error).__name__}."))
        finally:
            del self._canceled[request.id]

    def _generate(self, request: Generate | Chat, canceled: threading.Event) -> None:
        last = _Chunk()
        finish: str | None = None

        def on_chunk(data: bytes) -> bool:
            """Called for each event, the prompt's batches included; True stops llama.cpp."""
            nonlocal last, finish
            last = _decode_chunk(data)
            for choice in last.choices:
                text = choice.text if choice.delta is None else choice.delta.content
                if text and not canceled.is_set():
                    self._report(Piece(request.id, text))
                finish = choice.finish_reason or finish
            return canceled.is_set()

        if isinstance(request, Generate):
            body = {"prompt": request.prompt, **_parameters(request.sampling)}
            self._server.handle_completions(msgspec.json.encode(body), on_chunk)
        else:
            body = {
                "messages": request.messages,
                "chat_template_kwargs": {"enable_thinking": False},
                **_parameters(request.sampling),
            }
            self._server.handle_chat_completions(msgspec.json.encode(body), on_chunk)
        if last.error is not None:
            self._report(_failed(request.id, last.error))
        elif finish is not None and last.usage is not None:
            self._report(
                Done(
                    id=request.id,
                    finish="length" if finish == "length" else "stop",
                    prompt_tokens=last.usage.prompt_tokens,
                    output_tokens=last.usage.completion_tokens,
                )
            )
        elif canceled.is_set():
            self._report(Canceled(request.id))
        else:
            self._report(Failed(request.id, "engine.failed", "llama.cpp ended in the middle of an answer."))

    def _embed(self, request: Embed, canceled: threading.Event) -> None:
        for text in request.texts:
            if canceled.is_set():
                self._report(Canceled(request.id))
                return
            answer = _decode_embeddings(self._server.handle_embeddings(msgspec.json.encode({"input": text})))
            if answer.error is not None or not answer.data:
                self._report(_failed(request.id, answer.error or _Fault()))
                return
            self._report(Vector(request.id, answer.data[0].embedding))
        self._report(Done(id=request.id))


def _parameters(sampling: Sampling) -> dict[str, Any]:
    """llama.cpp's own names, every one that shapes the text, so that its defaults do not matter."""
    greedy = sampling.temperature_milli == 0
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature_milli / 1000,
        "top_k": 1 if greedy else TOP_K,
        "top_p": sampling.top_p_milli / 1000,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "seed": sampling.seed,
        "stop": sampling.stop,
        # Batches of another size round otherwise: what was kept of an earlier prompt could change the text.
        "cache_prompt": False,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # so that a request can be canceled while its prompt is being read
    }


def _failed(request: int, fault: _Fault) -> Failed:
    if fault.type == "exceed_context_size_error" or "too large to process" in fault.message:
        return Failed(request, "engine.prompt_too_long", "The text is longer than the model can take at once.")
    if "memory" in fault.message.lower():
        return Failed(request, "engine.out_of_memory", "llama.cpp ran out of memory.")
    return Failed(request, "engine.failed", f"llama.cpp refused the request ({fault.type or 'no reason given'}).")


def _start_server(load: Load) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = load.model_path
    params.n_ctx = load.context_tokens * load.slots
    params.n_parallel = load.slots
    params.cont_batching = True
    params.n_batch = params.n_ubatch = min(load.batch_tokens, load.context_tokens)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = load.threads
    params.embedding = True
    if load.mean_pooling:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.verbosity = 1  # errors only
    params.cache_prompt = False
    # Copies of past prompts' state: up to 8 GiB of memory for a cache that is off. Checkpoints also cut a
    # prompt into other batches, which round otherwise and so tip greedy text where two tokens nearly tie.
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.fit_params = False  # the context is what was asked for, or an error; and it halves the load time
    # A ping is no JSON, and the wrapper takes what it cannot parse for the end of the stream.
    params.sse_ping_interval = -1
    params.endpoint_slots = False
    params.ui = False
    params.n_threads_http = 1
    # llama.cpp opens an HTTP server that nobody asked for. It gets a key nobody knows and, where there
    # are Unix sockets, a name that is gone as soon as it listens.
    params.api_keys = [secrets.token_hex(32)]
    socket = Path(load.hideaway) / "llamacpp.sock"
    if sys.platform != "win32" and len(os.fsencode(socket)) <= MAX_SOCKET_PATH:
        params.hostnames = [str(socket)]
    return xllamacpp.Server(params)


def _die_with_parent(parent: int) -> None:
    """Besides the end of standard input, which a busy or stuck process may never read."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    """Serve the agent that started this process until it closes the pipe."""
    _die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the agent's to handle
    with contextlib.suppress(OSError):  # when memory runs out, this process shall go, not the agent
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever llama.cpp prints
    worker = Worker(sys.stdin.buffer, reports)
    try:
        worker.serve()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    if not worker.loaded:
        sys.exit(1)  # with destructors: llama.cpp's log, written by a thread, says what was wrong
    os._exit(0)  # without: those of a running server wait for threads that may be stuck


if __name__ == "__main__":
    main()
