"""A small disk that one can fill: a file system in memory, gone with the process that keeps its mount namespace."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK = 4096
_MOUNT = "mount -t tmpfs -o size={size},mode=0700 tmpfs {place} && echo mounted && cat"


class SmallDisk:
    """A disk of so many bytes, mounted at an empty folder. Raises OSError where that is not allowed.

    ``inside`` is what a command line begins with that is to see it there; everybody else sees it in ``folder``, where
    files and sockets can be opened. (Not by SQLite, which takes the path apart.)
    """

    def __init__(self, place: Path, size: int) -> None:
        self._place = place
        self._size = size

    def __enter__(self) -> Self:
        script = _MOUNT.format(size=self._size, place=self._place)
        self._keeper = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != "mounted\n":
            _, reason = self._keeper.communicate()
            raise OSError(reason.strip())
        self.folder = Path(f"/proc/{self._keeper.pid}/root{self._place}")
        self.inside = ("nsenter", "--user", "--mount", "--preserve-credentials", "--target", str(self._keeper.pid))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._keeper.communicate()

    def take_over(self, folder: Path) -> None:
        """Move a folder here; for everybody a link in its place leads here."""
        shutil.copytree(folder, self.folder / folder.name)
        shutil.rmtree(folder)
        folder.symlink_to(self.folder / folder.name)

    def take_over_file(self, file: Path) -> None:
        """Move a file here; for who is inside a link in its place leads here."""
        shutil.copy2(file, self.folder / file.name)
        file.unlink()
        file.symlink_to(self._place / file.name)

    def fill(self, *, leave: int = 0) -> None:
        """Leave room for so many bytes and no more; on the way there, too, there is room for so many."""
        with (self.folder / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while not leave or shutil.disk_usage(self.folder).free > leave:
                file.write(bytes(_BLOCK))

    def make_room(self) -> None:
        (self.folder / "filling").unlink()
