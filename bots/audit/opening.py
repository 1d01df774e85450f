"""Open the audit log of an agent that begins to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from bots.audit.files import folder_of
from bots.audit.log import AuditLog
from bots.audit.witness import Audit
from bots.clock import Clock
from bots.config import Config
from bots.events import AnyEvent, Notice
from bots.identity import Identity
from clawnet_proto import __version__
from clawnet_proto.signing import digest


def open_audit(
    config: Config,
    state: Path,
    own: Callable[[], Identity],
    clock: Clock,
    notify: Callable[[AnyEvent], None],
) -> Audit:
    """The audit of an agent with its files in ``state``, begun. ``own`` gives its keys as they are now."""
    log = AuditLog(
        folder_of(state, own().did),
        config.audit.megabytes << 20,
        own,
        clock.now_ms,
        lambda text: notify(Notice(at_ms=clock.now_ms(), text=text)),
    )
    audit = Audit(log, own().did, clock)
    audit.begin(version=__version__, config=digest(msgspec.json.encode(config)))
    return audit
