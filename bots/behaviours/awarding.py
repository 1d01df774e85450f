"""Whom to award stages to, and when (spec/08-task.md, "Offers and awards")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import UNSET, UnsetType

from bots.artifacts import Unavailable
from bots.behaviours import Context, long_texts
from bots.behaviours.assignment import Candidate, assign
from bots.behaviours.errand import Errand, Place
from bots.ranking import OFFERS_PER_WAVE, WAVE_MS, capable, ranked, stage_key
from clawnet_proto import sealed_text as sealed
from clawnet_proto.artifact import Artifact
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import task
from clawnet_proto.families.task_state import AttemptView, StageView, TaskView
from clawnet_proto.mesh import Mesh, Peer
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


def needs_award(errand: Errand, view: TaskView, stage: StageView, now_ms: int) -> bool:
    """Whether a stage without an accepted result is to be awarded, for the first time or anew."""
    ready = view.ready(stage.spec)
    # Sealed inputs are sealed to one executor, so they must exist before there is one.
    if view.request.body.privacy == "sealed" and not (ready and errand.secrets.keys() >= set(stage.spec.sources)):
        return False
    current = stage.current
    if current is None or current.state in _TRY_AGAIN:
        return True
    if not ready:
        return False
    key = (stage.spec.id, current.number)
    # The lease runs from the moment the stage can be worked on, and from every sign of life.
    silent = now_ms - errand.heard_ms.setdefault(key, now_ms)
    if current.state == "input_required":
        return silent > _UNANSWERED_MS
    # Signs of life alone do not hold a stage for ever.
    began = errand.began_ms.setdefault(key, now_ms)
    return silent > int(current.award.body.lease_ms) or now_ms - began > _STAGE_MS


def award(context: Context, errand: Errand, view: TaskView, needy: Sequence[StageView], now_ms: int) -> None:
    """Award the stages that need it, all in one moment, or wait for offers. Raises Hopeless."""
    for stage in needy:
        if stage.current is not None:
            _give_up_attempt(context, errand, stage, stage.current, now_ms)
    candidates = {stage.spec.id: _candidates(context, errand, view, stage, now_ms) for stage in needy}
    missing = [name for name, found in candidates.items() if not found]
    if missing:
        _wait_for_offers(context, errand, missing, now_ms)
        return
    errand.lacking_ms = 0
    if not errand.awarded and not errand.addressed and _more_offers_due(context, errand, now_ms):
        return
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
                errand.heard_ms[(stage.spec.id, body.attempt)] = now_ms


def _give_up_attempt(context: Context, errand: Errand, stage: StageView, current: AttemptView, now_ms: int) -> None:
    """Remember why an attempt is over. Raises Hopeless if another one makes no sense."""
    errand.ended_ms.setdefault((stage.spec.id, current.number), now_ms)
    errand.excluded.setdefault(stage.spec.id, set()).add(current.executor)
    name = context.mesh(errand.room).name_of(current.executor)
    failure: task.Fail | None = current.failure.body if current.failure is not None else None
    reason = f"{name}: {failure.message}" if failure is not None else f"{name} fell silent"
    if reason not in errand.refusals:
        errand.refusals.append(reason)
    if failure is not None and not failure.retryable:
        errand.unable.setdefault(stage.spec.id, set()).add(current.executor)
    # Whoever declines has not tried.
    tried = sum(attempt.state != "rejected" for attempt in stage.attempts.values())
    if tried >= context.config.requests.attempts or current.number >= _AWARDS:
        raise Hopeless("attempts", f"Stage {stage.spec.id} failed. {reason}")


def _wait_for_offers(context: Context, errand: Errand, missing: Sequence[str], now_ms: int) -> None:
    errand.lacking_ms = errand.lacking_ms or now_ms
    waited = now_ms - errand.lacking_ms
    nobody = errand.expected == 0 and waited > _NOBODY_CAPABLE_MS
    if nobody or waited > context.config.requests.give_up_seconds * 1000:
        refusals = f" Last refusals: {'; '.join(errand.refusals[-3:])}" if errand.refusals else ""
        raise Hopeless("no_offers", f"Nobody offered to run {', '.join(missing)}.{refusals}")


def _more_offers_due(context: Context, errand: Errand, now_ms: int) -> bool:
    waiting = now_ms - errand.first_offer_ms < context.config.requests.offer_wait_ms
    return len(errand.offers) < errand.expected and waiting


def _candidates(context: Context, errand: Errand, view: TaskView, stage: StageView, now_ms: int) -> list[Candidate]:
    """Whom a stage may be awarded to: who offered; after a first attempt, whoever announced that it can."""
    mesh = context.mesh(errand.room)
    name = stage.spec.id
    live = {peer.did: peer for peer in _others(context, errand.room)}
    waits = {did: offers[name].wait_ms for did, offers in errand.offers.items() if did in live and name in offers}
    addressed = present(view.request.envelope.recipients, ())
    if addressed:
        _demand_sound(mesh, addressed)
        waits = dict.fromkeys(addressed, 0)
    elif stage.current is not None or errand.order is None:
        # Offers are old by now, or an earlier run heard them: the peers that can do it are asked as they stand.
        for did, peer in live.items():
            if peer.body is not None and capable(peer.body, stage.spec):
                waits.setdefault(did, 0)
    if not waits and _may_do_it_ourselves(context, errand, stage.spec, live.values(), now_ms):
        waits = {context.identity.did: 0}
    excluded = errand.excluded.get(name, set())
    fresh = {did: wait for did, wait in waits.items() if did not in excluded}
    if not fresh and stage.current is not None:
        unable = errand.unable.get(name, set())
        if waits and waits.keys() <= unable:
            raise Hopeless("attempts", f"Stage {name} failed everywhere. {errand.refusals[-1]}")
        if _paused(errand, stage, now_ms):
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


def _demand_sound(mesh: Mesh, dids: Sequence[str]) -> None:
    """Raises Hopeless if the peers a task is addressed to have lost their say."""
    for did in dids:
        if did in mesh.peers and mesh.peers[did].standing != "good":
            raise Hopeless("identity", f"The identity of {mesh.name_of(did)} is {mesh.peers[did].standing}.")


def _paused(errand: Errand, stage: StageView, now_ms: int) -> bool:
    """Everybody was asked, and who declined is left alone for a while: longer each time."""
    declined = [number for number, attempt in stage.attempts.items() if attempt.state == "rejected"]
    if not declined:
        return False
    shortest, longest = _PAUSE_MS
    pause = min(longest, shortest << min(len(declined) - 1, 8))
    return now_ms - errand.ended_ms.get((stage.spec.id, max(declined)), now_ms) < pause


def _may_do_it_ourselves(
    context: Context, errand: Errand, spec: task.Stage, others: Iterable[Peer], now_ms: int
) -> bool:
    """We can, and nobody else can, or nobody has offered for some waves."""
    me = context.mesh(errand.room).peers.get(context.identity.did)
    if me is None or me.body is None or not capable(me.body, spec):
        return False
    alone = not any(peer.body is not None and capable(peer.body, spec) for peer in others)
    return alone or now_ms - errand.asked_ms > _OURSELVES_MS


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
                context.artifacts, errand.secrets[source], announce.seal_key, info
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
