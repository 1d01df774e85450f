"""Errors of the agent's packages, as those of a source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tui.sources import SourceError


@contextmanager
def translated() -> Iterator[None]:
    """Raise what goes wrong inside as SourceError, with the same code, sentence and way out."""
    from bots.errors import ClawbotError, ConfigError

    try:
        yield
    except ClawbotError as error:
        raise SourceError(error.code, error.message, error.hint, usage=isinstance(error, ConfigError)) from error
