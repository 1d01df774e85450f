"""An agent that asks what it is told to ask: ``clawbot run``, and a socket that takes orders.

``python -m tests.soak.asker --name NAME`` runs it. An order is acknowledged once the request is in its store. Each
task of its own that ends is a line of ``ended.jsonl`` in its state folder.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TypeAlias

import msgspec

from bots import config as configuration
from bots import identity
from bots.agent import Agent
from bots.behaviours.requester import Order
from bots.control import ControlServer, socket_path
from bots.errors import ClawbotError
from bots.events import AnyEvent, TaskEnded
from bots.health.reading import Health
from bots.logging_format import configure
from bots.opening import open_agent
from bots.paths import paths_of
from bots.service import Service
from clawnet_proto.signing import digest

ENDED = "ended.jsonl"
_LINE_BYTES = 1 << 20


class Place(msgspec.Struct, frozen=True, kw_only=True, tag="place"):
    """Ask for this in the agent's room."""

    order: Order


class Greet(msgspec.Struct, frozen=True, kw_only=True, tag="greet"):
    """Begin to shake hands with this peer."""

    did: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is in the store: the request's id, or "" for a greeting. If it was refused, why."""

    task: str = ""
    refused: str = ""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a task ended."""

    task: str
    outcome: str
    code: str
    text_digest: str
    elapsed_ms: int


Command: TypeAlias = Place | Greet
_decode = msgspec.json.Decoder(Command).decode


def orders_path(state: Path) -> Path:
    """Where the asker with this state folder takes orders."""
    return state / "orders.sock"


async def tell(state: Path, command: Command) -> Done:
    """Have an asker do something. Raises ConnectionError if it is not there, or goes away before it answers."""
    try:
        reader, writer = await asyncio.open_unix_connection(orders_path(state))
    except OSError as error:
        raise ConnectionError(str(error)) from None
    try:
        writer.write(msgspec.json.encode(command) + b"\n")
        await writer.drain()
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("no answer")
        return msgspec.json.decode(line, type=Done)
    finally:
        writer.close()


class _Orders:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(msgspec.json.encode(self._carried_out(_decode(await reader.readline()))) + b"\n")
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _carried_out(self, command: Command) -> Done:
        agent = self._agent
        try:
            (room,) = agent.rooms()
            if isinstance(command, Place):
                order = msgspec.structs.replace(command.order, room=room.uri)
                return Done(task=agent.requester.request(order))
            agent.handshakes.greet(room.uri, command.did, again_ms=0)
        except (ClawbotError, ValueError) as error:
            return Done(refused=str(error) or "no room yet")
        return Done()


def _note_endings(agent: Agent, path: Path) -> None:
    def note(event: AnyEvent) -> None:
        if isinstance(event, TaskEnded):
            ended = Ended(
                task=event.task,
                outcome=event.outcome,
                code=event.code,
                text_digest=digest(event.text.encode()),
                elapsed_ms=event.elapsed_ms,
            )
            with path.open("ab") as file:
                file.write(msgspec.json.encode(ended) + b"\n")

    agent.observe(note)


async def _run(name: str) -> None:
    paths = paths_of(name)
    config = configuration.load(paths.config)
    configure(sys.stderr, config.log.format, config.log.level)
    own = identity.load(paths.keys)
    agent = await open_agent(config, paths.state, own, lambda: os.environ["CLAWNET_MATRIX_PASSWORD"])
    _note_endings(agent, paths.state / ENDED)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, agent.stop)
    taking = orders_path(paths.state)
    taking.unlink(missing_ok=True)
    try:
        orders = await asyncio.start_unix_server(_Orders(agent).serve, taking, limit=_LINE_BYTES)
        async with orders, ControlServer(Service(agent, Health(agent, paths.state)), socket_path(paths.state)):
            await agent.run()
    finally:
        agent.store.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.asker", description=__doc__)
    parser.add_argument("--name", required=True, help="an agent that clawbot init has made")
    asyncio.run(_run(parser.parse_args().name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
