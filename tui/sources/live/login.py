"""Where an observer keeps its login and the keys of its device: a folder for one process at a time.

Two processes with one device would take each other's keys away. Who comes second gets another folder, and so a login
and a device of its own, which it finds again the next time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bots.errors import StoreError
from bots.paths import make_private, state_home
from tui.sources import SourceError

_AT_ONCE = 8  # logins of one account
_LOCK = "lock"


class Login:
    """A folder that is ours until ``release``, or until this object goes. Raises SourceError, ClawbotError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_private(folder)
        self._release: weakref.finalize[[int], Login] | None = None
        self._take()

    def _take(self) -> None:
        path = self.folder / _LOCK
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                "store.session", f"{path} cannot be written ({error.strerror}).", "Check who owns the folder."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise SourceError(
                "source.in_use", f"Another process reads along with the login in {self.folder}.", "Stop it first."
            ) from error
        self._release = weakref.finalize(self, os.close, lock)

    def release(self) -> None:
        """Let others have it; idempotent."""
        if self._release is not None:
            self._release()

    @contextmanager
    def held(self) -> Iterator[Path]:
        """The folder, ours while the block runs."""
        if self._release is None or not self._release.alive:
            self._take()
        try:
            yield self.folder
        finally:
            self.release()


def take_login(homeserver: str, user: str) -> tuple[Login, bool]:
    """A login of this account that nobody else uses now, and whether it is a further one: others are in use.

    No agent can have a name that leads to its folder. Raises SourceError, ClawbotError.
    """
    whose = hashlib.sha256(f"{homeserver.rstrip('/')}\n{user}".encode()).hexdigest()[:16]
    for number in range(_AT_ONCE):
        try:
            return Login(state_home() / "_tui" / (f"{whose}-{number + 1}" if number else whose)), number > 0
        except SourceError:
            continue
    raise SourceError(
        "source.in_use", f"{_AT_ONCE} processes read along as {user} already.", "Stop one, or use another account."
    )
