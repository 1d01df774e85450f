"""Conversations about a task in which anybody says anything, with a chance of sense."""

from __future__ import annotations

from collections.abc import Sequence

from clawnet_proto.families import task
from clawnet_proto.message import Message
from tests.fuzz.choices import Choices
from tests.proto import samples
from tests.proto.authoring import Author, some_digest
from tests.proto.conversation import OUTPUT, Conversation
from tests.proto.pipeline_traces import PIPELINE

_MOST = 24  # messages in one conversation
_HIDDEN = task.Input(name="question", digest=samples.text_input().digest)
REQUESTS = [None, PIPELINE, samples.request(inputs=(_HIDDEN,), privacy="sealed")]


class Talk:
    """The first of the people asks; one of ``requests`` is what (None: the shortest request there is)."""

    def __init__(self, choices: Choices, people: Sequence[Author]) -> None:
        self.choices = choices
        self.people = people
        self.conversation = Conversation(people[0], choices.pick(REQUESTS))
        self.stages = [stage.id for stage in self.conversation.request.body.stages]

    @property
    def messages(self) -> list[Message]:
        return [self.conversation.request, *self.conversation.said]

    def say_all(self) -> None:
        """Until the choices, or the space, are used up."""
        while self.choices and len(self.conversation.said) < _MOST:
            self.say()

    def say(self) -> None:
        """One message."""
        talk, choices = self.conversation, self.choices
        awards = [message for message in talk.said if message.type == "task.award"]
        way = choices.below(12)
        if not awards or way < 2:
            stage = "dance" if choices.rarely() else choices.pick(self.stages)
            talk.award(choices.pick(self.people), stage, choices.pick([1, 1, 2, 3]), by=self._by())
        elif way == 2:
            asks = [message for message in talk.said if message.type == "task.ask"] or awards
            talk.reply(choices.pick(asks), by=self._by())
        elif way == 3:
            self._end()
        elif way == 4:
            # Something that waits for a cause which never comes, or an offer.
            answers = choices.pick([talk.request.id, some_digest("nothing"), choices.pick(talk.said).id])
            body = choices.pick([task.Cancel(), task.Offer(stages=(task.StageOffer(stage="draft", wait_ms=0),))])
            to = "" if isinstance(body, task.Cancel) else talk.requester.did
            talk.say(choices.pick(self.people), body, answers, to)
        else:
            self._execute(choices.pick(awards))

    def _by(self) -> Author | None:
        return self.choices.pick(self.people) if self.choices.rarely() else None

    def _end(self) -> None:
        talk, choices = self.conversation, self.choices
        results = [message for message in talk.said if message.type == "task.result"]
        if choices.below(2):
            talk.cancel(by=self._by())
            return
        taken = {choices.pick(results).id for _ in results[:4]}
        named = [message for message in results if message.id in taken]
        talk.close(*named, outcome=choices.pick(["completed", "failed"]), by=self._by())

    def _execute(self, award: Message) -> None:
        talk, choices = self.conversation, self.choices
        replies = [message for message in talk.said if message.type == "task.reply"]
        after = choices.pick(talk.said) if choices.rarely() else choices.pick([None, *replies])
        by = self._by()
        say = choices.pick([talk.result, talk.start, talk.progress, talk.ask, talk.fail, talk.decline])
        if say == talk.progress:
            talk.progress(award, choices.below(4), by=by, after=after)
            return
        stage = talk.request.body.stage(award.body.stage)
        if say != talk.result or stage is None:
            say(award, by=by, after=after)
            return
        texts = {source: samples.QUESTION if source == "question" else OUTPUT for source in stage.sources}
        inputs = {} if choices.rarely() else texts
        talk.result(award, OUTPUT + "!" * choices.pick([0, 0, 1]), inputs=inputs, by=by, after=after)
