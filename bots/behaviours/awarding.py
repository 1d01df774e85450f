"""Whom to award stages to, and when (spec/08-task.md, "Offers and awards")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import UNSET, UnsetType

from bots.artifacts import Unavailable
from bots.behaviours import Context, long_texts
from bots.behaviours.assignment import Candidate, assign, by_merit
from bots.behaviours.errand import Errand, Place
from bots.behaviours.liveness import Liveness
from bots.ranking import OFFERS_PER_WAVE, WAVE_MS, capable, ranked, stage_key
from clawnet_proto import sealed_text as sealed
from clawnet_proto.artifact import Artifact
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import AttemptView, StageView, TaskView
from clawnet_proto.mesh import Peer
from clawnet_proto.wire import present

_TRY_AGAIN = frozenset({"failed", "rejected", "lapsed", "canceled"})
_NOBODY_CAPABLE_MS = 15_000
_UNANSWERED_MS = 300_000
_STAGE_MS = 600_000
_AWARDS = 40  # of one stage, declined ones included
_PAUSE_MS = (5_000, 60_000)  # before somebody who declined is asked once more: at first, and at most
# Plaintext bytes that fit into an award once they are sealed and written as text; what sealing one adds to them.
_AWARD_BYTES = 22_000
_SEALING_BYTES = 200
_OURSELVES_MS = 3 * WAVE_MS


class Hopeless(Exception):
    """The task cannot be done: ``code`` and ``message`` go into its receipt."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def expected_offers(context: Context, errand: Errand, request: task.Request) -> int:
    """How many peers will offer in the first wave, by the ranking everybody computes."""
    peers = _others(context, errand.room)
    best: set[str] = set()
    for stage in request.stages:
        able = [peer for peer in peers if peer.body is not None and capable(peer.body, stage)]
        best.update(ranked(stage_key(errand.id, stage.id), able)[:OFFERS_PER_WAVE])
    return len(best)


def needs_award(context: Context, errand: Errand, view: TaskView, stage: StageView, monotonic_ms: int) -> bool:
    """Whether a stage without an accepted result is to be awarded, for the first time or anew."""
    ready = view.ready(stage.spec)
    # Sealed inputs are sealed to one executor, so they must exist before there is one.
    if view.request.body.privacy == "sealed" and not (ready and errand.secrets.keys() >= set(stage.spec.sources)):
        return False
    current = stage.current
    if current is None or current.state in _TRY_AGAIN:
        return True
    if context.has_left(errand.room, current.executor) and not errand.is_fetching(stage):
        return True
    if not ready:
        return False
    key = (stage.spec.id, current.number)
    # The lease runs from the moment the stage can be worked on, and from every sign of life.
    silent = monotonic_ms - errand.heard_ms.setdefault(key, monotonic_ms)
    if current.state == "input_required":
        return silent > _UNANSWERED_MS
    # Signs of life alone do not hold a stage for ever.
    began = errand.began_ms.setdefault(key, monotonic_ms)
    return silent > int(current.award.body.lease_ms) or monotonic_ms - began > _STAGE_MS


