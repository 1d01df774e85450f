"""``clawbot identity show|rotate|revoke``: the agent's keys (spec/04-identity.md)."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime

from bots import identity
from bots.behaviours.presence import last_announced_ms
from bots.cli import OK
from bots.cli.selection import Selection, select
from bots.cli.terminal import write, write_json, write_line
from bots.control import call, socket_path
from bots.errors import ConfigError
from bots.events import Notice
from bots.lifetime import taking_part
from bots.requests import AnyAnswer, AnyRequest, IdentityState, Revoke, Rotate
from bots.service import Service, identity_state
from bots.store import Store
from clawnet_proto.rendering import clean

_WARNINGS = {
    "rotate": "The key in use is given up for good; the identity stays the same.",
    "revoke": "Nothing that this identity says from now on will count anywhere.",
}


def main(options: argparse.Namespace) -> int:
    selection = select(options)
    _must_exist(selection)
    if options.action == "show":
        _show(options, identity_state(identity.load(selection.paths.keys), _now_ms()))
        return OK
    _confirm(options)
    return asyncio.run(_change(options, selection))


async def _change(options: argparse.Namespace, selection: Selection) -> int:
    async for answer in _changed(options, selection):
        _show(options, answer)
    return OK


async def _changed(options: argparse.Namespace, selection: Selection) -> AsyncIterator[AnyAnswer]:
    request: AnyRequest = Rotate() if options.action == "rotate" else Revoke(reason=clean(options.reason, limit=300))
    try:
        async for answer in call(socket_path(selection.paths.state), request):
            yield answer
        return
    except ConnectionError:
        pass
    if isinstance(request, Revoke):
        async for answer in _revoke_alone(selection, request):
            yield answer
        return
    # The store's lock: no agent may sign with the old key meanwhile.
    with closing(Store.open(selection.paths.store)) as store:
        now = _now_ms()
        since = max(now, last_announced_ms(store)) + 1
        yield identity_state(identity.rotate(selection.paths.keys, since), now)
    yield Notice(at_ms=now, text="The rooms are told when the agent starts next.")


async def _revoke_alone(selection: Selection, request: Revoke) -> AsyncIterator[AnyAnswer]:
    from bots.cli.opening import opened

    agent = await opened(selection, record=None, with_engine=False, revoked=True)
    # Whatever becomes of the network: the identity is not used any more.
    agent.keys.revoke(request.reason)
    yield Notice(at_ms=_now_ms(), text="The identity is revoked on this machine. Telling the rooms.")
    async with taking_part(agent):
        async for answer in Service(agent).answer(request):
            yield answer


def _must_exist(selection: Selection) -> None:
    if not identity.complete(selection.paths.keys):
        raise ConfigError(
            "keys.none",
            f"The agent {selection.name} has no keys yet.",
            f"Make some: clawbot init --name {selection.name}.",
        )


def _confirm(options: argparse.Namespace) -> None:
    """Raises ConfigError unless the owner means it."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("identity.unconfirmed", _WARNINGS[options.action], "Add --yes if that is what you want.")
    write(sys.stderr, f"{_WARNINGS[options.action]} Go on? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("identity.unconfirmed", "Nothing was changed.")


def _show(options: argparse.Namespace, answer: AnyAnswer) -> None:
    if options.json:
        write_json(sys.stdout, answer)
    elif isinstance(answer, IdentityState):
        for name, value in _lines(answer):
            write_line(sys.stdout, f"{name:14}{value}")
    elif isinstance(answer, Notice):
        write_line(sys.stdout, answer.text)


def _lines(state: IdentityState) -> list[tuple[str, str]]:
    lines = [("identity", state.did), ("key in use", state.key)]
    lines += [("given up", f"the key before {step.key}, {_moment(step.since_ms)}") for step in state.rotations]
    lines += [("next key", f"{state.next_key_digest} (its digest)"), ("seal key", state.seal_key)]
    if state.revoked_ms:
        lines.append(("revoked", _moment(state.revoked_ms) + (f": {state.reason}" if state.reason else "")))
    return lines


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
