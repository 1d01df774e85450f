"""The kept login: one file that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from bots.errors import StoreError

_NAME = "matrix-session.json"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One login at one homeserver. The token is a secret: it is never logged."""

    homeserver: str
    user: str
    device: str
    token: str

    def __repr__(self) -> str:
        return f"Session(homeserver={self.homeserver!r}, user={self.user!r}, device={self.device!r}, token=...)"


def load(directory: Path) -> Session | None:
    """The kept login, None if there is none that can be read as one."""
    try:
        return msgspec.json.decode((directory / _NAME).read_bytes(), type=Session)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise _failed(directory, error) from error


def save(directory: Path, session: Session) -> None:
    """Keep a login. Raises StoreError if it cannot be written."""
    temporary = directory / f".{_NAME}.{secrets.token_hex(4)}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(session))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(directory / _NAME)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(directory, error) from error


def remove(directory: Path) -> None:
    """Forget the login."""
    try:
        (directory / _NAME).unlink(missing_ok=True)
    except OSError as error:
        raise _failed(directory, error) from error


def _failed(directory: Path, error: OSError) -> StoreError:
    return StoreError(
        "store.session",
        f"The Matrix login in {directory} cannot be read or written ({error.strerror}).",
        "Check who owns the directory, and that its disk has space.",
    )