def award(
    context: Context, liveness: Liveness, errand: Errand, view: TaskView, needy: Sequence[StageView], monotonic_ms: int
) -> None:
    """Award the stages that need it, all in one moment, or wait for offers and signs of life. Raises Hopeless."""
    for stage in needy:
        if stage.current is not None:
            _give_up_attempt(context, errand, stage, stage.current, monotonic_ms)
    candidates = {stage.spec.id: _candidates(context, errand, view, stage, monotonic_ms) for stage in needy}
    missing = [name for name, found in candidates.items() if not found]
    if missing:
        _wait_for_offers(context, errand, missing, monotonic_ms)
        return
    errand.lacking_ms = 0
    if not errand.awarded and not errand.addressed and _more_offers_due(context, errand, monotonic_ms):
        return
    if view.request.envelope.recipients is UNSET:
        alive = _alive(context, liveness, errand, view, candidates)
        if alive is None:
            return
        candidates = alive
    used = [stage.current.executor for stage in view.stages.values() if stage.current and stage not in needy]
    chosen = assign(candidates, used)
    if view.request.body.privacy == "sealed" and not _stored(context, errand, needy, chosen):
        return
    awards = []
    for stage in needy:
        executor = chosen[stage.spec.id]
        try:
            awards.append((stage, executor, _award_body(context, errand, view, stage, executor)))
        except RemoteProtocolError as error:
            errand.unfit.add(executor)
            errand.refusals.append(f"{context.mesh(errand.room).name_of(executor)}: {error}")
            return
    errand.awarded = True
    with context.store.transaction():
        for stage, executor, body in awards:
            errand.post(context, body, answers=errand.id, to=executor)
            # The lease runs from now, or else from the moment the stage can be worked on.
            errand.heard_ms.pop((stage.spec.id, body.attempt), None)
            if view.ready(stage.spec):
                errand.heard_ms[(stage.spec.id, body.attempt)] = monotonic_ms


def _give_up_attempt(
    context: Context, errand: Errand, stage: StageView, current: AttemptView, monotonic_ms: int
) -> None:
    """Remember why an attempt is over. Raises Hopeless if another one makes no sense."""
    errand.ended_ms.setdefault((stage.spec.id, current.number), monotonic_ms)
    errand.excluded.setdefault(stage.spec.id, set()).add(current.executor)
    name = context.mesh(errand.room).name_of(current.executor)
    failure: task.Fail | None = current.failure.body if current.failure is not None else None
    left = context.has_left(errand.room, current.executor)
    silence = "is no longer in the room" if left else "fell silent"
    reason = f"{name}: {failure.message}" if failure is not None else f"{name} {silence}"
    if reason not in errand.refusals:
        errand.refusals.append(reason)
    if failure is not None and not failure.retryable:
        errand.unable.setdefault(stage.spec.id, set()).add(current.executor)
    # Whoever declines has not tried.
    tried = sum(attempt.state != "rejected" for attempt in stage.attempts.values())
    if tried >= context.config.requests.attempts or current.number >= _AWARDS:
        unheard = current.state == "awarded" and not left
        raise _hopeless(context, "attempts", f"Stage {stage.spec.id} failed. {reason}", unheard=unheard)


def _hopeless(context: Context, code: str, message: str, *, unheard: bool) -> Hopeless:
    """Why a task ends. Where it ends because nobody reacted, our clock may be the reason; it is never one to end."""
    fault = context.clock_fault if unheard else ""
    return Hopeless("clock.off", f"{fault} {message}") if fault else Hopeless(code, message)


def _wait_for_offers(context: Context, errand: Errand, missing: Sequence[str], monotonic_ms: int) -> None:
    errand.lacking_ms = errand.lacking_ms or monotonic_ms
    waited = monotonic_ms - errand.lacking_ms
    nobody = errand.expected == 0 and waited > _NOBODY_CAPABLE_MS
    if nobody or waited > context.config.requests.give_up_seconds * 1000:
        refusals = f" Last refusals: {'; '.join(errand.refusals[-3:])}" if errand.refusals else ""
        message = f"Nobody offered to run {', '.join(missing)}.{refusals}"
        raise _hopeless(context, "no_offers", message, unheard=not errand.offers)


def _more_offers_due(context: Context, errand: Errand, monotonic_ms: int) -> bool:
    waiting = monotonic_ms - errand.first_offer_ms < context.config.requests.offer_wait_ms
    return len(errand.offers) < errand.expected and waiting


