"""More traces: what stages read, hand on and keep sealed. They stand in ``TRACES`` with the others."""

from __future__ import annotations

from msgspec import UNSET

from clawnet_proto.families import task
from clawnet_proto.signing import digest
from tests.proto import samples
from tests.proto.authoring import Author
from tests.proto.conversation import OUTPUT, Conversation
from tests.proto.traces import Errors, trace

SEALED = samples.request(
    inputs=(task.Input(name="question", digest=digest(samples.QUESTION.encode())),), privacy="sealed"
)
SEALED_OUTPUT = {"text": UNSET, "sealed": samples.SEALED}
PIPELINE = samples.request(
    samples.stage("draft", "question"),
    samples.stage("critique", "question", "draft"),
    samples.stage("revise", "draft", "critique"),
)
QUESTION = samples.QUESTION

# --- privacy ---


@trace("completed", "completed", SEALED)
def a_sealed_output_in_a_sealed_task(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob), changes=SEALED_OUTPUT)


@trace("working", "awarded", SEALED)
def a_readable_output_in_a_sealed_task(talk: Conversation, bob: Author, carol: Author) -> Errors:
    return {"task.not_allowed": [talk.result(talk.award(bob))]}


@trace("working", "awarded")
def a_sealed_output_in_a_public_task(talk: Conversation, bob: Author, carol: Author) -> Errors:
    return {"task.not_allowed": [talk.result(talk.award(bob), changes=SEALED_OUTPUT)]}


# --- inputs and pipelines ---


@trace("working", "awarded")
def a_result_of_other_inputs(talk: Conversation, bob: Author, carol: Author) -> Errors:
    award = talk.award(bob)
    return {
        "task.input_mismatch": [
            talk.result(award, inputs={"question": "Another question?"}),
            talk.result(award, inputs={}),
            talk.result(award, inputs={"other": QUESTION}),
            talk.result(award, inputs={"question": QUESTION, "other": ""}),
        ]
    }


@trace("completed", "completed", PIPELINE, critique="completed", revise="completed")
def three_stages_hand_on_their_outputs(talk: Conversation, bob: Author, carol: Author) -> None:
    awards = [talk.award(to, stage) for to, stage in ((bob, "draft"), (carol, "critique"), (bob, "revise"))]
    draft = talk.result(awards[0], "A draft.")
    critique = talk.result(awards[1], "Too short.", inputs={"question": QUESTION, "draft": "A draft."})
    revise = talk.result(awards[2], "Longer.", inputs={"draft": "A draft.", "critique": "Too short."})
    talk.close(draft, critique, revise)


@trace("working", "completed", PIPELINE, critique="working", revise="")
def stages_are_at_different_places(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob), "A draft.")
    talk.start(talk.award(carol, "critique"))


@trace("input_required", "completed", PIPELINE, critique="input_required", revise="awarded")
def one_stage_asks(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob), "A draft.")
    talk.ask(talk.award(carol, "critique"))
    talk.award(bob, "revise")


@trace("working", "awarded", PIPELINE, critique="awarded", revise="")
def a_result_before_its_sources(talk: Conversation, bob: Author, carol: Author) -> Errors:
    talk.award(bob)
    award = talk.award(carol, "critique")
    return {"state.waiting": [talk.result(award, inputs={"question": QUESTION, "draft": "A draft."})]}


@trace("working", "completed completed", PIPELINE, critique="awarded", revise="")
def a_result_of_an_output_that_was_replaced(talk: Conversation, bob: Author, carol: Author) -> Errors:
    talk.result(talk.award(bob), "A draft.")
    award = talk.award(carol, "critique")
    critique = talk.result(award, inputs={"question": QUESTION, "draft": "A draft."})
    talk.result(talk.award(carol, attempt=2), "A second draft.")
    return {"task.input_mismatch": [critique]}


@trace("working", "completed", PIPELINE, critique="awarded", revise="")
def sources_in_another_order(talk: Conversation, bob: Author, carol: Author) -> Errors:
    talk.result(talk.award(bob), OUTPUT)
    award = talk.award(carol, "critique")
    return {"task.input_mismatch": [talk.result(award, inputs={"draft": OUTPUT, "question": QUESTION})]}


@trace("canceled", "completed", PIPELINE, critique="canceled", revise="")
def a_cancel_in_the_middle(talk: Conversation, bob: Author, carol: Author) -> None:
    talk.result(talk.award(bob), "A draft.")
    talk.progress(talk.award(carol, "critique"))
    talk.cancel()
