"""The breaker of one member: failures over several different cases are the member's, not the cases' (G5).
Pure; time is an argument."""

from typing import Final

_CASES_TO_OPEN: Final = 3


class Breaker:
    """Closed: call freely. Open: call nobody until the delay is over. Half open: one probe.

    successes counts for ever: a dispatch whose first failure saw another count knows that other cases
    succeeded since.
    """

    def __init__(self, delay_ms_min: int, delay_ms_max: int) -> None:
        self._delay_ms_min = delay_ms_min
        self._delay_ms_max = delay_ms_max
        self._failing: set[str] = set()
        self._open_until = 0.0
        self._opened = 0
        self.successes = 0

    @property
    def is_open(self) -> bool:
        """True from opening until the first success afterwards."""
        return self._opened > 0

    def state(self, now: float) -> str:
        """closed | open | half_open."""
        return "closed" if not self._opened else "open" if now < self._open_until else "half_open"

    def allowed(self, now: float, in_flight: int, most: int) -> int:
        """How many more calls may start now."""
        if not self._opened:
            return most - in_flight
        return 0 if now < self._open_until or in_flight else 1

    def wait_s(self, now: float) -> float:
        """Seconds until a probe may start; 0 when calls may start."""
        return max(0.0, self._open_until - now) if self._opened else 0.0

    def success(self) -> None:
        """The member took a call."""
        self.successes += 1
        self._failing.clear()
        self._opened, self._open_until = 0, 0.0

    def failure(self, subject: str, now: float) -> None:
        """A call failed for a reason that may be the member's."""
        self._failing.add(subject)
        if now < self._open_until:
            return  # a call from before it opened: not another failed probe
        if self._opened or len(self._failing) >= _CASES_TO_OPEN:
            self._opened += 1
            delay_ms = min(self._delay_ms_max, self._delay_ms_min * 2 ** min(self._opened, 20))
            self._open_until = now + delay_ms / 1000
