"""``clawbot conformance``: put the test vectors to a program in any language (spec/testee.md)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec

from bots.cli import FAILED, OK
from bots.cli.terminal import Painted, write, write_json, write_line
from bots.conformance import report
from bots.conformance.run import Outcome, run
from bots.conformance.vectors import VectorFile, load
from bots.errors import ConfigError
from clawnet_proto import specification

_FAILURES_SHOWN = 20
_CELLS = 30
_REDRAW_S = 0.1


def main(options: argparse.Namespace) -> int:
    directory = specification.directory() / "vectors" if options.vectors is None else Path(options.vectors)
    files = _selected(load(directory), options.only)
    if options.list:
        _list(files, json=options.json)
        return OK
    if not options.testee:
        raise ConfigError("conformance.no_testee", "There is no testee.", "Give its command line after --.")
    if not 0 < options.timeout < float("inf"):
        raise ConfigError("conformance.timeout", "--timeout takes a number of seconds greater than 0.")
    # Before the run, which may be long, and all of it in vain.
    junit = None if options.junit is None else _opened(options.junit)
    with junit or nullcontext():
        outcome, elapsed_s = _run(options, files)
        try:
            if options.json:
                _tell(outcome)
            else:
                _show(outcome, elapsed_s)
        finally:
            if junit is not None:
                _save(junit, report.junit(outcome, elapsed_s))
    return OK if outcome.passed else FAILED


def _run(options: argparse.Namespace, files: Sequence[VectorFile]) -> tuple[Outcome, float]:
    """What came of it, and how many seconds it took."""
    started = time.monotonic()
    with _Bar(sys.stderr, sum(len(file.vectors) for file in files)) as bar:
        outcome = run(
            files,
            options.testee,
            implementation=options.implementation,
            timeout_s=options.timeout,
            fail_fast=options.fail_fast,
            done=lambda result: bar.advance(bad=result.bad),
        )
    return outcome, time.monotonic() - started


def _selected(files: Sequence[VectorFile], patterns: Sequence[str]) -> list[VectorFile]:
    """The files with those vectors whose id or subject fits a pattern; all without any pattern."""
    if not patterns:
        return list(files)
    found = []
    for file in files:
        vectors = tuple(
            vector
            for vector in file.vectors
            if any(fnmatchcase(name, pattern) for pattern in patterns for name in (vector.id, file.subject))
        )
        if vectors:
            found.append(msgspec.structs.replace(file, vectors=vectors))
    if not found:
        told = ", ".join(patterns)
        raise ConfigError("conformance.nothing", f"No vector is called {told}.", "See what there is with --list.")
    return found


def _list(files: Sequence[VectorFile], *, json: bool) -> None:
    for file in files:
        if not json:
            write_line(sys.stdout, Painted("1", file.subject), f": {file.about} ({len(file.vectors)})")
        for vector in file.vectors:
            if json:
                listed = {"id": vector.id, "subject": file.subject, "op": vector.op, "about": vector.about}
                write_json(sys.stdout, listed | {"requirements": vector.requirements})
            else:
                write_line(sys.stdout, f"  {vector.id}: {vector.about} [{', '.join(vector.requirements)}]")


def _tell(outcome: Outcome) -> None:
    for result in outcome.results:
        write_json(sys.stdout, report.as_json(result))
    write_json(sys.stdout, report.summary_json(outcome))


def _show(outcome: Outcome, elapsed_s: float) -> None:
    """What failed, and a line for each subject."""
    bad = [result for result in outcome.results if result.bad and result.verdict != "not_run"]
    for result in bad[:_FAILURES_SHOWN]:
        head, *others = report.lines(result)
        write_line(sys.stdout, Painted("31", "✘ "), Painted("1", head))
        for line in others:
            write_line(sys.stdout, line)
    if len(bad) > _FAILURES_SHOWN:
        write_line(sys.stdout, f"... and {len(bad) - _FAILURES_SHOWN} more; --json and --junit tell all.")
    for chapter in report.chapters(outcome.results):
        write_line(sys.stdout, Painted("31", "✘ ") if chapter.bad else Painted("32", "✔ "), str(chapter))
    for fault in outcome.faults:
        write_line(sys.stdout, Painted("31", "✘ "), fault)
    total = report.total(outcome.results)
    verdict = Painted("32", "Passed.") if outcome.passed else Painted("31", "NOT passed.")
    write_line(sys.stdout, f"{total} in {elapsed_s:.1f} s. ", verdict)


def _opened(path: str) -> BinaryIO:
    """The file for the results, empty. Raises ConfigError."""
    try:
        return Path(path).open("wb")
    except OSError as error:
        raise _unwritable(path, error) from None


def _save(file: BinaryIO, data: bytes) -> None:
    """Write and close. Raises ConfigError."""
    try:
        with file:
            file.write(data)
    except OSError as error:
        raise _unwritable(file.name, error) from None


def _unwritable(path: str, error: OSError) -> ConfigError:
    sentence = f"{path} cannot be written: {error.strerror}."
    return ConfigError("conformance.junit", sentence, "Name another file with --junit.")


class _Bar:
    """How far the run is, where somebody looks."""

    def __init__(self, stream: TextIO, count: int) -> None:
        self._stream = stream
        self._count = count
        self._done = self._bad = 0
        self._drawn = 0.0
        self._shown = stream.isatty()

    def __enter__(self) -> _Bar:
        self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self, *, bad: bool) -> None:
        """One more vector is finished."""
        self._done += 1
        self._bad += bad
        if time.monotonic() - self._drawn >= _REDRAW_S or self._done == self._count:
            self._draw()

    def _draw(self) -> None:
        if not self._shown:
            return
        self._drawn = time.monotonic()
        cells = _CELLS * self._done // max(1, self._count)
        self._stream.write("\r\x1b[K")
        failed = Painted("31", f", {self._bad} failed") if self._bad else ""
        write(self._stream, f"{'█' * cells}{'░' * (_CELLS - cells)} {self._done}/{self._count}", failed)
