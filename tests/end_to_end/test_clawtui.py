"""clawtui in a real terminal, beside a real agent in a real room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent
from tests.terminals import KINDS, Emulated, Terminal, ended, shows

CLAWTUI = (sys.executable, "-m", "tui.cli")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_question_is_asked_and_seen_to_travel(
    kind: Callable[..., Terminal], mesh: Mesh, new_agent: NewAgent
) -> None:
    question = f"What is {kind.__name__.lower()}?"  # the room is the same for all, and remembers
    person = await new_agent("person", mesh.room, *NO_MODEL, "--kind", "human")
    person.start()
    await person.ready()
    with kind([*CLAWTUI, "--name", person.name], person.environment) as terminal:
        names = {agent.name for agent in mesh.agents} | {person.name}
        screen = await shows(terminal, lambda screen: all(screen.count(name) >= 2 for name in names))
        assert mesh.room in screen.splitlines()[0] and "live" in screen.splitlines()[0]
        terminal.press("a")
        await shows(terminal, lambda screen: "ask ›" in screen)
        terminal.press(*question, "Enter")
        await shows(terminal, lambda screen: f"✓ {question}" in screen)
        terminal.press("/", *"type:task.close")
        await shows(terminal, lambda screen: "\n/ type:task.close" in screen)
        terminal.press("Enter")
        screen = await shows(terminal, lambda screen: "closes task" in screen and "\n/ type" not in screen)
        closes = [line for line in screen.splitlines() if "closes task" in line]
        assert all("bound" in line for line in closes)
        terminal.press("?")
        await shows(terminal, lambda screen: "CHOOSE AND FILTER" in screen)
        terminal.press("q")
        await shows(terminal, lambda screen: "CHOOSE AND FILTER" not in screen)
        terminal.press("q")
        assert await ended(terminal) == 0
    assert await person.stop() == 0


async def test_the_made_up_mesh_needs_nothing(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(Path.cwd())}
    with Emulated([*CLAWTUI, "demo"], environment, (80, 24)) as terminal:
        await shows(terminal, lambda screen: "live" in screen and "bound" in screen)
        terminal.press("q")
        assert await ended(terminal) == 0
    assert not list(tmp_path.rglob("*"))
