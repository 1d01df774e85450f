"""The palette (ctrl+p): every command, every action, every agent and task, found by typing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.markup import escape

from tui.commands import COMMANDS
from tui.keys import KEYS, shown
from tui.text import cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.app import ClawTui


class Palette(Provider):
    """What the app can do now."""

    def _found(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        app = cast("ClawTui", self.app)
        for key in KEYS:
            yield f"{key.text}", f"key {shown(app.keys[key.id])}", partial(app.run_action, key.action)
        for command in COMMANDS:
            yield f":{command.name} {command.usage}", command.text, partial(app.begin, command)
        for agent in app.picture.agents:
            name = cell(agent.name, 40, pad=False)
            yield f"agent {name}", f"{agent.kind} {agent.role} {agent.did[-8:]}", partial(app.choose_agent, agent.did)
        for task in app.picture.tasks[:50]:
            title = cell(task.title, 50, pad=False)
            yield f"task {task.id[:8]} {title}", task.state, partial(app.choose_task, task.id)

    async def discover(self) -> Hits:
        for text, more, run in self._found():
            yield DiscoveryHit(Content(text), run, text=text, help=escape(more))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for text, more, run in self._found():
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, matcher.highlight(text), run, help=escape(more))
