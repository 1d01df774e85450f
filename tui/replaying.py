"""Travel in time: play, pause, step and leap in a recording."""

from __future__ import annotations

import re

from tui.base import Base
from tui.commands import CommandError
from tui.feeds import ReplayFeed
from tui.widgets.foot import Playback

_LEAPS = 20
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\Z")


class Replaying(Base):
    """In a live room none of this goes: it says so."""

    def _player(self) -> ReplayFeed | None:
        if isinstance(self.feed, ReplayFeed):
            return self.feed
        self.say("This room is live; only a recording can be played: clawtui --replay FILE", "warning")
        return None

    def standing_still(self) -> bool:
        """Whether time does not pass: then nothing may be shown that is a little old."""
        return isinstance(self.feed, ReplayFeed) and not self.feed.player.playing

    def playback(self) -> Playback | None:
        """Where a replay stands, for the foot; None in a live room."""
        if not isinstance(self.feed, ReplayFeed):
            return None
        status = self.feed.player.status
        return Playback(
            playing=status.playing,
            speed=status.speed,
            at_ms=status.at_ms,
            position=status.position,
            total=status.total,
            checked=status.checked / status.total if status.total else 1.0,
            fault=f"line {status.fault.line}: {status.fault.text}" if status.fault is not None else "",
        )

    def action_play(self) -> None:
        if (feed := self._player()) is not None:
            player = feed.player
            if player.playing:
                player.pause()
            else:
                player.play()

    def action_step(self, by: int) -> None:
        if (feed := self._player()) is not None:
            feed.player.step(by)

    def action_faster(self, by: int) -> None:
        if (feed := self._player()) is not None:
            feed.player.faster(by)

    def action_leap(self, by: int) -> None:
        if (feed := self._player()) is not None:
            status = feed.player.status
            feed.player.seek(status.target + by * max(1, status.total // _LEAPS))

    def set_speed(self, speed: float) -> None:
        if (feed := self._player()) is not None:
            feed.player.speed = speed

    def seek(self, words: str) -> None:
        """To an event by its number, a part in percent, or a time of day. Raises CommandError."""
        feed = self._player()
        if feed is None:
            return
        total = feed.player.status.total
        clock = _CLOCK.match(words)
        if words.endswith("%") and words[:-1].replace(".", "", 1).isdecimal():
            feed.player.seek(round(total * min(100.0, float(words[:-1])) / 100))
        elif words.isdecimal() and len(words) < 16:
            feed.player.seek(int(words))
        elif clock is not None:
            try:
                feed.seek_clock(*(int(part or 0) for part in clock.groups()))
            except ValueError as error:
                raise CommandError(str(error)) from None
        else:
            raise CommandError("Say where: :seek 1200, :seek 50% or :seek 12:03:04.")
