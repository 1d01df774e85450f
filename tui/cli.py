"""``clawtui``: the command line. Everything heavy is imported once it is known what is wanted."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clawnet_proto import __version__

if TYPE_CHECKING:
    from tui.feeds import Feed
    from tui.sources import Key, Source

OK, FAILED, USAGE, CANNOT, INTERRUPTED = 0, 1, 2, 3, 130

_EXAMPLES = """\
examples:
  clawtui demo                                    see it in ten seconds: a made-up mesh, really signed
  clawtui --name ada                              beside the agent ada, whose key lets you ask and cancel
  clawtui --homeserver https://matrix.example.org --user @me:example.org --room '#clawnet:example.org'
  clawtui --hub https://hub.example.org --room clawnet
  clawtui --replay today.jsonl                    travel in time: p plays, [ and ] leap, . and , step
  clawtui record --name ada --output today.jsonl
  clawtui tail --name ada --filter='type:task.* -from:ada'
  clawtui --web demo                              the same in a browser on this machine

Without --homeserver or --hub an agent's configuration says which room. An observer only reads. Press ? for all keys.

exit status: 0 done, 1 the recording is damaged, 2 wrong usage or configuration, 3 the room cannot be watched,
130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="clawtui",
        description="A ClawNet room as a live mesh: who is there, what they work on, and what the signatures say.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --web and --port must be found again in what was typed
    )
    top.add_argument("--version", action="version", version=f"clawtui {__version__}")
    _source_options(top)
    _view_options(top)
    commands = top.add_subparsers(dest="command", metavar="demo | record | tail | keys", title="commands")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=text[:1].upper() + text[1:] + ".",
            argument_default=argparse.SUPPRESS,  # what stands before the command counts too
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    demo = command("demo", "show a made-up mesh of really signed messages; no server is needed")
    _demo_options(demo)
    _view_options(demo)
    record = command("record", "write what arrives into a recording, without a screen")
    _source_options(record, replay=False)
    _demo_options(record)
    record.add_argument("--output", metavar="FILE", help="default: clawnet-<time>.jsonl; never over an existing file")
    record.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="stop by itself after")
    record.add_argument("--demo", action="store_true", help="record the made-up mesh")
    tail = command("tail", "print every message as a plain line, for pipes and screen readers")
    _source_options(tail)
    _demo_options(tail)
    tail.add_argument("--demo", action="store_true", help="of the made-up mesh")
    tail.add_argument("--filter", metavar="FILTER", help="only what fits: --filter='type:task.* -from:ada'")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    keys = command("keys", "list every action with its keys, for a keymap file")
    keys.add_argument("--keymap", metavar="FILE", help="with this keymap applied")
    keys.add_argument("--json", action="store_true", help="one JSON object a line")
    return top


def _source_options(target: argparse.ArgumentParser, *, replay: bool = True) -> None:
    group = target.add_argument_group("what to watch")
    group.add_argument("--name", metavar="AGENT", help="beside this agent (default: the only one there is)")
    group.add_argument("--config", metavar="FILE", help="another configuration file of it")
    group.add_argument("--homeserver", metavar="URL", help="observe with an account of its own, at this Matrix server")
    group.add_argument("--user", metavar="@USER:SERVER", help="that account; CLAWNET_MATRIX_PASSWORD or a prompt")
    group.add_argument("--hub", metavar="URL", help="observe at this hub, where reading takes no account")
    group.add_argument("--room", metavar="ROOM", help="alias, id or URI; at a hub its name; of a recording its URI")
    if replay:
        group.add_argument(
            "--replay", metavar="FILE", help="a recording instead of a live room; --name opens what was sealed to it"
        )


def _demo_options(target: argparse.ArgumentParser) -> None:
    group = target.add_argument_group("the made-up mesh")
    group.add_argument("--agents", type=int, metavar="N", help="how many (default: 12)")
    group.add_argument("--seed", type=int, metavar="N", help="another play (default: 1)")
    group.add_argument("--rate", type=float, metavar="N", help="events a second (default: as a lively room has)")


