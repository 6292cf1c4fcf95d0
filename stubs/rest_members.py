"""The REST members that work on cases: platform, dept-a, s08, supervision. Joins their pure scripts to
storage, server and courier.
"""

from typing import Any

import msgspec
from aiohttp import web

from stubs import department, intake
from stubs.courier import Courier
from stubs.model import CaseMemory, Event, Planned, Reaction
from stubs.rest_sender import RestSender
from stubs.rest_server import Refused, RestServer
from stubs.settings import StubSettings
from stubs.storage import Storage

_KINDS = ("case.", "credit.", "dispatch.", "nation.")


class RestMember:
    """One stub process of the REST kind: every call is made inside a transaction of its storage."""

    def __init__(self, settings: StubSettings, storage: Storage) -> None:
        self._settings, self._storage = settings, storage
        self._office = department.OFFICES.get(settings.name)

    def take(self, member: str, event: Event) -> None:
        """Apply the business effect of one dispatch. Raises Refused."""
        if not event.kind.startswith(_KINDS):
            raise Refused("kind", f"本系统不接收 / not taken here: {event.kind}")
        if self._settings.name == "supervision":
            return  # it keeps the copy and says nothing
        if not event.kind.startswith("case.") and event.kind != "credit.review":
            return  # read and filed: nothing follows
        memory = self._storage.recall(event.case_no)
        if self._office is not None:
            if reason := department.refusal_of(event):
                raise Refused("not_ours", f"{reason} / not for this department")
            reaction = department.react(self._office, event, memory)
        else:
            reaction = intake.react(member, event, memory)
        self._keep(event.case_no, reaction)

    def submit(self, document: dict[str, Any]) -> int:
        """Put cases into the outbox: {"member", "messages": [canonical JSON messages]}. Returns how many
        messages were new.
        """
        member = document.get("member") or self._settings.identities[0].member
        self._settings.identity(member)
        posted = 0
        for message in document["messages"]:
            for planned in self._say(opening_of(member, message)):
                posted += self._storage.post(planned, line_of(planned))
        return posted

    def receipt(self, planned: Planned, receipt: dict[str, Any]) -> None:
        """A receipt came. That of an opening message tells which case number is ours."""
        if planned.type != "case.submitted" or self._office is not None:
            return
        case_no = str(receipt["caseNo"])
        self._keep(case_no, intake.learn(planned, case_no, self._storage.recall(case_no)))

    def _say(self, opening: Planned) -> tuple[Planned, ...]:
        if opening.type != "case.submitted":
            return (opening,)
        return department.own_case(self._office, opening) if self._office else intake.open_case(opening)

    def _keep(self, case_no: str, reaction: Reaction) -> None:
        self._storage.remember(case_no, reaction.memory)
        here = {identity.member for identity in self._settings.identities}
        for planned in with_needs(reaction):
            if (
                planned.member in here
            ):  # the other city's window may be connected to another hub and says it there
                self._storage.post(planned, line_of(planned))


def opening_of(member: str, message: dict[str, Any]) -> Planned:
    """A canonical JSON message as given by a case file. Raises KeyError."""
    body = message["body"]
    files = tuple(
        dict.fromkeys(
            material["ref"].removeprefix("sm3:")
            for material in body.get("materials") or ()
            if str(material.get("ref") or "").startswith("sm3:")
        )
    )
    return Planned(
        member=member,
        type=message["type"],
        source_ref=message["sourceRef"],
        occurred_at=message["occurredAt"],
        body=body,
        case_no=message.get("caseNo", ""),
        case_ref=message.get("caseRef", ""),
        files=files,
    )


def with_needs(reaction: Reaction) -> tuple[Planned, ...]:
    """The first business word of a department about a case waits for the case's files."""
    if not reaction.planned or reaction.memory.own or not reaction.planned[0].type.startswith("case."):
        return reaction.planned
    needs = file_digests(reaction.memory)
    first = msgspec.structs.replace(reaction.planned[0], needs=needs)
    return (first, *reaction.planned[1:])


def file_digests(memory: CaseMemory) -> tuple[str, ...]:
    """SM3 digests of the files of a case, each once."""
    refs = (str(material.get("ref") or "") for material in memory.materials)
    return tuple(dict.fromkeys(ref.removeprefix("sm3:") for ref in refs if ref.startswith("sm3:")))


def line_of(planned: Planned) -> str:
    """Messages of one member about one case leave one after the other."""
    return f"{planned.member}:{planned.case_no or planned.case_ref or planned.source_ref}"


def rest_application(settings: StubSettings, storage: Storage) -> tuple[web.Application, Any]:
    """The application and the background work of a REST member."""
    member = RestMember(settings, storage)
    courier = Courier(storage, RestSender(settings, storage), member.receipt)
    server = RestServer(settings, storage, member.take, member.submit, courier.wake)
    return server.application(), courier.run
