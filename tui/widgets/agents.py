"""The table of agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from tui.columns import Column, Place, line, places, titles
from tui.judge import Judge
from tui.moments import span
from tui.spans import Span, Spans, Tone, fit
from tui.text import cell, name_or_did
from tui.tones import PEERS
from tui.views import AgentRow, Selection, Snapshot
from tui.widgets.lines import Kind
from tui.widgets.rows import Rows

COLUMNS: Final = (
    Column(key="sign", least=1, priority=99),
    Column(key="name", title="name", least=9, most=20, weight=4, priority=100),
    Column(key="mark", least=1, priority=98),
    Column(key="state", title="state", least=8, priority=15),
    Column(key="role", title="role", least=8, most=14, weight=1, priority=65),
    Column(key="models", title="models", least=12, most=34, weight=5, priority=60),
    Column(key="load", title="load", least=8, most=10, weight=1, priority=80),
    Column(key="rtt", title="rtt", least=5, priority=62, right=True),
    Column(key="seen", title="seen", least=5, priority=75, right=True),
    Column(key="offers", title="offers", least=8, most=30, weight=3, priority=40),
    Column(key="wants", title="wants", least=8, most=24, weight=2, priority=30),
    Column(key="region", title="region", least=7, most=12, weight=1, priority=20),
)
# Where there is no room even for the models, or each row has a second line for them.
_LEAST: Final[Mapping[str, int]] = {"name": 8, "role": 6, "models": 7, "load": 4, "seen": 4}
_NARROW: Final = tuple(
    structs.replace(column, least=_LEAST.get(column.key, column.least)) for column in COLUMNS if column.priority >= 60
)
_ABOVE: Final = tuple(column for column in COLUMNS if column.priority > 60)

_BAR = 4
_IN_FULL = 8  # cells of a load with its bar
_SORTS: Final[Mapping[str, Callable[[AgentRow], Any]]] = {
    "": lambda row: (),
    "name": lambda row: (),
    "state": lambda row: list(PEERS).index(row.state),
    "role": lambda row: (not row.role, row.role),
    "models": lambda row: (not row.models, row.models),
    "load": lambda row: -row.load,
    "rtt": lambda row: (row.rtt_ms < 0, row.rtt_ms),
    "seen": lambda row: -row.heard_ms,
}


class AgentsPane(Rows):
    """Everybody in the room: me, then who is live, then the others."""

    title = "agents"
    empty = "Nobody has announced itself yet."

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._all: tuple[AgentRow, ...] = ()
        self._rows: list[AgentRow] = []
        self._places: dict[str, int] = {}
        self._second = -1
        self._now_ms = 0
        self._selected = ""
        self._sort = ""

    def show(self, snapshot: Snapshot, selection: Selection, *, model: Judge) -> None:
        second = snapshot.now_ms // 1000
        same = snapshot.agents is self._all and second == self._second and selection.agent == self._selected
        if same and self._drawn:
            return
        self._now_ms, self._second = snapshot.now_ms, second
        if snapshot.agents is not self._all:
            self._all = snapshot.agents
            self._arrange()
        if selection.agent != self._selected:
            self._selected = selection.agent
            self.put_cursor(selection.agent)
        self.redraw()

    def sort_by(self, column: str) -> None:
        """Sort by a column; "" is the order one starts with: me, who is live, the others."""
        self._sort = column if column in _SORTS else ""
        self._arrange()
        self.redraw(everything=True)

    def sort_by_next(self) -> str:
        """Sort by the next column. Its name."""
        orders = list(_SORTS)
        self.sort_by(orders[(orders.index(self._sort) + 1) % len(orders)])
        return self._sort

    def _arrange(self) -> None:
        before = self._here()
        visible = 0 <= before - self.top < self.page
        order = _SORTS[self._sort]
        grouped = not self._sort
        self._rows = sorted(
            self._all,
            key=lambda row: (
                (not row.me, row.state != "live") if grouped else (),
                order(row),
                row.name.casefold()[:64],
                row.did,
            ),
        )
        self._places = {row.did: index for index, row in enumerate(self._rows)}
        live = sum(row.state == "live" for row in self._rows)
        self.name_it(f"{live}/{len(self._rows)}" if self._rows else "")
        self.settle()
        if visible and self._here() != before:
            self.reveal(self._here())

    def count(self) -> int:
        return len(self._rows)

    def key_at(self, index: int) -> str:
        return self._rows[index].did

    def index_of(self, key: str) -> int:
        return self._places.get(key, -1)

    def meaning(self, key: str) -> tuple[Kind, str] | None:
        return ("agent", key) if key in self._places else None

    @property
    def two_lines(self) -> bool:
        """There is no room for everything side by side, but below each other there is, for everybody."""
        width, height = self.content_size
        return 0 < 2 * len(self._rows) < height and len(places(COLUMNS, max(0, width - 1))) < len(COLUMNS)

    def _placed(self, width: int) -> tuple[Place, ...]:
        if self.two_lines:
            return places(_ABOVE, width)
        placed = places(COLUMNS, width)
        return placed if any(place.column.key == "models" for place in placed) else places(_NARROW, width)

    def header(self, width: int) -> Spans:
        placed = self._placed(width)
        if not self._sort:
            return titles(placed)
        down = self.glyphs.arrows["down"]
        cells: dict[str, tuple[Span, ...]] = {
            column.key: ((column.title + down, "accent") if column.key == self._sort else (column.title, "head"),)
            for column in COLUMNS
        }
        return line(placed, cells)

    def draw(self, index: int, width: int) -> Spans:
        return agent_line(self._rows[index], self._placed(width), self._now_ms, self)

    def draw_below(self, index: int, width: int) -> Spans:
        row = self._rows[index]
        known = (("", row.models), ("offers ", row.offers), ("wants ", row.wants), ("in ", (row.region,)))
        said = [label + _listed(names) for label, names in known if any(names)]
        state: Span = ("" if row.state == "live" else f"{row.state} ", PEERS[row.state])
        return fit((("  ", "plain"), state, (", ".join(said), "muted")), width)


def agent_line(row: AgentRow, placed: Sequence[Place], now_ms: int, pane: Rows) -> Spans:
    """One agent in these columns."""
    glyphs = pane.glyphs
    live = row.state == "live"
    tone: Tone = "plain" if live else "muted"
    state_tone = PEERS[row.state]
    name_tone: Tone = "accent" if row.me else "strong" if live else "muted"
    widths = {place.column.key: place.width for place in placed}
    rtt = (
        f"{row.rtt_ms}ms" if 0 <= row.rtt_ms < 1000 else f"{min(row.rtt_ms / 1000, 99):.1f}s" if row.rtt_ms >= 0 else ""
    )
    cells: dict[str, tuple[Span, ...]] = {
        "sign": ((glyphs.node("me" if row.me else row.kind, live=live), "accent" if row.me else state_tone),),
        "name": (*_marks(row, pane), (name_or_did(row.name, row.did), name_tone), *_keys(row)),
        "mark": ((glyphs.peers[row.state], state_tone),),
        "state": ((row.state, "muted" if live else state_tone),),
        "role": ((cell(row.role, 32, pad=False), tone),),
        "models": ((_listed(row.models), tone),),
        "load": _load(row, widths.get("load", 0), pane),
        "rtt": ((rtt, "muted"),),
        "seen": ((span(now_ms - row.heard_ms) if row.heard_ms else "", "muted"),),
        "offers": ((_listed(row.offers), "muted"),),
        "wants": ((_listed(row.wants), "muted"),),
        "region": ((cell(row.region, 32, pad=False), "muted"),),
    }
    return line(placed, cells)


def _load(row: AgentRow, width: int, pane: Rows) -> tuple[Span, ...]:
    """Work in hand by slots, with a bar where there is room for one."""
    if not row.slots:
        return ()
    live = row.state == "live"
    tone: Tone = "muted" if not live else "good" if row.load < 1 else "bad" if row.waiting else "warn"
    work = f"{min(row.running + row.waiting, 999)}/{min(row.slots, 999)}"
    if width < _IN_FULL:
        return ((work, tone),)
    filled, rest = pane.glyphs.load_bar(row.load, _BAR)
    return (filled, tone), (rest, "faint"), (f" {work}", "plain" if live else "muted")


def _marks(row: AgentRow, pane: Rows) -> tuple[Span, ...]:
    """Two identities on one address, two announces of one revision."""
    marks = pane.glyphs.marks
    said = (marks["conflict"] if row.conflict else "") + (marks["equivocates"] if row.equivocates else "")
    return ((said + " ", "bad"),) if said else ()


def _keys(row: AgentRow) -> tuple[Span, ...]:
    """Which of its keys it has now, if not the first."""
    return ((f" key {min(row.rotations, 99) + 1}", "muted"),) if row.rotations else ()


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(cell(name, 48, pad=False) for name in names[:8])
