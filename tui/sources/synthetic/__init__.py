"""A lively mesh without any server: its messages are really signed, only the agents are made up."""

from __future__ import annotations

from tui.sources.synthetic.play import ROOM
from tui.sources.synthetic.script import events
from tui.sources.synthetic.source import Synthetic

__all__ = ["ROOM", "Synthetic", "events"]
