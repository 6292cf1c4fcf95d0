"""The park brake of a router lane (R24): counts why decisions park, stops the lane before it parks a
province, and is let off by an operator's command only.

Counting and its state live here; the lane commits it, the role waits for the command.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from hub.errors import LaneStopped
from hub.routing.model import Decision, Disposition, Verdict

RELEASE: Final = "release_brake"
KEY: Final = b"b"
_BEHIND: Final = "behind"  # the reason that hub/routing gives to what waits behind its own parked case


class BrakePulled(LaneStopped):
    """The lane stopped itself before it committed. commands_from: the next offset of commands.router, where
    an operator's release is looked for."""

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause
        self.commands_from = 0


class Released(msgspec.Struct, frozen=True, array_like=True):
    """The brake is off for so many more decisions: who let it off, why and when. Kept in the lane's state."""

    left: int
    by: str
    reason: str
    at_ms: int


class ParkBrake:
    """R24: a lane in which too many of the last decisions park for one reason stops, before it parks a
    province. stored: what the lane's state says of a release."""

    def __init__(self, percent: int, window: int, stored: bytes | None = None) -> None:
        self._window = window
        self._last: deque[str] = deque(maxlen=window)
        self._most = window * percent // 100
        self.released = msgspec.msgpack.decode(stored, type=Released) if stored else None

    def release(self, by: str, reason: str, at_ms: int) -> None:
        """Off for the next `window` decisions; then it counts anew."""
        self.released = Released(self._window, by, reason, at_ms)
        self._last.clear()

    def check(self, decisions: Sequence[tuple[str, Decision]]) -> None:
        """Count a batch before it is committed. Raises BrakePulled: the input stays uncommitted and an
        operator decides."""
        causes = [
            _cause_of_parking(verdict)
            for _, decision in decisions
            for verdict in decision.verdicts
            if not verdict.originated
        ]
        if self.released is not None:
            left = self.released.left - len(causes)
            self.released = msgspec.structs.replace(self.released, left=left) if left > 0 else None
            return
        self._last.extend(causes)
        reasons = [reason for reason in self._last if reason]
        for reason in set(reasons):
            if (count := reasons.count(reason)) > self._most:
                raise BrakePulled(
                    f"停放闸 / park brake: 最近 {len(self._last)} 条中 {count} 条因 {reason} 停放 / "
                    f"{count} of the last {len(self._last)} decisions park for {reason}",
                    reason,
                )

    def to_bytes(self) -> bytes | None:
        """For the lane's state; None = on."""
        return msgspec.msgpack.encode(self.released) if self.released is not None else None


def _cause_of_parking(verdict: Verdict) -> str:
    """Why a message parked; "" for one that did not, and for one that only waits behind its own case: a busy
    parked case must not stop the others (G5)."""
    parked = verdict.disposition is Disposition.PARKED and verdict.reason != _BEHIND
    return verdict.reason if parked else ""
