"""Ollama: models that a server on the owner's machine runs, reached by Ollama's own client.

A model's digest is that of its weights, the same that llama.cpp's engine gives for the same file; Ollama's
own digest also covers template and parameters. A model whose weights the server does not hold is one that
it passes on to another machine: it is left out, for what is asked of an engine stays with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from bots.engines import Completion, EngineHealth, Message, Model, Sampling
from bots.engines.slots import Slots
from bots.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from ollama import AsyncClient, ChatResponse, GenerateResponse, ListResponse, ShowResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

DEFAULT_PORT = 11434
DEFAULT_HOST = f"http://127.0.0.1:{DEFAULT_PORT}"
PROBE_TIMEOUT_S = 0.5
LIST_TIMEOUT_S = 10.0
TOP_K = 40
_WEIGHTS = re.compile(r"^FROM .*\bsha256[-:]([0-9a-f]{64})\b", re.MULTILINE)
_BARE_TEMPLATE = re.compile(r"\s*\{\{-?\s*\.Prompt\s*-?\}\}\s*")
_MAX_REASON = 200
_NOT_FOUND = 404


def server_url(host: str | None = None) -> str:
    """Where the server is: ``host`` as people write it, else OLLAMA_HOST, else this machine's usual port.

    By the rules of Ollama's own programs: ``host``, ``host:port``, ``:port`` or a URL. Raises ConfigError.
    """
    text = (host or os.environ.get("OLLAMA_HOST", "")).strip() or DEFAULT_HOST
    bare = "://" not in text
    try:
        parts = urlsplit(f"http://{text}" if bare else text)
        port = parts.port or (DEFAULT_PORT if bare else None)
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(
            "config.ollama_host",
            "The address of the Ollama server cannot be understood.",
            f"Write it like {DEFAULT_HOST}, in the configuration or in OLLAMA_HOST.",
        )
    name = parts.hostname or "127.0.0.1"
    # A server told to listen everywhere is asked here.
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)  # noqa: S104
    name = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{name}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


async def available(host: str | None = None, *, timeout_s: float = PROBE_TIMEOUT_S) -> bool:
    """Whether an Ollama server answers at ``host`` within ``timeout_s`` seconds."""
    import aiohttp

    # Not by Ollama's client: an agent that finds no server need not carry what that imports.
    url = f"{server_url(host)}/api/version"
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.ok and isinstance(await response.json(content_type=None), dict)
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        return False


class OllamaEngine:
    """The models of one Ollama server.

    ``host`` is read as ``server_url`` says. ``context_tokens`` is asked of the server with every request,
    and no model is given more than it was trained for. A longer prompt is an error
    (``engine.prompt_too_long``), where the server alone would silently cut it; of a longer chat it drops
    the oldest messages, which cannot be seen from here.
    """

    name = "ollama"

    def __init__(self, host: str | None = None, slots: int = 1, *, context_tokens: int = 4096) -> None:
        self.host = server_url(host)
        self.slots = slots
        self._context_tokens = context_tokens
        self._slots = Slots(slots)
        self._client: AsyncClient | None = None
        self._known: dict[tuple[str, str], Model | None] = {}
        self._contexts: dict[str, int] = {}
        self._thinking: set[str] = set()
        self._fault: EngineError | None = None

    @property
    def health(self) -> EngineHealth:
        state: Literal["stopped", "ready", "failed"] = "stopped"
        if self._client is not None:
            state = "ready" if self._fault is None else "failed"
        return EngineHealth(
            state=state,
            detail=self._fault.message if self._fault else "",
            running=self._slots.running,
            waiting=self._slots.waiting,
        )

    async def start(self) -> None:
        """Find the server. Raises EngineError ``engine.unreachable`` or ``engine.package_missing``."""
        if self._client is None:
            try:
                from ollama import AsyncClient
            except ImportError:
                raise EngineError(
                    "engine.package_missing",
                    "The package ollama is not installed.",
                    "Install it with: pip install ollama",
                ) from None
            # A proxy that the environment names is for other machines, not for this one.
            self._client = AsyncClient(self.host, trust_env=not _is_loopback(self.host))
        try:
            await self._ask(lambda client: client.list(), timeout_s=LIST_TIMEOUT_S)
        except EngineError:
            await self.close()
            raise

    async def models(self) -> Sequence[Model]:
        """The models the server holds, by name; a model whose facts it cannot tell is left out."""
        listed: ListResponse = await self._ask(lambda client: client.list(), timeout_s=LIST_TIMEOUT_S)
        models = []
        for entry in listed.models:
            name, digest = entry.model or "", entry.digest or ""
            if name and (name, digest) not in self._known:
                try:
                    self._known[name, digest] = self._describe(name, await self._show(name))
                except EngineError as error:
                    if error.code == "engine.unreachable":
                        raise
                    log.warning("the model %s is left out: %s", name, error.message)
            if (model := self._known.get((name, digest))) is not None:
                models.append(model)
        return sorted(models, key=lambda model: model.name)

    def generate(
        self, model: str, prompt: str, sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        async def request(client: AsyncClient) -> AsyncIterator[GenerateResponse]:
            return await client.generate(model, prompt, raw=True, stream=True, options=self._options(model, sampling))

        return self._stream(model, request, lambda part: part.response, timeout_s=timeout_s)

    def chat(
        self, model: str, messages: Sequence[Message], sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        async def request(client: AsyncClient) -> AsyncIterator[ChatResponse]:
            return await client.chat(
                model,
                [{"role": message.role, "content": message.content} for message in messages],
                stream=True,
                # A model that may think aloud would spend its tokens on what is no part of the answer.
                think=False if model in self._thinking else None,
                options=self._options(model, sampling),
            )

        return self._stream(model, request, lambda part: part.message.content, timeout_s=timeout_s)

    async def embed(self, model: str, texts: Sequence[str], *, timeout_s: float) -> list[list[float]]:
        """One vector for each text, as the server gives it; a text that is too long is an error."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        slot = await self._slots.take(deadline=deadline)
        try:
            answer = await self._ask(
                lambda client: client.embed(
                    model, list(texts), truncate=False, options={"num_ctx": self._context(model)}
                ),
                deadline=deadline,
                timeout_s=timeout_s,
                model=model,
            )
        finally:
            slot.release()
        if len(answer.embeddings) != len(texts):
            raise EngineError("engine.failed", "Ollama gave another number of embeddings than of texts.")
        return [list(vector) for vector in answer.embeddings]

    async def close(self) -> None:
        client, self._client = self._client, None
        self._fault = None
        if client is not None:
            await client.close()  # type: ignore[no-untyped-call]

    async def _stream(
        self,
        model: str,
        request: Callable[[AsyncClient], Coroutine[Any, Any, AsyncIterator[T]]],
        text_of: Callable[[T], str | None],
        *,
        timeout_s: float,
    ) -> AsyncGenerator[str | Completion, None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        slot = await self._slots.take(deadline=deadline)
        parts: AsyncIterator[T] | None = None
        try:
            begun = first = loop.time()
            pieces: list[str] = []
            parts = await self._ask(request, deadline=deadline, timeout_s=timeout_s, model=model)
            stream = parts
            while True:
                part: Any = await self._ask(
                    lambda _: _next(stream), deadline=deadline, timeout_s=timeout_s, model=model
                )
                if text := text_of(part):
                    if not pieces:
                        first = loop.time()
                    pieces.append(text)
                    yield text
                if not part.done:
                    continue
                ended = loop.time()
                first = first if pieces else ended
                if (part.prompt_eval_count or 0) >= self._context(model):
                    raise EngineError(
                        "engine.prompt_too_long", "The prompt is longer than the context.", retryable=False
                    )
                slot.release()
                yield Completion(
                    text="".join(pieces),
                    finish="length" if part.done_reason == "length" else "stop",
                    prompt_tokens=part.prompt_eval_count or 0,
                    output_tokens=part.eval_count or 0,
                    queued_ms=slot.queued_ms,
                    prompt_ms=round((first - begun) * 1000),
                    generate_ms=round((ended - first) * 1000),
                )
                return
        finally:
            # Closing the stream closes the connection, and that is how Ollama learns to stop.
            if isinstance(parts, AsyncGenerator):
                with contextlib.suppress(Exception):
                    await parts.aclose()
            slot.release()

    async def _ask(
        self,
        request: Callable[[AsyncClient], Coroutine[Any, Any, T]],
        *,
        timeout_s: float,
        deadline: float | None = None,
        model: str = "",
    ) -> T:
        """Await one answer of the server; everything that can go wrong becomes an EngineError."""
        import httpx
        from ollama import ResponseError
        from pydantic import ValidationError

        if self._client is None:
            raise EngineError("engine.stopped", "The Ollama engine is not running.")
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                answer = await request(self._client)
        except ResponseError as error:
            raise _refusal(error.error, error.status_code, model) from error
        except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._fault = EngineError(
                "engine.unreachable",
                f"No Ollama server answers at {self.host}.",
                "Start it with: ollama serve",
            )
            raise self._fault from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise EngineError("engine.timeout", f"Ollama gave no whole answer within {timeout_s:g} s.") from error
        except httpx.HTTPError as error:
            raise EngineError(
                "engine.unreachable", "The Ollama server closed the connection in the middle of an answer."
            ) from error
        except (ValueError, ValidationError, AttributeError, TypeError) as error:
            raise EngineError("engine.failed", "Ollama gave an answer that cannot be understood.") from error
        self._fault = None
        return answer

    async def _show(self, name: str) -> ShowResponse:
        return await self._ask(lambda client: client.show(name), timeout_s=LIST_TIMEOUT_S, model=name)

    def _describe(self, name: str, shown: ShowResponse) -> Model | None:
        """A model as its server shows it; None if its weights are not there."""
        weights = _WEIGHTS.search(shown.modelfile or "")
        if weights is None:
            log.info("the model %s is left out: its weights are not on the Ollama server", name)
            return None
        info: Mapping[str, Any] = shown.modelinfo or {}
        trained = [value for key, value in info.items() if key.endswith(".context_length")]
        context_tokens = self._context_tokens
        if trained and isinstance(trained[0], int) and trained[0] > 0:
            context_tokens = min(context_tokens, trained[0])
        self._contexts[name] = context_tokens
        abilities = shown.capabilities
        pooled = any(key.endswith(".pooling_type") for key in info)
        completes = "completion" in abilities if abilities is not None else not pooled
        template = shown.template or ""
        if abilities is not None and "thinking" in abilities:
            self._thinking.add(name)
        return Model(
            name=name,
            digest=f"sha256:{weights[1]}",
            engine=self.name,
            context_tokens=context_tokens,
            quantization=(shown.details and shown.details.quantization_level) or "",
            chat=completes and bool(template) and not _BARE_TEMPLATE.fullmatch(template),
            embed="embedding" in abilities if abilities is not None else pooled,
        )

    def _context(self, model: str) -> int:
        return self._contexts.get(model, self._context_tokens)

    def _options(self, model: str, sampling: Sampling) -> dict[str, Any]:
        """Ollama's own names, every one that shapes the text, so that a model's defaults do not matter."""
        return {
            "num_ctx": self._context(model),
            "num_predict": sampling.max_tokens,
            "temperature": sampling.temperature_milli / 1000,
            "top_k": 1 if sampling.temperature_milli == 0 else TOP_K,
            "top_p": sampling.top_p_milli / 1000,
            "min_p": 0.0,
            "repeat_penalty": 1.0,
            "seed": sampling.seed,
            "stop": list(sampling.stop),
        }


async def _next(parts: AsyncIterator[T]) -> T:
    try:
        return await anext(parts)
    except StopAsyncIteration:
        raise EngineError("engine.failed", "Ollama ended in the middle of an answer.") from None


def _refusal(text: str, status: int, model: str) -> EngineError:
    reason = _reason(text)
    lowered = reason.lower()
    if status == _NOT_FOUND and model and "page" not in lowered:
        return EngineError("engine.model_missing", f"Ollama has no model {model}.", f"Get it with: ollama pull {model}")
    if "memory" in lowered or "cudamalloc" in lowered:
        return EngineError("engine.out_of_memory", f"Ollama ran out of memory: {reason}", "Try a smaller model.")
    if "context length" in lowered or "input length" in lowered:
        return EngineError(
            "engine.prompt_too_long", "The text is longer than the model can take at once.", retryable=False
        )
    if "does not support" in lowered:
        return EngineError("engine.unsupported", f"Ollama says: {reason}", "Use another model.")
    return EngineError("engine.failed", f"Ollama failed: {reason or f'status {status}'}")


def _reason(text: str) -> str:
    """What the server says went wrong, short and on one line: it is another program's text."""
    with contextlib.suppress(ValueError):
        parsed = json.loads(text)
        if isinstance(parsed, dict):
            text = str(parsed.get("error", ""))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MAX_REASON]


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name).is_loopback
    return name == "localhost"
