"""Work for others under the owner's limits: offer, run what is awarded, stream, answer (spec/08-task.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import aclosing
from functools import partial
from typing import Any

from msgspec import UNSET

from bots.behaviours import USUAL, Context, Posting, Received
from bots.behaviours.job import Job, is_sealed, seal_key
from bots.behaviours.offering import Offering
from bots.behaviours.presence import PresenceBehaviour
from bots.behaviours.stage_input import read_inputs
from bots.behaviours.stage_output import StageOutput
from bots.behaviours.stage_run import StageRun, choose_model
from bots.errors import ClawbotError, EngineError, StoreError
from bots.logging_format import about
from bots.quota import Bucket, Quotas, is_listed
from clawnet_proto import sealed_text as sealed
from clawnet_proto.errors import ProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_prompt import render
from clawnet_proto.families.task_state import DECLINED, AttemptView, TaskView
from clawnet_proto.message import Message
from clawnet_proto.rendering import clean, short
from clawnet_proto.wire import present

log = logging.getLogger(__name__)

# Awards whose inputs are not there yet cost nothing but their place.
_UNREADY_JOBS = 64
_UNREADY_OF_ONE_ADDRESS = 16
# A refusal is a courtesy, and an event in the room: strangers must not make us spend many.
_DECLINES_PER_MINUTE = 12
_PROGRESS_LIFETIME_MS = 60_000
# At most two a second: more would cost the engine its speed.
_PROGRESS_EVERY_MS = 500
_PROGRESS_CHARACTERS = 4000
_CHARACTERS_PER_TOKEN = 4


def _reading(request: task.Request, stage: task.Stage) -> int:
    """Roughly how many tokens a stage reads, of what is known beforehand."""
    written = sum(len(part.text) for part in stage.prompt if isinstance(part, task.TextPart))
    read = sum(len(present(item.text, "")) for item in request.inputs if item.name in stage.sources)
    return (written + read) // _CHARACTERS_PER_TOKEN


class ExecutorBehaviour:
    """Everything this agent does for others."""

    def __init__(self, context: Context, presence: PresenceBehaviour) -> None:
        self._context = context
        self._presence = presence
        self._quotas = Quotas(context.config.limits, context.monotonic_ms())
        self._offering = Offering(context, self._refusal, lambda: len(self._jobs))
        self._declines = Bucket(_DECLINES_PER_MINUTE, context.monotonic_ms())
        self._jobs: dict[tuple[str, str, int], Job] = {}
        self._slots = asyncio.Semaphore(context.config.limits.concurrency)
        self._finishing = False

    @property
    def jobs(self) -> int:
        return len(self._jobs)

    def on_message(self, received: Received) -> None:
        body = received.message.body
        if isinstance(body, task.Request):
            self._offering.consider(received)
        elif isinstance(body, task.Award):
            self._take(received)

    def resume(self) -> None:
        """Go on with what was awarded before a restart and is still ours."""
        me = self._context.identity.did
        for room in self._context.rooms():
            for view in self._context.mesh(room.uri).tasks():
                if view.finished or view.request.envelope.expires_ms <= self._context.now_ms():
                    continue
                for stage in view.stages.values():
                    current = stage.current
                    if current is None or current.executor != me or not self._context.acted_upon(current.award):
                        continue
                    if current.state in ("awarded", "working"):
                        self._start_job(room.uri, view, current.award)

    def abandon(self, room: str) -> None:
        """Work no more for a room that hears us no more."""
        self._offering.forget(room)
        for job in [job for job in self._jobs.values() if job.room == room]:
            self._drop(job)

    async def finish(self, grace_s: float) -> None:
        """Let what runs come to its end, for so long at most, and begin nothing; then hand back the rest."""
        self._finishing = True
        if running := self._running() if grace_s else []:
            log.info("finishing %d stages, for %g s at most", len(running), grace_s)
            self._presence.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while running:
                    self._go_on()
                    await asyncio.wait(running, timeout=_PROGRESS_EVERY_MS / 1000)
                    running = self._running()
        await self._hand_back()

    def _go_on(self) -> None:
        """What of time's passing still matters to those who wait for us."""
        for behaviour in (self._presence, self):
            try:
                behaviour.advance(self._context.monotonic_ms())
            except StoreError:
                raise
            except (ProtocolError, ClawbotError) as error:
                log.warning("%s", error)

    def _running(self) -> list[asyncio.Task[None]]:
        return [job.process for job in self._jobs.values() if job.process is not None]

    async def _hand_back(self) -> None:
        """Give up what is not done: the requester hears at once instead of waiting for the lease."""
        for job in list(self._jobs.values()):
            self._drop(job)
            if job.process is not None:
                await asyncio.gather(job.process, return_exceptions=True)
            self._fail(job, "stopping", "This agent is stopping.", retryable=True)

    def _refusal(self, view: TaskView, address: str) -> str:
        """Why we would not work for this requester, "" if we would."""
        limits = self._context.config.limits
        body: task.Request = view.request.body
        if view.requester == self._context.identity.did:
            return ""
        if limits.serve == "nobody":
            return "this agent serves nobody"
        if limits.serve == "listed" and not is_listed(address, limits.listed):
            return "this agent serves only whom its owner lists"
        if body.hops > limits.hops:
            return "the request was passed on too often"
        return ""

    # -- work ------------------------------------------------------------------------------------------------

    def _take(self, received: Received) -> None:
        """An award to us: take it up or decline at once."""
        message = received.message
        award: task.Award = message.body
        room = message.envelope.room
        view = self._context.mesh(room).task(str(message.envelope.thread))
        stage = view.stages.get(award.stage) if view else None
        current = stage.attempts.get(award.attempt) if stage else None
        if view is None or stage is None or current is None or current.award.id != message.id:
            return
        if view.requester != message.sender or current.state != "awarded" or view.finished:
            return
        if not self._context.mesh(room).vouched(view.request):
            return
        generated = stage.spec.parameters.max_tokens if stage.spec.kind in ("generate", "chat") else 0
        if refusal := self._refusal(view, received.address) or self._inability(stage.spec):
            self._decline(received, refusal, retryable=False)
            return
        refusal = self._crowded(received.address, ready=view.ready(stage.spec))
        if not refusal:
            cost = generated + _reading(view.request.body, stage.spec)
            quota = self._quotas.admit(received.address, cost, self._context.monotonic_ms())
            refusal = f"the quota {quota} is used up" if quota else ""
        if refusal:
            self._decline(received, refusal, retryable=True)
            return
        self._start_job(room, view, message, generated, received.address)

    def _decline(self, received: Received, refusal: str, *, retryable: bool) -> None:
        message = received.message
        body: task.Award = message.body
        log.info("award %s of %s declined: %s", message.id, received.address, refusal)
        if self._declines.take(1, self._context.monotonic_ms()):
            job = Job(
                room=message.envelope.room,
                task=str(message.envelope.thread),
                stage=body.stage,
                attempt=body.attempt,
                award=message,
            )
            self._fail(job, DECLINED, refusal[:1].upper() + refusal[1:] + ".", retryable=retryable)

    def _crowded(self, address: str, *, ready: bool) -> str:
        """Why there is no room for one more job, "" if there is."""
        limits = self._context.config.limits
        if ready:
            at_hand = sum(self._is_at_hand(job) for job in self._jobs.values())
            mine = limits.concurrency + limits.waiting
            # Where the owner lists friends, strangers leave half the places to them.
            room = mine // 2 if limits.listed and not is_listed(address, limits.listed) else mine
            return "this agent has its hands full" if at_hand >= max(1, room) else ""
        unready = [job.address for job in self._jobs.values() if not self._is_at_hand(job)]
        if len(unready) >= _UNREADY_JOBS or unready.count(address) >= _UNREADY_OF_ONE_ADDRESS:
            return "this agent waits for too many inputs"
        return ""

    def _is_at_hand(self, job: Job) -> bool:
        """Running, or it could be."""
        view = self._context.mesh(job.room).task(job.task)
        return job.process is not None or (view is not None and view.ready(view.stages[job.stage].spec))

    def _inability(self, stage: task.Stage) -> str:
        limits = self._context.config.limits
        if stage.parameters.max_tokens > limits.output_tokens:
            return f"more than {limits.output_tokens} tokens are asked for"
        if stage.kind != "echo" and choose_model(self._context, stage) is None:
            return f"this agent has no model for {stage.kind} stages that fits"
        return ""

    def _start_job(self, room: str, view: TaskView, award: Message, reserved: int = 0, address: str = "") -> None:
        body: task.Award = award.body
        context, key = self._context, (str(award.envelope.thread), body.stage, body.attempt)
        if key not in self._jobs:
            self._jobs[key] = Job(
                room=room,
                task=key[0],
                stage=body.stage,
                attempt=body.attempt,
                award=award,
                begin_by_ms=context.monotonic_ms() + view.request.envelope.expires_ms - context.now_ms(),
                reserved=reserved,
                address=address,
            )
            self._count()

    def _count(self) -> None:
        running = sum(job.process is not None for job in self._jobs.values())
        self._presence.running, self._presence.waiting = running, len(self._jobs) - running

    def advance(self, monotonic_ms: int) -> None:
        if not self._finishing:
            self._offering.advance(monotonic_ms)
        for job in list(self._jobs.values()):
            view = self._context.mesh(job.room).task(job.task)
            attempt = self._attempt(view, job)
            if view is None or attempt is None or self._is_over(job, view, attempt, monotonic_ms):
                self._drop(job)
            elif self._context.has_left(job.room, job.award.sender):
                self._drop(job)
                self._fail(job, "requester.left", "Who asked is no longer in the room.", retryable=False)
            elif job.process is None and not self._finishing and view.ready(view.stages[job.stage].spec):
                with about(task=job.task, stage=job.stage, attempt=job.attempt, peer=job.award.sender):
                    job.process = self._context.spawn(self._run(job, view))
                self._count()
            elif attempt.state == "working" and (job.unsent or self._renewal_due(job, monotonic_ms)):
                self._progress(job)

    @staticmethod
    def _is_over(job: Job, view: TaskView, attempt: AttemptView, monotonic_ms: int) -> bool:
        """Nobody waits for it any more, or it is too late to begin."""
        late = job.process is None and job.begin_by_ms <= monotonic_ms
        return late or view.finished or attempt.state in ("lapsed", "canceled")

    @staticmethod
    def _renewal_due(job: Job, monotonic_ms: int) -> bool:
        return monotonic_ms - job.heard_ms > int(job.award.body.lease_ms) // 3

    @staticmethod
    def _attempt(view: TaskView | None, job: Job) -> AttemptView | None:
        stage = view.stages.get(job.stage) if view else None
        return stage.attempts.get(job.attempt) if stage else None

    def _drop(self, job: Job) -> None:
        """Work on it no longer."""
        self._jobs.pop((job.task, job.stage, job.attempt), None)
        if job.process is not None:
            job.process.cancel()
        self._settle(job)

    def _settle(self, job: Job) -> None:
        """What was reserved and not used is there for others again."""
        self._quotas.unused(job.address, max(0, job.reserved - job.tokens))
        job.reserved = 0
        self._count()

    async def _run(self, job: Job, view: TaskView) -> None:
        """One stage from start to result or failure; never raises but for cancellation."""
        spec = view.stages[job.stage].spec
        try:
            model = choose_model(self._context, spec)
            name = model.name[:64] if model is not None and spec.kind != "echo" else UNSET
            if spec.kind != "echo":  # that is done before anybody could read that it began
                self._post_direct(job, task.Start(stage=job.stage, attempt=job.attempt, model=name))
            texts, digests = await read_inputs(self._context, job, view, spec)
            prompt = render(spec, texts)
            limit = self._context.config.limits.prompt_bytes
            if len(prompt.encode()) > limit:
                raise EngineError("prompt.too_large", f"The prompt is larger than {limit} bytes.", retryable=False)
            async with self._slots:
                run = StageRun(self._context, spec, model, prompt)
                async with aclosing(run.pieces()) as pieces:
                    async for piece in pieces:
                        job.unsent += piece
                        job.tokens = run.tokens
                        self._progress(job)
            assert run.output is not None
            job.tokens = run.output.usage.output_tokens
            post = partial(self._post_final, job)
            await StageOutput(self._context, job, spec, digests, run.output, name, post).post()
            who = clean(self._context.mesh(job.room).name_of(view.requester), limit=64)
            log.info("ran %s of task %s for %s: %d tokens", job.stage, short(job.task), who, job.tokens)
        except StoreError:
            raise
        except ClawbotError as error:
            self._fail(job, error.code, error.message, retryable=getattr(error, "retryable", True))
        except ProtocolError as error:
            self._fail(job, error.code, str(error), retryable=False)
        except Exception:
            log.exception("stage %s of %s", job.stage, job.task)
            self._fail(job, "internal", "The agent failed while it worked on this.", retryable=True)
        finally:
            self._jobs.pop((job.task, job.stage, job.attempt), None)
            self._settle(job)
            self._context.wake()

    def _progress(self, job: Job) -> None:
        """Tell the requester how far we are, unless it has just heard."""
        now = self._context.monotonic_ms()
        if now - job.progress_ms < _PROGRESS_EVERY_MS:
            return
        text = job.unsent[:_PROGRESS_CHARACTERS]
        parts: dict[str, Any] = {}
        if text and is_sealed(self._context, job):
            info = sealed.progress_info(job.task, job.stage, job.attempt, job.index)
            parts["sealed"] = sealed.Secret.of(text).sealed_to(seal_key(self._context, job), info)
        elif text:
            parts["text"] = text
        self._post_direct(
            job,
            task.Progress(
                stage=job.stage, attempt=job.attempt, index=job.index, tokens=job.tokens, offset=job.offset, **parts
            ),
        )
        job.progress_ms = now
        job.index += 1
        job.offset += len(text)
        job.unsent = job.unsent[len(text) :]

    def _post_direct(self, job: Job, body: task.Start | task.Progress) -> None:
        job.heard_ms = self._context.monotonic_ms()
        requester = job.award.sender
        if self._context.direct_address(job.room, requester) is None:
            return
        self._context.post(
            job.room,
            body,
            lifetime_ms=_PROGRESS_LIFETIME_MS,
            recipients=[requester],
            thread=job.task,
            answers=self._answers(job),
            posting=Posting(priority=2),
        )

    def _answers(self, job: Job) -> str:
        attempt = self._attempt(self._context.mesh(job.room).task(job.task), job)
        return job.award.id if attempt is None else attempt.last.id

    def _fail(self, job: Job, code: str, message: str, *, retryable: bool) -> None:
        """Say that a stage failed. Never raises but StoreError: what cannot be said is left to the lease."""
        body = task.Fail(stage=job.stage, attempt=job.attempt, code=code, message=message[:300], retryable=retryable)
        try:
            self._post_final(job, body)
        except ProtocolError as error:
            log.warning("the failure of stage %s cannot be told: %s", job.stage, error)

    def _post_final(self, job: Job, body: task.Result | task.Fail) -> None:
        """A result or a failure: a fact for the whole room."""
        view = self._context.mesh(job.room).task(job.task)
        expires = view.request.envelope.expires_ms if view else 0
        # The receipt of a task of our own must not overtake the results that it names.
        ours = job.award.sender == self._context.identity.did
        self._context.post(
            job.room,
            body,
            lifetime_ms=max(60_000, expires - self._context.now_ms()),
            recipients=[job.award.sender],
            thread=job.task,
            answers=self._answers(job),
            posting=Posting(priority=0) if ours else USUAL,
        )