def _candidates(
    context: Context, errand: Errand, view: TaskView, stage: StageView, monotonic_ms: int
) -> list[Candidate]:
    """Whom a stage may be awarded to: who offered; after a first attempt, whoever announced that it can."""
    mesh = context.mesh(errand.room)
    name = stage.spec.id
    live = {peer.did: peer for peer in _others(context, errand.room)}
    waits = {did: offers[name].wait_ms for did, offers in errand.offers.items() if did in live and name in offers}
    addressed = present(view.request.envelope.recipients, ())
    if addressed:
        _demand_sound(context, errand.room, addressed)
        waits = dict.fromkeys(addressed, 0)
    elif stage.current is not None or errand.order is None:
        # Offers are old by now, or an earlier run heard them: the peers that can do it are asked as they stand.
        for did, peer in live.items():
            if peer.body is not None and capable(peer.body, stage.spec):
                waits.setdefault(did, 1)  # after those who said that they would
    if not waits and _may_do_it_ourselves(context, errand, stage.spec, live.values(), monotonic_ms):
        waits = {context.identity.did: 0}
    excluded = errand.excluded.get(name, set())
    fresh = {did: wait for did, wait in waits.items() if did not in excluded}
    if not fresh and stage.current is not None:
        unable = errand.unable.get(name, set())
        if waits and waits.keys() <= unable:
            raise Hopeless("attempts", f"Stage {name} failed everywhere. {errand.refusals[-1]}")
        if _paused(errand, stage, monotonic_ms):
            return []
        fresh = {did: wait for did, wait in waits.items() if did not in unable}
    known = [mesh.peers[did] for did in fresh if did in mesh.peers and did not in errand.unfit]
    peers = [peer for peer in known if peer.standing == "good"]
    return [
        Candidate(
            did=did,
            wait_ms=fresh[did],
            rank=rank,
            announce=mesh.peers[did].body,
            preferences=view.request.body.preferences,
        )
        for rank, did in enumerate(ranked(stage_key(errand.id, name), peers))
    ]


def _alive(
    context: Context, liveness: Liveness, errand: Errand, view: TaskView, candidates: Mapping[str, list[Candidate]]
) -> dict[str, list[Candidate]] | None:
    """The candidates that are there, by stage; None while they may still say so.

    Where all are silent we do it ourselves if we can. Else it is tried with them: silence proves nothing.
    """
    me, patience_ms = context.identity.did, context.config.requests.offer_wait_ms
    found = {}
    for name, peers in candidates.items():
        there = liveness.there(errand.room, [peer.did for peer in by_merit(peers)], patience_ms)
        if there:
            found[name] = [peer for peer in peers if peer.did in there]
        elif there is None:
            found[name] = []
        elif _can_ourselves(context, errand, view.stages[name].spec) and me not in errand.excluded.get(name, ()):
            found[name] = [Candidate(did=me, wait_ms=0, rank=0, announce=context.mesh(errand.room).peers[me].body)]
        else:
            found[name] = peers
    return found if all(found.values()) else None


def _demand_sound(context: Context, room: str, dids: Sequence[str]) -> None:
    """Raises Hopeless if the peers a task is addressed to have lost their say, or left."""
    mesh = context.mesh(room)
    for did in dids:
        if context.has_left(room, did):
            raise Hopeless("peer.left", f"{mesh.name_of(did)} is no longer in the room.")
        if did in mesh.peers and mesh.peers[did].standing != "good":
            raise Hopeless("identity", f"The identity of {mesh.name_of(did)} is {mesh.peers[did].standing}.")


def _paused(errand: Errand, stage: StageView, monotonic_ms: int) -> bool:
    """Everybody was asked, and who declined is left alone for a while: longer each time."""
    declined = [number for number, attempt in stage.attempts.items() if attempt.state == "rejected"]
    if not declined:
        return False
    shortest, longest = _PAUSE_MS
    pause = min(longest, shortest << min(len(declined) - 1, 8))
    return monotonic_ms - errand.ended_ms.get((stage.spec.id, max(declined)), monotonic_ms) < pause


def _may_do_it_ourselves(
    context: Context, errand: Errand, spec: task.Stage, others: Iterable[Peer], monotonic_ms: int
) -> bool:
    """We can, and nobody else can, or nobody has offered for some waves."""
    if not _can_ourselves(context, errand, spec):
        return False
    alone = not any(peer.body is not None and capable(peer.body, spec) for peer in others)
    return alone or monotonic_ms - errand.asked_ms > _OURSELVES_MS


