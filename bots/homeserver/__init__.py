"""An embedded Synapse on loopback: a Matrix homeserver of one's own for demo, development and tests.

It is the real server as a child process, with SQLite in one directory. It speaks to clients on
127.0.0.1 alone, takes no registrations but ours, does not federate, and ends with its parent in
every case. ``clawbot homeserver`` is ``run_homeserver``; programs and tests use ``Homeserver``.
"""

from __future__ import annotations

from bots.homeserver.configuration import RateLimits
from bots.homeserver.serve import Ready, run_homeserver
from bots.homeserver.server import Homeserver

__all__ = ["Homeserver", "RateLimits", "Ready", "run_homeserver"]
