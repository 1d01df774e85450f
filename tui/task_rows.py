"""Tasks and their stages, as rows (spec/08-task.md)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from msgspec import UNSET

from clawnet_proto.families.task_state import AttemptView, StageView, TaskView
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.wire import present
from tui.views import StageRow, TaskRow

_KEPT = 200  # tasks that are listed
_TOUCHED = 4 * _KEPT  # of so many it is remembered when they were touched, until the next look


class TaskRows:
    """The rows of the tasks touched last. A row is made anew only when its task has changed."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._touched: OrderedDict[str, int] = OrderedDict()  # task -> ms, the one touched last at the end
        self._rows: dict[str, tuple[TaskView, TaskRow]] = {}
        self._outdated: set[str] = set()  # tasks of which something arrived since their row was made

    def touch(self, task_id: str, received_ms: int) -> None:
        """Something of a task has arrived whose request is known."""
        self._touched[task_id] = received_ms
        self._touched.move_to_end(task_id)
        self._outdated.add(task_id)
        if len(self._touched) > _TOUCHED:
            self._forget(next(iter(self._touched)))

    def rows(self, mesh: Mesh, most: int = _KEPT) -> tuple[TaskRow, ...]:
        """The task touched last first.

        Of those that changed at most so many rows are made anew, those touched last; the others follow the next time.
        """
        for task_id, touched_ms in reversed(self._touched.items()):
            if task_id in self._outdated and not most:
                continue
            view = mesh.task(task_id)
            if view is None:
                self._rows.pop(task_id, None)
                continue
            known = self._rows.get(task_id)
            # The fold derives a task anew also when the standing of somebody in it changes.
            if task_id in self._outdated or known is None or known[0] is not view:
                most -= task_id in self._outdated
                self._rows[task_id] = view, _row(mesh, view, self._me, touched_ms)
                self._outdated.discard(task_id)
        if len(self._touched) > _KEPT:
            self._trim(mesh)
        return tuple(self._rows[task_id][1] for task_id in reversed(self._touched) if task_id in self._rows)

    def listed(self) -> Collection[str]:
        """The tasks there are rows of."""
        return self._rows.keys()

    def _trim(self, mesh: Mesh) -> None:
        """Who may fill the list with tasks must not push out ours, nor those of agents that are bound."""
        place = {task_id: number for number, task_id in enumerate(self._touched)}

        def worth(task_id: str) -> tuple[bool, bool, bool, int]:
            row = self._rows[task_id][1] if task_id in self._rows else None
            if row is None:
                return False, False, False, place[task_id]
            peer = mesh.peers.get(row.requester)
            return row.ours, peer is not None and peer.bound, not row.ended_ms, place[task_id]

        for task_id in sorted(self._touched, key=worth)[: len(self._touched) - _KEPT]:
            self._forget(task_id)

    def _forget(self, task_id: str) -> None:
        del self._touched[task_id]
        self._rows.pop(task_id, None)
        self._outdated.discard(task_id)

    def copy(self) -> TaskRows:
        other = TaskRows(self._me)
        other._touched = self._touched.copy()
        other._rows = self._rows.copy()
        other._outdated = self._outdated.copy()
        return other


def _row(mesh: Mesh, view: TaskView, me: str, touched_ms: int) -> TaskRow:
    body = view.request.body
    ending = view.close or view.cancel
    return TaskRow(
        id=view.id, title=body.title, state=view.state, requester=view.requester, ours=view.requester == me,
        privacy=body.privacy, on_behalf_of="" if body.on_behalf_of is UNSET else body.on_behalf_of.address,
        stages=tuple(_stage(mesh, view, stage) for stage in view.stages.values()),
        asked_ms=view.request.envelope.sent_ms, ended_ms=ending.envelope.sent_ms if ending else 0,
        touched_ms=touched_ms, outcome=_outcome(view), refused=len(view.errors),
    )  # fmt: skip


def _outcome(view: TaskView) -> str:
    if view.close is not None:
        return str(present(view.close.body.message, "") or view.close.body.outcome)
    return "" if view.cancel is None else str(present(view.cancel.body.reason, "") or "canceled")


def _stage(mesh: Mesh, view: TaskView, stage: StageView) -> StageRow:
    attempt = stage.current
    row = StageRow(
        id=stage.spec.id, kind=stage.spec.kind, state=stage.state, attempts=len(stage.attempts),
        executions=stage.executions, sources=stage.spec.sources,
    )  # fmt: skip
    if attempt is None:
        return row
    progress = mesh.progress(view.id, stage.spec.id, attempt.number)
    told = _result(stage.accepted) if stage.accepted is not None else _progress(attempt, progress)
    failure = attempt.failure.body if attempt.failure is not None else None
    return StageRow(
        id=row.id, kind=row.kind, state=row.state, attempts=row.attempts, executions=row.executions,
        sources=row.sources, executor=attempt.executor, attempt=attempt.number, award=attempt.award.id,
        lease_until_ms=(progress or attempt.award).envelope.sent_ms + attempt.award.body.lease_ms,
        result=stage.accepted.id if stage.accepted is not None else "",
        failure="" if failure is None else f"{failure.code}: {failure.message}", **told,
    )  # fmt: skip


def _result(message: Message) -> dict[str, Any]:
    body = message.body
    usage = body.usage
    speed = 1000 * (usage.output_tokens - 1) / usage.generate_ms if usage.generate_ms and usage.output_tokens > 1 else 0
    return {
        "model": present(body.model, ""),
        "tokens": usage.output_tokens,
        "tokens_per_s": speed,
        "text": present(body.text, ""),
    }


def _progress(attempt: AttemptView, message: Message | None) -> dict[str, Any]:
    if message is None:
        return {}
    elapsed_ms = message.envelope.sent_ms - attempt.award.envelope.sent_ms
    tokens = message.body.tokens
    return {
        "tokens": tokens,
        "tokens_per_s": 1000 * tokens / elapsed_ms if elapsed_ms > 0 else 0,
        "text": present(message.body.text, ""),
    }
