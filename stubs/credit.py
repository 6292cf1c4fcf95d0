"""The credit library (信用库 S14): answers grade queries from a data file, pushes changes, and is silent
about some parties on purpose.
"""

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from signing.errors import AuthError
from stubs.courier import Courier
from stubs.model import Event, Planned
from stubs.rest_members import line_of, opening_of
from stubs.rest_sender import RestSender
from stubs.rest_server import RestServer, answer
from stubs.settings import StubSettings
from stubs.storage import Storage

GRADES_FILE: Final = Path(__file__).with_name("credit_grades.json")
SILENCE_MS_MAX: Final = 120_000
_VALID_FROM: Final = "2026-01-01T00:00:00+08:00"


class Grade(msgspec.Struct, frozen=True, rename="camel"):
    """One party's credit (H 9.3.1.2). silence: `once` = no answer to the first query, `always` = to none."""

    id_no: str
    grade: str
    name: str = ""
    serious_dishonesty: bool = False
    banned_industries: tuple[str, ...] = ()
    silence: str = ""


def load_grades(path: Path = GRADES_FILE) -> dict[str, Grade]:
    """The listed parties by identifier. Raises msgspec.ValidationError."""
    return {grade.id_no: grade for grade in msgspec.json.decode(path.read_bytes(), type=list[Grade])}


def grade_of(id_no: str, listed: dict[str, Grade]) -> Grade:
    """The party's grade; whoever is not listed is graded by its number, never black."""
    found = listed.get(id_no)
    if found is not None:
        return found
    lot = sum(id_no.encode()) % 10
    return Grade(id_no, "red" if lot < 2 else "orange" if lot < 5 else "blue")


class CreditLibrary:
    """GET /credit/grades beside the routes of every REST member."""

    def __init__(self, settings: StubSettings, storage: Storage) -> None:
        self._settings, self._storage = settings, storage
        self._grades = load_grades()
        self.courier = Courier(storage, RestSender(settings, storage), lambda _planned, _receipt: None)
        self.server = RestServer(
            settings, storage, lambda _member, _event: None, self._submit, self.courier.wake
        )

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = self.server.application()
        app.router.add_get("/credit/grades", self._answer)
        return app

    def _submit(self, document: dict[str, Any]) -> int:
        planned: list[Planned] = [
            opening_of(self._settings.name, message) for message in document["messages"]
        ]
        return sum(self._storage.post(one, line_of(one)) for one in planned)

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            self.server.caller_of(request, b"")
        except AuthError as error:
            return self.server.unauthorised(error)
        query = request.query
        if not all(query.get(name) for name in ("idType", "idNo", "dispatchId")):
            return answer(
                400, {"status": "malformed", "detail": "缺少 idType、idNo 或 dispatchId / missing parameter"}
            )
        grade = grade_of(query["idNo"], self._grades)
        with self._storage.transaction():
            repeated = self._storage.absorb(query["dispatchId"])
            if not repeated:
                self._storage.enter(_event_of(query["dispatchId"]))
        if grade.silence == "always" or (grade.silence == "once" and not repeated):
            await asyncio.sleep(SILENCE_MS_MAX / 1000)
            return answer(503, {"status": "try_later", "code": "timeout"})
        return answer(
            200,
            {
                "grade": grade.grade,
                "seriousDishonesty": grade.serious_dishonesty,
                "bannedIndustries": list(grade.banned_industries),
                "decisionStandard": grade.serious_dishonesty,
                "validFrom": _VALID_FROM,
            },
        )


def _event_of(dispatch_id: str) -> Event:
    return Event(
        dispatch_id=dispatch_id,
        message_id="",
        kind="credit.query",
        case_no="",
        source="hub",
        occurred_at=_VALID_FROM,
        body={},
    )


def credit_application(settings: StubSettings, storage: Storage) -> tuple[web.Application, Any]:
    """The application and the background work of the credit library."""
    library = CreditLibrary(settings, storage)
    return library.application(), library.courier.run
