"""What can happen in a task, as short conversations with their outcome (spec/08-task.md).

A trace says things and returns what does not count, by code. ``TRACES`` holds them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clawnet_proto.families import task
from clawnet_proto.message import Message
from tests.proto.authoring import Author, some_digest
from tests.proto.conversation import Conversation

Errors = dict[str, list[Message]]
Said = Callable[[Conversation, Author, Author], Errors | None]


@dataclass(frozen=True)
class Trace:
    """``state`` is the task's; ``attempts`` are the states of each stage's attempts, in order."""

    said: Said
    state: str
    attempts: dict[str, str]
    request: task.Request | None = None


TRACES: dict[str, Trace] = {}


def trace(state: str, draft: str, request: task.Request | None = None, **others: str) -> Callable[[Said], Said]:
    def add(said: Said) -> Said:
        TRACES[getattr(said, "__name__", "")] = Trace(said, state, {"draft": draft} | others, request)
        return said

    return add


# --- one attempt ---


@trace("submitted", "")
def nothing_is_said(talk: Conversation, bob: Author, carol: Author) -> None:
    pass


@trace("submitted", "")
def offers_change_nothing(talk: Conversation, bob: Author, carol: Author) -> None:
    for author in (bob, carol):
        offer = task.Offer(stages=(task.StageOffer(stage="draft", wait_ms=0),))
        talk.say(author, offer, talk.request, talk.requester.did)


@trace("working", "awarded")
def it_is_awarded(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.award(bob)


@trace("working", "working")
def the_executor_starts(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.start(talk.award(bob))


@trace("working", "working")
def progress_without_a_start_means_work(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.progress(talk.award(bob))


@trace("completed", "completed")
def the_whole_way(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    talk.start(award)
    talk.progress(award, 0)
    result = talk.result(award)
    talk.close(result)


@trace("completed", "completed")
def all_stages_completed_await_the_receipt(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob))


@trace("working", "rejected")
def the_award_is_declined(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.decline(talk.award(bob))


@trace("working", "working")
def what_was_begun_cannot_be_declined(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    talk.start(award)
    return {"task.not_allowed": [talk.decline(award)]}


@trace("working", "failed")
def the_executor_fails(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    talk.start(award)
    talk.fail(award)


@trace("completed", "completed")
def a_result_counts_before_a_fail(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    talk.result(award)
    return {"task.not_allowed": [talk.fail(award), talk.decline(award)]}


@trace("completed", "completed")
def one_of_two_results_counts(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    results = sorted((talk.result(award, text) for text in ("one", "other")), key=lambda result: result.id)
    return {"task.not_allowed": results[1:]}


@trace("working", "working")
def a_start_twice_is_a_start(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    talk.start(award)
    talk.start(award)


# --- permissions ---


@trace("submitted", "")
def a_stranger_ends_and_awards_nothing(talk: Conversation, bob: Author, carol: Author) -> Errors:
    said = [talk.award(carol, by=carol), talk.cancel(by=bob), talk.close(by=carol)]
    return {"task.not_permitted": said}


@trace("working", "awarded")
def a_stranger_executes_nothing(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    said = [say(award, by=carol) for say in (talk.start, talk.progress, talk.ask, talk.fail, talk.decline, talk.result)]
    return {"task.not_permitted": said}


@trace("working", "awarded")
def the_requester_executes_nothing(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    return {"task.not_permitted": [say(award, by=talk.requester) for say in (talk.start, talk.result, talk.fail)]}


@trace("input_required", "input_required")
def a_stranger_answers_nothing(talk: Conversation, bob: Author, carol: Author) -> Errors:
    ask = talk.ask(talk.award(bob))
    return {"task.not_permitted": [talk.reply(ask, by=carol), talk.reply(ask, by=bob)]}


# --- places ---


@trace("submitted", "")
def a_stage_that_is_not_there(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob, stage="dance")
    return {"task.unknown_stage": [award, talk.start(award)]}


@trace("working", "awarded")
def an_attempt_that_was_not_awarded(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    late = task.Start(stage="draft", attempt=2)
    return {"task.unknown_stage": [talk.say(bob, late, award, talk.requester.did)]}


@trace("working", "awarded")
def answers_to_the_wrong_message(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    return {
        "task.not_allowed": [
            talk.start(award, after=talk.request),
            talk.say(talk.requester, task.Cancel(), award),
            talk.result(award, changes={"award": talk.request.id}),
        ]
    }


@trace("submitted", "")
def a_cause_that_is_missing(talk: Conversation, bob: Author, carol: Author) -> Errors:
    talk.award(bob)
    award = talk.said.pop()
    return {"state.waiting": [talk.start(award), talk.result(award)]}


@trace("working", "awarded")
def a_thread_nobody_knows(talk: Conversation, bob: Author, carol: Author) -> Errors:
    talk.award(bob)
    return {"state.waiting": [talk.say(bob, task.Start(stage="draft", attempt=1), some_digest("x"), carol.did)]}


# --- conflicts, lapses, repeated executions ---


@trace("working", "working")
def an_attempt_awarded_twice(talk: Conversation, bob: Author, carol: Author) -> Errors:
    awards = sorted((talk.award(bob), talk.award(carol)), key=lambda award: award.id)
    talk.start(awards[0])
    return {"task.conflict": awards[1:], "task.not_permitted": [talk.start(awards[1])]}


@trace("working", "lapsed working")
def a_lapsed_attempt_is_followed_by_another(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.start(talk.award(bob))
    talk.start(talk.award(carol, attempt=2))


@trace("completed", "lapsed completed")
def a_later_attempt_completes(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.award(bob)
    talk.result(talk.award(carol, attempt=3))


@trace("completed", "completed completed")
def a_repeated_execution(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob), "the late one")
    second = talk.result(talk.award(carol, attempt=2), "the one in time")
    talk.close(second)


@trace("completed", "completed completed")
def the_requester_takes_the_earlier_of_two(talk: Conversation, bob: Author, carol: Author) -> None:
    first = talk.result(talk.award(bob))
    talk.result(talk.award(carol, attempt=2))
    talk.close(first)


@trace("working", "completed awarded")
def a_result_of_an_earlier_attempt_is_not_the_current_one(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob))
    talk.award(carol, attempt=2)


@trace("working", "rejected failed awarded")
def attempts_that_ended_are_followed_by_others(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.decline(talk.award(bob))
    talk.fail(talk.award(carol, attempt=2))
    talk.award(bob, attempt=3)


# --- ends ---


@trace("canceled", "")
def a_cancel_before_anything(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.cancel()


@trace("canceled", "canceled")
def a_cancel_stops_an_attempt(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.start(talk.award(bob))
    talk.cancel()


@trace("canceled", "completed")
def a_cancel_and_a_result_cross(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    talk.cancel()
    talk.result(award)


@trace("canceled", "canceled canceled")
def a_cancel_stops_every_attempt(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.ask(talk.award(bob))
    talk.award(carol, attempt=2)
    talk.cancel()


@trace("completed", "completed")
def a_close_counts_before_a_cancel(talk: Conversation, bob: Author, carol: Author) -> Errors:
    cancel = talk.cancel()
    talk.close(talk.result(talk.award(bob)))
    return {"task.not_allowed": [cancel]}


@trace("canceled", "canceled")
def one_of_two_cancels_counts(talk: Conversation, bob: Author, carol: Author) -> Errors:
    talk.award(bob)
    cancels = sorted((talk.cancel(), talk.cancel()), key=lambda cancel: cancel.id)
    return {"task.not_allowed": cancels[1:]}


@trace("failed", "failed")
def a_task_is_closed_as_failed(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.fail(talk.award(bob))
    talk.close(outcome="failed")


@trace("failed", "completed")
def a_failed_task_keeps_what_was_completed(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob))
    talk.close(outcome="failed")


@trace("completed", "awarded")
def a_receipt_for_something_that_never_came(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    talk.close(talk.result(award))
    talk.said = [message for message in talk.said if message.type != "task.result"]


# --- questions ---


@trace("input_required", "input_required")
def the_executor_asks(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    talk.start(award)
    talk.ask(award)


@trace("completed", "completed")
def a_question_is_answered_and_work_goes_on(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    reply = talk.reply(talk.ask(award))
    talk.progress(award, 3, after=reply)
    talk.result(award, after=reply)


@trace("working", "working")
def two_questions_one_after_the_other(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    first = talk.reply(talk.ask(award))
    talk.reply(talk.ask(award, after=first))


@trace("input_required", "input_required")
def one_of_two_questions_at_once_counts(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    asks = sorted((talk.ask(award), talk.ask(award)), key=lambda ask: ask.id)
    return {"task.not_allowed": [asks[1], talk.reply(asks[1])]}


@trace("working", "working")
def one_of_two_replies_counts(talk: Conversation, bob: Author, carol: Author) -> Errors:
    ask = talk.ask(talk.award(bob))
    replies = sorted((talk.reply(ask), talk.reply(ask)), key=lambda reply: reply.id)
    return {"task.not_allowed": replies[1:]}


@trace("completed", "completed")
def a_result_needs_no_reply(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    ask = talk.ask(award)
    talk.result(award)
    return {"task.not_allowed": [talk.reply(ask)]}


@trace("working", "failed")
def the_executor_gives_up_while_it_waits(talk: Conversation, bob: Author, carol: Author) -> None:
    award = talk.award(bob)
    talk.ask(award)
    talk.fail(award)


@trace("working", "lapsed awarded")
def a_question_lapses_with_its_attempt(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.ask(talk.award(bob))
    talk.award(carol, attempt=2)


@trace("working", "awarded")
def a_reply_to_what_was_never_asked(talk: Conversation, bob: Author, carol: Author) -> Errors:
    return {"task.not_allowed": [talk.reply(talk.award(bob))]}
