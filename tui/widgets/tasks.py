"""The list of tasks, each with its stages as a pipeline; opened, its stages line by line."""

from __future__ import annotations

from typing import Final

from tui.columns import Column, line, places, titles
from tui.judge import Judge
from tui.moments import span
from tui.spans import Span, Spans, Tone, fit
from tui.text import cell, name_or_did, width_of
from tui.tones import of_task, running
from tui.views import Selection, Snapshot, StageRow, TaskRow
from tui.widgets.lines import Kind
from tui.widgets.rows import Rows

COLUMNS: Final = (
    Column(key="sign", least=1, priority=99),
    Column(key="id", title="task", least=8, priority=30),
    Column(key="title", title="title", least=16, most=48, weight=3, priority=100),
    Column(key="by", title="asked by", least=8, most=16, weight=1, priority=50),
    Column(key="done", title="done", least=9, priority=85),
    Column(key="speed", title="tok/s", least=6, priority=55, right=True),
    Column(key="age", title="age", least=4, priority=80, right=True),
    Column(key="pipeline", title="stages", least=24, weight=5, priority=70),
)
STAGES: Final = (
    Column(key="sign", least=1, priority=99),
    Column(key="id", least=9, most=16, weight=1, priority=100),
    Column(key="state", least=14, priority=50),
    Column(key="who", least=9, most=18, weight=1, priority=90),
    Column(key="model", least=10, most=24, weight=1, priority=40),
    Column(key="tokens", least=8, priority=85, right=True),
    Column(key="speed", least=9, priority=55, right=True),
    Column(key="text", least=12, weight=6, priority=80),
)
# The same where each row has a second line, for the stages and the text.
_TASKS_ABOVE: Final = (
    Column(key="sign", least=1, priority=99),
    Column(key="id", title="task", least=8, priority=30),
    Column(key="title", title="title", least=28, weight=3, priority=100),
    Column(key="by", title="asked by", least=8, most=16, weight=1, priority=50),
    Column(key="speed", title="tok/s", least=6, priority=55, right=True),
    Column(key="age", title="age", least=4, priority=80, right=True),
)
_STAGES_ABOVE: Final = STAGES[:-1]

_BAR = 4
_TALL = 8  # lines below the header that make rows of two lines worth it
_INDENT = 5  # cells before a stage


