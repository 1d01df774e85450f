"""What must hold of tasks whatever happened to their agents, by the room's history alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from bots.events import StageChanged
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.message import Message


def endings(task_id: str, said: Iterable[Message]) -> list[Message]:
    """The closes and cancels of a task, each once."""
    found = {item.id: item for item in said if isinstance(item.body, task.Close | task.Cancel)}
    return [item for item in found.values() if item.envelope.thread == task_id]


def results(task_id: str, said: Iterable[Message]) -> dict[str, Message]:
    """The results of a task by their ids."""
    return {item.id: item for item in said if isinstance(item.body, task.Result) and item.envelope.thread == task_id}


def assert_ended_once(view: TaskView, said: Iterable[Message]) -> None:
    """Done, or failed with a reason; with one accepted result for each stage that is done."""
    said = list(said)
    (ending,) = endings(view.id, said)
    close = ending.body
    assert isinstance(close, task.Close) and ending.sender == view.requester
    accepted = [item.stage for item in close.accepted]
    assert len(accepted) == len(set(accepted))
    if close.outcome == "completed":
        assert set(accepted) == set(view.stages)
    else:
        assert close.code and close.message
    posted = results(view.id, said)
    for item in close.accepted:
        result = posted[item.result]
        assert (result.body.stage, result.body.attempt, result.sender) == (item.stage, item.attempt, item.executor)
    assert close.executions <= len(posted)


def assert_nothing_twice(view: TaskView, said: Iterable[Message]) -> None:
    """No attempt has two results."""
    done = Counter((item.body.stage, item.body.attempt) for item in results(view.id, said).values())
    assert all(number == 1 for number in done.values())


def takeovers(view: TaskView) -> set[tuple[str, int, str, str]]:
    """Stage, attempt, who has it now, and who had it before."""
    return {
        (name, now.number, now.executor, before.executor)
        for name, stage in view.stages.items()
        for before, now in pairwise(stage.attempts.values())
    }


def takeovers_told(task_id: str, events: Iterable[object]) -> set[tuple[str, int, str, str]]:
    """The same, as the requester was told."""
    return {
        (event.stage, event.attempt, event.executor, event.before)
        for event in events
        if isinstance(event, StageChanged) and (event.task, event.state) == (task_id, "awarded") and event.before
    }
