"""llama.cpp embedded: a model file run by ``xllamacpp`` in a worker process of our own.

With one slot, greedy text depends on the prompt alone: nothing is kept between prompts. With several, what
runs at the same moment shares batches, and rounding may tip a choice between tokens that nearly tie.

A worker that dies takes the running generations with it (``engine.died``) and is started anew, a bounded
number of times.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from bots.engines import Completion, EngineHealth, Message, Model, Sampling
from bots.engines.llamacpp_messages import Chat, Done, Embed, Failed, Generate, Load, Piece, Request, Vector
from bots.engines.llamacpp_process import Call
from bots.engines.llamacpp_supervisor import RestartPolicy, Supervisor
from bots.engines.model_file import ModelFile, read_model_file
from bots.engines.packaged_model import INSTALL_HINT, packaged_model
from bots.engines.slots import Slot, Slots
from bots.errors import EngineError

log = logging.getLogger(__name__)

MAX_DEFAULT_THREADS = 4
_CPUS = Path("/sys/devices/system/cpu")


def available() -> bool:
    """Whether llama.cpp is installed; nothing of it is imported."""
    return importlib.util.find_spec("xllamacpp") is not None


def default_threads() -> int:
    """The physical cores this process may use, at most four: more seldom helps a small model."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = set()
    for cpu in usable:
        try:
            cores.add((_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text())
        except OSError:
            cores.add(str(cpu))
    return max(1, min(len(cores), MAX_DEFAULT_THREADS))


class LlamaCppEngine:
    """One model file, run by llama.cpp in a child process.

    ``model_path`` None means the packaged Gemma 3 270M. ``name`` is what the model is called, else the
    file's name. ``context_tokens`` is for each of the ``slots``, and never more than the model was trained
    for. A text to embed may have up to ``batch_tokens`` tokens, and a generation that is canceled while
    its prompt is read stops after at most that many. A worker that does not stop a canceled generation
    within ``cancel_grace_s`` seconds is killed and started anew.
    """

    name = "llamacpp"

    def __init__(
        self,
        model_path: Path | None = None,
        *,
        name: str | None = None,
        context_tokens: int = 2048,
        slots: int = 1,
        threads: int | None = None,
        batch_tokens: int = 512,
        startup_timeout_s: float = 120.0,
        cancel_grace_s: float = 5.0,
        restart: RestartPolicy | None = None,
    ) -> None:
        self.slots = slots
        self._model_path = model_path
        self._model_name = name
        self._context_tokens = context_tokens
        self._threads = threads or default_threads()
        self._batch_tokens = batch_tokens
        self._cancel_grace_s = cancel_grace_s
        self._slots = Slots(slots)
        self._supervisor = Supervisor(restart or RestartPolicy(), startup_timeout_s=startup_timeout_s)
        self._starting = asyncio.Lock()
        self._file: ModelFile | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def health(self) -> EngineHealth:
        return EngineHealth(
            state=self._supervisor.state,
            detail=self._supervisor.detail,
            restarts=self._supervisor.restarts,
            running=self._slots.running,
            waiting=self._slots.waiting,
        )

    @property
    def worker_pid(self) -> int | None:
        """The process that holds the model, while there is one."""
        worker = self._supervisor.worker
        return None if worker is None else worker.pid

    async def start(self) -> None:
        """Load the model in a worker; does nothing while one runs, tries anew after ``failed``.

        Raises EngineError ``engine.package_missing``, ``engine.model_missing``, ``engine.bad_model``,
        ``engine.cache_unwritable``, ``engine.out_of_memory``, ``engine.timeout`` or ``engine.died``.
        """
        async with self._starting:
            if self._supervisor.state in ("starting", "ready"):
                await self._supervisor.ready()
                return
            try:
                load = await self._load()
            except EngineError as error:
                self._supervisor.give_up(error)
                raise
            await self._supervisor.start(load)

    async def _load(self) -> Load:
        if not available():
            raise EngineError("engine.package_missing", "The package xllamacpp is not installed.", INSTALL_HINT)
        file = await self._read_file()
        return Load(
            model_path=str(file.path),
            context_tokens=self._context(file),
            slots=self.slots,
            threads=self._threads,
            batch_tokens=self._batch_tokens,
            mean_pooling=not file.header.has_pooling,
        )

    async def models(self) -> Sequence[Model]:
        """The one model of this engine; also before ``start``."""
        return [await self._model()]

    def generate(
        self, model: str, prompt: str, sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        return self._stream(model, lambda id: Generate(id=id, prompt=prompt, sampling=sampling), timeout_s=timeout_s)

    def chat(
        self, model: str, messages: Sequence[Message], sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        return self._stream(
            model,
            lambda id: Chat(id=id, messages=tuple(messages), sampling=sampling),
            timeout_s=timeout_s,
            chat=True,
        )

    async def embed(self, model: str, texts: Sequence[str], *, timeout_s: float) -> list[list[float]]:
        """One vector of length 1 for each text. Raises ``engine.prompt_too_long`` over ``batch_tokens``."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        await self._check(model)
        vectors: list[list[float]] = []
        slot = await self._slots.take(deadline=deadline)
        call: Call | None = None
        try:
            call = await self._open(lambda id: Embed(id=id, texts=tuple(texts)), deadline, timeout_s)
            while True:
                answer = await _next(call, deadline, timeout_s)
                if isinstance(answer, Vector):
                    vectors.append(answer.values)
                elif isinstance(answer, Done):
                    return vectors
        finally:
            self._let_go(slot, call)

    async def close(self) -> None:
        await self._supervisor.close()
        if self._retiring:
            await asyncio.wait(self._retiring)

    async def _stream(
        self, model: str, request: Callable[[int], Request], *, timeout_s: float, chat: bool = False
    ) -> AsyncGenerator[str | Completion, None]:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        deadline = asked + timeout_s
        await self._check(model, chat=chat)
        slot = await self._slots.take(deadline=deadline)
        call: Call | None = None
        try:
            call = await self._open(request, deadline, timeout_s)
            begun = first = loop.time()
            pieces: list[str] = []
            while True:
                answer = await _next(call, deadline, timeout_s)
                if isinstance(answer, Piece):
                    if not pieces:
                        first = loop.time()
                    pieces.append(answer.text)
                    yield answer.text
                elif isinstance(answer, Done):
                    ended = loop.time()
                    first = first if pieces else ended
                    # Before the last item: whoever takes it need not come back to end the iteration.
                    self._let_go(slot, call)
                    yield Completion(
                        text="".join(pieces),
                        finish=answer.finish,
                        prompt_tokens=answer.prompt_tokens,
                        output_tokens=answer.output_tokens,
                        queued_ms=round((begun - asked) * 1000),
                        prompt_ms=round((first - begun) * 1000),
                        generate_ms=round((ended - first) * 1000),
                    )
                    return
        finally:
            self._let_go(slot, call)

    async def _check(self, name: str, *, chat: bool = False) -> None:
        """That the engine holds the model asked for, and that it is fit for what is asked."""
        model = await self._model()
        if name != model.name:
            raise EngineError(
                "engine.model_missing",
                f"The llama.cpp engine holds {model.name}, not {name}.",
                "Ask for that model, or set another model file in the configuration.",
            )
        if chat and not model.chat:
            raise EngineError(
                "engine.unsupported",
                f"{name} is not a chat model: it has no template for messages.",
                "Let it continue a text instead, or use a model tuned for chat.",
            )

    async def _open(self, request: Callable[[int], Request], deadline: float, timeout_s: float) -> Call:
        try:
            async with asyncio.timeout_at(deadline):
                worker = await self._supervisor.ready()
        except TimeoutError:
            raise _timed_out(timeout_s) from None
        return worker.open(request(worker.new_id()))

    def _let_go(self, slot: Slot, call: Call | None) -> None:
        """Give the slot back: at once, or when the worker has let go of a canceled call."""
        if call is None or call.ended:
            slot.release()
            return
        # Not awaited here: leaving a generation must not take long, even when a task is being canceled.
        task = asyncio.create_task(self._retire(slot, call))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, slot: Slot, call: Call) -> None:
        try:
            async with asyncio.timeout(self._cancel_grace_s):
                await call.finish()
        except TimeoutError:
            log.warning("the llama.cpp worker does not stop a canceled generation: it is started anew")
            call.worker.kill()
            await call.worker.wait()
        finally:
            slot.release()

    async def _read_file(self) -> ModelFile:
        file = self._file
        if file is None:
            path = self._model_path
            if path is None:
                path = await asyncio.to_thread(packaged_model)
            self._file = file = await asyncio.to_thread(read_model_file, path)
        return file

    def _context(self, file: ModelFile) -> int:
        return min(self._context_tokens, file.header.context_tokens)

    async def _model(self) -> Model:
        file = await self._read_file()
        return Model(
            name=self._model_name or file.path.stem.lower(),
            digest=file.digest,
            engine=self.name,
            context_tokens=self._context(file),
            quantization=file.header.quantization,
            chat=file.header.has_chat_template,
            embed=True,
        )


async def _next(call: Call, deadline: float, timeout_s: float) -> Piece | Vector | Done:
    try:
        async with asyncio.timeout_at(deadline):
            answer = await call.next()
    except TimeoutError:
        raise _timed_out(timeout_s) from None
    if isinstance(answer, Failed):
        raise EngineError(answer.code, answer.message, retryable=answer.code != "engine.prompt_too_long")
    if isinstance(answer, Piece | Vector | Done):
        return answer
    raise EngineError("engine.failed", "The model worker canceled what nobody asked it to cancel.")


def _timed_out(timeout_s: float) -> EngineError:
    return EngineError("engine.timeout", f"The model gave no whole answer within {timeout_s:g} s.")
