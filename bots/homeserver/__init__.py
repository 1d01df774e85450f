"""An embedded Synapse on loopback: a Matrix homeserver of one's own for demo, development and tests.

It is the real server as a child process, with SQLite in one directory. It speaks to clients on
127.0.0.1 alone, takes no registrations but ours, and ends with its parent in every case. It does not
federate, unless with others of ours on this machine. ``clawbot homeserver`` is ``run_homeserver``, with
``--federate`` it is ``run_pair``; programs and tests use ``Homeserver``.
"""

from __future__ import annotations

from bots.homeserver.configuration import RateLimits
from bots.homeserver.pair import Pair, run_pair
from bots.homeserver.serve import Ready, run_homeserver
from bots.homeserver.server import Homeserver

__all__ = ["Homeserver", "Pair", "RateLimits", "Ready", "run_homeserver", "run_pair"]
