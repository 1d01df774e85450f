"""The panes around one picture: every frame asks the feed for a snapshot and shows it; nothing else draws."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.containers import Container
from textual.events import Resize
from textual.widgets import Static

from tui import commands
from tui.asking import Asking
from tui.choosing import Choosing
from tui.commands import PANES, CommandError
from tui.feeds import Feed
from tui.filtering import Filtering
from tui.glyphs import GLYPHS
from tui.keys import KEYS, bindings, effective, shown
from tui.palette import Palette
from tui.prompt import Prompt
from tui.replaying import Replaying
from tui.saving import Saving
from tui.screens.help import HelpScreen
from tui.sources import Link, SourceError
from tui.views import Selection, Snapshot
from tui.widgets.agents import AgentsPane
from tui.widgets.foot import Foot, Severity
from tui.widgets.head import Head
from tui.widgets.inspector import InspectorPane
from tui.widgets.mesh import MeshPane
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane

FRAME_S = 1 / 15
_WIDE = 110  # columns: with fewer, the panes on the right fold away
_LEAST = (60, 16)


class ClawTui(Choosing, Filtering, Asking, Saving, Replaying, App[None]):
    """The whole screen. ``feed`` is a live room or a recording, ``keymap`` holds keys by action id.

    Each of the classes it is made of adds one group of actions.
    """

    TITLE = "ClawNet"
    CSS_PATH = "clawtui.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings()
    COMMANDS: ClassVar[set[type[Provider]]] = {Palette}  # type: ignore[assignment]
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self, feed: Feed, *, glyphs: str = "braille", theme: str = "", keymap: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.feed = feed
        self.picture = Snapshot(now_ms=feed.now_ms())
        self.selection = Selection()
        self.keys = effective(keymap or {})
        self.frozen_at: int | None = None  # how many lines there were when the picture was frozen
        self.zoomed = ""
        self._glyphs = glyphs
        self._wanted_theme = theme
        self._seen: tuple[int, int] = (-1, -1)  # the model and its count of changes that the picture shows
        self._stale = True  # the panes do not show the picture yet
        self.set_keymap(dict(keymap or {}))

    # -- what there is ---------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Head(id="head")
        with Container(id="room"):
            yield MeshPane(id="mesh")
            yield AgentsPane(id="agents")
            yield TasksPane(id="tasks")
            yield InspectorPane(id="inspector")
            yield TimelinePane(id="timeline")
        yield Static(id="toosmall", markup=False)
        yield Prompt(id="prompt")
        yield Foot(id="foot")

    def on_mount(self) -> None:
        if self._wanted_theme:
            self.theme = self._wanted_theme
        self.set_glyphs(self._glyphs)
        self.query_one(MeshPane).focus()
        self.query_one(Foot).keys([(shown(self.keys[key.id]), key.short) for key in KEYS if key.short])
        self.set_interval(FRAME_S, self.frame)
        self.run_worker(self._run_feed(), name="feed", exit_on_error=False)

    async def _run_feed(self) -> None:
        try:
            await self.feed.run()
        except SourceError as error:
            self.feed.link = Link("ended", str(error))
            self.say(str(error), "error")

    def frame(self) -> None:
        """Take up what has changed and show it."""
        now_ms, model = self.feed.now_ms(), self.feed.model
        if self.frozen_at is None:
            seen = (id(model), model.changes)
            if seen != self._seen or abs(now_ms - self.picture.now_ms) >= 1000:
                leapt = seen[0] != self._seen[0]
                self.picture = model.snapshot(now_ms, fresh=leapt or self.standing_still())
                self._seen = seen
                self._stale = True
        if self._stale or self.frozen_at is not None:
            self._stale = False
            self.show()
        if self.frozen_at is None and (mesh := self.query_one(MeshPane)).display:
            mesh.tick(now_ms)
        foot = self.query_one(Foot)
        foot.replay(self.playback())
        foot.tick(time.monotonic_ns() // 1_000_000)

    def show(self) -> None:
        """Bring every pane that can be seen up to date."""
        model = self.feed.model
        head = self.query_one(Head)
        head.tell(
            room=self.feed.title,
            link=self.feed.link.state,
            detail=self.feed.link.detail,
            filter=self.filter_told(),
            buffered=-1 if self.frozen_at is None else model.lines - self.frozen_at,
        )
        head.show(self.picture, self.selection, model=model)
        mesh = self.query_one(MeshPane)
        if mesh.display:
            mesh.show(self.picture, self.selection)
        picture = self.filtered(self.picture)
        for pane in self.lists():
            if pane.display:
                pane.show(picture, self.selection, model=model)

    def lists(self) -> list[TimelinePane | AgentsPane | TasksPane | InspectorPane]:
        """The panes made of lines."""
        kinds = (TimelinePane, AgentsPane, TasksPane, InspectorPane)
        return [self.query_one(kind) for kind in kinds]

    def say(self, text: str, severity: Severity = "information") -> None:
        """Tell the person something, for some seconds."""
        self.query_one(Foot).message(text, severity)

    def stale(self) -> None:
        """Something of what is shown has changed: the next frame brings it up to date."""
        self._stale = True

    # -- panes -----------------------------------------------------------------------------------------------

    def on_resize(self, event: Resize) -> None:
        width, height = event.size
        self.set_class(width < _WIDE, "narrow")
        small = width < _LEAST[0] or height < _LEAST[1]
        self.set_class(small, "small")
        self.query_one("#toosmall", Static).update(
            f"clawtui needs {_LEAST[0]}x{_LEAST[1]} characters; this window has {width}x{height}."
        )
        self._arrange()

    def action_pane(self, name: str) -> None:
        """Go to a pane; where there is room for two alone, it takes the upper one's place."""
        pane = self.query_one(f"#{name}")
        if self.zoomed:
            self.zoomed = name
        self._above = name if name != "timeline" else getattr(self, "_above", "mesh")
        self._arrange()
        pane.focus()

    def action_step_pane(self, by: int) -> None:
        if self.query_one(Prompt).is_open or len(self.screen_stack) > 1:
            return
        names = [name for name in PANES if self.query_one(f"#{name}").has_focus_within]
        at = PANES.index(names[0]) if names else 0
        self.action_pane(PANES[(at + by) % len(PANES)])

    def action_zoom(self) -> None:
        focused = [name for name in PANES if self.query_one(f"#{name}").has_focus_within]
        self.zoomed = "" if self.zoomed else (focused[0] if focused else "mesh")
        self._arrange()

    def _arrange(self) -> None:
        """Which panes can be seen: all, one, or in a narrow window the chosen one above the timeline."""
        narrow, above = self.has_class("narrow"), getattr(self, "_above", "mesh")
        for name in PANES:
            seen = name == self.zoomed if self.zoomed else not narrow or name in (above, "timeline")
            self.query_one(f"#{name}").display = seen
        self.set_class(bool(self.zoomed), "zoomed")
        self.stale()

    # -- everything else -------------------------------------------------------------------------------------

    def action_freeze(self) -> None:
        self.frozen_at = None if self.frozen_at is not None else self.feed.model.lines
        self.stale()

    def action_command(self) -> None:
        self.query_one(Prompt).open("command", suggestions=tuple(command.name for command in commands.COMMANDS))

    def on_prompt_entered(self, event: Prompt.Entered) -> None:
        self.query_one(f"#{self.zoomed or 'timeline'}").focus()
        if event.purpose == "filter":
            self.set_filter(event.text)
        elif event.purpose == "ask":
            self.ask(event.text)
        else:
            try:
                commands.run(self, event.text)
            except CommandError as error:
                self.say(str(error), "error")

    def on_prompt_left(self) -> None:
        self.query_one(f"#{self.zoomed or 'mesh'}").focus()

    def action_help(self) -> None:
        self.push_screen(HelpScreen(self.keys))

    def action_theme(self) -> None:
        names = sorted(self.available_themes)
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.say(f"Theme {self.theme}")
        self.stale()

    def set_glyphs(self, name: str) -> None:
        """Draw with other characters. Raises CommandError."""
        if name not in GLYPHS:
            raise CommandError(f"There are no glyphs {name!r}; there are {', '.join(GLYPHS)}.")
        self.query_one(MeshPane).glyphs = name
        for pane in (*self.lists(), self.query_one(Head), self.query_one(Foot)):
            pane.glyphs = GLYPHS[name]
        self.stale()

    def action_back(self) -> None:
        """Undo one thing: the zoom, the following, the filter, the choice, the freeze."""
        if self.zoomed:
            self.action_zoom()
        elif self.followed or self.filter_text:
            self.set_filter("")
        elif self.selection != Selection():
            self.select(Selection())
        elif self.frozen_at is not None:
            self.action_freeze()
