"""The palette (ctrl+p): every command, every action, every agent and task, found by typing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.style import Style

from tui.commands import COMMANDS
from tui.keys import KEYS, shown
from tui.text import cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui.app import ClawTui


class Palette(Provider):
    """What the app can do now. Names are what strangers wrote: they are never read as markup."""

    def _entries(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        app = cast("ClawTui", self.app)
        for key in KEYS:
            yield key.text, f"key {shown(app.keys[key.id])}", partial(app.run_action, key.action)
        for command in COMMANDS:
            yield f":{command.name} {command.usage}", command.text, partial(app.begin, command)
        for agent in app.picture.agents:
            name, more = cell(agent.name, 40, pad=False), f"{agent.kind} {agent.role} {agent.did[-8:]}"
            yield f"agent {name}", cell(more, 80, pad=False), partial(app.choose_agent, agent.did)
        for task in app.picture.tasks[:50]:
            title = cell(task.title, 50, pad=False)
            yield f"task {task.id[:8]} {title}", task.state, partial(app.choose_task, task.id)

    async def discover(self) -> Hits:
        for text, more, run in self._entries():
            yield DiscoveryHit(Content(text), self._attempt(run), text=text, help=cast(str, Content(more)))

    async def search(self, query: str) -> Hits:
        for text, more, run in self._entries():
            places = found(query, text)
            if places:
                drawn = Content(text)
                for place in places:
                    drawn = drawn.stylize(self.match_style or Style(reverse=True), place.start, place.stop)
                score = 1 / (1 + len(places) + places[0].start)
                yield Hit(score, drawn, self._attempt(run), text=text, help=cast(str, Content(more)))

    def _attempt(self, run: Callable[[], object]) -> Callable[[], object]:
        return partial(cast("ClawTui", self.app).attempt, run)


def found(query: str, text: str) -> list[slice]:
    """Where a text has what was typed: all of it in one place, else each of its words; [] if one is missing.

    Takes linear time: a fuzzy search would try every way to fit letters into a name made for that.
    """
    whole, words = query.strip(), query.split()
    places = [_place(whole, text)] if _place(whole, text) is not None else [_place(word, text) for word in words]
    return [place for place in places if place is not None] if None not in places else []


def _place(part: str, text: str) -> slice | None:
    match = re.search(re.escape(part), text, re.IGNORECASE)
    return slice(*match.span()) if match is not None else None
