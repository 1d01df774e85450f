"""An agent's own view of its room. Beside a running agent it comes over its socket; else the agent is opened here,
as ``clawbot watch`` does it: it serves nobody and leaves with us.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec

from bots.cli.selection import Selection
from bots.config import Config
from bots.control import call
from bots.errors import ClawbotError
from bots.events import Notice, TaskEnded, TaskOpened, TaskQuestion
from bots.identity import Identity, require_sound
from bots.requests import (
    AgentStatus,
    AnyAnswer,
    AnyRequest,
    Ask,
    Cancel,
    Delivered,
    Follow,
    LinkChanged,
    Missed,
    RoomFollowed,
    Status,
)
from bots.service import Service
from tui.arrivals import Arrival
from tui.sources import Deliver, Key, Link, Ready, SourceError, Tell, always
from tui.sources.live.deliveries import arrival
from tui.sources.live.moves import REPLACED
from tui.sources.live.trouble import translated

_RETRY_S = 1.0
_GATHER_S = 0.01
_UNREAD_EVERY_S = 10.0  # how old what is told of unreadable events may be
# What passes by itself, by the last part of its code: another process is just starting or ending, or whoever carries
# the messages does not answer yet.
_PASSING = {"closed", "locked", "unreachable", "rate_limited", "server_error", "not_now"}


def rooms_of(config: Config) -> tuple[str, ...]:
    """The rooms that a configuration names, of whatever transport."""
    return (*config.matrix.rooms, *config.http.rooms, *(config.lan.rooms if config.lan.enabled else ()))


class AgentSource:
    """One agent of this machine, as a ``tui.sources.Source``. Where its room is replaced it goes along.

    ``path`` is its socket; ``room`` one of its rooms, "" for the only one; ``password`` is asked if it has to be
    opened here and has no kept login.
    """

    def __init__(self, selection: Selection, own: Identity, path: Path, room: str, password: Callable[[], str]) -> None:
        self._selection = selection
        self._own = own
        self._path = path
        self._room = room
        self._password = password
        self._service: Service | None = None  # of the agent opened here
        self.room = ""
        rooms = rooms_of(selection.config)
        named = room or (rooms[0] if len(rooms) == 1 else "")
        self.title = f"{named} through {selection.name}" if named else selection.name

    @property
    def key(self) -> Key | None:
        return Key(self._own.did, (self._own.seal,))

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        view = _View(self._entered, deliver, told, ready)
        view.connecting(f"Looking for the agent {self._selection.name}.")
        counting = asyncio.ensure_future(self._count_unreadable(view))
        try:
            while True:
                view.connecting(await self._once(view))
                await asyncio.sleep(_RETRY_S)
        finally:
            counting.cancel()
            view.close()
            await asyncio.gather(counting, return_exceptions=True)

    def _entered(self, room: str, name: str) -> bool:
        """The agent is followed in this room; gives whether it took the place of another."""
        moved = self.room not in ("", room)
        self.room = room
        if moved:
            self._room = room  # what it was called may still lead to the old one
            self.title = f"{name or room} through {self._selection.name}"
        return moved

    async def _count_unreadable(self, view: _View) -> None:
        """Keep telling how many encrypted events the agent cannot read: it hands over only what it can."""
        while True:
            await asyncio.sleep(_UNREAD_EVERY_S)
            with suppress(SourceError):
                async with aclosing(self._answers(Status())) as answers:
                    async for answer in answers:
                        if isinstance(answer, AgentStatus):
                            view.unreadable(answer.unreadable)

    async def _once(self, view: _View) -> str:
        """Follow the agent until that ends by something that may pass, and say what it was. Raises SourceError."""
        try:
            with translated():
                return await self._follow(view)
        except SourceError as error:
            if error.code.rpartition(".")[2] not in _PASSING:
                raise
            return error.message

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        """See ``Source.ask``. The agent cancels the task if this iterator is closed before its end."""
        if not question.strip():
            raise SourceError("ask.empty", "The question is empty.", "Write one.")
        request = Ask(question=question.strip(), room=self._room, stages=tuple(stages), private=private)
        early: list[str] = []  # what was said before the task has an id
        opened = ended = False
        async with aclosing(self._answers(request)) as answers:
            async for answer in answers:
                if isinstance(answer, TaskOpened):
                    opened = True
                    yield answer.task
                said = _sentences(answer)
                if not opened:
                    early += said
                    continue
                for sentence in [*early, *said]:
                    yield sentence
                early = []
                ended = isinstance(answer, TaskEnded)
        if not ended:
            raise SourceError(
                "source.agent_gone",
                "The agent stopped before there was an answer.",
                "It goes on with the question when it runs again.",
            )

    async def cancel(self, task: str) -> str:
        async with aclosing(self._answers(Cancel(task=task))) as answers:
            said = [answer.text async for answer in answers if isinstance(answer, Notice)]
        return " ".join(said)

    async def _answers(self, request: AnyRequest) -> AsyncGenerator[AnyAnswer, None]:
        """What the agent answers. Raises SourceError."""
        stream = _answers_of(self._service, request) if self._service else call(self._path, request)
        try:
            with translated():
                async with aclosing(stream) as answers:
                    async for answer in answers:
                        yield answer
        except ConnectionError:
            raise self._gone("is not running") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise self._gone("broke off in the middle of what it said") from error

    def _gone(self, why: str) -> SourceError:
        name = self._selection.name
        return SourceError("source.agent_gone", f"The agent {name} {why}.", f"Start it: clawbot run --name {name}")

    async def _follow(self, view: _View) -> str:
        """Follow the agent until that ends, and say why it did. Raises ClawbotError, SourceError."""
        request = Follow(room=self._room)
        ended = "is not running"
        try:
            async with aclosing(call(self._path, request)) as answers:
                async for answer in answers:
                    view.beside, ended = True, "was stopped"
                    view.take(answer)
                    await view.ready()
        except (msgspec.DecodeError, ValueError):
            # The end of a line is missing: it was killed. Or the line is none of an agent.
            view.beside, ended = True, "broke off in the middle of a line"
        except ConnectionError:
            if not view.beside:
                await self._take_part(request, view)
        except ClawbotError as error:
            if error.code != "request.malformed":
                raise
            text = f"The agent {self._selection.name} runs an older version, which cannot be followed."
            raise SourceError("source.older_agent", text, "Restart it.") from error
        return f"The agent {self._selection.name} {ended}. Trying again."

    async def _take_part(self, request: AnyRequest, view: _View) -> None:
        """Open the agent here and follow it. Raises ClawbotError."""
        from bots.lifetime import taking_part
        from bots.opening import open_agent

        selection = self._selection
        require_sound(self._own, selection.name)
        config = msgspec.structs.replace(
            selection.config,
            limits=msgspec.structs.replace(selection.config.limits, serve="nobody"),
            people=msgspec.structs.replace(selection.config.people, answer="nobody"),
        )
        agent = await open_agent(config, selection.paths.state, self._own, self._password, with_engine=False)
        async with taking_part(agent):
            self._service = Service(agent)
            try:
                async with aclosing(_answers_of(self._service, request)) as answers:
                    async for answer in answers:
                        view.take(answer)
                        await view.ready()
            finally:
                self._service = None


class _View:
    """Passes on what a ``Follow`` answers: arrivals that come close together go as one.

    ``entered`` is called with the URI and the name of the room that is followed, and says whether it replaced another.
    """

    def __init__(
        self,
        entered: Callable[[str, str], bool],
        deliver: Callable[[Sequence[Arrival]], None],
        told: Callable[[Link], None],
        ready: Ready,
    ) -> None:
        self._entered = entered
        self.ready = ready
        self._deliver = deliver
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Arrival] = []
        self._due: asyncio.TimerHandle | None = None
        self._was_live = False
        self._link = Link("connecting")
        self._moved = ""  # how this room took the place of another, or another could not take its
        self._unread = ""
        self.beside = False  # whether the agent was ever found running beside us

    def take(self, answer: AnyAnswer) -> None:
        if isinstance(answer, Delivered):
            if not self._waiting:
                self._due = self._loop.call_later(_GATHER_S, self._flush)
            self._waiting.append(arrival(answer.delivery))
        elif isinstance(answer, RoomFollowed):
            self._flush()
            if self._entered(answer.room, answer.name):
                self._moved = REPLACED
                self._say(self._link)
        elif isinstance(answer, Notice):
            self._moved = answer.text
            if self._link.state == "live":
                self._say(self._link)
        elif isinstance(answer, LinkChanged) and answer.online:
            self._flush()
            self._was_live = True
            self._say(Link("live"))
        elif isinstance(answer, LinkChanged):
            self.connecting(answer.detail)
        elif isinstance(answer, Missed):
            self._flush()
            self._told(Link("live", f"Up to {answer.count} events went by unread: this terminal was too slow."))

    def unreadable(self, count: int) -> None:
        """So many encrypted events cannot be read, of all the agent's rooms."""
        unread = f"unreadable: {count:,}" if count else ""
        if unread != self._unread:
            self._unread = unread
            if self._link.state == "live":
                self._say(self._link)

    def connecting(self, detail: str) -> None:
        """Nothing arrives at the moment."""
        self._flush()
        self._say(Link("stale" if self._was_live else "connecting", detail))

    def _say(self, link: Link) -> None:
        """How the link is; while it is live, what else there is to know."""
        if link.state == "live":
            link = Link("live", "; ".join(filter(None, (self._moved, self._unread))))
        self._link = link
        self._told(link)

    def close(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _flush(self) -> None:
        self.close()
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._deliver(waiting)


def _answers_of(service: Service, request: AnyRequest) -> AsyncGenerator[AnyAnswer, None]:
    stream = service.answer(request)
    assert isinstance(stream, AsyncGenerator)
    return stream


def _sentences(answer: AnyAnswer) -> list[str]:
    """What there is to say to a person of an event."""
    if isinstance(answer, Notice):
        return [answer.text]
    if isinstance(answer, TaskQuestion):
        return [f"The stage {answer.stage} asks: {answer.text}"]
    if not isinstance(answer, TaskEnded):
        return []
    if answer.outcome != "completed":
        return [answer.message or f"The task has {answer.outcome}."]
    names = list(dict.fromkeys(stage.name for stage in answer.stages))
    by = f" by {', '.join(names)}" if names else ""
    return [f"Answered{by} in {answer.elapsed_ms / 1000:.1f} s.", *([answer.text] if answer.text else [])]
