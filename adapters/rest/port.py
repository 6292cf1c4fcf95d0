"""The REST port: every dispatch is one signed POST, a credit query one signed GET.
What an answer means is in replies.py; how a message looks is in formats/canonical_json.py.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from yarl import URL

from adapters.config import PortConfig
from adapters.formats import canonical_json
from adapters.http_call import Answer, HttpCaller, Unanswered, Unreachable, always
from adapters.ports import Dispatch, FormatError, Reply, ReplyKind, Submission
from adapters.rest.replies import classify, classify_query
from signing.http_auth import sign_request

HUB: Final = "hub"  # what the hub calls itself towards members (R17)
CREDIT_QUERY: Final = "credit.query"
_GRADES: Final = frozenset({"red", "orange", "blue", "black"})


class RestPort:
    """Implements adapters.ports.MemberPort for members that speak canonical JSON."""

    def __init__(self, config: PortConfig) -> None:
        self._config = config
        self._base = config.url.rstrip("/")
        self._key = config.outbound_key.encode()
        self._caller = HttpCaller(
            calls_in_flight_max=config.calls_in_flight_max,
            call_timeout_ms=config.call_timeout_ms,
            connect_timeout_ms=config.connect_timeout_ms,
        )

    async def deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        """See MemberPort. A body over the member's limit is MALFORMED: the case's problem, unsent."""
        if dispatch.kind == CREDIT_QUERY:
            return await self._credit(dispatch, may_start)
        body = canonical_json.encode(dispatch)
        if len(body) > self._config.body_bytes_max:
            return _too_large(len(body), self._config.body_bytes_max)
        answer = await self._call("POST", f"{self._base}/hub/dispatches", body, may_start)
        return answer if isinstance(answer, Reply) else classify(answer)

    async def query(self, dispatch: Dispatch) -> Reply:
        """Asks `GET /hub/dispatches/{id}`: DONE, ABSENT, REFUSED, UNKNOWN or UNREACHABLE."""
        answer = await self._call("GET", f"{self._base}/hub/dispatches/{dispatch.id}", b"", always)
        return answer if isinstance(answer, Reply) else classify_query(answer, dispatch.id)

    async def close(self) -> None:
        await self._caller.close()

    async def _credit(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        applicant = dispatch.body.get("applicant") or {}
        url = URL(f"{self._base}/credit/grades").with_query(
            idType=str(applicant.get("idType", "")),
            idNo=str(applicant.get("idNo", "")),
            dispatchId=dispatch.id,
        )
        answer = await self._call("GET", str(url), b"", may_start)
        if isinstance(answer, Reply):
            return answer
        if answer.status != 200:
            return classify(answer)
        return _credit_reply(dispatch, answer, int(time.time() * 1000))

    async def _call(
        self, method: str, address: str, body: bytes, may_start: Callable[[], bool]
    ) -> Answer | Reply:
        # encoded=True: what is signed is byte for byte what stands on the request line (R16).
        url = URL(address, encoded=True)
        headers = sign_request(
            self._key,
            HUB,
            method,
            url.raw_path_qs,
            body,
            algorithm=self._config.algorithm,
            timestamp_ms=int(time.time() * 1000),
            nonce=secrets.token_urlsafe(18),
        )
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        try:
            return await self._caller.call(method, url, headers, body, may_start)
        except Unreachable as failure:
            return Reply(kind=ReplyKind.UNREACHABLE, code="unreachable", detail=str(failure))
        except Unanswered as failure:
            return Reply(kind=ReplyKind.UNKNOWN, code="unanswered", detail=str(failure))


def _credit_reply(dispatch: Dispatch, answer: Answer, now_ms: int) -> Reply:
    """DONE with a `credit.answered` submission, or UNKNOWN: half an answer must not decide a case (R22,
    H 9.3.1.6)."""
    try:
        data = canonical_json.load_object(answer.body)
        body = _credit_body(data, canonical_json.iso_shanghai(now_ms))
    except FormatError as bad:
        return Reply(kind=ReplyKind.UNKNOWN, code="credit_answer", detail=str(bad)[:1000])
    return Reply(
        kind=ReplyKind.DONE,
        code="200",
        detail=f"grade={body['grade']}",
        answer=Submission(
            type="credit.answered",
            source_ref=dispatch.id,
            case_no=dispatch.case_no,
            occurred_at=body["answeredAt"],
            body=body,
        ),
    )


def _credit_body(data: dict[str, Any], now: str) -> dict[str, Any]:
    industries = data.get("bannedIndustries", [])
    problems = {
        "grade": data.get("grade") in _GRADES,
        "seriousDishonesty": isinstance(data.get("seriousDishonesty"), bool),
        "bannedIndustries": isinstance(industries, list) and all(isinstance(i, str) for i in industries),
        "decisionStandard": isinstance(data.get("decisionStandard", False), bool),
    }
    for field, fine in problems.items():
        if not fine:
            raise FormatError(
                field,
                "credit answer",
                "H 9.3.1.6",
                f"信用查询答复的 {field} 不符合要求（H 9.3.1.6）",
                f"{field} of the credit answer is not valid (H 9.3.1.6)",
            )
    body = {
        "grade": data["grade"],
        "seriousDishonesty": data["seriousDishonesty"],
        "bannedIndustries": industries,
        "decisionStandard": data.get("decisionStandard", False),
        "answeredAt": data.get("answeredAt") or now,
    }
    if data.get("validFrom"):
        body["validFrom"] = data["validFrom"]
    return body


def _too_large(size: int, limit: int) -> Reply:
    return Reply(
        kind=ReplyKind.MALFORMED,
        code="too_large",
        detail=f"报文 {size} 字节，超过该成员的上限 {limit} 字节 / {size} bytes, this member takes {limit}",
    )
