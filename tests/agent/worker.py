"""An executor that is played by the test."""

from __future__ import annotations

from clawnet_proto.families import presence, task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tests.agent.simulated import QUESTION, Member, Room, echo
from tests.agent.stranger import Stranger


def new_worker(room: Room) -> Stranger:
    """Somebody that is capable of echo stages and is played by the test."""
    eve = room.stranger("eve")
    eve.announce(capabilities=("echo",), load=presence.Load(running=0, waiting=0, slots=1))
    return eve


def answering(eve: Stranger, to: Member, award: Message, answers: str, body: task.Ask | task.Result) -> bytes:
    thread = award.envelope.thread
    return eve.says(body, recipients=(to.did,), thread=thread, answers=answers)


def result_of(award: Message, text: str) -> task.Result:
    return task.Result(
        stage="answer",
        attempt=award.body.attempt,
        award=award.id,
        inputs=(task.InputDigest(source="question", digest=digest(QUESTION.encode())),),
        parameters=echo().parameters,
        output_digest=digest(text.encode()),
        text=text,
        media_type="text/plain",
        finish="stop",
        usage=task.Usage(prompt_tokens=0, output_tokens=0, queued_ms=0, prompt_ms=0, generate_ms=0),
    )
