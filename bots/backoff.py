"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from collections.abc import Callable


def delay_s(tries: int, within_s: tuple[float, float], chance: Callable[[], float]) -> float:
    """Seconds to wait after so many tries in vain, ever longer ``within_s`` (shortest, longest).

    ``chance`` gives numbers from 0 to 1: not everybody who failed at once comes back at once.
    """
    shortest, longest = within_s
    ceiling = min(longest, shortest * float(2 ** min(tries + 1, 16)))
    return max(shortest, ceiling * (0.5 + chance() / 2))
