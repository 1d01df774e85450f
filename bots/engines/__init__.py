"""What a model runtime is to the agent: one small interface, one module a runtime."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol

import msgspec

Finish = Literal["stop", "length"]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that an engine can run."""

    name: str  # as its engine calls it, e.g. "gemma3-270m-q4_k_m"
    digest: str  # "sha256:<64 hex digits>" of the weights; "" if the engine cannot tell
    engine: str  # the engine's name
    context_tokens: int
    quantization: str = ""  # e.g. "Q4_K_M"
    chat: bool = False  # tuned for chat: has a template and follows instructions
    embed: bool = False  # gives embeddings


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How to choose tokens. Fractions are integers in thousandths, as on the wire."""

    max_tokens: int
    temperature_milli: int = 0  # 0 is greedy
    top_p_milli: int = 1000
    seed: int = 0
    stop: tuple[str, ...] = ()


class Message(msgspec.Struct, frozen=True):
    """One message of a chat prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """The last item of a generation: the whole text and what it took."""

    text: str
    finish: Finish
    prompt_tokens: int
    output_tokens: int
    queued_ms: int  # waited for a slot
    prompt_ms: int  # until the first token
    generate_ms: int  # first token to last


class EngineHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine says of itself."""

    state: Literal["stopped", "starting", "ready", "failed"]
    detail: str = ""  # one sentence when failed
    restarts: int = 0
    running: int = 0
    waiting: int = 0


class Engine(Protocol):
    """A model runtime. All methods may raise ``bots.errors.EngineError``.

    Leaving a generation's iterator early (``aclose``, cancellation) cancels the work in the runtime.
    """

    name: str
    slots: int  # how many generations run at once; more wait in order

    @property
    def health(self) -> EngineHealth: ...

    async def start(self) -> None:
        """Make ready: find the server, or spawn the worker and load the model."""

    async def models(self) -> Sequence[Model]: ...

    def generate(
        self, model: str, prompt: str, sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        """Continue ``prompt``; yields pieces of text, and last the ``Completion``."""

    def chat(
        self, model: str, messages: Sequence[Message], sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        """Answer a chat by the model's own template; yields like ``generate``."""

    async def embed(self, model: str, texts: Sequence[str], *, timeout_s: float) -> list[list[float]]: ...

    async def close(self) -> None:
        """Stop everything it started; idempotent."""
