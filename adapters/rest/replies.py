"""R19: what a REST member's answer means. The table is data.
An answer that is not in it is UNKNOWN, never success.
"""

import json
from typing import Any, Final

from adapters.formats.canonical_json import load_object
from adapters.http_call import Answer
from adapters.ports import FormatError, Reply, ReplyKind
from signing.receipts import RECEIPT_CHARS_MAX

DETAIL_CHARS_MAX: Final = 1_000

# (HTTP status, "status" in the JSON answer) -> meaning.
_SPOKEN: Final = {
    (200, "done"): ReplyKind.DONE,
    (200, "already_done"): ReplyKind.ALREADY_DONE,
    (200, "refused"): ReplyKind.REFUSED,
    (409, "already_done"): ReplyKind.ALREADY_DONE,
    (422, "refused"): ReplyKind.REFUSED,
}
# HTTP status alone. A 500, 502 or 504 may come after the work was done: UNKNOWN, so that a queryable member
# is asked and a blind one not called again. 401, 403 and 407 say that the hub's credentials are wrong: that
# concerns every case of the member, so the lane waits instead of parking cases one by one.
_STATUS: Final = dict.fromkeys((401, 403, 407, 408, 421, 425, 429, 503), ReplyKind.TRY_LATER)


def classify(answer: Answer) -> Reply:
    """The meaning of an answer to `POST /hub/dispatches`."""
    data = _json(answer)
    said = str(data.get("status", "")) if data is not None else ""
    kind = _SPOKEN.get((answer.status, said)) or _STATUS.get(answer.status)
    if kind is None:
        kind = ReplyKind.MALFORMED if 400 <= answer.status < 500 else ReplyKind.UNKNOWN
    code = str(data.get("code") or answer.status) if data is not None else str(answer.status)
    return Reply(kind=kind, code=code[:60], detail=_detail(answer, data), receipt=_receipt(data))


def classify_query(answer: Answer, dispatch_id: str) -> Reply:
    """The meaning of an answer to `GET /hub/dispatches/{id}`.

    Only JSON counts: a proxy's 404 page must not pass for "the member does not hold it", for that would
    repeat a call.
    """
    data = _json(answer)
    detail = _detail(answer, data)
    kind = ReplyKind.UNKNOWN
    if data is not None and str(data.get("dispatchId", dispatch_id)) == dispatch_id:
        if answer.status == 200:
            kind = ReplyKind.REFUSED if data.get("status") == "refused" else ReplyKind.DONE
        elif answer.status == 404:
            kind = ReplyKind.ABSENT
    return Reply(kind=kind, code=str(answer.status), detail=detail)


def _receipt(data: dict[str, Any] | None) -> str:
    """A signed receipt beside the status (G7); one over its bound is none."""
    receipt = data.get("receipt") if data is not None else None
    text = json.dumps(receipt, ensure_ascii=False) if isinstance(receipt, dict) else ""
    return text if len(text) <= RECEIPT_CHARS_MAX else ""


def _json(answer: Answer) -> dict[str, Any] | None:
    if not answer.whole:
        return None
    try:
        return load_object(answer.body)
    except FormatError:
        return None


def _detail(answer: Answer, data: dict[str, Any] | None) -> str:
    said = data.get("detail") if data is not None else None
    if said is None:
        said = answer.body[: DETAIL_CHARS_MAX * 4].decode("utf-8", "replace")
    return f"HTTP {answer.status} {said}"[:DETAIL_CHARS_MAX]
