"""What can be said after a colon and found in the palette: one table of names, and what each does to the app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from tui.app import ClawTui


class Command(msgspec.Struct, frozen=True):
    """``run`` gets the app and the words after the name; CommandError is what it may raise."""

    name: str
    usage: str
    text: str
    run: Callable[[ClawTui, str], object]


class CommandError(Exception):
    """A command that makes no sense; the text says what would."""


PANES: Final = ("mesh", "agents", "tasks", "timeline", "inspector")


def _pane(app: ClawTui, words: str) -> None:
    if words not in PANES:
        raise CommandError(f"There is no pane {words!r}; there are {', '.join(PANES)}.")
    app.action_pane(words)


def _follow(app: ClawTui, words: str) -> None:
    if words:
        app.choose_agent(words)
        app.follow(app.selection.agent)
    else:
        app.action_follow()


def _theme(app: ClawTui, words: str) -> None:
    if not words:
        app.action_theme()
    elif words in app.available_themes:
        app.theme = words
    else:
        raise CommandError(f"There is no theme {words!r}; there are {', '.join(sorted(app.available_themes))}.")


def _speed(app: ClawTui, words: str) -> None:
    try:
        speed = float(words.rstrip("x"))
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise CommandError("Say how fast: :speed 4 is four times as fast as it happened.")
    app.set_speed(speed)


def _cancel(app: ClawTui, _words: str) -> None:
    app.call_later(app.run_action, "cancel")


def _ask(app: ClawTui, words: str) -> None:
    if words:
        app.ask(words)
    else:
        app.action_ask()


COMMANDS: Final[Sequence[Command]] = (
    Command("pane", "NAME", "go to mesh, agents, tasks, timeline or inspector", _pane),
    Command("filter", "[FILTER]", "show only what fits; alone: everything again", lambda app, w: app.set_filter(w)),
    Command("follow", "[NAME]", "only this agent and what concerns it; alone: everybody again", _follow),
    Command("ask", "[QUESTION]", "ask the mesh and watch it travel", _ask),
    Command("cancel", "", "cancel the chosen task, if it is ours", _cancel),
    Command("export", "FORM [FILE]", "to a file: svg, dot, json, screen, recording", lambda app, w: app.export(w)),
    Command("seek", "N | N% | HH:MM:SS", "go to an event, a part or a time of a replay", lambda app, w: app.seek(w)),
    Command("speed", "N", "play a replay N times as fast", _speed),
    Command("freeze", "", "hold the picture still, and back", lambda app, w: app.action_freeze()),
    Command("zoom", "", "one pane over the whole screen, and back", lambda app, w: app.action_zoom()),
    Command("theme", "[NAME]", "another theme", _theme),
    Command("glyphs", "braille|block|ascii", "draw with other characters", lambda app, w: app.set_glyphs(w)),
    Command("help", "", "keys, commands and filters", lambda app, w: app.call_later(app.action_help)),
    Command("quit", "", "quit", lambda app, w: app.action_quit()),
)

_BY_NAME: Final = {command.name: command for command in COMMANDS}


def run(app: ClawTui, text: str) -> object:
    """Carry out what was typed; what is awaitable of it is given back. Raises CommandError."""
    name, _, words = text.strip().lstrip(":").partition(" ")
    if not name:
        return None
    found = [_BY_NAME[name]] if name in _BY_NAME else [known for known in COMMANDS if known.name.startswith(name)]
    if len(found) != 1:
        raise CommandError(f"There is no command {name!r}; press ? for those there are.")
    return found[0].run(app, words.strip())
