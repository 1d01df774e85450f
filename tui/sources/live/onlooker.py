"""Who reads along without a key: nothing is asked and nothing canceled by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tui.sources import Key, SourceError

_READ_ONLY = "An observer only reads."
_WAY_OUT = "To ask and to cancel, hold a key: clawtui --name AGENT"


class Onlooker:
    """What all observers are alike in, as ``tui.sources.Source``."""

    @property
    def key(self) -> Key | None:
        return None

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise SourceError("source.read_only", _READ_ONLY, _WAY_OUT)
        yield ""

    async def cancel(self, task: str) -> str:
        raise SourceError("source.read_only", _READ_ONLY, _WAY_OUT)
