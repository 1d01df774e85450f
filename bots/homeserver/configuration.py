"""Synapse's configuration for one directory: what is made once and kept, what is derived at each start."""

from __future__ import annotations

import errno
import json
import os
import random
import secrets
import socket
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from bots.errors import ClawbotError, ConfigError, StoreError
from bots.homeserver.federation import Federation, listener

RateLimits = Literal["default", "raised"]

HOST: Final = "127.0.0.1"
CONFIG_NAME: Final = "synapse.json"
DATABASE_NAME: Final = "homeserver.db"

# Below the ports that Linux and macOS hand to outgoing connections, so that the one chosen is likely
# to be free at the next start too.
_PORTS: Final = range(20000, 32768)

# OWASP's least for bcrypt. Synapse's 12 costs a quarter of a second of a core for each log-in.
_BCRYPT_ROUNDS: Final = 10


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same for a directory: a server's name, its port and its secrets."""

    server_name: str
    port: int
    registration_shared_secret: str
    macaroon_secret_key: str
    form_secret: str

    @property
    def url(self) -> str:
        """The client API's base URL."""
        return f"http://{HOST}:{self.port}"


def create_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, so that no reader ever sees half of it. Raises StoreError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path.parent, error) from error


def cannot_write(directory: Path, error: OSError) -> StoreError:
    """The error for a directory that does not take our files."""
    return StoreError(
        "homeserver_directory_unusable",
        f"The homeserver's directory {directory} cannot be used: {error.strerror or error}.",
        "Choose a directory that you may write to and that has room.",
    )


def load(directory: Path) -> Kept | None:
    """What an earlier start left in ``directory``, or None. Raises StoreError if it is damaged."""
    path = directory / CONFIG_NAME
    try:
        config = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        listeners = config.pop("listeners")
        return msgspec.convert(config | {"port": listeners[0]["port"]}, Kept)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_write(directory, error) from error
    except (msgspec.MsgspecError, LookupError, TypeError) as error:
        raise StoreError(
            "homeserver_directory_damaged",
            f"The homeserver's configuration {path} is damaged.",
            "Restore it, or choose another directory to start a new server.",
        ) from error


def settle(directory: Path, port: int, server_name: str | None, *, new: bool) -> Kept:
    """The identity to start with: a new one if the directory is ``new``, else the kept one.

    ``port`` 0 means the kept port, else any free one; another port may be given at any start.
    Raises ConfigError if ``server_name`` is not the kept one.
    """
    kept = load(directory)
    # What a first start that failed left is not binding: its name or port may be why it failed.
    if kept is None or new:
        port = port or free_port()
        return Kept(
            server_name=server_name or f"localhost:{port}",
            port=port,
            registration_shared_secret=secrets.token_urlsafe(32),
            macaroon_secret_key=secrets.token_urlsafe(32),
            form_secret=secrets.token_urlsafe(32),
        )
    if server_name not in (None, kept.server_name):
        raise ConfigError(
            "homeserver_name_fixed",
            f"The directory {directory} belongs to the homeserver {kept.server_name}, "
            f"and a homeserver's name cannot change to {server_name}.",
            "Choose another directory for the other name.",
        )
    return msgspec.structs.replace(kept, port=port or kept.port)


def check_port(port: int) -> None:
    """Raise ConfigError unless a server can listen on this loopback port now."""
    try:
        _bind(port)
    except (OSError, OverflowError) as error:
        reason = error.errno if isinstance(error, OSError) else None
        if reason == errno.EADDRINUSE:
            raise ConfigError(
                "homeserver_port_taken",
                f"Port {port} on {HOST} is taken by another program.",
                "Stop that program, or choose another port.",
            ) from error
        raise ConfigError(
            "homeserver_port_unusable",
            f"Port {port} on {HOST} cannot be used: {getattr(error, 'strerror', None) or error}.",
            "Choose a port from 1024 to 65535.",
        ) from error


def write(directory: Path, kept: Kept, rate_limits: RateLimits, federation: Federation | None = None) -> Path:
    """Write Synapse's configuration files (0600) and return the main one's path. Raises StoreError."""
    logging = directory / "logging.json"
    create_private(logging, json.dumps(_logging(), indent=2))
    config = _synapse(directory, kept, rate_limits, logging)
    if federation is not None:
        for path, text in federation.files(directory).items():
            create_private(path, text)
        config["listeners"].append(listener(HOST, federation.port_of(kept.server_name)))
        config |= federation.settings(directory)
    main = directory / CONFIG_NAME
    create_private(main, json.dumps(config, indent=2))
    return main


def _bind(port: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Synapse itself does: connections of a server that has just stopped are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        probe.listen(1)
        return int(probe.getsockname()[1])


def free_port() -> int:
    """A loopback port that nobody listens on now. Raises ClawbotError."""
    for port in random.sample(_PORTS, 50):
        try:
            return _bind(port)
        except OSError:
            continue
    try:
        return _bind(0)
    except OSError as error:
        raise ClawbotError("homeserver_no_port", f"There is no free port on {HOST}.") from error


def _logging() -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {
            # The parent has pointed standard error at the log file.
            "file": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"}
        },
        # The version banner comes as a warning and would be the last line of a server that was killed.
        "loggers": {"synapse.config.logger": {"level": "ERROR"}},
        "root": {"level": "WARNING", "handlers": ["file"]},
    }


def _synapse(directory: Path, kept: Kept, rate_limits: RateLimits, logging: Path) -> dict[str, Any]:
    config: dict[str, Any] = {
        "server_name": kept.server_name,
        "public_baseurl": f"{kept.url}/",
        "listeners": [
            {
                "type": "http",
                "port": kept.port,
                "bind_addresses": [HOST],
                "resources": [{"names": ["client"], "compress": False}],
            }
        ],
        "signing_key_path": str(directory / "signing.key"),
        "log_config": str(logging),
        "media_store_path": str(directory / "media"),
        "database": {"name": "sqlite3", "args": {"database": str(directory / DATABASE_NAME)}},
        "registration_shared_secret": kept.registration_shared_secret,
        "macaroon_secret_key": kept.macaroon_secret_key,
        "form_secret": kept.form_secret,
        "bcrypt_rounds": _BCRYPT_ROUNDS,
        "enable_registration": False,
        "report_stats": False,
        "url_preview_enabled": False,
        "presence": {"enabled": False},
        # Nobody else is asked for anything, ever.
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        # Everyone here is local, so every room may be listed; Synapse's default lists none.
        "room_list_publication_rules": [{"action": "allow"}],
    }
    if rate_limits == "raised":
        config |= _raised()
    return config


def _raised() -> dict[str, Any]:
    limit = {"per_second": 10_000, "burst_count": 100_000}
    return {
        "rc_message": limit,
        "rc_registration": limit,
        # Failed attempts keep their default: guessing a password stays slow.
        "rc_login": {"address": limit, "account": limit},
        "rc_admin_redaction": limit,
        "rc_joins": {"local": limit, "remote": limit},
        "rc_joins_per_room": limit,
        "rc_key_requests": limit,
        "rc_invites": {"per_room": limit, "per_user": limit, "per_issuer": limit},
        "rc_media_create": limit,
        "rc_room_creation": limit,
        "rc_user_directory": limit,
        "rc_profile": limit,
        "rc_delayed_event_mgmt": limit,
        "rc_reports": limit,
        "rc_federation": {"sleep_limit": 100_000, "reject_limit": 100_000, "concurrent": 10},
    }
