"""What happens in a room now: seen with an account that only reads, or with an agent of this machine.

    observer    a Matrix account joins the room and reads along
    hub         a room of a hub, read without any account
    onlooker    what both refuse: to ask and to cancel
    login       where an account keeps its login
    moves       what is said of rooms that are replaced
    unread      what it cannot read
    agent       an agent's own view, through its socket or opened here: may ask and cancel
    deliveries  what its transport delivered as an ``Arrival``
    trouble     errors of the agent's packages as ``SourceError``

Importing this package imports nothing of ``bots``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui.sources import Key, Source, SourceError
from tui.sources.live.trouble import translated

if TYPE_CHECKING:
    from bots.cli.selection import Selection

_PASSWORD = "CLAWNET_MATRIX_PASSWORD"


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to watch, as the command line says it; "" where it says nothing."""

    name: str = ""  # of an agent of this machine
    config: str = ""  # another file for its configuration
    homeserver: str = ""  # base URL
    user: str = ""  # full Matrix user id
    hub: str = ""  # base URL
    room: str = ""  # alias, id or URI; of a hub its name or URI


def open_source(options: LiveOptions, prompt: Callable[[str], str] = lambda user: "") -> Source:
    """The source for these options, not yet running: an agent's, or an observer's if no agent is named but a server.

    A password that a login will need is taken from CLAWNET_MATRIX_PASSWORD, else ``prompt(user)`` is called, here and
    now: later the terminal belongs to the picture. Raises SourceError.
    """
    with translated():
        if options.name or options.config or not (options.homeserver or options.user or options.hub):
            return _agent(options, prompt)
        return _hub_observer(options) if options.hub else _observer(options, prompt)


def own_key(options: LiveOptions) -> Key:
    """The key of the agent these options name: it opens what was sealed to it. Raises SourceError."""
    with translated():
        from bots import identity

        own = identity.load(_selection(options).paths.keys)
        return Key(own.did, (own.seal,))


def _observer(options: LiveOptions, prompt: Callable[[str], str]) -> Source:
    from bots.transports.matrix.config import MatrixConfig
    from tui.sources.live.login import take_login
    from tui.sources.live.observer import Observer

    missing = [flag for flag in ("homeserver", "user", "room") if not getattr(options, flag)]
    if missing:
        flags = " and ".join(f"--{flag}" for flag in missing)
        raise SourceError(
            "source.incomplete",
            f"To read along in a room takes a homeserver, an account there and a room: {flags} is missing.",
            "Write: clawtui --homeserver https://example.org --user @me:example.org --room '#clawnet:example.org'",
            usage=True,
        )
    config = MatrixConfig(
        homeserver=options.homeserver, user=options.user, rooms=(options.room,), device_name="clawtui", reads_only=True
    )
    config.check()
    login, further = take_login(options.homeserver, options.user)
    why = ", for one more login beside the one in use" if further else ""
    password = _password(login.folder, options.homeserver, options.user, prompt, why)
    if password is None and further:
        login.release()
        raise SourceError(
            "source.in_use",
            f"Another process reads along as {options.user} now, and one more needs a login of its own.",
            "Stop it, or give the password once: in a terminal, or by CLAWNET_MATRIX_PASSWORD.",
        )
    return Observer(config, login, lambda: password or "")


def _hub_observer(options: LiveOptions) -> Source:
    from bots.transports.http.config import HttpConfig
    from bots.transports.http.names import base
    from tui.sources.live.hub import HubObserver

    if options.homeserver or options.user:
        raise SourceError(
            "source.ambiguous",
            "It is one room to read along in, at a hub or at a homeserver.",
            "Leave out --hub, or --homeserver and --user.",
            usage=True,
        )
    if not options.room:
        raise SourceError(
            "source.incomplete",
            "To read along at a hub takes a room: --room is missing.",
            "Write: clawtui --hub https://hub.example.org --room clawnet",
            usage=True,
        )
    config = HttpConfig(hub=base(options.hub), rooms=(options.room,))
    config.check()
    return HubObserver(config)


def _agent(options: LiveOptions, prompt: Callable[[str], str]) -> Source:
    from bots import identity
    from bots.cli.selection import require_account
    from bots.control import socket_path
    from tui.sources.live.agent import AgentSource

    selection = _selection(options)
    path = socket_path(selection.paths.state)
    keys = selection.paths.keys
    if _listening(path):
        return AgentSource(selection, identity.load(keys), path, options.room, lambda: "")
    require_account(selection)
    matrix = selection.config.matrix
    # Only an account has a password: elsewhere the agent's key is enough.
    password = _password(selection.paths.state, matrix.homeserver, matrix.user, prompt) if matrix.homeserver else None
    own = identity.load(keys) if identity.complete(keys) else identity.create(keys)
    return AgentSource(selection, own, path, options.room, lambda: password or "")


def _selection(options: LiveOptions) -> Selection:
    """The agent that the options, the environment or the only configuration name. Raises SourceError, ConfigError."""
    import argparse

    from bots.cli.selection import select
    from bots.paths import known_agents
    from tui.sources.live.agent import rooms_of

    if not (options.name or options.config or known_agents() or os.environ.get("CLAWNET_AGENT_NAME")):
        raise SourceError(
            "source.no_agent",
            "There is no agent on this machine to look through.",
            "Make one with clawbot init, read along with --homeserver, --user and --room or with --hub and --room, "
            "or try: clawtui demo",
            usage=True,
        )
    given = {field: getattr(options, field) or None for field in ("name", "config", "homeserver", "user", "hub")}
    unset = dict.fromkeys(("owner", "kind", "role", "engine", "model_path"))
    asked = argparse.Namespace(**given, **unset, room=None, module="run")
    selection = select(asked)
    if options.room and options.room not in rooms_of(selection.config):
        # An agent that is opened here joins a room that is named, though it may be none of its own.
        asked.room = [options.room]
        return select(asked)
    return selection


def _listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        return knock.connect_ex(os.fsencode(path)) == 0


def _password(folder: Path, homeserver: str, user: str, prompt: Callable[[str], str], why: str = "") -> str | None:
    """What to log in with, None if there is nothing; "" while a login is kept in ``folder``: then nobody is asked.

    ``why`` is said after the user's id where it is not plain that a login is due.
    """
    from bots.transports.matrix import session

    if given := os.environ.get(_PASSWORD, ""):
        return given
    kept = session.load(folder)
    if kept is not None and (kept.homeserver, kept.user) == (homeserver.rstrip("/"), user):
        return ""
    return prompt(user + why) or None
