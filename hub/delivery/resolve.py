"""What a member's answer means for a dispatch: pure rules of G4, G5 and R19, tested without any server."""

from typing import Final

from adapters.ports import Reply, ReplyKind
from hub.delivery.model import Again, Outcome, Settled
from hub.directory.model import Delivery, Guarantee

_DETAIL_CHARS_MAX: Final = 1_000


def delay_ms(policy: Delivery, failures: int) -> int:
    """Exponential back-off between the member's declared bounds."""
    return int(min(policy.retry_delay_ms_max, policy.retry_delay_ms_min * 2 ** min(failures, 20)))


def recovery_wait_ms(policy: Delivery, window_ms: int) -> int:
    """How long a successor waits before it believes a queryable member's "unknown" or settles a blind call
    (G4): the predecessor's call may start until the window of its intent is over (start_within, or wider:
    hub/delivery/window.py), run for the call timeout, and be visible to a query only after query_after."""
    return max(policy.start_within_ms, window_ms) + policy.call_timeout_ms + policy.query_after_ms


def resolve(
    reply: Reply, policy: Delivery, *, attempts: int, failures: int, others_succeed: bool
) -> Settled | Again:
    """What the answer to a delivery call means.

    attempts: calls of ours for this dispatch, this one included. failures: failed ones before this.
    others_succeed: other cases of this
    member succeeded since this dispatch first failed, so the failure is the case's and not the member's.
    """
    detail = reply.detail[:_DETAIL_CHARS_MAX]
    match reply.kind:
        case ReplyKind.DONE:
            return Settled(Outcome.DELIVERED, reply.code, detail)
        case ReplyKind.ALREADY_DONE if attempts > 1:
            return Settled(Outcome.DELIVERED, reply.code or "already_done", detail)
        case ReplyKind.ALREADY_DONE:
            # R19: without an attempt of ours before, somebody else did it or the member is wrong.
            return Settled(Outcome.IN_DOUBT, "already_done_first", detail, hold=True)
        case ReplyKind.REFUSED:
            return Settled(Outcome.REFUSED, reply.code or "refused", detail, hold=True, inform=True)
        case ReplyKind.MALFORMED:
            return Settled(Outcome.PARKED, reply.code or "malformed", detail, hold=True)
        case ReplyKind.UNREACHABLE | ReplyKind.TRY_LATER:
            if others_succeed and failures + 1 >= policy.attempts_max:
                return Settled(
                    Outcome.PARKED, "attempts_exhausted", f"{reply.code} {detail}".strip(), hold=True
                )
            return Again(delay_ms(policy, failures), f"{reply.kind} {reply.code} {detail}".strip())
        case _:
            return _unknown(reply, policy, failures=failures, others_succeed=others_succeed)


def _unknown(reply: Reply, policy: Delivery, *, failures: int, others_succeed: bool) -> Settled | Again:
    reason = f"{reply.kind} {reply.code} {reply.detail}".strip()[:_DETAIL_CHARS_MAX]
    if policy.guarantee is Guarantee.BLIND:
        # Never repeated by itself: a person, a status message or the member's own list settles it.
        return Settled(Outcome.IN_DOUBT, reply.code or "unknown", reason, hold=True)
    if others_succeed and failures + 1 >= policy.attempts_max:
        return Settled(Outcome.PARKED, "attempts_exhausted", reason, hold=True)
    if policy.guarantee is Guarantee.QUERYABLE:
        return Again(max(policy.query_after_ms, delay_ms(policy, failures)), reason, query_first=True)
    return Again(delay_ms(policy, failures), reason)


def resolve_query(reply: Reply, policy: Delivery, *, failures: int) -> Settled | Again | None:
    """What the answer to a query means; None = the member does not hold the dispatch, call now."""
    match reply.kind:
        case ReplyKind.DONE | ReplyKind.ALREADY_DONE:
            return Settled(Outcome.DELIVERED, "queried", reply.detail[:_DETAIL_CHARS_MAX])
        case ReplyKind.REFUSED:
            return Settled(
                Outcome.REFUSED,
                reply.code or "refused",
                reply.detail[:_DETAIL_CHARS_MAX],
                hold=True,
                inform=True,
            )
        case ReplyKind.ABSENT:
            return None
        case _:
            return Again(
                delay_ms(policy, failures), f"query {reply.kind} {reply.code}".strip(), query_first=True
            )
