"""The base of all lists: rows with a header, a cursor that stays with its row, and scrolling."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from tui.judge import Judge
from tui.spans import Span, Spans
from tui.views import Selection, Snapshot
from tui.widgets.lines import Chosen, Kind, Lines

__all__ = ["Chosen", "Rows"]

_WHEEL = 3


class Rows(Lines, can_focus=True):
    """Rows are known by their key, which stays the same when they move. The base asks for nothing but visible rows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False),
        Binding("home,g", "first", "first", show=False),
        Binding("end,G", "last", "last", show=False),
        Binding("enter", "open", "open", show=False),
    ]

    DEFAULT_CSS = """
    Rows {
        height: 1fr;
        border: round $foreground 22%;
        border-title-color: $foreground 75%;
        border-title-style: bold;
        &:focus { border: round $primary; border-title-color: $text-primary; }
        &.-ascii { border: ascii $foreground 30%; }
        &.-ascii:focus { border: ascii $primary; border-title-style: bold reverse; }
        &:nocolor:focus { border-title-style: bold reverse; }
    }
    """

    title = ""
    empty = ""  # what is said when there are no rows

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.cursor = ""  # key of the row, "" if there is none
        self.top = 0  # index of the first visible row
        self._told_title = ""

    def show(self, snapshot: Snapshot, selection: Selection, *, model: Judge) -> None:
        """Bring the pane up to date; cheap where nothing has changed."""
        raise NotImplementedError

    # -- what subclasses give --------------------------------------------------------------------------------

    def count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def key_at(self, index: int) -> str:
        """The key of a row, "" if it cannot be chosen."""
        raise NotImplementedError

    def index_of(self, key: str) -> int:
        """Where the row is, -1 if it is gone."""
        raise NotImplementedError

    def draw(self, index: int, width: int) -> Spans:
        """The row, in ``width`` cells."""
        raise NotImplementedError

    def draw_below(self, index: int, width: int) -> Spans:
        """The second line of the row, where rows have two."""
        raise NotImplementedError

    @property
    def two_lines(self) -> bool:
        """Whether each row has a second line, for what there is no room for in the first one."""
        return False

    def header(self, width: int) -> Spans:
        """The line above the rows; () if there is none."""
        return ()

    def meaning(self, key: str) -> tuple[Kind, str] | None:
        """What the row of this key stands for, None for nothing."""
        raise NotImplementedError

    has_header = True

    # -- drawing ---------------------------------------------------------------------------------------------

    @property
    def page(self) -> int:
        """How many rows are visible at once."""
        return max(0, self.content_size.height - self.has_header) // (1 + self.two_lines)

    def line_at(self, y: int) -> tuple[Spans, bool]:
        width = self.content_size.width
        row = y - self.has_header
        if row < 0:
            return self._blank(1) + self.header(max(0, width - 1)), False
        below = self.two_lines and row % 2 == 1
        index = self._index_at(row)
        if index >= self.count():
            said: Span = (self.empty if not self.count() and row == 0 else "", "muted")
            return (*self._blank(1), said), False
        key = self.key_at(index)
        here = bool(key) and key == self.cursor
        mark: Span = (self._cursor_mark(), "accent") if here else (" ", "plain")
        draw = self.draw_below if below else self.draw
        return (mark, *draw(index, max(0, width - 1))), here

    def _index_at(self, line: int) -> int:
        """The row that has a line, of those below the header."""
        return self.top + line // (1 + self.two_lines)

    def _cursor_mark(self) -> str:
        if self.glyphs.dots == "ascii":
            return ">" if self.has_focus else "|"
        return "▌" if self.has_focus else "▏"

    @staticmethod
    def _blank(width: int) -> Spans:
        return ((" " * width, "plain"),)

    def name_it(self, note: str = "") -> None:
        """The title on the border, and beside it how many rows there are."""
        title = f"{self.title} {note}".strip()
        if title != self._told_title:
            self._told_title = title
            self.border_title = title

    def settle(self) -> None:
        """Keep the first visible row within the list."""
        self.top = max(0, min(self.top, self.count() - self.page))

    def reveal(self, index: int) -> None:
        """Scroll as little as shows the row."""
        if index >= 0 and self.page:
            self.top = max(index - self.page + 1, min(self.top, index))

    def adjust(self) -> None:
        """Fit what is visible to a new size."""
        self.settle()
        if self.cursor:
            self.reveal(self.index_of(self.cursor))

    def on_resize(self) -> None:
        self.adjust()
        super().on_resize()

    # -- moving ----------------------------------------------------------------------------------------------

    def put_cursor(self, key: str) -> None:
        """Go to a row because something else was chosen; nothing is posted."""
        if key != self.cursor:
            self.cursor = key
            self.reveal(self.index_of(key))

    def go(self, index: int) -> None:
        """Go to a row because a person says so."""
        count = self.count()
        if not count:
            return
        index = max(0, min(index, count - 1))
        self.reveal(index)
        key = self.key_at(index)
        if key and key != self.cursor:
            self.cursor = key
            self.moved()
        self.redraw()

    def moved(self) -> None:
        """The cursor has come to a row: that chooses it."""
        self._tell(opened=False)

    def roll(self, by: int) -> None:
        """Scroll without moving the cursor."""
        self.top += by
        self.settle()
        self.redraw()

    def _tell(self, *, opened: bool) -> None:
        meant = self.meaning(self.cursor)
        if meant is not None:
            self.post_message(Chosen(*meant, opened=opened))

    def _here(self) -> int:
        return self.index_of(self.cursor) if self.cursor else -1

    def action_move(self, by: int) -> None:
        here = self._here()
        self.go(here + by if here >= 0 else self.start(by))

    def start(self, by: int) -> int:
        """Where the cursor comes in."""
        return self.top if by > 0 else min(self.top + self.page, self.count()) - 1

    def action_page(self, by: int) -> None:
        here = self._here()
        self.go((here if here >= 0 else self.top) + by * max(1, self.page - 1))

    def action_first(self) -> None:
        self.go(0)

    def action_last(self) -> None:
        self.go(self.count() - 1)

    def action_open(self) -> None:
        if self._here() >= 0:
            self._tell(opened=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.roll(_WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.roll(-_WHEEL)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < self.has_header:
            return
        event.stop()
        index = self._index_at(offset.y - self.has_header)
        if index < self.count() and self.key_at(index):
            self.go(index)
            if event.chain == 2:
                self.action_open()
