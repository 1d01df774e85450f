"""The agent's own store: what arrived, what waits to be sent, and what must be remembered.

Everything is committed before it counts: an arrival once its inbox row is on the disk, an answer
once its outbox row is. The parts:

    database    the file: lock, schema version, transactions, what its failures mean
    inbox       what arrived, once, and the position each transport has reached
    outgoing    what waits to be sent, and in which batch
    store       the three together, for the agent
"""

from __future__ import annotations

from bots.store.outgoing import Batch, Entry, Lane, Outgoing, Refusal
from bots.store.store import Store

__all__ = ["Batch", "Entry", "Lane", "Outgoing", "Refusal", "Store"]
