"""``clawbot`` that can be told to die: it kills itself at one exact moment, as if the power went.

``$HOME/die`` holds the moment and a text that it must have to do with, as in ``kept task.award``. The file is gone
when the agent is. Without it this is ``clawbot``.

    arrived     a sync was answered, nothing of it is kept
    kept        what arrived is in the inbox, nobody has looked at it
    worked      a stage's output is there, its result is not
    posted      a message is in the outbox, nothing is sent
    sent        the homeserver has taken it, the outbox does not know
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bots.behaviours.stage_output import StageOutput
from bots.cli import main
from bots.outbox import Outbox
from bots.store import Entry, Store
from bots.transports import Delivery, Parcel
from bots.transports.matrix.transport import MatrixTransport

ORDER = "die"


def live_on_or_die(moment: str, *texts: str) -> None:
    """Die if this is the moment, and one of the texts has to do with it."""
    order = Path.home() / ORDER
    if not order.exists():
        return
    wanted, _, about = order.read_text("utf-8").partition(" ")
    if wanted == moment and any(about in text for text in texts):
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def committing(store: Store, transport: str, deliveries: Sequence[Delivery], position: str, **how: bool) -> None:
    events = [delivery.event for delivery in deliveries if delivery.live]
    live_on_or_die("arrived", *events)
    commit(store, transport, deliveries, position, **how)
    live_on_or_die("kept", *events)


async def posting_output(output: StageOutput) -> None:
    live_on_or_die("worked", output._job.stage)
    await post_output(output)


def adding(outbox: Outbox, *entries: Entry) -> None:
    add(outbox, *entries)
    outbox._store.after_commit(lambda: live_on_or_die("posted", *(entry.carrier for entry in entries)))


async def sending(transport: MatrixTransport, parcel: Parcel) -> str:
    event_id = await send(transport, parcel)
    live_on_or_die("sent", *parcel.carriers)
    return event_id


commit, post_output, add, send = Store.commit, StageOutput.post, Outbox.add, MatrixTransport.send

if __name__ == "__main__":
    for owner, name, method in (
        (Store, "commit", committing),
        (StageOutput, "post", posting_output),
        (Outbox, "add", adding),
        (MatrixTransport, "send", sending),
    ):
        setattr(owner, name, method)
    sys.exit(main())
