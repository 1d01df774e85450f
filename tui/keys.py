"""Every key there is: its stable id, what it does, and where it is told. Help and documentation are made from this."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from textual.binding import Binding, BindingType
from textual.keys import Keys, _character_to_key

Group = Literal["look", "choose", "time", "act", "other"]

TITLES: Final[Mapping[Group, str]] = {
    "look": "Look",
    "choose": "Choose and filter",
    "time": "Time",
    "act": "Act",
    "other": "Everything else",
}


class Key(msgspec.Struct, frozen=True):
    """One action and the keys it has unless a keymap says otherwise. ``short`` stands in the foot line if set."""

    id: str
    keys: str
    action: str
    text: str
    group: Group
    short: str = ""


KEYS: Final[Sequence[Key]] = (
    Key("pane.mesh", "1", "pane('mesh')", "the mesh", "look"),
    Key("pane.agents", "2", "pane('agents')", "the agents", "look"),
    Key("pane.tasks", "3", "pane('tasks')", "the tasks", "look"),
    Key("pane.timeline", "4", "pane('timeline')", "the timeline of messages", "look"),
    Key("pane.inspector", "5", "pane('inspector')", "the inspector", "look"),
    Key("pane.next", "tab", "step_pane(1)", "the next pane", "look"),
    Key("pane.previous", "shift+tab", "step_pane(-1)", "the pane before", "look"),
    Key("zoom", "z", "zoom", "one pane over the whole screen, and back", "look", "zoom"),
    Key("describe", "d", "describe", "all there is to know of what is chosen", "look"),
    Key("raw", "y", "raw", "the raw carrier, and back", "look"),
    Key("sort", "s", "sort", "agents by the next column", "look"),
    Key("filter", "slash", "filter", "show only what fits", "choose", "filter"),
    Key("follow", "f", "follow", "only this agent and what concerns it, and back", "choose", "follow"),
    Key("pin", "P", "pin", "hold this agent where it is in the mesh, and back", "choose"),
    Key("copy", "c", "copy", "its id into the clipboard", "choose"),
    Key("back", "escape", "leave", "back: close, unfilter, unfollow, unzoom", "choose"),
    Key("freeze", "space", "freeze", "hold the picture still, and back; what arrives is counted", "time", "freeze"),
    Key("replay.play", "p", "play", "play or pause a replay", "time"),
    Key("replay.step", "full_stop", "step(1)", "one event on", "time"),
    Key("replay.step_back", "comma", "step(-1)", "one event back", "time"),
    Key("replay.faster", "greater_than_sign", "faster(1)", "twice as fast", "time"),
    Key("replay.slower", "less_than_sign", "faster(-1)", "half as fast", "time"),
    Key("replay.on", "right_square_bracket", "leap(1)", "a twentieth of the recording on", "time"),
    Key("replay.back", "left_square_bracket", "leap(-1)", "a twentieth of the recording back", "time"),
    Key("ask", "a", "ask", "ask the mesh a question", "act", "ask"),
    Key("cancel", "x", "cancel", "cancel this task, if it is ours", "act"),
    Key("export", "e", "export", "write the picture to a file", "act"),
    Key("command", "colon", "command", "a command, by name", "other", "command"),
    Key("theme", "t", "theme", "the next theme", "other"),
    Key("help", "question_mark", "help", "this help", "other", "help"),
    Key("quit", "q", "quit", "quit", "other", "quit"),
)

_FIRST: Final = ("pane.next", "pane.previous")
_WITH: Final = ("ctrl+", "shift+", "alt+")
_NAMED: Final = {str(key.value) for key in Keys} | {_character_to_key(chr(code)) for code in range(33, 127)}
_BY_ID: Final = {key.id: key for key in KEYS}
# Inside lists and the mesh; lists handle them, so they cannot be given to anything else.
MOVES: Final[Sequence[tuple[str, str]]] = (
    ("arrows, h j k l", "move"),
    ("page up, page down, home, end, g, G", "move far"),
    ("enter", "open, or show its links"),
    ("ctrl+p", "the palette: find a command by typing"),
    ("mouse", "choose by a click, scroll by the wheel"),
)

_SHOWN: Final = {
    "slash": "/", "colon": ":", "question_mark": "?", "full_stop": ".", "comma": ",", "greater_than_sign": ">",
    "less_than_sign": "<", "right_square_bracket": "]", "left_square_bracket": "[", "escape": "esc",
}  # fmt: skip


class KeymapError(Exception):
    """A keymap file cannot be used; the text says why and what to do."""


def bindings() -> list[BindingType]:
    """The keys as Textual takes them."""
    return [
        # Textual itself moves the focus by tab, so these two must come first.
        Binding(key.keys, key.action, key.text, id=key.id, show=bool(key.short), priority=key.id in _FIRST)
        for key in KEYS
    ]


def shown(keys: str) -> str:
    """Keys as people write them."""
    return " ".join(_SHOWN.get(key, key) for key in keys.split(","))


def load_keymap(path: Path) -> dict[str, str]:
    """Keys by action id from a TOML file, its table ``[keys]``; {} if there is no file. Raises KeymapError."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeymapError(f"The keymap {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KeymapError(f"{path} is not TOML: {error}.") from None
    found = tables.get("keys", {})
    if not isinstance(found, dict) or not all(isinstance(keys, str) and keys for keys in found.values()):
        raise KeymapError(f'{path}: [keys] holds lines such as freeze = "space".')
    flat = {str(name): str(keys) for name, keys in found.items()}
    unknown = sorted(set(flat) - set(_BY_ID))
    if unknown:
        raise KeymapError(f"{path}: there is no action {unknown[0]!r}; `clawtui keys` lists them.")
    _check_keys(path, flat)
    return flat


def _check_keys(path: Path, keymap: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for name, keys in effective(keymap).items():
        for key in (part.strip() for part in keys.split(",")):
            plain = key
            while plain.startswith(_WITH):
                plain = plain.partition("+")[2]
            if not (len(plain) == 1 or plain in _NAMED):
                raise KeymapError(f"{path}: there is no key {key!r} (for {name}); write f, F, ctrl+f, f5 or slash.")
            if key in taken:
                raise KeymapError(f"{path}: {shown(key)} would be both {taken[key]} and {name}.")
            taken[key] = name


def effective(keymap: Mapping[str, str]) -> dict[str, str]:
    """The keys of every action under a keymap, by id."""
    return {key.id: keymap.get(key.id, key.keys) for key in KEYS}
