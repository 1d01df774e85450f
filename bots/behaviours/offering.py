"""Offer to run stages of requests that address nobody (spec/08-task.md, "Offers and awards").

Our place in the ranking, and with it the moment our offer is due, is computed once, when a request arrives.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import msgspec
from msgspec import UNSET

from bots.behaviours import Context, Received
from bots.behaviours.stage_run import choose_model
from bots.complaints import Complaints
from bots.quota import Bucket, Buckets
from bots.ranking import OFFERS_PER_WAVE, WAVES, capable, place, stage_key, turn_ms, weight
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView

log = logging.getLogger(__name__)

_OPEN_REQUESTS = 256
_OPEN_OF_ONE_ADDRESS = 32
_CONSIDER_MS = 60_000
RANKS = WAVES * OFFERS_PER_WAVE  # whoever comes later never offers
_OFFER_LIFETIME_MS = 60_000
_OFFERS_PER_MINUTE = 240
# Of one address: to rank ourselves costs a look at everybody here.
_CONSIDERED_PER_MINUTE = 120
_OFFERS_TO_ONE_PER_MINUTE = 60


class _Open(msgspec.Struct, kw_only=True):
    """A request nobody is known to work on yet."""

    room: str
    address: str
    seen_ms: int  # by the monotonic clock, as what follows
    due_ms: dict[str, int]  # by stage: when our offer is due


class Offering:
    """Our offers. ``refusal`` says why we would not work for somebody, ``jobs`` how much there is to do."""

    def __init__(self, context: Context, refusal: Callable[[TaskView, str], str], jobs: Callable[[], int]) -> None:
        self._context = context
        self._refusal = refusal
        self._jobs = jobs
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._early: deque[Received] = deque(maxlen=_OPEN_REQUESTS)
        self._considered = Buckets(_CONSIDERED_PER_MINUTE)
        self._offers = Bucket(_OFFERS_PER_MINUTE, context.monotonic_ms())
        self._offers_to = Buckets(_OFFERS_TO_ONE_PER_MINUTE)
        self._complaints = Complaints(log, context.monotonic_ms)

    def consider(self, received: Received) -> None:
        """A request arrived: work out when, if ever, it is our turn to offer."""
        message, context = received.message, self._context
        room = message.envelope.room
        view = context.mesh(room).task(message.id)
        addressed = message.envelope.recipients is not UNSET  # its award comes with it
        if view is None or addressed or message.sender == context.identity.did:
            return
        if refusal := self._refusal(view, received.address):
            what = (message.id, refusal)
            self._complaints.say(logging.INFO, received.address, "no offer for %s: %s", *what, extra={})
            return
        if Counter(item.address for item in self._open.values())[received.address] >= _OPEN_OF_ONE_ADDRESS:
            return
        if all(peer.did != context.identity.did for peer in context.live_peers(room)):
            self._early.append(received)  # until we have announced ourselves, there is no ranking with us in it
            return
        now = context.monotonic_ms()
        if not self._considered.take(received.address, 1, now):
            return
        due = {stage.id: now + turn_ms(rank) for stage, rank in self._turns(view, room)}
        if due:
            self._open[message.id] = _Open(room=room, address=received.address, seen_ms=now, due_ms=due)
            if len(self._open) > _OPEN_REQUESTS:
                self._open.popitem(last=False)

    def _turns(self, view: TaskView, room: str) -> list[tuple[task.Stage, int]]:
        """The stages we can run and may come to offer for, and our place in the ranking of each."""
        me = self._context.identity.did
        announces = {peer.did: peer.body for peer in self._context.live_peers(room) if peer.did != view.requester}
        own = announces.pop(me, None)
        turns = []
        for stage in view.request.body.stages:
            if own is None or not capable(own, stage):
                continue
            able = ((did, weight(body.load)) for did, body in announces.items() if body and capable(body, stage))
            rank = place(stage_key(view.id, stage.id), me, weight(own.load), able, RANKS)
            if rank is not None:
                turns.append((stage, rank))
        return turns

    def forget(self, room: str) -> None:
        """Offer nothing more in a room."""
        self._open = OrderedDict((key, item) for key, item in self._open.items() if item.room != room)

    def advance(self, monotonic_ms: int) -> None:
        """Make the offers that are due."""
        early, self._early = self._early, deque(maxlen=_OPEN_REQUESTS)
        for received in early:
            self.consider(received)
        for request_id, item in list(self._open.items()):
            view = self._context.mesh(item.room).task(request_id)
            awarded = view is None or view.finished or any(stage.current for stage in view.stages.values())
            if awarded or not item.due_ms or monotonic_ms - item.seen_ms > _CONSIDER_MS:
                del self._open[request_id]
            elif view is not None and min(item.due_ms.values()) <= monotonic_ms:
                self._offer(view, item, monotonic_ms)

    def _offer(self, view: TaskView, item: _Open, monotonic_ms: int) -> None:
        stages = [
            stage for stage in view.request.body.stages if item.due_ms.get(stage.id, monotonic_ms + 1) <= monotonic_ms
        ]
        for stage in stages:
            del item.due_ms[stage.id]
        reachable = self._context.direct_address(item.room, view.requester) is not None
        if reachable and self._offers_to.take(item.address, 1, monotonic_ms) and self._offers.take(1, monotonic_ms):
            self._context.post(
                item.room,
                task.Offer(stages=tuple(self._stage_offer(stage) for stage in stages)),
                lifetime_ms=_OFFER_LIFETIME_MS,
                recipients=[view.requester],
                thread=view.id,
                answers=view.id,
            )

    def _stage_offer(self, stage: task.Stage) -> task.StageOffer:
        model = choose_model(self._context, stage)
        # A rough but honest word: each piece of work before it takes about as long as one of ours.
        return task.StageOffer(
            stage=stage.id,
            model=model.name[:64] if model else UNSET,
            model_digest=(model.digest or UNSET) if model else UNSET,
            wait_ms=1000 * self._jobs(),
        )
