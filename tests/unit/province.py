"""A province without a wire: the members' own code, the gateway's preparation and the routing rules, joined.

What would travel by HTTP, SOAP, Kafka or a table is handed over as the document it would be.
"""

import base64
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from routing_cases import NOW, Hub, tables

from adapters.formats import canonical_json, sp_xml, up_tables
from adapters.ports import Dispatch, Submission
from hub import ids
from hub.envelope import Message
from hub.gateway.callers import Caller
from hub.gateway.intake import Intake
from hub.gateway.metrics import Metrics
from hub.routing.model import Decision, Disposition
from schemas import codec, contracts, validate
from stubs import cases, sp_documents
from stubs import sp_xml as department_b_xml
from stubs.credit import grade_of, load_grades
from stubs.department import refusal_of
from stubs.dept_b import ApproveService
from stubs.model import Planned
from stubs.nation import REFUSED_WORDS
from stubs.rest_members import RestMember, line_of
from stubs.rest_sender import message_document
from stubs.rest_server import read_event
from stubs.settings import MEMBERS, Identity, StubSettings
from stubs.storage import Storage

REST = ("platform", "dept-a", "s08", "supervision")
STUB_OF = {member: stub for stub, members in MEMBERS.items() for member in members}


class Province:
    """All members around one routing core. `hubs`: case number -> what the hub knows of it."""

    def __init__(self, directory: Path, seed: int = 0) -> None:
        self._source = random.Random(seed)
        self._tables = tables()
        self._intake = Intake(
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            Metrics(),
            province="46",
            pseudonym_key=b"test-pseudonym-key-of-32-bytes!!",
            record_bytes_max=983_040,
        )
        self.storages = {name: Storage(directory / name) for name in (*REST, "dept-b")}
        self.members = {name: RestMember(_settings(name), self.storages[name]) for name in REST}
        self.department_b = ApproveService(_settings("dept-b"), self.storages["dept-b"], lambda: None)
        self.hubs: dict[str, Hub] = {}
        self.cards: dict[str, up_tables.Card] = {}
        self.nation_rows: dict[str, list[up_tables.Row]] = defaultdict(list)
        self.grades = load_grades()
        self.silent: list[str] = []

    def close(self) -> None:
        for storage in self.storages.values():
            storage.close()

    def submit(self, group: list[cases.CaseFile]) -> None:
        """Put cases into their senders' outboxes."""
        for case in group:
            if case.document:
                encoded = base64.b64encode(case.document).decode()
                self.department_b.submit({"documents": [encoded]})
            else:
                self.members[STUB_OF[case.member]].submit({"member": case.member, "messages": [case.message]})

    def run(self) -> None:
        """Until nobody has anything left to say; cases the credit library is silent about fall back."""
        while True:
            heads = self._heads()
            if heads:
                name, row = self._source.choice(heads)
                self._send(name, row.seq, row.planned)
            elif self.silent:
                hub = self.hubs[self.silent.pop()]
                self._after(hub, hub.fire("credit"))
            else:
                return

    def _heads(self) -> list[tuple[str, Any]]:
        found = []
        for name, storage in self.storages.items():
            lines: dict[str, Any] = {}
            for row in storage.waiting(0, 1_000):
                lines.setdefault(line_of(row.planned), row)
            found += [(name, row) for row in lines.values()]
        return found

    def _send(self, name: str, seq: int, planned: Planned) -> None:
        storage = self.storages[name]
        for message in self._gateway(planned):
            if self._source.random() < 0.5:
                self._receipt(name, storage, seq, planned, message)
                self._take(message)
            else:  # the receipt is late: what follows from the message overtakes it
                self._take(message)
                self._receipt(name, storage, seq, planned, message)

    def _receipt(self, name: str, storage: Storage, seq: int, planned: Planned, message: Message) -> None:
        storage.settle(seq, "sent", "")
        if name in self.members:
            self.members[name].receipt(planned, {"caseNo": message.subject})

    def _gateway(self, planned: Planned) -> list[Message]:
        if planned.member == "dept-b":
            _operation, document = sp_documents.document(planned)
            submissions = sp_xml.read(document, is_case_number=ids.is_case_number)
        else:
            submissions = (canonical_json.decode(message_document(planned)),)
        caller = Caller(planned.member, ())
        return [self._intake.prepare(caller, submission) for submission in submissions]

    def _take(self, message: Message) -> None:
        hub = self.hubs.setdefault(message.subject, Hub(self._tables))
        hub.now = max(hub.now, NOW)
        self._after(hub, hub.take(message))

    def _after(self, hub: Hub, decision: Decision) -> None:
        for verdict in decision.verdicts:
            if verdict.disposition is Disposition.ROUTED or verdict.originated:
                for outgoing in verdict.dispatches:
                    self._deliver(verdict.message, outgoing.member, outgoing.kind, outgoing.flags)

    def _deliver(self, message: Message, member: str, kind: str, flags: tuple[str, ...]) -> None:
        contract, body = codec.decode(message.value)
        dispatch = Dispatch(
            id=ids.dispatch_id(message.id, member),
            message_id=message.id,
            member=member,
            kind=kind,
            type=contract.name,
            case_no=message.subject,
            source=message.source,
            occurred_ms=message.time_ms,
            body=body,
            region=message.region,
            item=message.item,
            flags=flags,
        )
        if member == "credit":
            self._credit(dispatch)
        elif member == "nation":
            self._nation(dispatch)
        elif refusal_of(read_event(canonical_json.encode(dispatch))) and member.startswith("dept-"):
            self._refused(dispatch)
        elif member == "dept-b":
            event = department_b_xml.read_dispatch(sp_xml.write(dispatch))
            self.department_b._take(event)
            self.storages["dept-b"].enter(event)
        else:
            event = read_event(canonical_json.encode(dispatch))
            self.members[STUB_OF[member]].take(member, event)
            self.storages[STUB_OF[member]].enter(event)

    def _credit(self, dispatch: Dispatch) -> None:
        if dispatch.kind != "credit.query":
            return
        grade = grade_of(dispatch.body["applicant"]["idNo"], self.grades)
        if grade.silence == "always":
            self.silent.append(dispatch.case_no)
            return
        answer = Submission(
            type="credit.answered",
            source_ref=dispatch.id,
            case_no=dispatch.case_no,
            occurred_at=canonical_json.iso_shanghai(dispatch.occurred_ms),
            body={
                "grade": grade.grade,
                "seriousDishonesty": grade.serious_dishonesty,
                "bannedIndustries": list(grade.banned_industries),
                "answeredAt": canonical_json.iso_shanghai(dispatch.occurred_ms),
            },
        )
        self._take(_made("credit", answer))

    def _refused(self, dispatch: Dispatch) -> None:
        """What a delivery lane tells the router when the member refuses for good."""
        told = Submission(
            type="dispatch.refused",
            source_ref=dispatch.id,
            case_no=dispatch.case_no,
            occurred_at=canonical_json.iso_shanghai(dispatch.occurred_ms),
            body={
                "dispatchId": dispatch.id,
                "messageId": dispatch.message_id,
                "member": dispatch.member,
                "code": "not_ours",
            },
        )
        self._take(_made("hub", told))

    def _nation(self, dispatch: Dispatch) -> None:
        card = self.cards.get(dispatch.case_no, up_tables.Card())
        plan = up_tables.plan(dispatch, card)
        self.cards[dispatch.case_no] = plan.card
        self.nation_rows[dispatch.case_no] += plan.rows
        for row in plan.rows:
            if REFUSED_WORDS in str(row.values.get("project_name")):
                reject = Submission(
                    type="nation.rejected",
                    source_ref=row.row_guid,
                    case_no=dispatch.case_no,
                    occurred_at=canonical_json.iso_shanghai(dispatch.occurred_ms),
                    body={
                        "table": row.table,
                        "rowGuid": row.row_guid,
                        "dispatchId": dispatch.id,
                        "messageId": dispatch.message_id,
                        "reason": "办理摘要含测试字样",
                        "rejectedAt": canonical_json.iso_shanghai(dispatch.occurred_ms),
                    },
                )
                self._take(_made("nation", reject))


def _made(source: str, submission: Submission) -> Message:
    """A message that the hub itself makes of a member's answer."""
    contract = contracts.load().by_type(submission.type)
    body = validate.check(contract, submission.body)
    return Message(
        id=ids.originated_id(submission.source_ref, submission.type),
        source=source,
        type=submission.type,
        subject=submission.case_no,
        time_ms=NOW,
        value=codec.encode(contract, body),
        digest=ids.content_digest(submission.type, submission.body),
        attributes=validate.routing(contract, body, lambda *_: ""),
    )


def _settings(name: str) -> StubSettings:
    identities = tuple(Identity(member, "HMAC-SHA256", b"", b"") for member in MEMBERS[name])
    return StubSettings(name, ("127.0.0.1", 0), "http://127.0.0.1:9", Path(), identities, "key", "secret")
