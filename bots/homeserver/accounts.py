"""The passwords of an embedded homeserver's accounts: a file of mode 0600, or the environment."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from bots.errors import ConfigError
from bots.homeserver.configuration import cannot_write, create_private

FILE_NAME: Final = "accounts.toml"

_HEADER: Final = """\
# Accounts of the homeserver in this directory: log in with any Matrix client.
# Passwords are read from here at each start; changing one here does not change it on the server.
"""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    passwords: dict[str, str] = {}
    homeserver: str = ""
    server_name: str = ""


def load(path: Path) -> dict[str, str]:
    """User names and their passwords; empty if there is no file.

    Raises ConfigError if others may read the file or it is not what it should be, StoreError if it cannot
    be read.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise cannot_write(path.parent, error) from error
    if mode & 0o077:
        raise ConfigError(
            "homeserver_accounts_exposed",
            f"The file {path} holds passwords, and other users may read it.",
            f"Make it yours alone: chmod 600 {path}",
        )
    try:
        return msgspec.toml.decode(text, type=_File).passwords
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(
            "homeserver_accounts_invalid",
            f"The file {path} cannot be read as accounts: {error}.",
            'It is TOML: a table [passwords] with lines like alice = "..."',
        ) from error


def save(path: Path, passwords: Mapping[str, str], *, homeserver: str, server_name: str) -> None:
    """Write the file, mode 0600. Raises StoreError."""
    lines = [f"{_quoted(name)} = {_quoted(password)}" for name, password in sorted(passwords.items())]
    head = [f"homeserver = {_quoted(homeserver)}", f"server_name = {_quoted(server_name)}"]
    create_private(path, _HEADER + "\n".join([*head, "", "[passwords]", *lines, ""]))


def from_environment(user: str, environment: Mapping[str, str] = os.environ) -> str:
    """The password in ``CLAWBOT_PASSWORD_<USER>`` ("-" and the like as "_"), or "" if there is none."""
    return environment.get("CLAWBOT_PASSWORD_" + re.sub(r"[^A-Z0-9]", "_", user.upper()), "")


def _quoted(text: str) -> str:
    # A TOML basic string is a JSON string, except for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
