"""An engine that does as it is told: for what a real one shows only by accident."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from bots.engines import Completion, EngineHealth, Message, Model, Sampling

# Texts are put out, numbers are seconds of silence, errors are raised.
Step = str | float | Exception
Script = Sequence[Step]

HANGING: Script = (3600.0,)

MODEL = Model(name="scripted", digest="sha256:" + "5c" * 32, engine="scripted", context_tokens=4096)


class ScriptedEngine:
    """Plays ``script`` for every generation; ``prompts`` holds those it was given, ``ended`` counts all ends."""

    name = "scripted"
    slots = 1

    def __init__(self, script: Script | Callable[[str], Script], models: Sequence[Model] = (MODEL,)) -> None:
        self._script = script
        self._models = models
        self.prompts: list[str] = []
        self.running = 0
        self.canceled = 0
        self.closed = False
        self.health = EngineHealth(state="ready")

    async def start(self) -> None: ...

    async def models(self) -> Sequence[Model]:
        return self._models

    async def generate(
        self, model: str, prompt: str, sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        self.prompts.append(prompt)
        self.running += 1
        text = ""
        try:
            for step in self._script(prompt) if callable(self._script) else self._script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    text += step
                    yield step
                else:
                    await asyncio.sleep(step)
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        finally:
            self.running -= 1
        yield Completion(
            text=text, finish="stop", prompt_tokens=7, output_tokens=5, queued_ms=0, prompt_ms=10, generate_ms=20
        )

    def chat(
        self, model: str, messages: Sequence[Message], sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        return self.generate(model, messages[-1].content, sampling, timeout_s=timeout_s)

    async def embed(self, model: str, texts: Sequence[str], *, timeout_s: float) -> list[list[float]]:
        return [[0.25, -1.0] for _ in texts]

    async def close(self) -> None:
        self.closed = True
