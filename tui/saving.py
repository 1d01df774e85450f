"""Write the picture, or what it was made from, to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from clawnet_proto.transcript import Writer
from tui import exports
from tui.arrivals import Arrival
from tui.base import Base
from tui.commands import CommandError
from tui.views import Snapshot


def _recording(arrivals: Iterable[Arrival], picture: Snapshot) -> Iterator[bytes]:
    """The lines of a transcript (spec/11-transcript.md)."""
    writer = Writer()
    yield writer.header(created_ms=picture.now_ms, recorder=picture.me)
    for arrival in arrivals:
        yield writer.entry(**msgspec.structs.asdict(arrival))


_ENDINGS = {"svg": "svg", "dot": "dot", "json": "json", "screen": "svg", "recording": "jsonl"}


class Saving(Base):
    """Exports never write over a file that is there."""

    def action_export(self) -> None:
        self.prompt.open("command", "export svg ", tuple(f"export {form} " for form in _ENDINGS))

    def export(self, words: str) -> None:
        """``FORM [FILE]``. Raises CommandError."""
        form, _, name = words.partition(" ")
        if form not in _ENDINGS:
            raise CommandError(f"Say which: :export {'|'.join(_ENDINGS)} [FILE].")
        path = Path(name.strip() or time.strftime(f"clawnet-%Y%m%d-%H%M%S.{_ENDINGS[form]}")).expanduser()
        if form == "recording":
            data = b"".join(_recording(self.feed.model.arrivals(), self.picture))
        else:
            data = self._drawn(form).encode()
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
        except FileExistsError:
            raise CommandError(f"{path} exists already; name another file.") from None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
        self.say(f"Written: {path}")

    def _drawn(self, form: str) -> str:
        if form == "svg":
            return exports.svg(self.picture, self.mesh.positions())
        if form == "dot":
            return exports.dot(self.picture)
        if form == "json":
            return exports.data(self.picture, self.feed.model)
        return exports.without_web_fonts(self.export_screenshot())
