"""How often to draw: as often as an eye follows, and less often while so much happens that none can."""

from __future__ import annotations

from collections import deque
from typing import Final

_WINDOW_S: Final = 1.0
_STORM: Final = 300  # changes a second
_STRIDE: Final = 5  # frames


class Pace:
    """Counts frames and changes. ``next`` begins a frame."""

    def __init__(self) -> None:
        self._frames = 0
        self._seen: deque[tuple[float, int]] = deque()  # when, and the count of changes then

    def next(self, now_s: float, changes: int) -> None:
        """A frame begins, at ``now_s`` of a clock that only goes on; ``changes`` ever grows, or starts anew."""
        self._frames += 1
        if self._seen and self._seen[-1][1] > changes:
            self._seen.clear()
        self._seen.append((now_s, changes))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= _WINDOW_S:
            self._seen.popleft()

    @property
    def storm(self) -> bool:
        """More happens than an eye can follow."""
        (since_s, before), (now_s, changes) = self._seen[0], self._seen[-1]
        return changes - before > _STORM * max(_WINDOW_S, now_s - since_s)

    @property
    def moves(self) -> bool:
        """Whether what moves is drawn in this frame."""
        return not self.storm or self._frames % _STRIDE == 0

    @property
    def looks(self) -> bool:
        """Whether what has changed is taken up in this frame."""
        return not self.storm or self._frames % (2 * _STRIDE) == 0
