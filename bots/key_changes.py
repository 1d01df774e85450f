"""Giving up the key in use, or the identity (spec/04-identity.md, ID-19 to ID-23)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bots.author import KEYS_LIFETIME_MS, Author
from bots.behaviours import Posting
from bots.behaviours.presence import last_announced_ms

if TYPE_CHECKING:
    from bots.agent import Agent

log = logging.getLogger(__name__)


class KeyChanges:
    """Of one agent, and of what signs for it."""

    def __init__(self, agent: Agent, author: Author) -> None:
        self._agent = agent
        self._author = author

    def rotate(self) -> None:
        """Give up the key in use for the next one, and tell every room. Raises ConfigError."""
        self._author.rotate(self._after_all_we_said())
        log.info("the key in use is now %s", self._author.identity.key.did)
        self._agent.presence.renew()

    def revoke(self, reason: str = "") -> None:
        """Say in every room that this identity says nothing more, and do nothing else any more.

        Said once more if it was revoked before. Raises ConfigError.
        """
        self._author.revoke(self._after_all_we_said(), reason)
        log.info("%s is revoked", self._author.identity.did)
        if self._agent.ready:
            self.post_revocation()

    def post_revocation(self) -> None:
        """Say in every room that this identity says nothing more."""
        revocation = self._author.revocation
        assert revocation is not None
        for room in self._agent.rooms():
            self._agent.post(room.uri, revocation, lifetime_ms=KEYS_LIFETIME_MS, posting=Posting(priority=0))

    def _after_all_we_said(self) -> int:
        """A moment at which the key in use has said nothing yet (Unix milliseconds)."""
        agent, did = self._agent, self._author.identity.did
        ours = [mesh.peers[did] for mesh in agent.meshes() if did in mesh.peers]
        announced_ms = last_announced_ms(agent.store)  # the clock may have been set back since
        return max([agent.now_ms(), announced_ms, *(peer.last_sent_ms for peer in ours)]) + 1