def _can_ourselves(context: Context, errand: Errand, spec: task.Stage) -> bool:
    me = context.mesh(errand.room).peers.get(context.identity.did)
    return me is not None and me.body is not None and capable(me.body, spec)


def _others(context: Context, room: str) -> list[Peer]:
    me = context.identity.did
    return [peer for peer in context.live_peers(room) if peer.did != me]


def _award_body(context: Context, errand: Errand, view: TaskView, stage: StageView, did: str) -> task.Award:
    """The award of a stage to a peer. Raises RemoteProtocolError if nothing can be sealed to its key."""
    attempt = _next_attempt(stage)
    return task.Award(
        stage=stage.spec.id,
        attempt=attempt,
        lease_ms=view.request.body.lease_ms,
        inputs=_sealed_inputs(context, errand, view, stage.spec, attempt, did),
    )


def _sealed_inputs(
    context: Context, errand: Errand, view: TaskView, spec: task.Stage, attempt: int, did: str
) -> tuple[task.SealedInput, ...] | UnsetType:
    announce = context.mesh(errand.room).peers[did].body
    if view.request.body.privacy != "sealed" or announce is None or not spec.sources:
        return UNSET
    inputs = []
    for source in spec.sources:
        secret = errand.secrets[source]
        parcel = errand.parcels.get((spec.id, attempt, source, did))
        if isinstance(parcel, Artifact):
            inputs.append(task.SealedInput(source=source, digest=secret.digest, artifact=parcel))
        else:
            text = secret.sealed_to(announce.seal_key, sealed.input_info(errand.id, spec.id, attempt, source))
            inputs.append(task.SealedInput(source=source, digest=secret.digest, sealed=text))
    return tuple(inputs)


def _stored(context: Context, errand: Errand, needy: Sequence[StageView], chosen: Mapping[str, str]) -> bool:
    """Whether all sealed inputs that are too long for an award are stored for its executor. Raises Hopeless."""
    places: list[Place] = []
    for stage in needy:
        did, attempt = chosen[stage.spec.id], _next_attempt(stage)
        places += [(stage.spec.id, attempt, source, did) for source in _too_long(errand, stage.spec)]
    for place in places:
        if place not in errand.parcels:
            errand.parcels[place] = None
            _ = context.spawn(_store(context, errand, place))  # its end is seen in the parcel
    parcels = [errand.parcels[place] for place in places]
    for parcel in parcels:
        if isinstance(parcel, Unavailable):
            raise Hopeless(parcel.code, f"What is too long for a message cannot be stored. {parcel.message}")
    return None not in parcels


async def _store(context: Context, errand: Errand, place: Place) -> None:
    stage, attempt, source, did = place
    announce = context.mesh(errand.room).peers[did].body
    info = sealed.input_info(errand.id, stage, attempt, source)
    try:
        if announce is None:
            del errand.parcels[place]  # it has gone: somebody else is chosen
        else:
            errand.parcels[place] = await long_texts.store_sealed(
                context, errand.room, did, errand.secrets[source], announce.seal_key, info
            )
    except Unavailable as error:
        errand.parcels[place] = error
    except RemoteProtocolError as error:
        errand.unfit.add(did)
        errand.refusals.append(f"{context.mesh(errand.room).name_of(did)}: {error}")
    context.wake()


def _too_long(errand: Errand, spec: task.Stage) -> list[str]:
    """The sources, longest first, without which all others fit into one award."""
    sizes = {source: len(errand.secrets[source].plaintext) for source in spec.sources}
    longest = sorted(sizes, key=lambda source: (-sizes[source], source))
    stored: list[str] = []
    while sum(sizes.values()) + _SEALING_BYTES * len(sizes) > _AWARD_BYTES:
        stored.append(longest[len(stored)])
        del sizes[stored[-1]]
    return stored


def _next_attempt(stage: StageView) -> int:
    return 1 if stage.current is None else stage.current.number + 1
