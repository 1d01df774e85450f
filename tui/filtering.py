"""Show only what fits: the filter that was typed, and the one agent that is followed."""

from __future__ import annotations

import msgspec

from tui.base import Base
from tui.filters import EVERYTHING, Context, Filter, FilterError, parse
from tui.prompt import Prompt
from tui.text import cell
from tui.views import AgentRow, Entry, Snapshot, TaskRow, Verdict

_REVIEW_S = 1.0


class Filtering(Base):
    """Filters apply to the lists; the mesh always shows everybody."""

    filter_text = ""
    followed = ""  # did
    _followed_name = ""  # when it was last seen
    _filter: Filter = EVERYTHING
    _reviewed: tuple[object, float] = (None, 0.0)  # the state, and when in seconds
    _kept: tuple[object, ...] = ()  # what the last filtering was made of
    _rows: tuple[tuple[AgentRow, ...], tuple[TaskRow, ...]] = ((), ())

    def set_filter(self, text: str) -> None:
        """Filter by a text of the filter language; "" shows everything. A faulty one changes nothing."""
        try:
            self._filter = parse(text)
        except FilterError as error:
            self.say(str(error), "error")
            return
        self.filter_text = text
        self._refilter()

    def show_everything(self) -> None:
        """No filter, and nobody followed."""
        self.followed = ""
        self.set_filter("")

    def action_filter(self) -> None:
        self.prompt.open("filter", self.filter_text)

    def on_prompt_typed(self, event: Prompt.Typed) -> None:
        """The lists follow while one types, as long as it makes sense."""
        if event.purpose != "filter":
            return
        try:
            self._filter = parse(event.text)
        except FilterError:
            return
        self.filter_text = event.text
        self._refilter()

    def action_follow(self) -> None:
        if self.followed:
            self.follow("")
        elif self.selection.agent:
            self.follow(self.selection.agent)
        else:
            self.say("Choose an agent first; f then shows only what concerns it.", "warning")

    def follow(self, did: str) -> None:
        """Show only what concerns this agent; "" is everybody again."""
        self.followed, self._followed_name = did, self.judge.mesh.name_of(did)
        self._refilter()

    def review(self, now_s: float) -> None:
        """Messages may pass the filter that did not before: what is known of them changes.

        Looks at most once a second, ``now_s`` being of a clock that only goes on.
        """
        state = (id(self.judge), self.judge.changes)
        asks = ":" in self._filter.text  # what a message says stays as it is, and is dear to search
        if asks and state != self._reviewed[0] and now_s - self._reviewed[1] >= _REVIEW_S:
            self._reviewed = (state, now_s)
            self.timeline.review()

    def _refilter(self) -> None:
        shown, followed, context = self._filter, self.followed, self.filter_context()
        passes = None
        if self.filter_text or followed:

            def passes(entry: Entry) -> bool:
                return (not followed or _concerns(entry, followed)) and shown.entry(entry, context)

        self.timeline.set_filter(passes)
        self._kept = ()
        self.stale()

    def filter_context(self) -> Context:
        """What a filter may ask of the state now."""

        # A leap in time brings another model.
        def name_of(did: str) -> str:
            return self.judge.mesh.name_of(did)

        def verdict_of(entry: Entry) -> Verdict:
            return self.judge.verdict(entry)

        def state_of(task_id: str) -> str:
            view = self.judge.mesh.task(task_id)
            return "" if view is None else view.state

        agents = {row.did: row for row in self.picture.agents}
        return Context(
            agent_of=agents.get,
            name_of=name_of,
            verdict_of=verdict_of,
            task_state=state_of,
        )

    def filtered(self, picture: Snapshot) -> Snapshot:
        """The picture with the agents and tasks that fit; the same rows give the same tuples."""
        if not self.filter_text and not self.followed:
            return picture
        made_of = (picture.agents, picture.tasks, self._filter, self.followed)
        if len(self._kept) != len(made_of) or any(a is not b for a, b in zip(self._kept, made_of, strict=True)):
            context, followed = self.filter_context(), self.followed
            agents = tuple(row for row in picture.agents if self._filter.agent(row))
            tasks = tuple(
                row
                for row in picture.tasks
                if (not followed or followed == row.requester or any(s.executor == followed for s in row.stages))
                and self._filter.task(row, context)
            )
            self._kept, self._rows = made_of, (agents, tasks)
        return msgspec.structs.replace(picture, agents=self._rows[0], tasks=self._rows[1])

    def filter_told(self) -> str:
        """The filter and whom we follow, for the head line."""
        row = self.picture.agent(self.followed) if self.followed else None
        if row is not None:
            self._followed_name = row.name
        followed = f"following {cell(self._followed_name, 20, pad=False)}" if self.followed else ""
        return "  ".join(part for part in (followed, self.filter_text) if part)


def _concerns(entry: Entry, did: str) -> bool:
    message = entry.message
    if message is None:
        return False
    recipients = message.envelope.recipients
    return message.sender == did or (isinstance(recipients, tuple) and did in recipients)
