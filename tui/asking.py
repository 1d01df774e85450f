"""Ask the mesh and watch the question travel; take a question of ours back."""

from __future__ import annotations

from textual import work

from tui.choosing import Choosing
from tui.feeds import LiveFeed
from tui.filtering import Filtering
from tui.screens.confirm import ConfirmScreen
from tui.sources import Source, SourceError
from tui.text import cell

_READ_ONLY = "This is a view only: nothing can be sent. To ask, hold the key of an agent: clawtui --name AGENT"


class Asking(Choosing, Filtering):
    """Everything here sends, so everything here needs the key of an agent."""

    def _sender(self) -> Source | None:
        feed = self.feed
        if isinstance(feed, LiveFeed) and feed.key is not None:
            return feed.source
        self.say(_READ_ONLY, "warning")
        return None

    def action_ask(self) -> None:
        if self._sender() is not None:
            self.prompt.open("ask")

    def ask(self, question: str) -> None:
        source = self._sender()
        if source is not None and question:
            self._ask(source, question)

    @work(group="ask")
    async def _ask(self, source: Source, question: str) -> None:
        task_id = ""
        self.say("Asking ...")
        try:
            async for sentence in source.ask(question):
                if not task_id:
                    task_id = sentence
                    self.set_filter("")
                    self.choose_task(task_id)
                else:
                    self.say(cell(sentence, 200, pad=False))
        except SourceError as error:
            self.say(str(error), "error")

    @work(group="cancel")
    async def action_cancel(self) -> None:
        source = self._sender()
        if source is None:
            return
        row = self.picture.task(self.selection.task)
        if row is None or not row.ours or row.ended_ms:
            self.say("Choose a task of ours that is not finished: others' cannot be canceled.", "warning")
            return
        title = cell(row.title, 60, pad=False)
        if await self.push_screen_wait(ConfirmScreen(f"Cancel task {row.id[:8]}, {title}?")):
            try:
                self.say(await source.cancel(row.id))
            except SourceError as error:
                self.say(str(error), "error")
