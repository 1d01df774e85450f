"""Tokens a second through the mesh, against the engine alone: the same model, prompt and greedy tokens, in turns.

Both are timed from the call until the whole text is there; through the mesh that is the accepted, signed result.
"""

from __future__ import annotations

import statistics
import time

from bots.engines import Completion, Sampling
from bots.engines.llamacpp import LlamaCppEngine
from clawnet_proto.families import task
from clawnet_proto.families.task_prompt import render
from tests.bench import Report, Row
from tests.bench._scene import Scene, acquainted, completed, parameters, quiet

_TURNS = 5
_TOKENS = 160
_QUESTION = "Write down the history of the world, as long as you can."
_STAGE = task.Stage(
    id="story",
    kind="generate",
    prompt=(task.DataPart(source="question", form="line"), task.TextPart(text="\n\nChapter 1\n\n")),
    parameters=parameters(_TOKENS),
)


async def run(report: Report) -> None:
    bare = LlamaCppEngine()
    try:
        async with Scene() as scene:
            await scene.agent("bert", engine="llamacpp")
            await bare.start()
            (model,) = await bare.models()
            net = await scene.requester()
            (did,) = await acquainted(net, _STAGE, 1)
            turns = []
            for _ in range(1 + _TURNS):
                expected, alone = await _alone(bare, model.name)
                start = time.perf_counter()
                ended = await completed(net, [_STAGE], _QUESTION, to=did)
                meshed = ended.stages[0].output_tokens / (time.perf_counter() - start)
                if ended.text != expected:
                    raise RuntimeError("the mesh gave another text than the engine alone")
                await quiet(net)
                turns.append((meshed, alone))
    finally:
        await bare.close()
    turns = turns[1:]
    report.add(
        Row(
            name=f"generation of {_TOKENS} tokens through the mesh",
            figure=statistics.median(meshed for meshed, _ in turns),
            unit="tokens/s",
            yardstick="the engine alone",
            yardstick_figure=statistics.median(alone for _, alone in turns),
            ratio=statistics.median(meshed / alone for meshed, alone in turns),
            at_least=0.95,
        )
    )


async def _alone(engine: LlamaCppEngine, model: str) -> tuple[str, float]:
    """The engine's text, and tokens a second."""
    prompt = render(_STAGE, {"question": _QUESTION})
    start = time.perf_counter()
    async for item in engine.generate(model, prompt, Sampling(max_tokens=_TOKENS), timeout_s=120):
        if isinstance(item, Completion):
            if item.output_tokens < _TOKENS:
                raise RuntimeError(f"the engine ended after {item.output_tokens} tokens")
            return item.text, item.output_tokens / (time.perf_counter() - start)
    raise RuntimeError("the engine ended without a result")
