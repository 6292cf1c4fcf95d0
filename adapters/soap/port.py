"""The port to an SP* department behind ASMX: token, one string in, one string out, in its own charset.
What a reply means is in replies.py, how a message looks in formats/sp_xml.py.
"""

import functools
import re
from collections.abc import Callable
from typing import Final

from lxml import etree
from yarl import URL

from adapters.config import PortConfig
from adapters.formats import sp_xml
from adapters.formats.sp_values import codec_of
from adapters.http_call import Answer, HttpCaller, Unanswered, Unreachable, always
from adapters.ports import Dispatch, FormatError, Reply, ReplyKind
from adapters.soap import asmx, replies
from adapters.soap.codec import Service, fault_of, parse_envelope

PATH: Final = "/ApproveService.asmx"
_RAW_TOKEN: Final = re.compile(r"[\x21-\x3b\x3d-\x7e]{8,512}")
_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)


@functools.cache
def _service() -> Service:
    return Service(asmx.wsdl("ApproveService", asmx.DEPARTMENT_OPERATIONS, "http://localhost" + PATH))


class AsmxPort:
    """Implements adapters.ports.MemberPort for SP* departments. One call at a time is the lane's business."""

    def __init__(self, config: PortConfig) -> None:
        self._config = config
        self._url = URL(config.url.rstrip("/") + PATH, encoded=True)
        self._token = ""
        self._caller = HttpCaller(
            calls_in_flight_max=config.calls_in_flight_max,
            call_timeout_ms=config.call_timeout_ms,
            connect_timeout_ms=config.connect_timeout_ms,
            answer_bytes_max=config.body_bytes_max,
        )

    async def deliver(self, dispatch: Dispatch, may_start: Callable[[], bool]) -> Reply:
        """See MemberPort. Raises FormatError (R14) when the member's charset cannot carry the message."""
        text = sp_xml.write(dispatch, self._config.charset)
        outcome = await self._with_token("sendApply", text, may_start)
        return outcome if isinstance(outcome, Reply) else replies.classify(outcome)

    async def query(self, dispatch: Dispatch) -> Reply:
        """Asks queryApply for the dispatch id: DONE, ABSENT, REFUSED, UNKNOWN or UNREACHABLE."""
        head = {"SBLSH_SHORT": dispatch.case_no, "EXCHANGENO": dispatch.id}
        text = sp_xml.document(head, (), self._config.charset)
        outcome = await self._with_token("queryApply", text, always)
        if isinstance(outcome, Reply):
            known = outcome.kind in (ReplyKind.UNREACHABLE, ReplyKind.UNKNOWN)
            return (
                outcome if known else Reply(kind=ReplyKind.UNKNOWN, code=outcome.code, detail=outcome.detail)
            )
        return replies.classify_query(outcome)

    async def close(self) -> None:
        await self._caller.close()

    async def _with_token(
        self, operation: str, text: str, may_start: Callable[[], bool]
    ) -> sp_xml.Result | Reply:
        """A call with a valid token; a refused token is fetched anew, once. The refused call was not taken;
        the second one asks may_start again."""
        outcome: sp_xml.Result | Reply = Reply(kind=ReplyKind.TRY_LATER, code="token")
        for _ in range(2):
            if not self._token:
                refusal = await self._fetch_token()
                if refusal is not None:
                    return refusal
            outcome = await self._call(operation, may_start, token=self._token, xmlStr=text)
            if isinstance(outcome, Reply) or not replies.refuses_token(outcome):
                return outcome
            self._token = ""
        return outcome

    async def _fetch_token(self) -> Reply | None:
        """Fetches a token; a failure leaves nothing at the member, so it is never UNKNOWN."""
        outcome = await self._call(
            "getXmlToken", always, key=self._config.sp_key, secret=self._config.sp_secret
        )
        if isinstance(outcome, sp_xml.Result):
            if outcome.status == "200" and outcome.data:
                self._token = outcome.data
                return None
            return Reply(kind=ReplyKind.TRY_LATER, code="token", detail=outcome.desc[:1000])
        kind = ReplyKind.UNREACHABLE if outcome.kind is ReplyKind.UNREACHABLE else ReplyKind.TRY_LATER
        return Reply(kind=kind, code="token", detail=outcome.detail)

    async def _call(
        self, operation: str, may_start: Callable[[], bool], **arguments: str
    ) -> sp_xml.Result | Reply:
        envelope, headers = _service().call(operation, **arguments)
        label = self._config.charset
        body = f'<?xml version="1.0" encoding="{label}"?>{envelope}'.encode(codec_of(label))
        if len(body) > self._config.body_bytes_max:
            return Reply(
                kind=ReplyKind.MALFORMED,
                code="too_large",
                detail=f"报文 {len(body)} 字节，超过该成员的上限 {self._config.body_bytes_max} 字节 / "
                f"{len(body)} bytes, this member takes {self._config.body_bytes_max}",
            )
        headers["Content-Type"] = f"text/xml; charset={label}"
        try:
            answer = await self._caller.call("POST", self._url, headers, body, may_start)
        except Unreachable as failure:
            return Reply(kind=ReplyKind.UNREACHABLE, code="unreachable", detail=str(failure))
        except Unanswered as failure:
            return Reply(kind=ReplyKind.UNKNOWN, code="unanswered", detail=str(failure))
        return _understand(operation, answer)


def _understand(operation: str, answer: Answer) -> sp_xml.Result | Reply:
    """The RESULT inside an answer, or what a fault or anything else means."""
    found = _CHARSET.search(answer.content_type)
    try:
        if not answer.whole:
            return Reply(kind=ReplyKind.UNKNOWN, code="too_long", detail="reply cut at the bound")
        envelope = parse_envelope(answer.body, found[1] if found else "")
        if fault := fault_of(envelope):
            return replies.of_fault(fault)
        if answer.status == 200:
            return _result(operation, envelope)
    except FormatError as bad:
        if answer.status == 200:
            return Reply(kind=ReplyKind.UNKNOWN, code="unreadable", detail=str(bad)[:1000])
    return replies.of_status(answer.status, answer.body)


def _result(operation: str, envelope: etree._Element) -> sp_xml.Result:
    text = str(_service().result(operation, envelope) or "")
    if operation == "getXmlToken" and _RAW_TOKEN.fullmatch(text):
        return sp_xml.Result("200", data=text)  # some return the bare token
    return sp_xml.parse_result(text)
