"""Thousands of simulated agents in one process, in virtual time: ``python -m tests.sim``.

Every agent runs the real ``bots.agent`` with its real behaviours, over the real fold. Most are *light*: the agents of
a room share one fold, in which every message is verified once. Some are *whole*: with a store, an inbox, an outbox
and a fold of their own, reading every event of the room as from a homeserver. ``docs/scaling.md`` says what follows
from that for the figures.
"""

from __future__ import annotations

import msgspec


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What is simulated. The same scenario gives the same history, to the last message."""

    agents: int
    room_size: int = 1000  # at most so many agents share a room
    whole: int = 2  # of the agents of the first room
    tasks: int = 30
    seconds: int = 600  # of virtual time, from the first agent's start
    killed: float = 0.0  # the share of agents that end without a word, while tasks are under way
    seed: int = 1

    @property
    def rooms(self) -> int:
        return -(-self.agents // self.room_size)


class Figures(msgspec.Struct, kw_only=True):
    """What one simulation gave. Bytes are those of event contents; times are virtual but for the processor's."""

    agents: int
    rooms: int
    killed: int
    killed_share: float  # as the scenario has it
    virtual_s: int
    history: str  # digest of who sent which message when
    tasks: int  # whose requester was not killed
    orphaned: int  # whose requester was
    completed: int
    failed: int
    lost: int  # neither, when all time was over
    stages: int
    executions: int  # results that were posted for them
    taken_over: int  # stages that were awarded more than once
    median_s: float  # from request to receipt
    slowest_s: float
    offers_per_stage: float
    offers_most: int  # to one request of up to three stages
    room_messages_per_task: float
    direct_messages_per_task: float
    room_events_per_task: float
    bytes_per_task: float
    announces_per_agent_hour: float
    room_messages_per_agent_hour: float  # sent by one
    room_messages_read_per_hour: float  # by everyone of a room
    direct_messages_per_agent_hour: float
    busiest_minute: int  # the most room events of one agent in one minute
    whole_agrees: bool  # folds of whole agents equal the shared one
    whole_ms_per_event: float  # processor time a whole agent takes to handle one event
    whole_idle_share: float  # of a core, to look whether anything is due
    cpu_s: float  # of the whole simulation
    memory_mb: float  # of the process, at its end