class TasksPane(Rows):
    """The tasks, the one touched last first."""

    title = "tasks"
    empty = "No task has been asked for yet."

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._tasks: tuple[TaskRow, ...] = ()
        self._model: Judge | None = None
        self._names = -1
        self._second = -1
        self._now_ms = 0
        self._selected = ("", "")
        self._open: set[str] = set()
        self._rows: list[tuple[TaskRow, StageRow | None]] = []
        self._places: dict[str, int] = {}

    def show(self, snapshot: Snapshot, selection: Selection, *, model: Judge) -> None:
        second = snapshot.now_ms // 1000
        selected = (selection.task, selection.stage)
        names = model.mesh.presence_changes
        now, before = (second, selected, names), (self._second, self._selected, self._names)
        if snapshot.tasks is self._tasks and now == before and self._drawn:
            return
        self._model, self._now_ms, self._second, self._names = model, snapshot.now_ms, second, names
        if snapshot.tasks is not self._tasks or not self._drawn:
            self._tasks = snapshot.tasks
            self._arrange()
        if selected != self._selected:
            self._selected = selected
            task, stage = selected
            key = f"{task}/{stage}"
            if self.cursor not in (key, task) or stage:
                self.put_cursor(key if stage and key in self._places else task)
        self.redraw()

    def _arrange(self) -> None:
        before = self._here()
        visible = 0 <= before - self.top < self.page
        known = {task.id for task in self._tasks}
        self._open &= known
        self._rows = []
        for task in self._tasks:
            self._rows.append((task, None))
            if task.id in self._open:
                self._rows += [(task, stage) for stage in task.stages]
        self._places = {_key(*row): index for index, row in enumerate(self._rows)}
        busy = sum(running(task) for task in self._tasks)
        self.name_it(f"{busy} running, {len(self._tasks)} in all" if self._tasks else "")
        self.settle()
        if visible and self._here() != before:
            self.reveal(self._here())

    def action_open(self) -> None:
        """Unfold the stages of a task, or open a stage."""
        here = self._here()
        if here < 0:
            return
        task, stage = self._rows[here]
        if stage is not None:
            super().action_open()
            return
        self._open ^= {task.id}
        self._arrange()
        if task.id in self._open:
            self.reveal(min(here + len(task.stages), here + self.page - 1))
            self.reveal(here)
        self.redraw()

    def count(self) -> int:
        return len(self._rows)

    def key_at(self, index: int) -> str:
        return _key(*self._rows[index])

    def index_of(self, key: str) -> int:
        return self._places.get(key, -1)

    def meaning(self, key: str) -> tuple[Kind, str] | None:
        if key not in self._places:
            return None
        return ("stage", key) if "/" in key else ("task", key)

    @property
    def two_lines(self) -> bool:
        """There is no room for the stages beside the title, but below it there is."""
        width, height = self.content_size
        return height > _TALL and all(place.column.key != "pipeline" for place in places(COLUMNS, max(0, width - 1)))

    def header(self, width: int) -> Spans:
        return titles(places(_TASKS_ABOVE if self.two_lines else COLUMNS, width))

    def draw(self, index: int, width: int) -> Spans:
        task, stage = self._rows[index]
        if stage is not None:
            last = stage is task.stages[-1]
            tree: Span = (f"  {self.glyphs.box['end' if last else 'fork']}{self.glyphs.box['across']} ", "faint")
            return (*fit((tree,), _INDENT), *self._stage(stage, max(0, width - _INDENT)))
        return self._summary(task, width)

    def draw_below(self, index: int, width: int) -> Spans:
        task, stage = self._rows[index]
        if stage is None:
            spans = self._pipeline(task)
            if sum(width_of(text) for text, _ in spans) + 2 > width:
                spans = self._pipeline(task, brief=True)
            return fit((("  ", "plain"), *spans), width)
        tree = "" if stage is task.stages[-1] else self.glyphs.box["down"]
        tone: Tone = "bad" if stage.failure else "muted"
        return (*fit(((f"  {tree}", "faint"),), _INDENT), *fit(((f"  {_told(stage, width)}", tone),), width - _INDENT))

    def _named(self, did: str) -> str:
        if not did or self._model is None:
            return ""
        return name_or_did(self._model.mesh.name_of(did), did, 32)

    def _summary(self, task: TaskRow, width: int) -> Spans:
        glyphs = self.glyphs
        done = sum(stage.state == "completed" for stage in task.stages)
        busy = running(task)
        tone = of_task(task.state)
        speed = sum(stage.tokens_per_s for stage in task.stages if stage.state == "working") if busy else 0.0
        until = task.ended_ms or self._now_ms
        by = cell(task.on_behalf_of.removeprefix("matrix:u/"), 32, pad=False) or self._named(task.requester)
        placed = places(_TASKS_ABOVE if self.two_lines else COLUMNS, width)
        in_full = any(place.column.key == "pipeline" for place in placed)
        parts = self._bar(task, done, tone) if in_full or len(task.stages) > _BAR else self._signs(task)
        cells: dict[str, tuple[Span, ...]] = {
            "sign": ((glyphs.tasks.get(task.state, "?"), tone),),
            "id": ((task.id[:8], "muted"),),
            "title": ((cell(task.title, 96, pad=False), "strong" if busy else "plain"),),
            "by": ((by, "accent" if task.ours else "plain"),),
            "done": (*parts, (f" {done}/{len(task.stages)}", "muted")),
            "speed": ((_speed(speed), "plain"),),
            "age": ((span(until - task.asked_ms) if task.asked_ms else "", "muted"),),
            "pipeline": self._pipeline(task) if in_full else (),
        }
        return line(placed, cells)

    def _bar(self, task: TaskRow, done: int, tone: Tone) -> tuple[Span, ...]:
        filled, rest = self.glyphs.load_bar(done / len(task.stages) if task.stages else 0.0, _BAR)
        return (filled, tone), (rest, "faint")

    def _signs(self, task: TaskRow) -> tuple[Span, ...]:
        """The pipeline in as many cells as it has stages, where there is no room for more."""
        signs = tuple((self._sign(stage), of_task(stage.state)) for stage in task.stages)
        return (*signs, (" " * (_BAR - len(signs)), "plain"))

    def _sign(self, stage: StageRow) -> str:
        return self.glyphs.tasks.get(stage.state, "?")

    def _pipeline(self, task: TaskRow, *, brief: bool = False) -> tuple[Span, ...]:
        """Each stage with who runs it; ``brief`` leaves out the names of those that are done."""
        spans: list[Span] = []
        for stage in task.stages:
            if spans:
                spans.append((f" {self.glyphs.arrows['then']} ", "faint"))
            tone = of_task(stage.state)
            waiting = not stage.executor
            if not (brief and stage.state == "completed"):
                spans.append((f"{cell(stage.id, 16, pad=False)} ", "muted" if waiting else "plain"))
            spans.append((self._sign(stage), tone))
            if not waiting:
                spans.append((f" {self._named(stage.executor)}", "muted"))
            if stage.state in ("working", "input_required") and stage.tokens:
                spans.append((f" {stage.tokens} tok", "plain"))
        return tuple(spans)

    def _stage(self, stage: StageRow, width: int) -> Spans:
        tone = of_task(stage.state)
        again = f" {stage.attempt}." if stage.attempt > 1 else ""
        cells: dict[str, tuple[Span, ...]] = {
            "sign": ((self._sign(stage), tone),),
            "id": ((cell(stage.id, 32, pad=False), "plain"),),
            "state": ((stage.state.replace("_", " "), tone),),
            "who": ((self._named(stage.executor), "strong"), (again, "warn")),
            "model": ((cell(stage.model, 48, pad=False), "muted"),),
            "tokens": ((f"{min(stage.tokens, 999_999)} tok" if stage.tokens else "", "plain"),),
            "speed": ((f"{_speed(stage.tokens_per_s)} t/s" if stage.tokens_per_s > 0 else "", "muted"),),
            "text": ((_told(stage, width), "bad" if stage.failure else "muted"),),
        }
        return line(places(_STAGES_ABOVE if self.two_lines else STAGES, width), cells)


def _key(task: TaskRow, stage: StageRow | None) -> str:
    return task.id if stage is None else f"{task.id}/{stage.id}"


def _told(stage: StageRow, width: int) -> str:
    """Why it failed, else what came out of it, else what it waits for."""
    said = stage.failure or stage.text or ("reads " + ", ".join(stage.sources) if stage.sources else "")
    return cell(said, max(1, width), pad=False)


def _speed(tokens_per_s: float) -> str:
    return f"{min(tokens_per_s, 9999):.1f}" if tokens_per_s > 0 else ""
