"""Write the picture, or what it was made from, to a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

from textual import work

from tui import exports
from tui.base import Base
from tui.commands import CommandError
from tui.recorder import Recorder
from tui.sources import SourceError

_ENDINGS = {"svg": "svg", "dot": "dot", "json": "json", "screen": "svg", "recording": "jsonl"}
_AT_ONCE = 200  # events written before the screen gets its turn


class Saving(Base):
    """Exports never write over a file that is there."""

    def action_export(self) -> None:
        self.prompt.open("command", "export svg ", tuple(f"export {form} " for form in _ENDINGS))

    def export(self, words: str) -> None:
        """``FORM [FILE]``. Raises CommandError."""
        form, _, name = words.partition(" ")
        if form not in _ENDINGS:
            raise CommandError(f"Say which: :export {'|'.join(_ENDINGS)} [FILE].")
        path = _path(name.strip() or time.strftime(f"clawnet-%Y%m%d-%H%M%S.{_ENDINGS[form]}"))
        if form == "recording":
            self._record(path)
            return
        data = self._drawn(form).encode()
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
        except FileExistsError:
            raise CommandError(f"{path} exists already; name another file.") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CommandError(f"{path} cannot be written: {reason}.") from None
        self.say(f"Written: {path}")

    @work(group="record")
    async def _record(self, path: Path) -> None:
        """Write what the picture was made from, a little at a time: it may be long."""
        try:
            with contextlib.closing(Recorder(path, created_ms=self.picture.now_ms, recorder=self.picture.me)) as file:
                for number, arrival in enumerate(self.feed.arrivals(), 1):
                    file.record(arrival)
                    if not number % _AT_ONCE:
                        self.say(f"Writing {path}: {number:,} events")
                        await asyncio.sleep(0)
        except SourceError as error:
            self.say(str(error), "error")
        except Exception as error:
            self.failed(error)
        else:
            self.say(f"Written: {path}")

    def _drawn(self, form: str) -> str:
        if form == "svg":
            return exports.svg(self.picture, self.mesh.positions())
        if form == "dot":
            return exports.dot(self.picture)
        if form == "json":
            return exports.data(self.picture, self.judge)
        return exports.without_web_fonts(self.export_screenshot())


def _path(name: str) -> Path:
    """The file of that name. Raises CommandError."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise CommandError(f"Nobody here has the home directory of {name}; write the whole path.") from None
