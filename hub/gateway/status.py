"""GET /v1/messages/{id} and GET /v1/cases/{no}: what became of a message, how far a case is (R10, F07). Read
side only."""

import re
from typing import Any, Final

from litestar import Request, get
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from hub.gateway.callers import Caller, Callers
from hub.gateway.errors import Rejected
from hub.gateway.known import Known
from hub.gateway.records import Records, records_away
from hub.gateway.wire import address_of, headers_of, path_and_query, reply

_MESSAGE_ID: Final = re.compile(r"[0-9a-f]{32}")
_CASE_NO: Final = re.compile(r"[0-9A-Z]{4,64}")


class Status:
    """Answers for one caller; everything it is no party to looks as if it did not exist."""

    def __init__(self, records: Records | None, known: Known) -> None:
        self._records = records
        self._known = known

    async def message(self, caller: Caller, id_: str) -> dict[str, Any]:
        """received, routed, held, parked or refused, and every dispatch with its outcome (R10).

        The sender sees all dispatches, a receiver its own. Raises Rejected 404 or 503.
        """
        if not _MESSAGE_ID.fullmatch(id_):
            raise _unknown("消息", "message")
        # Acknowledged by this process, perhaps not on record yet: durable all the same.
        received = (
            {"messageId": id_, "status": "received", "dispatches": []} if self._known.remembers(id_) else None
        )
        try:
            found = await self._given().message(id_)
            as_of = await self._given().as_of()
        except Rejected:
            if received is None:
                raise
            return received
        if found is None:
            if received is None:
                raise _unknown("消息", "message")
            return received | {"dataAsOf": as_of}
        message, dispatches = found
        own = [dispatch for dispatch in dispatches if dispatch["member"] == caller.id]
        if message["source"] != caller.id and not own:
            raise _unknown("消息", "message")
        shown = dispatches if message["source"] == caller.id else own
        return message | {"dispatches": shown, "dataAsOf": as_of}

    async def case(self, caller: Caller, number: str) -> dict[str, Any]:
        """A case's way through every system, for a member that takes part in it. Raises Rejected 404 or
        503."""
        if not _CASE_NO.fullmatch(number):
            raise _unknown("办件", "case")
        found = await self._given().case(number)
        if found is None or caller.id not in _parties(found):
            raise _unknown("办件", "case")
        return found | {"dataAsOf": await self._given().as_of()}

    def _given(self) -> Records:
        if self._records is None:
            raise records_away()
        return self._records


def routes(callers: Callers, status: Status) -> list[ControllerRouterHandler]:
    """The handlers; both signed."""

    @get("/v1/messages/{message_id:str}")
    async def message(request: Request[Any, Any, Any], message_id: FromPath[str]) -> Response[bytes]:
        caller = callers.signed(
            headers_of(request.scope), "GET", path_and_query(request.scope), b"", address_of(request.scope)
        )
        return reply(await status.message(caller, message_id))

    @get("/v1/cases/{case_no:str}")
    async def case(request: Request[Any, Any, Any], case_no: FromPath[str]) -> Response[bytes]:
        caller = callers.signed(
            headers_of(request.scope), "GET", path_and_query(request.scope), b"", address_of(request.scope)
        )
        return reply(await status.case(caller, case_no))

    return [message, case]


def _parties(case: dict[str, Any]) -> set[str]:
    speaking = {message["source"] for message in case["messages"] if message["status"] != "refused"}
    told = {dispatch["member"] for dispatch in case["dispatches"]}
    return {case["owner"], case["origin"]} | speaking | told


def _unknown(zh: str, en: str) -> Rejected:
    return Rejected(404, "unknown", f"没有这个{zh}，或与本成员无关", f"no such {en}, or not yours")
