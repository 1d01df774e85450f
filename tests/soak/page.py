"""The result of a soak for people: a table, and the page of the documentation that holds the last one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.soak.summary import Summary

TEMPLATE = """\
# The soak

`make soak` lets agents work for 20 minutes and goes on making trouble for them meanwhile; `make test` does the same
for two minutes. `python -m tests.soak --help` shows how to choose the time, the seed, the number of agents and
two homeservers instead of one. This page is written by `make soak ARGS="--record docs/soak.md"`.

Agents are processes of their own on a real Synapse: two that ask, the others work, one of them with the packaged
model. What is asked for comes at a steady rate, mixed by a seed: tasks of three stages for anybody, of one stage for a
certain agent, sealed ones, ones whose output is an artifact (every other one sealed), ones that are canceled at once,
handshakes, and questions that people write in the room. At moments that the seed chooses, an agent is killed by SIGKILL
and comes back after some seconds, an agent is restarted politely, the homeserver is restarted, and the homeserver lets
everybody send one message a second and answers with 429 what comes faster. The agent with the model and one of those
that ask are left alone, so that two processes live as long as the soak.

How it is judged, by a plain client that reads the whole room, verifies each message and counts:

- **Nothing is lost.** Each task that was acknowledged (its request was committed to the asker's store) stands in the
  room and has been closed or canceled by who asked. So has every other request that stands there. Each question of a
  person was asked by one agent, to its end, and by another only if the first one failed.
- **Nothing is accepted twice.** The receipts of a task name one result for each stage, and that result was posted by
  whom they name. No attempt has two results, no task two receipts. What was executed again, because its executor was
  killed, is counted.
- **Nothing grows.** Once a second the system is asked what each process holds. Of each process that lived for half of
  the soak the first third is for warming up; then the median of its resident memory in the last third may exceed that
  of the second by 5 % and 2 MB, and the fewest open files, sockets and threads those of the second by eight. The
  homeservers' are shown, and not judged. Agents remember the tasks of a room, up to 4,096, so each task takes some
  memory until then: what one fold of the same history takes for each task is the yardstick.
- **What comes out is right**, agents leave with status 0, their logs hold no traceback, and at the end nobody has
  anything left to do.

## The last result

{heading}

{table}
"""


def render(summary: Summary) -> str:
    """The whole page."""
    scenario, machine = summary.scenario, summary.machine
    where = "two homeservers that federate" if scenario.federated else "one homeserver"
    heading = (
        f"{summary.date}: {scenario.seconds / 60:g} minutes under load, seed {scenario.seed}, "
        f"{scenario.agents + scenario.askers} agents, {where}; {machine.system} with {machine.cores} cores and "
        f"{machine.memory_gb} GB, Python {machine.python}. "
        + ("Nothing was found wrong." if summary.good else f"**{len(summary.faults)} faults.**")
    )
    return TEMPLATE.format(heading=heading, table=table(summary))


def table(summary: Summary) -> str:
    """The figures, as Markdown."""
    return "\n".join([*_figures(summary), "", *_processes(summary), *_faults(summary)])


def _figures(summary: Summary) -> Iterator[str]:
    verdict = summary.verdict
    yield "| what | figure |"
    yield "|---|---|"
    rows = {
        "asked for and acknowledged": _listed(summary.asked),
        "trouble": _listed(summary.troubles),
        "limits that agents met": f"{summary.held_back} times",
        "tasks in the room": f"{verdict.tasks}: {_listed(verdict.outcomes)}",
        "failed because of": _listed(verdict.reasons),
        "**lost**": f"**{len(verdict.lost)}**",
        "**accepted twice**": f"**{len(verdict.twice)}**",
        "stages with an accepted result": f"{verdict.stages}",
        "results posted, of these not accepted": f"{verdict.executions}, {verdict.repeated}",
        "stages awarded more than once": f"{verdict.awarded_again}",
        "a task, asked to ended (median, 95 %)": f"{summary.median_s:.2f} s, {summary.p95_s:.1f} s",
        "an agent's files, growth with each task of the room": f"{summary.kb_per_task:.1f} kB",
        "a fold of the room, memory for each task": f"{summary.fold_kb_per_task:.0f} kB",
        "processes watched, of these judged by growth": f"{summary.lives}, {len(summary.growths)}",
    }
    for what, figure in rows.items():
        yield f"| {what} | {figure} |"


def _processes(summary: Summary) -> Iterator[str]:
    yield "| process | lived | memory, second third | last third | more with each task | files | sockets | threads |"
    yield "|---|---|---|---|---|---|---|---|"
    for growth in summary.growths:
        middle, last = growth.middle, growth.last
        cells = (
            growth.name,
            f"{growth.seconds:.0f} s",
            f"{middle.rss_mb:.1f} MB",
            f"{last.rss_mb:.1f} MB",
            f"{summary.memory_kb_per_task(growth):.0f} kB",
            f"{middle.files}, {last.files}",
            f"{middle.sockets}, {last.sockets}",
            f"{middle.threads}, {last.threads}",
        )
        yield f"| {' | '.join(cells)} |"


def _faults(summary: Summary) -> Iterator[str]:
    if summary.faults:
        yield "\nWhat was found wrong:\n"
        yield from (f"- {fault}" for fault in summary.faults)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"
