"""Agents and the handshakes between them, as rows (spec/06-presence.md)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from clawnet_proto.families.presence import Announce
from clawnet_proto.mesh import Mesh, Peer
from clawnet_proto.wire import present
from tui.views import AgentRow, EdgeRow, PeerState


def agent_rows(mesh: Mesh, me: str, heard: Mapping[str, int], now_ms: int) -> tuple[AgentRow, ...]:
    """A row for every identity of the room, by did. ``heard`` says when something of it last arrived."""
    conflicting = {did for dids in mesh.conflicts().values() for did in dids}
    nearest = _nearest(mesh, me, now_ms)
    return tuple(
        _row(peer, me, heard.get(did, 0), nearest.get(did, -1), did in conflicting, now_ms)
        for did, peer in sorted(mesh.peers.items())
    )


def edge_rows(mesh: Mesh, now_ms: int) -> tuple[EdgeRow, ...]:
    """The handshakes between live peers that one of the two announces, each pair once."""
    found: dict[tuple[str, str], EdgeRow] = {}
    live = _live(mesh, now_ms)
    for did, body in live.items():
        for item in body.confirmed:
            if item.peer not in live or item.peer == did:
                continue
            pair = (min(did, item.peer), max(did, item.peer))
            known = found.get(pair)
            if known is None:
                found[pair] = EdgeRow(a=pair[0], b=pair[1], rtt_ms=item.rtt_ms, at_ms=item.at_ms, mutual=False)
            else:
                found[pair] = EdgeRow(
                    a=pair[0], b=pair[1], rtt_ms=min(known.rtt_ms, item.rtt_ms),
                    at_ms=max(known.at_ms, item.at_ms), mutual=True,
                )  # fmt: skip
    return tuple(found.values())


def _live(mesh: Mesh, now_ms: int) -> dict[str, Announce]:
    """What those announce whose word counts for others."""
    return {
        did: peer.body for did, peer in mesh.peers.items() if peer.body is not None and _state(peer, now_ms) == "live"
    }


def _nearest(mesh: Mesh, me: str, now_ms: int) -> dict[str, int]:
    """Round-trip times to each peer: ours where we know it, else the least that a live peer announces."""
    least: dict[str, int] = {}
    live = _live(mesh, now_ms)
    for body in live.values():
        for item in body.confirmed:
            least[item.peer] = min(item.rtt_ms, least.get(item.peer, item.rtt_ms))
    if me in live:
        least |= {item.peer: item.rtt_ms for item in live[me].confirmed}
    return least


def _state(peer: Peer, now_ms: int) -> PeerState:
    if peer.standing != "good":
        return peer.standing
    if peer.body is None:
        return "unheard"
    if peer.body.revision <= peer.left_revision:
        return "left"
    if not peer.live(now_ms):
        return "expired"
    return "live" if peer.bound else "unbound"


def _row(peer: Peer, me: str, heard_ms: int, rtt_ms: int, conflict: bool, now_ms: int) -> AgentRow:
    body = peer.body
    common = AgentRow(
        did=peer.did, name=peer.name, state=_state(peer, now_ms), me=peer.did == me, rtt_ms=rtt_ms,
        last_ms=peer.last_sent_ms, heard_ms=heard_ms, rotations=len(peer.keys.chain) - 1,
        conflict=conflict, equivocates=peer.equivocates, addresses=tuple(sorted(peer.addresses)),
    )  # fmt: skip
    if body is None:
        return common
    return AgentRow(
        did=common.did, name=common.name, state=common.state, me=common.me, rtt_ms=rtt_ms,
        last_ms=common.last_ms, heard_ms=heard_ms, rotations=common.rotations,
        conflict=conflict, equivocates=common.equivocates, addresses=common.addresses,
        kind=body.kind, role=body.role, description=present(body.description, ""),
        models=tuple(model.name for model in body.models), capabilities=body.capabilities,
        offers=body.offers, wants=body.wants, running=body.load.running, waiting=body.load.waiting,
        slots=body.load.slots, region="" if body.region is UNSET else body.region, revision=body.revision,
    )  # fmt: skip
