"""The mesh pane: a live picture of who is in the room and what goes on between them."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import GLYPHS
from tui.labels import TEXT_STYLES
from tui.layout import Layout
from tui.picture import LINE_STYLES, NOTHING, animate, compose, shown
from tui.raster import Canvas, Runs
from tui.views import Selection, Snapshot

_FIRST_STEPS = 40  # a first picture that is already readable


class MeshPane(Widget, can_focus=True):
    """Draws snapshots by the line API: only rows that changed are drawn anew, and nothing while nothing moves."""

    class Chosen(Message):
        """The person chose an agent."""

        def __init__(self, did: str) -> None:
            super().__init__()
            self.did = did

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1,0)", "left", show=False),
        Binding("right,l", "move(1,0)", "right", show=False),
        Binding("up,k", "move(0,-1)", "up", show=False),
        Binding("down,j", "move(0,1)", "down", show=False),
        Binding("enter", "choose", "choose", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"mesh--" + name.replace(".", "-") for name in LINE_STYLES + TEXT_STYLES}
    DEFAULT_CSS = """
    MeshPane {
        border: round $foreground 22%;
        border-title-color: $foreground 75%;
        border-title-style: bold;
        border-subtitle-color: $foreground 50%;
        &:focus { border: round $primary; border-title-color: $text-primary; }
        &.-ascii { border: ascii $foreground 30%; }
        &.-ascii:focus { border: ascii $primary; }
    }
    MeshPane .mesh--edge { color: $foreground 22%; }
    MeshPane .mesh--edge-mutual { color: $foreground 32%; }
    MeshPane .mesh--edge-active { color: $accent 60%; }
    MeshPane .mesh--edge-near { color: $foreground 75%; }
    MeshPane .mesh--ripple { color: $text-secondary 70%; }
    MeshPane .mesh--pulse { color: $text-secondary; }
    MeshPane .mesh--flow { color: $accent; text-style: bold; }
    MeshPane .mesh--pulse-award { color: $warning; text-style: bold; }
    MeshPane .mesh--pulse-result { color: $success; text-style: bold; }
    MeshPane .mesh--rest { color: $foreground 35%; text-style: dim; }
    MeshPane .mesh--faded { color: $foreground 45%; text-style: dim; }
    MeshPane .mesh--label { color: $foreground 85%; }
    MeshPane .mesh--label-near { color: $foreground; text-style: bold; }
    MeshPane .mesh--system { color: $foreground 70%; }
    MeshPane .mesh--hybrid { color: $text-secondary; text-style: bold; }
    MeshPane .mesh--human { color: $text-warning; text-style: bold; }
    MeshPane .mesh--ai { color: $text-primary; text-style: bold; }
    MeshPane .mesh--me { color: $text-success; text-style: bold; }
    MeshPane .mesh--load { color: $success; }
    MeshPane .mesh--load-high { color: $warning; text-style: bold; }
    MeshPane .mesh--bad { color: $text-error; text-style: bold; }
    MeshPane .mesh--selected {
        color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold;
    }
    MeshPane:nocolor .mesh--selected { text-style: bold reverse; }
    """

    def __init__(self, *, glyphs: str = "braille", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._glyphs = GLYPHS[glyphs]
        self._places = Layout()
        self._snapshot = Snapshot(now_ms=0)
        self._selection = Selection()
        self._canvas = Canvas(0, 0, self._glyphs.dots, LINE_STYLES, TEXT_STYLES)
        self._scene = NOTHING
        self._looks: dict[str, Style] = {}
        self._strips: list[Strip] = []
        self._now_ms = 0
        self._moving = False
        self._stale = self._fresh = False
        self._told = ""
        self.border_title = "mesh"
        self.set_class(self._glyphs.dots == "ascii", "-ascii")

    @property
    def glyphs(self) -> str:
        """The name of the set of signs."""
        return self._glyphs.name

    @glyphs.setter
    def glyphs(self, name: str) -> None:
        self._glyphs = GLYPHS[name]
        self.set_class(self._glyphs.dots == "ascii", "-ascii")
        self._restart()

    def show(self, snapshot: Snapshot, selection: Selection) -> None:
        """Draw this from now on: with the next tick, or at once if none comes now."""
        if snapshot is self._snapshot and selection == self._selection:
            return
        first = not self._snapshot.agents
        self._snapshot, self._selection, self._now_ms = snapshot, selection, snapshot.now_ms
        self._update_places()
        if first:
            for _ in range(_FIRST_STEPS):
                self._places.step()
        self._outdate()

    def tick(self, now_ms: int, *, settle: bool = True) -> None:
        """It is ``now_ms``: draw what is new, and what moves. Costs next to nothing when nothing does.

        Nodes go on to better places only if they may ``settle``: that draws everything anew.
        """
        self._now_ms = now_ms
        if (settle and self._places.step()) or self._stale:
            self._redraw()
        elif self._moving or self._scene.moving(now_ms):
            self._move_on()

    @property
    def settled(self) -> bool:
        """Everybody has found a place."""
        return self._places.settled

    def positions(self) -> dict[str, tuple[float, float]]:
        """Where everybody who is drawn is, in the unit square."""
        return {row.did: self._places.place(row.did) for row in shown(self._snapshot, self._selection)}

    def pin(self, did: str) -> bool:
        """Hold an agent where it is, or let it go. True if it is held now."""
        held = self._places.pin(did)
        self._outdate()
        return held

    def action_choose(self) -> None:
        """Choose the selected agent once more, as enter does."""
        if self._selection.agent:
            self.post_message(self.Chosen(self._selection.agent))

    def action_move(self, dx: int, dy: int) -> None:
        """Choose who is next in a direction, if anybody is there."""
        did = self._scene.towards(self._selection.agent, dx, dy)
        if did:
            self.post_message(self.Chosen(did))

    def render_line(self, y: int) -> Strip:
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def on_resize(self) -> None:
        self._restart()
        self._redraw()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        did = self._scene.at(offset.x, offset.y) if offset is not None else ""
        if did:
            self.post_message(self.Chosen(did))

    def notify_style_update(self) -> None:
        super().notify_style_update()
        # The styles of the components follow this call, so they are not asked for here.
        self._restart()

    def _restart(self) -> None:
        """The size, the signs or the colours are others: nothing that was drawn can stay."""
        self._fresh = True
        self._outdate()

    def _begin(self) -> None:
        width, height = self.content_size
        self._fresh = False
        self._looks.clear()
        self._canvas = Canvas(width, height, self._glyphs.dots, LINE_STYLES, TEXT_STYLES)
        self._strips = [Strip.blank(width, self.rich_style)] * height

    def _update_places(self) -> None:
        agents = shown(self._snapshot, self._selection)
        self._places.update([row.did for row in agents], [(edge.a, edge.b) for edge in self._snapshot.edges])

    def _legend(self) -> str:
        """The signs that are on the screen, in words."""
        kinds = {"me" if row.me else row.kind for row in self._snapshot.agents}
        parts = [f"{sign} {kind}" for kind, sign in self._glyphs.nodes.items() if kind and kind in kinds]
        return "  ".join(parts)

    def _outdate(self) -> None:
        self._stale = True
        self.call_later(self._catch_up)

    def _catch_up(self) -> None:
        if self._stale:
            self._redraw()

    def _redraw(self) -> None:
        self._stale = False
        if self._fresh:
            self._begin()
        self._scene = compose(
            self._snapshot, self._places, self._canvas, glyphs=self._glyphs, selection=self._selection
        )
        self._move_on()
        if (legend := self._legend()) != self._told:
            self._told = self.border_subtitle = legend

    def _move_on(self) -> None:
        animate(self._scene, self._canvas, self._now_ms)
        self._moving = self._scene.moving(self._now_ms)
        width = self._canvas.width
        changes = self._canvas.changes()
        for y, runs in changes.items():
            self._strips[y] = self._strip(runs)
        if changes:
            self.refresh(*(Region(0, y, width, 1) for y in changes))

    def _strip(self, runs: Runs) -> Strip:
        return Strip([Segment(text, self._look(name)) for text, name in runs], self._canvas.width)

    def _look(self, name: str) -> Style:
        """The style of that name in the theme of now. Even what is empty has one: filters need it."""
        if name not in self._looks:
            component = "mesh--" + name.replace(".", "-")
            self._looks[name] = self.get_component_rich_style(component) if name else self.rich_style
        return self._looks[name]
