"""A widget drawn line by line from spans: it asks for a repaint of those lines alone that changed."""

from __future__ import annotations

from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import BRAILLE, Glyphs
from tui.spans import TONES, Spans, fit

_PLAIN = str.maketrans("…→“”", '~>""')  # signs of ours in what is told of messages

Kind = Literal["agent", "task", "stage", "entry", "message"]


class Chosen(Message):
    """A person has chosen something.

    ``key`` is a did, a task's id, ``task/stage``, the ``seq`` of an entry, or a message's id. ``opened``: with return
    or a double click, not only by going there.
    """

    def __init__(self, kind: Kind, key: str, *, opened: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.key = key
        self.opened = opened


class Lines(Widget):
    """Subclasses give ``line_at``; ``redraw`` after a change repaints what differs."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{tone}" for tone in TONES} | {"lines--cursor"}

    DEFAULT_CSS = """
    Lines {
        & > .lines--muted { color: $foreground 62%; }
        & > .lines--faint { color: $foreground 34%; }
        & > .lines--strong { text-style: bold; }
        & > .lines--good { color: $text-success; }
        & > .lines--warn { color: $text-warning; }
        & > .lines--bad { color: $text-error; text-style: bold; }
        & > .lines--accent { color: $text-accent; }
        & > .lines--link { color: $text-primary; }
        & > .lines--head { color: $foreground 50%; }
        & > .lines--cursor { background: $foreground 9%; }
        &:focus > .lines--cursor { background: $primary 45%; }
    }
    """

    def __init__(self, *, glyphs: Glyphs = BRAILLE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._drawn: list[tuple[Spans, bool]] = []
        self._tones: dict[tuple[str, bool], Style] = {}

    @property
    def glyphs(self) -> Glyphs:
        return self._glyphs

    @glyphs.setter
    def glyphs(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self.set_class(glyphs.dots == "ascii", "-ascii")
        self.redraw(everything=True)

    def on_mount(self) -> None:
        self.glyphs = self._glyphs

    def line_at(self, y: int) -> tuple[Spans, bool]:
        """What stands in line ``y`` of the content, and whether the cursor is there."""
        raise NotImplementedError

    def redraw(self, *, everything: bool = False) -> None:
        """Draw again; only lines that differ are repainted."""
        width, height = self.content_size
        if everything or len(self._drawn) != height:
            self._drawn = [self.line_at(y) for y in range(height)]
            self.refresh()
            return
        changed = []
        for y in range(height):
            line = self.line_at(y)
            if line != self._drawn[y]:
                self._drawn[y] = line
                changed.append(Region(0, y, width, 1))
        if changed:
            self.refresh(*changed)

    def on_resize(self) -> None:
        self.redraw(everything=True)

    def notify_style_update(self) -> None:
        self._tones.clear()
        super().notify_style_update()

    def on_focus(self) -> None:
        self.redraw(everything=True)

    def on_blur(self) -> None:
        self.redraw(everything=True)

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        spans, cursor = self._drawn[y] if y < len(self._drawn) else ((), False)
        ascii_only = self.glyphs.dots == "ascii"
        segments = [
            Segment(text.translate(_PLAIN) if ascii_only else text, self._style(tone, cursor))
            for text, tone in fit(spans, width)
        ]
        return Strip(segments, width)

    def _style(self, tone: str, cursor: bool) -> Style:
        style = self._tones.get((tone, cursor))
        if style is None:
            style = self.get_component_rich_style(f"lines--{tone}")
            if cursor:
                under = self.get_component_rich_style("lines--cursor")
                style += Style(bgcolor=under.bgcolor, bold=True)
            self._tones[tone, cursor] = style
        return style
