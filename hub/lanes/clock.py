"""The clock that ends waiting: the wall clock, believed only while it goes on as the machine's steady clock
does.

Nothing else may decide by time.time(). Ids, order and rows never ask a clock at all.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from hub.config import Settings

log = structlog.get_logger()

Milliseconds = Callable[[], int]

# A clock that is being corrected gains or loses up to this share of the time that passes; more is a jump in
# small steps.
_FOLLOW_SHARE: Final = 0.001
# Counts on while the machine sleeps, where there is such a clock: waking up is no jump.
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def wall_ms() -> int:
    """The machine's wall clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """A clock that nobody sets, ms since some moment."""
    return time.clock_gettime_ns(_STEADY) // 1_000_000


def shifted(file: Path, wall: Milliseconds = wall_ms) -> Milliseconds:
    """For drills: a wall clock that is off by the ms written in this file; without the file it is right."""

    def read() -> int:
        return wall() + (int(file.read_text() or 0) if file.exists() else 0)

    return read


class ClockGuard:
    """One per process. After a jump of more than clock_jump_ms_max `alarm` says so, no timer fires and
    nothing lapses, until the clocks agree again or a person, having looked, says that the new time is right.
    jump_ms: by how much it jumped, 0 while there is no alarm."""

    def __init__(
        self, settings: Settings, wall: Milliseconds | None = None, steady: Milliseconds = steady_ms
    ) -> None:
        drill = settings.clock_shift_file
        self._wall = wall or (shifted(drill) if drill is not None else wall_ms)
        self._steady = steady
        self._jump_ms_max = settings.clock_jump_ms_max
        self._checked_ms = steady()
        self._offset_ms = float(self._wall() - self._checked_ms)
        self.alarm = ""
        self.jump_ms = 0

    def now_ms(self) -> int:
        """The time to decide by: the wall clock; after a jump, the time before it carried on by the steady
        clock."""
        steady, wall = self._steady(), self._wall()
        jump = wall - steady - self._offset_ms
        passed, self._checked_ms = steady - self._checked_ms, steady
        if abs(jump) > self._jump_ms_max:
            if not self.alarm or abs(jump - self.jump_ms) > self._jump_ms_max:
                by = f"{jump / 1000:+.1f} s"
                self.alarm = f"时钟跳变 {by}，定时已停 / the clock jumped by {by}, timers are stopped"
                self.jump_ms = round(jump)
                log.error("clock.jumped", jump_ms=round(jump), limit_ms=self._jump_ms_max)
            return round(steady + self._offset_ms)
        if self.alarm:
            self.alarm, self.jump_ms = "", 0
            log.warning("clock.agrees_again", off_ms=round(jump))
        follow = passed * _FOLLOW_SHARE
        self._offset_ms += max(-follow, min(follow, jump))
        return wall

    def acknowledge(self, jump_ms: int, by: str, reason: str) -> bool:
        """A person looked at a jump by this much and says that the new time is right: from now on time goes
        by it, and what is overdue by it is due. False, and nothing happens, when the clock stands by another
        jump or by none: the word of a person is about what that person saw."""
        self.now_ms()
        if not self.alarm or abs(self.jump_ms - jump_ms) > self._jump_ms_max:
            log.warning("clock.other_jump", jump_ms=self.jump_ms, acknowledged_ms=jump_ms, by=by)
            return False
        self._offset_ms = float(self._wall() - self._steady())
        self.alarm, self.jump_ms = "", 0
        log.warning("clock.acknowledged", jump_ms=jump_ms, by=by, reason=reason)
        return True
