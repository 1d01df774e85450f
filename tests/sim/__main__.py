"""Simulate, list the figures, draw them."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tests.sim import Figures, Scenario, fold, plot, run
from tests.sim.fold import FoldFigures

A = TypeVar("A")
T = TypeVar("T")

_EXAMPLES = """\
examples:
  python -m tests.sim                                  10, 100 and 1,000 agents, then with some killed
  python -m tests.sim --agents 10 100 --killed 0       a first look (a minute)
  python -m tests.sim --agents 10000 --seconds 120 --killed 0 --no-fold   (10 to 20 minutes)
  python -m tests.sim --json figures.json --picture docs/pictures/scaling.svg
"""
_KILLED_S = 300  # a run in which agents are killed: until all that was disturbed has ended


def main() -> int:
    """0 if every task of an agent that was not killed ended, 1 if one was lost or folds disagree."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim",
        description="Simulate agents with their real behaviours and the real fold, in virtual time.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--agents", type=int, nargs="+", default=[10, 100, 1000], metavar="N", help="how many")
    parser.add_argument("--room-size", type=int, default=1000, metavar="N", help="at most so many in a room (1000)")
    parser.add_argument("--tasks", type=int, metavar="N", help="how many tasks (as many as agents, from 30 to 200)")
    parser.add_argument("--seconds", type=int, default=3600, help="virtual time (3600)")
    parser.add_argument(
        "--killed", type=float, nargs="+", default=[0.0, 0.3, 0.5], metavar="SHARE",
        help=f"share of agents killed while tasks run (0 0.3 0.5); with any, {_KILLED_S} s of virtual time",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="another one gives another history (1)")
    parser.add_argument("--no-fold", action="store_true", help="leave out the costs of one fold")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw them as SVG")
    arguments = parser.parse_args()
    costs = [] if arguments.no_fold else [_apart(fold.measure, peers) for peers in fold.SIZES]
    found = [
        _apart(run.simulate, _scenario(arguments, agents, killed))
        for killed in arguments.killed
        for agents in arguments.agents
    ]
    print(_table(costs) + "\n" + _table(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(_described(costs, found), indent=1) + "\n")
    if arguments.picture:
        arguments.picture.write_text(plot.svg(_panels(costs, found)))
    return 1 if any(figures.lost or not figures.whole_agrees for figures in found) else 0


def _scenario(arguments: argparse.Namespace, agents: int, killed: float) -> Scenario:
    return Scenario(
        agents=agents,
        room_size=arguments.room_size,
        tasks=arguments.tasks or min(200, max(30, agents)),
        seconds=_KILLED_S if killed else arguments.seconds,
        killed=killed,
        seed=arguments.seed,
    )


def _apart(work: Callable[[A], T], given: A) -> T:
    """Do it in a process of its own, whose memory is that of this work alone."""
    print(f"{work.__module__.rpartition('.')[2]}: {given}", file=sys.stderr)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(work, given).result()


def _table(found: Sequence[msgspec.Struct]) -> str:
    """One column for each of them."""
    if not found:
        return ""
    columns = [msgspec.structs.asdict(figures) for figures in found]
    lines = [(name, *(_cell(column[name]) for column in columns)) for name in columns[0]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + "\n" for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value[:12]
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.3g}"


def _described(costs: Sequence[FoldFigures], found: Sequence[Figures]) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "fold": msgspec.to_builtins(costs),
        "runs": msgspec.to_builtins(found),
    }


def _panels(costs: Sequence[FoldFigures], found: Sequence[Figures]) -> list[plot.Panel]:
    shares = sorted({figures.killed_share for figures in found})

    def over(name: str, share: float = 0.0) -> plot.Line:
        return [(figures.agents, getattr(figures, name)) for figures in found if figures.killed_share == share]

    def each(name: str) -> dict[str, plot.Line]:
        return {f"{share:.0%} killed": over(name, share) for share in shares}

    def cost(name: str) -> plot.Line:
        return [(figures.announced, getattr(figures, name)) for figures in costs if figures.known == figures.announced]

    panels = [
        plot.Panel(title="offers per stage", lines=each("offers_per_stage")),
        plot.Panel(
            title="messages per task",
            lines={"room": over("room_messages_per_task"), "direct": over("direct_messages_per_task")},
        ),
        plot.Panel(title="slowest task, s", lines=each("slowest_s")),
        plot.Panel(
            title="room messages an hour",
            lines={"one sends": over("room_messages_per_agent_hour"), "all read": over("room_messages_read_per_hour")},
            logarithmic=True,
        ),
    ]
    if costs:
        panels += [
            plot.Panel(
                title="one decision, µs",
                lines={"offer?": cost("decision_us"), "welcome?": cost("welcome_us")},
                logarithmic=True,
            ),
            plot.Panel(title="bytes of a fold per peer", lines={"": cost("bytes_per_peer")}),
        ]
    return panels


if __name__ == "__main__":
    sys.exit(main())
