"""The error classes that decide what happens next; the class alone decides (retry, refuse, park, reopen)."""


class HubError(Exception):
    """Any error of the hub's own."""


class BrokerAway(HubError):
    """No broker acknowledged in time: nothing is promised; trying again is safe."""


class WriteRefused(BrokerAway):
    """The cluster answers, but takes this write from nobody or not from us (no right to it, an invalid topic,
    a record it holds invalid): trying again is safe and helps only after somebody changed something there.
    Nothing was committed. place = (topic, partition), where it is known."""

    def __init__(self, text: str, place: tuple[str, int] | None = None) -> None:
        super().__init__(text)
        self.place = place


class StoreBusy(HubError):
    """Another process on this machine holds the lane's store (stopped, or dying): try again, the other lanes
    go on."""


class StoreFailed(HubError):
    """The lane's store could not be written (disk full, input/output error). What was to be written is
    committed in the changelog: close, try again, the other lanes go on."""


class Fenced(HubError):
    """Another producer took this transactional id, or the coordinator timed the transaction out: close the
    lane and reopen it."""


class UnknownOutcome(HubError):
    """A commit was sent and its outcome is not known: drop the overlay, reopen, and let the changelog
    tell."""


class OutputRefused(HubError):
    """The broker refused a record of this transaction. Nothing of it was committed; place = (topic,
    partition) of the refused record."""

    def __init__(self, text: str, place: tuple[str, int] | None = None) -> None:
        super().__init__(text)
        self.place = place


class LaneStopped(HubError):
    """A lane must not go on by itself: its position is outside the log, or the park brake was pulled. An
    operator decides."""
