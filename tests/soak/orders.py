"""What is asked for in each kind of task, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping

from bots.behaviours.requester import Order
from clawnet_proto.families import task
from clawnet_proto.signing import digest
from tests.soak.plan import Task

_TIMEOUT_MS = 90_000
_PARTS = ("one", "two")


def order(step: Task, to: str) -> Order:
    """The order of a step; ``to`` is the did of the agent it names. The room is left to whoever asks."""
    question = f"What is {step.work} {step.number}?"
    private = step.work == "sealed" or (step.work == "artifact" and step.number % 2 == 1)
    inputs = {"question": question}
    stages: tuple[task.Stage, ...]
    match step.work:
        case "addressed":
            stages = (_echo("answer"),)
        case "artifact":
            # Each fits into a message, both together do not.
            inputs = {part: f"{step.number} {part} " + "and so on, " * 1200 + "and out" for part in _PARTS}
            stages = (_echo("join", *_PARTS), _echo("last", "join"))
        case "sealed" | "canceled":
            stages = (_echo("draft"), _echo("revise", "draft"))
        case _:
            stages = (_echo("draft"), _echo("critique", "question", "draft"), _echo("revise", "draft", "critique"))
    return Order(
        room="",
        title=f"{step.work} {step.number}",
        inputs=inputs,
        stages=stages,
        private=private,
        to=to if step.work == "addressed" else "",
        timeout_ms=_TIMEOUT_MS,
    )


def outcome(asked: Order) -> str:
    """The digest of what its last stage must give: each stage says what it reads, with a bar before each."""
    texts: Mapping[str, str] = asked.inputs
    for stage in asked.stages:
        texts = {**texts, stage.id: "".join("|" + texts[source] for source in stage.sources)}
    return digest(texts[asked.stages[-1].id].encode())


def _echo(name: str, *sources: str) -> task.Stage:
    parts: list[task.TextPart | task.DataPart] = []
    for source in sources or ("question",):
        parts += [task.TextPart(text="|"), task.DataPart(source=source, form="line")]
    parameters = task.Parameters(max_tokens=16, temperature_milli=0, top_p_milli=1000, seed=0, stop=())
    return task.Stage(id=name, kind="echo", prompt=tuple(parts), parameters=parameters)
