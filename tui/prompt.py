"""The line at the bottom where one types: a filter, a command, a question."""

from __future__ import annotations

from typing import Literal

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widgets import Input, Label

Purpose = Literal["filter", "command", "ask"]

_MARKS = {"filter": "/", "command": ":", "ask": "ask ›"}
_HINTS = {
    "filter": "words, type:task.*  from:ada  state:working  verdict:invalid  -not",
    "command": "filter, follow, export svg FILE, theme, seek 50%, ask, quit",
    "ask": "a question for the mesh; enter sends it, esc does not",
}


class _Words(Input):
    """Return is obeyed at once: what is typed right after it is not for this line."""

    async def action_submit(self) -> None:
        await super().action_submit()
        self.screen.set_focus(None)


class Prompt(Horizontal):
    """Hidden until ``open``; posts ``Entered`` or ``Left``."""

    DEFAULT_CSS = """
    Prompt { height: 1; display: none; background: $panel; }
    Prompt.open { display: block; }
    Prompt Label { width: auto; color: $accent; text-style: bold; padding: 0 1 0 0; }
    Prompt Input { height: 1; border: none; padding: 0; background: $panel; }
    Prompt Input:focus { border: none; }
    """

    class Entered(Message):
        """What was typed, with return."""

        def __init__(self, purpose: Purpose, text: str) -> None:
            super().__init__()
            self.purpose = purpose
            self.text = text

    class Typed(Message):
        """What stands there so far."""

        def __init__(self, purpose: Purpose, text: str) -> None:
            super().__init__()
            self.purpose = purpose
            self.text = text

    class Left(Message):
        """Escape: all is to be as it was before."""

        def __init__(self, purpose: Purpose, before: str) -> None:
            super().__init__()
            self.purpose = purpose
            self.before = before

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._purpose: Purpose = "command"
        self._before = ""

    def compose(self) -> ComposeResult:
        yield Label(id="mark")
        yield _Words(id="words", select_on_focus=False, max_length=4000)

    def open(self, purpose: Purpose, text: str = "", suggestions: tuple[str, ...] = ()) -> None:
        """Show the line and take the keyboard."""
        self._purpose, self._before = purpose, text
        self.query_one("#mark", Label).update(_MARKS[purpose])
        words = self.query_one(Input)
        words.placeholder = _HINTS[purpose]
        words.suggester = SuggestFromList(suggestions, case_sensitive=False) if suggestions else None
        words.value = text
        words.cursor_position = len(text)
        self.add_class("open")
        self.screen.set_focus(words)  # at once: the next key is for it

    def close(self) -> None:
        """Hide the line; the next key is not for it any more."""
        self.remove_class("open")

    @property
    def is_open(self) -> bool:
        return self.has_class("open")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.close()
        self.post_message(self.Entered(self._purpose, event.value.strip()))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.is_open:
            self.post_message(self.Typed(self._purpose, event.value.strip()))

    def on_key(self, event: object) -> None:
        if getattr(event, "key", "") == "escape":
            event.stop()  # type: ignore[attr-defined]
            self.close()
            self.post_message(self.Left(self._purpose, self._before))
