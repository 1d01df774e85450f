"""How an agent is doing, as numbers, and what they mean for its work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from bots.clock_watch import fault_of
from bots.config import HealthSection
from bots.health import deliveries
from bots.health.verdict import Finding, Rules, Verdict, found, says, verdict

Standing = Literal["good", "disputed", "revoked"]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """An agent at one moment. Nothing in it names a person or a room, or tells what anybody said."""

    uptime_s: float
    online: bool  # whether the last sync was answered
    sync_age_s: float | None  # seconds since the last answered sync, None before the first
    rooms: int
    offline: tuple[str, ...] = ()  # transports that do not answer while others do
    given_up: tuple[str, ...] = ()  # sentences: what ended a transport while others go on
    encrypted_rooms: int
    peers_live: int  # we among them
    rooms_left: int = 0  # rooms that it was put out of, or left, in this run
    barred: bool = False  # none of the configured rooms will have us
    folded: bool = False  # what the rooms' history holds is folded, and we have announced ourselves
    stopping: bool = False
    revoked: bool = False
    standing: Standing = "good"  # what the rooms hold of our identity
    engine: Literal["none", "stopped", "starting", "ready", "failed"] = "none"
    engine_detail: str = ""
    engine_restarts: int = 0
    models: int = 0
    inbox_waiting: int = 0  # events that arrived and are not handled
    outbox_waiting: int = 0  # messages that the homeserver has not taken
    outbox_oldest_s: float = 0.0
    outbox_refused: int = 0  # messages set aside for good
    deliveries_waiting: int = 0  # what servers have not taken of what our actor said, one for each inbox
    deliveries_servers: int = 0  # servers that these are for
    deliveries_oldest_s: float = 0.0
    questions_waiting: int = 0  # people's questions that may become ours
    tasks_open: int = 0  # tasks of ours that have not ended
    stages_running: int = 0
    stages_waiting: int = 0
    undecryptable: int = 0  # encrypted events that wait for their key
    decryption_failures: int = 0  # encrypted events that nothing can make readable
    decryption_recovered: int = 0  # encrypted events that were read late
    plaintext_events: int = 0  # unencrypted messages in encrypted rooms
    changed_devices: int = 0  # devices of others that came back with other keys
    device_lost: bool = False  # the homeserver knows our device by keys that we do not have
    clock_ahead_s: float | None = None  # of the homeserver's clock, less than 0 if behind; None: not known
    audit_waiting: int = 0  # records of the audit log that are not written yet
    audit_lost: int = 0  # records that never will be
    audit_fault: str = ""  # why the audit log cannot be written, "" if it can or there is none
    disk_free_bytes: int | None = None  # None: not asked for
    disk_error: str = ""  # why nothing can be written, "" if it can


def _by_others(offline: Sequence[str]) -> str:
    return f"Not reached just now: {', '.join(offline)}. The other transports are." if offline else ""


def _sync_stale(state: State, limits: HealthSection) -> str:
    age_s = state.sync_age_s
    if age_s is None or age_s <= limits.sync_seconds:
        return ""
    return f"Nothing was received from the homeserver for {age_s:.0f} s."


def _outbox_stuck(state: State, limits: HealthSection) -> str:
    if state.outbox_oldest_s <= limits.outbox_seconds:
        return ""
    return f"{state.outbox_waiting} messages wait to be sent, the oldest for {state.outbox_oldest_s:.0f} s."


_PROBLEMS: Rules[State] = {
    "identity.revoked": says("This identity is revoked.", lambda state: state.revoked or state.standing == "revoked"),
    "identity.disputed": says("Two keys claim this identity.", lambda state: state.standing == "disputed"),
    "disk.unwritable": lambda state, _: state.disk_error,
    "sync.never": says("Nothing was received from the homeserver so far.", lambda state: state.sync_age_s is None),
    "sync.stale": _sync_stale,
    "rooms.barred": says("None of the configured rooms can be entered.", lambda state: state.barred),
    "outbox.stuck": _outbox_stuck,
    "engine.failed": lambda state, _: (state.engine_detail or "It failed.") if state.engine == "failed" else "",
    "encryption.lost": says(
        "The homeserver knows this device by other keys: encrypted rooms cannot be read.",
        lambda state: state.device_lost,
    ),
}  # fmt: skip

_WARNINGS: Rules[State] = {
    "sync.offline": says(
        "The homeserver did not answer last time.", lambda state: not state.online and state.sync_age_s is not None
    ),
    "transport.failed": lambda state, _: " ".join(state.given_up),
    "transport.offline": lambda state, _: _by_others(state.offline),
    "rooms.none": says("The agent is in no room.", lambda state: state.online and not state.rooms),
    "rooms.left": lambda state, _: f"Rooms that it is no longer in: {state.rooms_left}." if state.rooms_left else "",
    "engine.starting": says("The engine is starting.", lambda state: state.engine in ("starting", "stopped")),
    "engine.no_model": says("The engine has no model.", lambda state: state.engine == "ready" and not state.models),
    "clock.off": lambda state, _: "" if state.clock_ahead_s is None else fault_of(round(state.clock_ahead_s * 1000)),
    "encryption.unreadable": lambda state, _: _unreadable(state),
    "audit.fault": lambda state, _: state.audit_fault,
    "audit.lost": lambda state, _: (
        f"{state.audit_lost} records of the audit log are lost." if state.audit_lost else ""
    ),
    "outbox.refused": lambda state, _: (
        f"{state.outbox_refused} messages were set aside: they cannot be sent." if state.outbox_refused else ""
    ),
    "deliveries.stuck": deliveries.stuck,
}  # fmt: skip


def _unreadable(state: State) -> str:
    if not (state.undecryptable or state.decryption_failures):
        return ""
    return f"{state.undecryptable} encrypted events wait for their key, {state.decryption_failures} stay unreadable."


def judge(state: State, limits: HealthSection) -> Verdict:
    """What the numbers mean."""
    return verdict(_PROBLEMS, _WARNINGS, state, limits)


_UNREADY: Rules[State] = {
    "stopping": says("The agent is stopping.", lambda state: state.stopping),
    "history": says("What happened before has not been read yet.", lambda state: not state.folded),
    "engine.no_model": says("No model is loaded.", lambda state: state.engine != "none" and not state.models),
}


def unready(state: State, limits: HealthSection) -> tuple[Finding, ...]:
    """Why no work should be sent to the agent now, () if it may be."""
    return (*judge(state, limits).problems, *found(_UNREADY, state, limits))
