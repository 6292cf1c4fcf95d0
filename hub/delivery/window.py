"""How long after its intent a call may start (G4).

The window begins before the commit of the intent, so a commit that takes longer than it leaves no time to
call: while a cluster is slow (a broker of three away on a busy machine) no call of any member would ever
start. So it widens with the commits, and the intent says how wide it was: a successor waits for that.
"""

from typing import Final

import structlog

log = structlog.get_logger()

_TIMES_A_COMMIT: Final = 2
_SHRINKS_TO: Final = 0.9


class StartWindow:
    """ms_min: the member's start_within_ms. ms_max: no commit takes longer, it fails then."""

    def __init__(self, member: str, ms_min: int, ms_max: int) -> None:
        self._member = member
        self._ms_min = ms_min
        self._ms_max = max(ms_min, ms_max)
        self.ms = ms_min

    def committed(self, took_s: float) -> None:
        """A commit took so long: wider at once, narrower by and by."""
        took_ms = took_s * 1000
        wanted = max(took_ms * _TIMES_A_COMMIT, self.ms * _SHRINKS_TO)
        before, self.ms = self.ms, int(min(self._ms_max, max(self._ms_min, wanted)))
        if self.ms > before:
            log.warning(
                "delivery.commits_slow", member=self._member, commit_ms=round(took_ms), window_ms=self.ms
            )
