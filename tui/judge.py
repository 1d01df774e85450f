"""What panes ask of the model beside the rows of a snapshot: what is known of a message now."""

from __future__ import annotations

from typing import Protocol

from clawnet_proto.mesh import Mesh
from tui.views import Entry, Verdict


class Judge(Protocol):
    """``tui.model.Model`` is one."""

    mesh: Mesh

    def verdict(self, entry: Entry) -> Verdict:
        """What is known of a line now."""

    def objection(self, entry: Entry) -> str:
        """The code that says why a line does not count; "" if it does."""
