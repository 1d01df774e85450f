"""Choose in one pane, and the others follow."""

from __future__ import annotations

from collections.abc import Sequence

from tui.base import Base
from tui.commands import CommandError
from tui.text import cell
from tui.views import AgentRow, Entry, Selection
from tui.widgets.mesh import MeshPane
from tui.widgets.rows import Chosen


class Choosing(Base):
    """What is chosen, and what one does with it."""

    def choose_agent(self, name: str) -> None:
        """By did, by its end as ``...Qnh9i2FD``, or by name. Raises CommandError."""
        row = _named(self.picture.agents, name)
        task = self.picture.task(self.selection.task)
        concerned = task is not None and (
            task.requester == row.did or any(stage.executor == row.did for stage in task.stages)
        )
        self.select(Selection(about="agent", agent=row.did, task=self.selection.task if concerned else ""))

    def choose_task(self, task_id: str, stage: str = "") -> None:
        row = self.picture.task(task_id)
        agent = "" if row is None else row.requester
        for found in row.stages if row is not None else ():
            if found.id == stage and found.executor:
                agent = found.executor
        self.select(Selection(about="task", agent=agent, task=task_id, stage=stage))

    def choose_entry(self, entry: Entry) -> None:
        message = entry.message
        agent = task = ""
        if message is not None:
            agent = message.sender
            if message.type.startswith("task."):
                task = message.id if message.type == "task.request" else str(message.envelope.thread)
        self.select(Selection(about="entry", agent=agent, task=task, entry=entry.seq))

    def on_mesh_pane_chosen(self, event: MeshPane.Chosen) -> None:
        self.on_chosen(Chosen("agent", event.did))

    def on_chosen(self, event: Chosen) -> None:
        if event.kind == "agent":
            if self.picture.agent(event.key) is not None:  # it may have been forgotten meanwhile
                self.choose_agent(event.key)
        elif event.kind in ("task", "stage"):
            task_id, _, stage = event.key.partition("/")
            self.choose_task(task_id, stage)
        else:
            wanted = (event.kind, event.key)
            for entry in reversed(self.picture.entries):
                ids = (("entry", str(entry.seq)), ("message", entry.message.id if entry.message else ""))
                if wanted in ids:
                    self.choose_entry(entry)
                    return
            self.say("That message is not in the timeline any more.", "warning")

    # -- actions ---------------------------------------------------------------------------------------------

    def action_describe(self) -> None:
        self.action_pane("inspector")

    def action_raw(self) -> None:
        self.inspector.turn_to(self.selection)  # it may have been chosen since the last frame
        self.inspector.toggle_raw()
        self.stale()

    def action_sort(self) -> None:
        self.agents.sort_by_next()
        self.stale()

    def action_pin(self) -> None:
        if not self.selection.agent:
            self.say("Choose an agent first; P then holds it where it is.", "warning")
            return
        held = self.mesh.pin(self.selection.agent)
        self.say("Held where it is." if held else "Moves again.")

    def action_copy(self) -> None:
        chosen = self.selection
        said = [entry.message for entry in self.picture.entries if entry.seq == chosen.entry]
        message = said[0] if said else None
        ids = {"agent": chosen.agent, "task": chosen.task, "entry": message.id if message is not None else ""}
        text = ids.get(chosen.about, "")
        if not text:
            self.say("Choose an agent, a task or a message first.", "warning")
            return
        self.copy_to_clipboard(text)
        self.say(f"Copied {text[:60]}")


def _named(agents: Sequence[AgentRow], name: str) -> AgentRow:
    """The one agent of that name. Anybody can take a name, so of several none is chosen. Raises CommandError."""
    ends = name.startswith("...") and len(name) > 3
    found = [row for row in agents if row.did == name or (ends and row.did.endswith(name[3:]))]
    how = "are called"
    if not found:
        wanted = _plain(name)
        found = [row for row in agents if _plain(row.name) == wanted]
        found = [row for row in found if row.state == "live"] or found
        if not found and wanted:
            how = "are called so and more:"
            found = [row for row in agents if _plain(row.name).startswith(wanted)]
    called = cell(name, 40, pad=False)
    if not found:
        raise CommandError(f"Nobody here is called {called}.")
    if len(found) > 1:
        dids = ", ".join(f"...{row.did[-8:]}" for row in found[:4]) + (", and others" if len(found) > 4 else "")
        raise CommandError(f"{len(found)} {how} {called}: {dids}. Choose one by that end of its id.")
    return found[0]


def _plain(name: str) -> str:
    """A name as it is seen: what looks the same is the same."""
    return cell(name, 64, pad=False).strip().casefold()
