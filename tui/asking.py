"""Ask the mesh and watch the question travel; take a question of ours back."""

from __future__ import annotations

from collections.abc import Mapping

from textual import work

from tui.choosing import Choosing
from tui.feeds import Feed, LiveFeed
from tui.filtering import Filtering
from tui.screens.confirm import ConfirmScreen
from tui.sources import Source, SourceError
from tui.text import cell

_READ_ONLY = "This is a view only: nothing can be sent. To ask, hold the key of an agent: clawtui --name AGENT"


class Asking(Choosing, Filtering):
    """Everything here sends, so everything here needs the key of an agent."""

    def __init__(self, feed: Feed, keymap: Mapping[str, str]) -> None:
        super().__init__(feed, keymap)
        self._unanswered: dict[object, str] = {}  # the task ids of questions that are under way, "" if not known yet

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
        task_id, number = "", object()
        self._unanswered[number] = ""
        self.say("Asking ...")
        try:
            async for sentence in source.ask(question):
                if not task_id:
                    task_id = self._unanswered[number] = sentence
                    self.show_everything()
                    self.choose_task(task_id)
                else:
                    self.say(cell(sentence, 200, pad=False))
        except SourceError as error:
            self.say(str(error), "error")
        except Exception as error:
            self.failed(error)
        finally:
            del self._unanswered[number]

    async def action_quit(self) -> None:
        """The agent withdraws a question when who asked it goes: then only with their consent."""
        waiting = [task_id for task_id in self._unanswered.values() if not self._finished(task_id)]
        if not waiting:
            self.exit()
        elif not isinstance(self.screen, ConfirmScreen):
            asked = ", ".join(cell(task_id[:8], 8, pad=False) for task_id in waiting if task_id)
            text = f"Not answered yet: {asked or 'your question'}. Quitting withdraws what you asked. Quit?"
            await self.push_screen(ConfirmScreen(text), self._quit_if)

    def _finished(self, task_id: str) -> bool:
        view = self.feed.model.mesh.task(task_id) if task_id else None
        return view is not None and view.finished

    def _quit_if(self, confirmed: bool | None) -> None:
        if confirmed:
            self.exit()

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
            except Exception as error:
                self.failed(error)
