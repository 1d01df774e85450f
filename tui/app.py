"""The panes around one picture: every frame asks the feed for a snapshot and shows it; nothing else draws."""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.command import Provider
from textual.containers import Container
from textual.events import Event, Key, Resize
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerError

from tui import commands
from tui.asking import Asking
from tui.commands import PANES, Command, CommandError
from tui.feeds import Feed
from tui.glyphs import GLYPHS
from tui.keys import KEYS, bindings, shown
from tui.pace import Pace
from tui.palette import Palette
from tui.prompt import Prompt
from tui.replaying import Replaying
from tui.saving import Saving
from tui.screens.help import HelpScreen
from tui.sources import Link, SourceError
from tui.views import Selection
from tui.widgets.agents import AgentsPane
from tui.widgets.inspector import InspectorPane
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane

log = logging.getLogger(__name__)

FRAME_S = 1 / 15
_WIDE = 110  # columns: with fewer, the panes on the right fold away
_LEAST = (60, 16)
_GARBAGE = 20_000  # objects made before circles among them are looked for


class ClawTui(Asking, Saving, Replaying):
    """The whole screen. ``feed`` is a live room or a recording, ``keymap`` holds keys by action id.

    Each of the classes it is made of adds one group of actions.
    """

    TITLE = "ClawNet"
    CSS_PATH = "clawtui.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings()
    COMMANDS: ClassVar[set[type[Provider]]] = {Palette}  # type: ignore[assignment]

    def __init__(
        self, feed: Feed, *, glyphs: str = "braille", theme: str = "", keymap: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(feed, keymap or {})
        self.zoomed = ""
        self._glyphs = glyphs
        self._wanted_theme = theme
        self._seen: tuple[int, int] = (-1, -1)  # the model and its count of changes that the picture shows
        self._pace = Pace()
        self._feeding: Worker[None] | None = None
        self._too_small = Static(id="toosmall", markup=False)
        self._room = Container(id="room")
        self._above = "mesh"  # in a narrow window, the pane above the timeline

    # -- what there is ---------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield self.head
        with self._room:
            yield self.mesh
            yield self.agents
            yield self.tasks
            yield self.timeline
            yield self.inspector
        yield self._too_small
        yield self.prompt
        yield self.foot

    def run(self, *arguments: Any, **options: Any) -> None:
        """Show it until it is quit."""
        # What lives by now lives to the end, and of what will come little is in circles.
        gc.freeze()
        gc.set_threshold(_GARBAGE)
        super().run(*arguments, **options)

    def on_mount(self) -> None:
        if self._wanted_theme:
            self.theme = self._wanted_theme
        self.set_glyphs(self._glyphs)
        self.mesh.focus()
        self.foot.keys([(shown(self.keys[key.id]), key.short) for key in KEYS if key.short])
        self.set_interval(FRAME_S, self.frame)
        self._feeding = self.run_worker(self._run_feed(), name="feed", exit_on_error=False)

    async def _run_feed(self) -> None:
        try:
            await self.feed.run()
        except SourceError as error:
            self._ended(str(error))
        except Exception as error:  # a fault of ours: the last picture stays, and nobody takes it for live
            log.exception("the feed failed")
            self._ended(f"clawtui failed: {type(error).__name__}. The picture does not go on.")

    def _ended(self, why: str) -> None:
        self.feed.link = Link("ended", why)
        self.say(why, "error")
        self.stale()

    async def on_unmount(self) -> None:
        """An agent that was opened for us says goodbye first."""
        if self._feeding is not None:
            self._feeding.cancel()
            with contextlib.suppress(WorkerError):
                await self._feeding.wait()

    def frame(self) -> None:
        """Take up what has changed and show it."""
        now_ms, model = self.feed.now_ms(), self.feed.model
        self._pace.next(time.monotonic(), model.changes)
        if self.frozen is None:
            seen = (id(model), model.changes)
            leapt = seen[0] != self._seen[0]
            changed = seen != self._seen or abs(now_ms - self.picture.now_ms) >= 1000
            if changed and (leapt or self._pace.looks):
                self.picture = model.snapshot(now_ms, fresh=leapt or self.standing_still())
                self._seen = seen
                self.outdated = True
            self.review(time.monotonic())
        if self.outdated or self.frozen is not None:
            self.outdated = False
            self.show()
        if self.frozen is None and self.mesh.display and self._pace.moves:
            self.mesh.tick(now_ms, settle=self._pace.looks)
        self.foot.replay(self.playback())
        self.foot.tick(time.monotonic_ns() // 1_000_000)

    def show(self) -> None:
        """Bring every pane that can be seen up to date."""
        frozen, judge = self.frozen, self.judge
        self.head.tell(
            room=self.feed.title if frozen is None else self.frozen_title,
            link=self.feed.link.state,
            detail=self.feed.link.detail,
            filter=self.filter_told(),
            buffered=-1 if frozen is None else max(0, self.feed.model.lines - frozen.lines),
        )
        self.head.show(self.picture, self.selection, model=judge)
        if self.mesh.display:
            self.mesh.show(self.picture, self.selection)
        picture = self.filtered(self.picture)
        for pane in self.lists():
            if pane.display:
                pane.show(picture, self.selection, model=judge)

    def lists(self) -> tuple[TimelinePane, AgentsPane, TasksPane, InspectorPane]:
        """The panes made of lines."""
        return self.timeline, self.agents, self.tasks, self.inspector

    def pane(self, name: str) -> Widget:
        """The pane of this name."""
        return {"mesh": self.mesh, **{str(pane.id): pane for pane in self.lists()}}[name]

    # -- panes -----------------------------------------------------------------------------------------------

    def on_resize(self, event: Resize) -> None:
        width, height = event.size
        self.set_class(width < _WIDE, "narrow")
        small = width < _LEAST[0] or height < _LEAST[1]
        self.set_class(small, "small")
        self._too_small.update(f"clawtui needs {_LEAST[0]}x{_LEAST[1]} characters; this window has {width}x{height}.")
        self._arrange()

    def action_pane(self, name: str) -> None:
        """Go to a pane; where there is room for two alone, it takes the upper one's place."""
        pane = self.pane(name)
        if self.zoomed:
            self.zoomed = name
        if name != "timeline":
            self._above = name
        self._arrange()
        self.screen.set_focus(pane)  # at once: the next key is for it

    def action_step_pane(self, by: int) -> None:
        if self.prompt.is_open or len(self.screen_stack) > 1:
            return
        names = [name for name in PANES if self.pane(name) is self.focused]
        at = PANES.index(names[0]) if names else 0
        self.action_pane(PANES[(at + by) % len(PANES)])

    def action_zoom(self) -> None:
        focused = [name for name in PANES if self.pane(name) is self.focused]
        self.zoomed = "" if self.zoomed else (focused[0] if focused else "mesh")
        self._arrange()

    def _arrange(self) -> None:
        """Which panes can be seen: all, one, or in a narrow window the chosen one above the timeline."""
        narrow, above = self.has_class("narrow"), self._above
        for name in PANES:
            seen = name == self.zoomed if self.zoomed else not narrow or name in (above, "timeline")
            self.pane(name).display = seen
        self.set_class(bool(self.zoomed), "zoomed")
        # The grid is filled in order; in a narrow window the timeline is below whatever is chosen.
        last = self.timeline if narrow else self.inspector
        if self._room.children and self._room.children[-1] is not last:
            self._room.move_child(last, after=len(self._room.children) - 1)
        self.stale()

    # -- keys ------------------------------------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Obey a key before the next one is looked at: what follows a "/" in one write is meant for the prompt.

        Textual sends a key to the focused pane and obeys it when it comes back; the next ones have left by then.
        """
        if isinstance(event, Key) and not event.is_forwarded and self.app_focus and not isinstance(self.focused, Input):
            bound = self.screen.active_bindings.get(event.key)
            if bound is not None and bound.enabled and await self.run_action(bound.binding.action, bound.node):
                return
        await super().on_event(event)

    # -- everything else -------------------------------------------------------------------------------------

    def action_freeze(self) -> None:
        if self.frozen is None:
            self.picture = self.feed.model.snapshot(self.feed.now_ms(), fresh=True)
            self.frozen, self.frozen_title = self.feed.model.copy(), self.feed.title
        else:
            self.frozen = None
            self._seen = (-1, -1)  # what it missed is shown at once
        self.stale()

    def begin(self, command: Command) -> object:
        """Carry out a command, or let its words be typed. Raises CommandError."""
        if command.usage:
            self.prompt.open("command", f"{command.name} ")
            return None
        return command.run(self, "")

    def action_command(self) -> None:
        self.prompt.open("command", suggestions=tuple(command.name for command in commands.COMMANDS))

    async def on_prompt_entered(self, event: Prompt.Entered) -> None:
        self.screen.set_focus(self.pane(self.zoomed or "timeline"))
        if event.purpose == "filter":
            self.set_filter(event.text)
        elif event.purpose == "ask":
            self.ask(event.text)
        else:
            await self.attempt(partial(commands.run, self, event.text))

    def on_prompt_left(self, event: Prompt.Left) -> None:
        if event.purpose == "filter":
            self.set_filter(event.before)
        self.screen.set_focus(self.pane(self.zoomed or "mesh"))

    async def action_help(self) -> None:
        await self.push_screen(HelpScreen(self.keys))

    def action_theme(self) -> None:
        names = sorted(self.available_themes)
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.say(f"Theme {self.theme}")
        self.stale()

    def set_glyphs(self, name: str) -> None:
        """Draw with other characters. Raises CommandError."""
        if name not in GLYPHS:
            raise CommandError(f"There are no glyphs {name!r}; there are {', '.join(GLYPHS)}.")
        self.mesh.glyphs = name
        for pane in (*self.lists(), self.head, self.foot):
            pane.glyphs = GLYPHS[name]
        self.stale()

    def action_leave(self) -> None:
        """Undo one thing: the zoom, the following, the filter, the choice, the freeze."""
        if self.zoomed:
            self.action_zoom()
        elif self.followed or self.filter_text:
            self.show_everything()
        elif self.selection != Selection():
            self.select(Selection())
        elif self.frozen is not None:
            self.action_freeze()
