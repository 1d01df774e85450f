"""Travel in time: play, pause, step and leap in a recording."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tui.commands import CommandError
from tui.feeds import ReplayFeed
from tui.widgets.foot import Playback

if TYPE_CHECKING:
    from tui.app import ClawTui

_LEAPS = 20
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\Z")


class Replaying:
    """In a live room none of this goes: it says so."""

    def _player(self: ClawTui) -> ReplayFeed | None:
        if isinstance(self.feed, ReplayFeed):
            return self.feed
        self.say("This room is live; only a recording can be played: clawtui --replay FILE", "warning")
        return None

    def standing_still(self: ClawTui) -> bool:
        """Whether time does not pass: then nothing may be shown that is a little old."""
        return isinstance(self.feed, ReplayFeed) and not self.feed.player.playing

    def playback(self: ClawTui) -> Playback | None:
        """Where a replay stands, for the foot; None in a live room."""
        return self.feed.playback() if isinstance(self.feed, ReplayFeed) else None

    def action_play(self: ClawTui) -> None:
        if (feed := self._player()) is not None:
            feed.play_or_pause()

    def action_step(self: ClawTui, by: int) -> None:
        if (feed := self._player()) is not None:
            feed.step(by)

    def action_faster(self: ClawTui, by: int) -> None:
        if (feed := self._player()) is not None:
            self.set_speed(feed.player.speed * 2.0**by)

    def action_leap(self: ClawTui, by: int) -> None:
        if (feed := self._player()) is not None:
            status = feed.player.status
            feed.seek(status.position + by * max(1, status.total // _LEAPS))

    def set_speed(self: ClawTui, speed: float) -> None:
        if (feed := self._player()) is not None:
            feed.player.speed = speed
            self.say(f"Playing {feed.player.speed:g} times as fast as it happened")

    def seek(self: ClawTui, words: str) -> None:
        """To an event by its number, a part in percent, or a time of day. Raises CommandError."""
        feed = self._player()
        if feed is None:
            return
        total = feed.player.status.total
        clock = _CLOCK.match(words)
        if words.endswith("%") and words[:-1].replace(".", "", 1).isdigit():
            feed.seek(round(total * min(100.0, float(words[:-1])) / 100))
        elif words.isdigit() and len(words) < 16:
            feed.seek(int(words))
        elif clock is not None:
            feed.seek_clock(*(int(part or 0) for part in clock.groups()))
        else:
            raise CommandError("Say where: :seek 1200, :seek 50% or :seek 12:03:04.")
