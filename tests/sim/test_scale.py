"""What must hold however many agents there are, on few: the same code draws docs/pictures/scaling.svg."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from clawnet_proto.message import Message
from tests.sim import Figures, Scenario, plot
from tests.sim.fold import measure
from tests.sim.hall import Hall
from tests.sim.run import simulate

CHECKOUT = Path(__file__).resolve().parents[2]
SMALL = Scenario(agents=12, tasks=8, seconds=240, whole=1)


@pytest.fixture(scope="module")
def small() -> Figures:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def larger() -> Figures:
    return simulate(Scenario(agents=40, room_size=20, tasks=10, seconds=180, whole=1))


def test_the_same_seed_gives_the_same_history_in_another_process(small: Figures) -> None:
    program = f"from tests.sim import Scenario, run; print(run.simulate({SMALL!r}).history)"
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": str(CHECKOUT)}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == small.history


def test_another_seed_gives_another_history(small: Figures) -> None:
    assert simulate(Scenario(agents=12, tasks=8, seconds=240, whole=1, seed=2)).history != small.history


def test_whom_the_hall_leaves_out_would_have_done_nothing(small: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    def everybody(hall: Hall, message: Message) -> Iterable[str]:
        few = list(concerned(hall, message))
        return dict.fromkeys([*few, *sorted(hall._lights)])

    concerned = Hall._concerned
    monkeypatch.setattr(Hall, "_concerned", everybody)
    all_asked = simulate(SMALL)
    # Whoever is handed more looks more often whether anything is due: moments differ, and with them ids.
    for name in ("offers_per_stage", "room_messages_per_task", "announces_per_agent_hour", "executions"):
        assert getattr(all_asked, name) == getattr(small, name)


def test_every_task_is_done_once_and_all_folds_agree(small: Figures, larger: Figures) -> None:
    for figures in (small, larger):
        assert (figures.completed, figures.failed, figures.lost) == (figures.tasks, 0, 0)
        assert figures.executions == figures.stages
        assert figures.whole_agrees


def test_more_agents_do_not_make_more_offers(small: Figures, larger: Figures) -> None:
    assert small.offers_per_stage == larger.offers_per_stage == 3


def test_a_quiet_room_stays_quiet() -> None:
    quiet = simulate(Scenario(agents=12, tasks=1, seconds=2000, whole=1))
    announces = quiet.announces_per_agent_hour * quiet.virtual_s / 3600
    assert announces <= 3, "one on joining, one for the first peers confirmed, one when there are more"


@pytest.mark.parametrize("killed", [0.3, 0.5])
def test_no_task_is_lost_or_done_twice_when_many_are_killed(killed: float) -> None:
    figures = simulate(Scenario(agents=24, tasks=24, seconds=120, killed=killed, whole=1))
    assert figures.killed == round(23 * killed)
    assert (figures.completed, figures.lost) == (figures.tasks, 0)
    assert figures.taken_over > 0
    assert figures.whole_agrees


def test_the_costs_of_a_fold_are_measured() -> None:
    costs = measure(20)
    assert costs.known == 20
    assert 1000 < costs.bytes_per_peer < 10_000


def test_the_picture_has_a_line_for_every_series() -> None:
    panels = [
        plot.Panel(title="a < b", lines={"one": [(10, 1.0), (100, 3.0)], "two": [(10, 2.0), (100, 5.0)]}),
        plot.Panel(title="c", lines={"": [(10, 0.1), (100, 2000.0)]}, logarithmic=True),
    ]
    picture = plot.svg(panels)
    assert picture.count('stroke-width="2"') == 3
    assert picture.count("<circle") == 6
    assert "a &lt; b" in picture
