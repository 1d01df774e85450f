"""The help, made from the keys there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.commands import COMMANDS
from tui.filters import EXAMPLES
from tui.keys import KEYS, MOVES, TITLES, shown

_KEYS, _WORDS = 14, 30  # columns: of keys, and of what is typed


class HelpScreen(ModalScreen[None]):
    """All keys by what they are for, with the user's own keymap applied."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "close")]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 84; max-width: 96%; height: auto; max-height: 92%;
        background: $panel; border: round $accent; padding: 0 2;
    }
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=True):
            yield Static(help_text(self._keys), markup=False)


def help_text(keys: Mapping[str, str]) -> str:
    """The help as plain text. ``keys`` are the keys of every action, by its id."""
    parts = []
    for group, title in TITLES.items():
        rows = [(shown(keys[key.id]), key.text) for key in KEYS if key.group == group]
        parts.append(_part(title, rows, _KEYS))
    commands = [(f"{command.name} {command.usage}".strip(), command.text) for command in COMMANDS]
    parts.append(_part("Inside a pane", MOVES, _WORDS))
    parts.append(_part("Commands, after :", commands, _WORDS))
    parts.append(_part("Filters, after /", EXAMPLES, _WORDS))
    return "\n\n".join(parts)


def _part(title: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    return "\n".join([title.upper(), *(f"  {left:{width}}{right}" for left, right in rows)])
