"""Everything there is to know of one task (spec/08-task.md)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from clawnet_proto.families.task import Parameters
from clawnet_proto.families.task_state import AttemptView, StageView, TaskView
from clawnet_proto.rendering import vouched_by
from tui.glyphs import Glyphs
from tui.inspection import data_lines, moment
from tui.judge import Judge
from tui.sayings import address_of, meaning_of
from tui.sections import Line, Link, Section, fields, paragraph
from tui.text import cell, name_or_did
from tui.tones import of_task
from tui.verbatim import escaped
from tui.views import Snapshot, StageRow, TaskRow

_REFUSED_MOST = 20


def task_sections(row: TaskRow, stage: str, snapshot: Snapshot, judge: Judge, glyphs: Glyphs) -> list[Section]:
    """The sections of a task; a stage that is chosen comes first."""
    view = judge.mesh.task(row.id)
    stages = sorted(row.stages, key=lambda found: found.id != stage)
    sections = [Section("Task", _task(row, snapshot.now_ms, judge, glyphs))]
    told = [
        Section(f"Stage {cell(found.id, 32, pad=False)}", tuple(_stage(row, found, view, judge, glyphs)))
        for found in stages
    ]
    sections = [told[0], sections[0], *told[1:]] if stage and told else [*sections, *told]
    if view is None:
        return sections
    sections.append(Section("Inputs", tuple(_inputs(view))))
    if view.errors:
        sections.append(Section("Does not count", tuple(_refused(view))))
    return [*sections, Section("Request", data_lines(view.request.envelope))]


def _state(state: str, glyphs: Glyphs) -> Line:
    sign = glyphs.tasks.get(state, "?")
    return Line(text=f"{sign} {state.replace('_', ' ') or 'waiting'}", tone=of_task(state))


def _task(row: TaskRow, now_ms: int, judge: Judge, glyphs: Glyphs) -> tuple[Line, ...]:
    privacy = {"public": "public: the room can read it", "sealed": "sealed: only who is awarded reads the inputs"}
    return (
        Line(text=cell(row.title, 300, pad=False), tone="strong"),
        _state(row.state, glyphs),
        *fields(
            Line(label="asked by", text=_named(judge, row.requester), link=Link("agent", row.requester)),
            ("for", f"{address_of(row.on_behalf_of)}, {vouched_by(row.on_behalf_of)}" if row.on_behalf_of else ""),
            ("asked", moment(row.asked_ms, now_ms)),
            ("ended", moment(row.ended_ms, now_ms)),
            ("outcome", cell(row.outcome, 400, pad=False)),
            ("privacy", privacy.get(row.privacy, row.privacy)),
            Line(label="id", text=escaped(row.id), link=Link("message", row.id)),
        ),
    )


def _stage(row: TaskRow, stage: StageRow, view: TaskView | None, judge: Judge, glyphs: Glyphs) -> Iterator[Line]:
    yield _state(stage.state, glyphs)
    if stage.executor:
        yield Line(label="run by", text=_named(judge, stage.executor), link=Link("agent", stage.executor))
    speed = f", {stage.tokens_per_s:.1f} a second" if stage.tokens_per_s > 0 else ""
    yield from fields(
        ("kind", stage.kind),
        ("reads", cell(", ".join(stage.sources), 300, pad=False)),
        ("model", cell(stage.model, 64, pad=False)),
        ("tokens", f"{stage.tokens:,}{speed}" if stage.tokens else ""),
    )
    if stage.failure:
        yield Line(label="failed", text=cell(stage.failure, 400, pad=False), tone="bad")
    found = None if view is None else view.stages.get(stage.id)
    if found is not None:
        yield from fields(("parameters", _parameters(found.spec.parameters)))
        yield from _needs(found)
        for attempt in found.attempts.values():
            yield from _attempt(attempt, judge, glyphs)
        if found.accepted is not None:
            yield Line(label="digest", text=found.accepted.body.output_digest)
        if found.executions > 1:
            yield Line(label="runs", text=f"{found.executions} results arrived, one counts.", tone="warn")
    if stage.text:
        yield Line(text="")
        yield from paragraph(stage.text)


def _parameters(parameters: Parameters) -> str:
    return (
        f"at most {parameters.max_tokens:,} tokens, temperature {parameters.temperature_milli / 1000:g}, "
        f"top-p {parameters.top_p_milli / 1000:g}, seed {parameters.seed}"
    )


def _needs(stage: StageView) -> tuple[Line, ...]:
    needs = stage.spec.needs
    if needs is UNSET:
        return ()
    said = [
        "" if needs.model is UNSET else needs.model,
        "" if needs.context_tokens is UNSET else f"{needs.context_tokens:,} tokens of context",
        "" if needs.memory_mib is UNSET else f"{needs.memory_mib:,} MiB of memory",
    ]
    return fields(("needs", cell(", ".join(filter(None, said)), 300, pad=False)))


def _attempt(attempt: AttemptView, judge: Judge, glyphs: Glyphs) -> Iterator[Line]:
    sign = glyphs.tasks.get(attempt.state, "?")
    text = f"{sign} {attempt.state.replace('_', ' ')}: {_named(judge, attempt.executor)}"
    yield Line(label=f"attempt {attempt.number}", text=text, link=Link("message", attempt.award.id))
    if attempt.result is not None:
        usage = attempt.result.body.usage
        took = (usage.prompt_ms + usage.generate_ms) / 1000
        text = f"{usage.output_tokens:,} tokens in {took:.1f} s, {usage.prompt_tokens:,} read"
        yield Line(label="result", text=text, link=Link("message", attempt.result.id))
    if attempt.failure is not None:
        body = attempt.failure.body
        text = cell(f"{body.code}: {body.message}", 400, pad=False)
        yield Line(label="failure", text=text, link=Link("message", attempt.failure.id), tone="bad")
    if attempt.question is not None:
        text = cell(attempt.question.body.question, 400, pad=False)
        yield Line(label="asks", text=text, link=Link("message", attempt.question.id))


def _inputs(view: TaskView) -> Iterator[Line]:
    for item in view.request.body.inputs:
        yield Line(label=cell(item.name, 11, pad=False), text=f"digest {item.digest}", tone="muted")
        if item.text is UNSET:
            yield Line(text="sealed: its text is not in the room", tone="muted")
        else:
            yield from paragraph(item.text)


def _refused(view: TaskView) -> Iterator[Line]:
    for message_id, code in list(view.errors.items())[:_REFUSED_MOST]:
        text = f"{code}: {meaning_of(code)}"
        yield Line(label=message_id[:8], text=text, tone="warn", link=Link("message", message_id))
    if len(view.errors) > _REFUSED_MOST:
        yield Line(text=f"and {len(view.errors) - _REFUSED_MOST} more", tone="muted")


def _named(judge: Judge, did: str) -> str:
    return name_or_did(judge.mesh.name_of(did), did)
