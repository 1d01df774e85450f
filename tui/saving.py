"""Write the picture, or what it was made from, to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clawnet_proto.transcript import Writer
from tui import exports
from tui.arrivals import Arrival
from tui.commands import CommandError
from tui.prompt import Prompt
from tui.views import Snapshot
from tui.widgets.mesh import MeshPane

if TYPE_CHECKING:
    from tui.app import ClawTui


def _recording(arrivals: Iterable[Arrival], picture: Snapshot) -> Iterator[bytes]:
    """The lines of a transcript (spec/11-transcript.md)."""
    writer = Writer()
    yield writer.header(created_ms=picture.now_ms, recorder=picture.me)
    for arrival in arrivals:
        yield writer.entry(**msgspec.structs.asdict(arrival))


_ENDINGS = {"svg": "svg", "dot": "dot", "json": "json", "screen": "svg", "recording": "jsonl"}


class Saving:
    """Exports never write over a file that is there."""

    def action_export(self: ClawTui) -> None:
        self.query_one(Prompt).open("command", "export svg ", tuple(f"export {form} " for form in _ENDINGS))

    def export(self: ClawTui, words: str) -> None:
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

    def _drawn(self: ClawTui, form: str) -> str:
        if form == "svg":
            return exports.svg(self.picture, self.query_one(MeshPane).positions())
        if form == "dot":
            return exports.dot(self.picture)
        if form == "json":
            return exports.data(self.picture, self.feed.model)
        return exports.without_web_fonts(self.export_screenshot())
