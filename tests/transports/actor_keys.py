"""Keys of actors, made once for all tests: RSA keys take long."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from bots.transports.activitypub.keys import ActorKeys, open_keys


@functools.cache
def _files(number: int) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        open_keys(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@functools.cache
def some_keys(number: int) -> ActorKeys:
    """The keys of this number."""
    with tempfile.TemporaryDirectory() as folder:
        lay_keys(Path(folder), number)
        return open_keys(Path(folder))


def lay_keys(folder: Path, number: int) -> None:
    """Put them where an actor finds its own."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in _files(number).items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
