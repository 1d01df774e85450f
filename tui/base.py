"""What every group of actions stands on: the feed, the picture of it that is shown, and what is chosen in it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from inspect import isawaitable

from textual.app import App

from tui.commands import CommandError
from tui.feeds import Feed
from tui.keys import effective
from tui.model import Model
from tui.prompt import Prompt
from tui.views import Selection, Snapshot
from tui.widgets.agents import AgentsPane
from tui.widgets.foot import Foot, Severity
from tui.widgets.head import Head
from tui.widgets.inspector import InspectorPane
from tui.widgets.mesh import MeshPane
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane

log = logging.getLogger(__name__)


class Base(App[None]):
    """``feed`` is a live room or a recording, ``keymap`` holds keys by action id."""

    def __init__(self, feed: Feed, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self.feed = feed
        self.picture = Snapshot(now_ms=feed.now_ms())
        self.frozen: Model | None = None  # the state when the picture was frozen
        self.frozen_title = ""  # what its room was called then
        self.selection = Selection()
        self.keys = effective(keymap)
        self.outdated = True  # the panes do not show the picture yet
        self.head, self.foot, self.prompt = Head(id="head"), Foot(id="foot"), Prompt(id="prompt")
        self.mesh, self.timeline = MeshPane(id="mesh"), TimelinePane(id="timeline")
        self.agents, self.tasks = AgentsPane(id="agents"), TasksPane(id="tasks")
        self.inspector = InspectorPane(id="inspector")
        self.set_keymap(dict(keymap))

    @property
    def judge(self) -> Model:
        """The state that the picture shows: panes ask it what is known of a message."""
        return self.frozen or self.feed.model

    async def attempt(self, run: Callable[[], object]) -> None:
        """Do what a person asked for; where it makes no sense, say so."""
        try:
            done = run()
            if isawaitable(done):
                await done
        except CommandError as error:
            self.say(str(error), "error")

    def failed(self, error: Exception) -> None:
        """Tell of a fault of ours: nothing else is to suffer from it."""
        log.error("an action failed", exc_info=error)
        self.say(f"That failed by a fault of clawtui: {type(error).__name__}. All else goes on.", "error")

    def say(self, text: str, severity: Severity = "information") -> None:
        """Tell the person something, for some seconds."""
        self.foot.message(text, severity)

    def stale(self) -> None:
        """What is shown has changed: the next frame brings it up to date."""
        self.outdated = True

    def select(self, selection: Selection) -> None:
        """Choose something, in all panes."""
        self.selection = selection
        self.stale()

    def action_pane(self, name: str) -> None:
        """Go to a pane."""
        raise NotImplementedError