def _view_options(target: argparse.ArgumentParser) -> None:
    group = target.add_argument_group("how to show it")
    group.add_argument("--glyphs", choices=("braille", "block", "ascii"), help="what to draw with (default: braille)")
    group.add_argument("--theme", metavar="NAME", help="colours; t inside shows them all")
    group.add_argument("--keymap", metavar="FILE", help="your own keys (default: clawnet/tui.toml in XDG_CONFIG_HOME)")
    group.add_argument("--web", action="store_true", help="serve it to a browser on this machine")
    group.add_argument("--port", type=int, metavar="N", help="for --web (default: a free one)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    from tui.filters import FilterError
    from tui.keys import KeymapError
    from tui.sources import SourceError
    from tui.web import WebError

    try:
        if options.command == "keys":
            return _keys(options)
        if options.command == "tail":
            return _tail(options)
        if options.command == "record":
            return _record(options)
        if options.theme and (fault := _no_theme(options.theme)):
            return _fail(fault, USAGE)
        return _serve(given, options) if options.web else _show(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; Python must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (KeymapError, FilterError) as error:
        return _fail(str(error), USAGE)
    except WebError as error:
        return _fail(str(error), CANNOT)
    except SourceError as error:
        return _fail(str(error), USAGE if error.usage else CANNOT)


def _fail(text: str, status: int) -> int:
    sys.stderr.write(f"clawtui: {text}\n")
    return status


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


def _source(options: argparse.Namespace) -> Source:
    """The live or made-up room that the options name. Raises SourceError."""
    if options.command == "demo" or getattr(options, "demo", False):
        from tui.sources.synthetic import Synthetic

        return Synthetic(
            agents=12 if (agents := getattr(options, "agents", None)) is None else agents,
            seed=1 if (seed := getattr(options, "seed", None)) is None else seed,
            rate=getattr(options, "rate", None),
            clock=_wall_clock,
        )
    from tui.sources.live import LiveOptions, open_source

    return open_source(
        LiveOptions(
            name=options.name or "",
            config=options.config or "",
            homeserver=options.homeserver or "",
            user=options.user or "",
            hub=options.hub or "",
            room=options.room or "",
        ),
        prompt=_prompt,
    )


def _room_uri(options: argparse.Namespace) -> str:
    """A recording knows its rooms by their URIs alone."""
    from tui.sources import SourceError

    room = options.room or ""
    if room and "/" not in room:
        raise SourceError("recording.room", f"{room} is no URI of a room.", "Leave --room out.", usage=True)
    return room


def _key(options: argparse.Namespace) -> Key | None:
    """With an agent named, what a recording holds sealed to it is opened."""
    if not (options.name or options.config):
        return None
    from tui.sources.live import LiveOptions, own_key

    return own_key(LiveOptions(name=options.name or "", config=options.config or ""))


def _prompt(user: str) -> str:
    """Asked before the screen is taken; "" where nobody can be asked."""
    if not sys.stdin.isatty():
        return ""
    import getpass

    return getpass.getpass(f"Password of {user}: ")


def _feed(options: argparse.Namespace) -> Feed:
    from tui.feeds import LiveFeed, ReplayFeed

    if options.replay:
        return ReplayFeed.open(Path(options.replay), room=_room_uri(options), key=_key(options))
    return LiveFeed(_source(options), clock=_wall_clock)


def _show(options: argparse.Namespace) -> int:
    on_terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if not on_terminal and not os.environ.get("TEXTUAL_DRIVER"):
        return _fail("This needs a terminal; for pipes there is `clawtui tail`.", USAGE)
    from tui.keys import load_keymap

    keymap = load_keymap(_keymap_path(options))
    feed = _feed(options)
    from tui.app import ClawTui
    from tui.feeds import ReplayFeed

    _keep_quiet()
    app = ClawTui(feed, glyphs=options.glyphs or "braille", theme=options.theme or "", keymap=keymap)
    app.run()
    if isinstance(feed, ReplayFeed) and feed.fault:
        return _fail(f"{options.replay} is damaged: {feed.fault}. What comes before it was shown.", FAILED)
    return app.return_code or OK


def _no_theme(name: str) -> str:
    """Why it cannot be shown like that; "" if it can."""
    from textual.theme import BUILTIN_THEMES

    return "" if name in BUILTIN_THEMES else f"There is no theme {name}; there are {', '.join(sorted(BUILTIN_THEMES))}."


def _keep_quiet() -> None:
    """Nothing may write over the screen; what matters is told on it."""
    import logging

    logging.getLogger().addHandler(logging.NullHandler())


def _keymap_path(options: argparse.Namespace) -> Path:
    named = getattr(options, "keymap", None)
    if named:
        from tui.keys import KeymapError

        if not Path(named).is_file():
            raise KeymapError(f"There is no keymap {named}.")
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".config") / "clawnet" / "tui.toml"


def _keys(options: argparse.Namespace) -> int:
    import json

    from tui.keys import KEYS, effective, load_keymap, shown

    keys = effective(load_keymap(_keymap_path(options)))
    for key in KEYS:
        if getattr(options, "json", False):
            line = json.dumps({"action": key.id, "keys": keys[key.id], "text": key.text})
        else:
            line = f"{key.id:18}{shown(keys[key.id]):12}{key.text}"
        sys.stdout.write(line + "\n")
    return OK


def _serve(given: Sequence[str], options: argparse.Namespace) -> int:
    from tui.web import serve

    kept, rest = [], iter(given)
    for word in rest:
        if word == "--port":
            next(rest, None)
        elif word != "--web" and not word.startswith("--port="):
            kept.append(word)
    return serve(kept, port=options.port or 0, announce=lambda text: print(text, flush=True))


def _tail(options: argparse.Namespace) -> int:
    from tui.tail import main as tail

    return tail(options, _source)


def _record(options: argparse.Namespace) -> int:
    from tui.record import main as record

    return record(options, _source)


if __name__ == "__main__":
    sys.exit(main())
