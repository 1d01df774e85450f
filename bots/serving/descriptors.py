"""How many files and connections this process may have open."""

from __future__ import annotations

import resource
from typing import Final

_ENOUGH: Final = 8192


def raise_limit() -> None:
    """As many as the system lets it have, or enough: what is usual is less than a busy room needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
