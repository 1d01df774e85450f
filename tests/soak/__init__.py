"""A soak: real agents under a steady mixed load and steady trouble, judged at the end by what the room says.

``python -m tests.soak`` runs it. ``plan`` says beforehand what will happen, from a seed; ``conductor`` makes it happen
at a ``scene`` of homeservers and agents; ``sampling`` watches the processes meanwhile; ``verdict`` reads the history.
"""

from __future__ import annotations

import msgspec


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Seconds are those under load; making ready before and judging after come on top."""

    seconds: float = 1200.0
    seed: int = 1
    agents: int = 4  # that do the work
    per_minute: float = 24.0  # tasks
    federated: bool = False

    @property
    def askers(self) -> int:
        """How many agents ask."""
        return 2
