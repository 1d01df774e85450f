"""What arrived, batch by batch: folded, acted upon, marked handled, all in one transaction; and time that passes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bots.behaviours import Behaviour, Question, Received
from bots.errors import ClawbotError, StoreError
from bots.logging_format import about
from bots.recorder import Recorder
from bots.transports import Delivery
from clawnet_proto.carrier import verify
from clawnet_proto.errors import ProtocolError, RemoteProtocolError
from clawnet_proto.specification import TYPES

if TYPE_CHECKING:
    from bots.agent import Agent

log = logging.getLogger(__name__)

_TICK_S = 0.25
_ENGINE_PATIENCE_S = 30.0
_BATCH = 200
_OTHERS_MS = 10_000  # so long a start waits for the transports that are not there yet


class Handling:
    """The loop of an agent.

    ``woken`` is set when something is to be done before the next tick; ``renew`` is called at every tick once the
    engine has started; ``recorder`` gets every delivery that is handled. ``ready`` is true from the moment the
    first sync is in and what was open is taken up again.
    """

    def __init__(
        self, agent: Agent, woken: asyncio.Event, renew: Callable[[], None], recorder: Recorder | None
    ) -> None:
        self._agent = agent
        self._woken = woken
        self._renew = renew
        self._recorder = recorder
        self._folded: set[str] = set()
        self._families: dict[str, Sequence[Behaviour]] = {
            "identity": (),  # what it says of keys is told where it is folded
            "presence": (agent.presence,),
            "handshake": (agent.handshakes,),
            "task": (agent.requester, agent.executor),
        }
        self._behaviours = (agent.handshakes, agent.presence, agent.people, agent.requester, agent.executor)
        self._online_ms = 0  # since when any transport is online, by the monotonic clock
        self.ready = False

    async def run(self, engine: asyncio.Future[None]) -> None:
        """Handle what arrives and let time pass until the agent stops. Raises StoreError."""
        agent = self._agent
        # Work that arrived while we were away is not to be declined because our models are not known yet.
        await asyncio.wait([engine], timeout=_ENGINE_PATIENCE_S)
        # What came by a transport that we are not on any more is waited for by nobody.
        connected = agent.store.transports_waiting() - {way.name for way in agent.transport.given}
        while not agent.stopping:
            self._woken.clear()
            # Before the first sync nobody knows who is joined, and so who may speak directly.
            connected |= {way.name for way in agent.transport.ways if way.online}
            connected |= agent.transport.failures.keys()
            self.refold()
            while connected and (batch := agent.store.unhandled(_BATCH, connected)):
                self.handle(batch)
                # Everything else gets its turn between batches.
                await asyncio.sleep(0)
            if not self.ready and agent.rooms() and self._all_there():
                self.become_ready()
            elif self.ready:
                if engine.done():
                    self._renew()
                self.advance()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._woken.wait()

    def _all_there(self) -> bool:
        """Whether the transports are online: all of them, or some while the others had their time."""
        transport, now_ms = self._agent.transport, self._agent.monotonic_ms()
        if not transport.online:
            return False
        self._online_ms = self._online_ms or now_ms
        return transport.all_online or now_ms - self._online_ms >= _OTHERS_MS

    def refold(self) -> None:
        """Fold what is kept of rooms that we are in and were not before: all of them at a start."""
        agent = self._agent
        fresh = {room.uri for room in agent.rooms()} - self._folded
        if not fresh:
            return
        self._folded |= fresh
        agent.intake.refold(
            delivery for _, delivery in agent.store.history() if delivery.plane == "direct" or delivery.room in fresh
        )
        self._refold_queued()
        if self.ready and agent.identity.revocation is None:
            agent.requester.resume()
            agent.executor.resume()

    def _refold_queued(self) -> None:
        """What we posted and could not send yet is part of the state already."""
        agent = self._agent
        for way in agent.transport.given:
            for carrier in agent.store.outgoing.carriers(way.name):
                message = verify(carrier)
                # A room that we are no longer in has no state for us.
                with contextlib.suppress(RemoteProtocolError):
                    agent.mesh(message.envelope.room).add(message, way.address)

    def handle(self, batch: Sequence[tuple[int, Delivery]]) -> None:
        """Fold a batch of the inbox, act upon it, and mark it handled."""
        agent = self._agent
        # What a power failure takes back is handled anew, and nothing of it was sent: a batch to send is durable.
        with agent.store.transaction(durable=False):
            items = agent.intake.fold(delivery for _, delivery in batch)
            outside = {seq for seq, delivery in batch if delivery in agent.intake.outsiders}
            if self._recorder is not None:
                for seq, delivery in batch:
                    if seq not in outside:
                        self._recorder.record(delivery)
            for item in items:
                with about(**item.subject):
                    self.act(item)
            agent.store.handled(seq for seq, _ in batch if seq not in outside)
            agent.store.forget(outside)
            if self.ready:
                self.advance()

    def act(self, item: Received | Question) -> None:
        """Let the behaviours it concerns act upon one thing that arrived. Raises StoreError."""
        agent = self._agent
        room = item.room if isinstance(item, Question) else item.message.envelope.room
        if agent.identity.revocation is not None or agent.departures.outside(room):
            return
        try:
            if isinstance(item, Question):
                agent.people.on_question(item)
                return
            agent.note(item)
            for behaviour in self._families[TYPES[item.message.type].family]:
                behaviour.on_message(item)
        except StoreError:
            raise
        except (ProtocolError, ClawbotError) as error:
            log.warning("%s", error)
        except Exception:
            log.exception("a message could not be acted upon")

    def become_ready(self) -> None:
        """Take up again what is open, and say that we are here."""
        agent = self._agent
        self.ready = True
        if agent.identity.revocation is not None:
            agent.keys.post_revocation()
        else:
            agent.requester.resume()
            agent.executor.resume()
            agent.people.resume()
            agent.presence.open()
            self.advance()
        agent.synced.set()

    def advance(self) -> None:
        """Let every behaviour do what is due. Raises StoreError."""
        agent = self._agent
        if agent.identity.revocation is not None:
            return
        agent.clock_watch.look()
        agent.departures.advance()
        now = agent.monotonic_ms()
        for behaviour in self._behaviours:
            try:
                behaviour.advance(now)
            except StoreError:
                raise
            except (ProtocolError, ClawbotError) as error:
                log.warning("%s", error)
            except Exception:
                log.exception("%s", type(behaviour).__name__)
