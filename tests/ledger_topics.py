"""Hand-made topics: the hub's records written by an outside transactional producer (librdkafka), so that
tests of the read side decide
exactly what is on the log: committed, aborted, lost or twice. No role of the hub runs here.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer

from hub.config import Settings
from hub.envelope import Message, to_headers
from hub.ids import case_number, dispatch_id, message_id, originated_id
from hub.kafka import Admin, partition_of
from schemas.codec import encode
from schemas.contracts import load

PARTITIONS = 3
MEMBERS = ("dept-a", "platform")
POSITION_KEY = b"\x00position"
KEYED = ("case.inbound", "commands.router", "case.routed", "case.events", "case.outcomes", "evidence.roots")


@dataclass(frozen=True)
class Written:
    """One record to produce: bare topic name, key, value, headers. partition None = by key."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


def submitted_body(name: str = "王小明", id_no: str = "460106199001011234") -> dict[str, Any]:
    """A normalised case.submitted body (times in ms, content in bytes)."""
    return {
        "item": "11460100MB1A21013T3460131001000",
        "itemVersion": 1,
        "itemName": "食品经营许可",
        "region": "460106",
        "projectName": "王小明面馆食品经营许可",
        "applyType": "1",
        "projectType": "2",
        "applicant": {"name": name, "kind": "1", "idType": "111", "idNo": id_no},
        "channel": "1",
        "appliedAt": 1_763_778_000_000,
        "form": {"formId": "F1", "version": "1", "mediaType": "application/json", "content": b"{}"},
        "materials": [
            {
                "code": "M1",
                "name": "身份证",
                "medium": "electronic",
                "copy": "copy",
                "count": 1,
                "collect": "2",
                "sm3": "ab" * 32,
            }
        ],
    }


def step_body(number: int) -> dict[str, Any]:
    """A normalised case.process_step body."""
    return {
        "stepCode": str(number),
        "stepName": "审查",
        "action": "1",
        "org": {"code": "11460100MB0000000X", "name": "海口市市场监督管理局"},
        "handler": "李四",
        "startedAt": 1_763_778_000_000 + number,
        "status": "2",
    }


def message(
    case: str, number: int = 0, *, source: str = "platform", digest: str = "d1", **body: Any
) -> Message:
    """Message `number` of a case: 0 opens it, later ones are process steps. case: the sender's own
    reference."""
    type_ = "case.submitted" if number == 0 else "case.process_step"
    content = {**(submitted_body() if number == 0 else step_body(number)), **body}
    subject = case_number(source if number == 0 else "platform", "", case)
    return Message(
        id=message_id(source, "", f"{case}/{number}", type_, 1),
        source=source,
        type=type_,
        subject=subject,
        time_ms=1_763_778_000_000 + number * 1_000,
        value=encode(load().by_type(type_), content),
        region="460106",
        item="11460100MB1A21013T3460131001000",
        source_key=f"{case}/{number}",
        digest=digest,
    )


def inbound(m: Message) -> Written:
    return Written("case.inbound", m.subject.encode(), m.value, to_headers(m))


def routed(
    m: Message,
    to: Iterable[str] = (),
    *,
    disposition: str = "routed",
    reason: str = "",
    originated: bool = False,
) -> Written:
    """The case.routed record of a message."""
    body = {
        "messageId": m.id,
        "caseNo": m.subject,
        "disposition": disposition,
        "reason": reason or None,
        "zh": "停放原因" if disposition == "parked" else None,
        "en": "why it is parked" if disposition == "parked" else None,
        "dispatches": [{"id": dispatch_id(m.id, member), "member": member, "kind": m.type} for member in to],
        "originated": originated,
        "causation": m.causation or None,
        "source": m.source,
        "type": m.type,
        "occurredAt": m.time_ms,
        "tablesVersion": "t1",
    }
    return Written("case.routed", m.subject.encode(), encode(load().by_type("hub.routed"), body))


def event(m: Message, stage: str = "submitted") -> Written:
    extra = [("hub_disposition", b"routed"), ("hub_stage", stage.encode())]
    return Written("case.events", m.subject.encode(), m.value, to_headers(m, extra))


def delivery(m: Message, member: str) -> Written:
    extra = [
        ("hub_dispatch", dispatch_id(m.id, member).encode()),
        ("hub_kind", m.type.encode()),
        ("hub_flags", b""),
    ]
    return Written(f"deliver.{member}", m.subject.encode(), m.value, to_headers(m, extra), partition=0)


def outcome(
    m: Message, member: str, result: str = "delivered", *, code: str = "", detail: str = "", behind: str = ""
) -> Written:
    body = {
        "dispatchId": dispatch_id(m.id, member),
        "messageId": m.id,
        "caseNo": m.subject,
        "member": member,
        "kind": m.type,
        "outcome": result,
        "code": code or None,
        "detail": detail or None,
        "attempts": 1,
        "at": 1_763_778_100_000,
        "behind": behind or None,
    }
    return Written("case.outcomes", m.subject.encode(), encode(load().by_type("hub.outcome"), body))


def refusal_of(m: Message) -> Message:
    """A message the hub makes itself because of m (no record on case.inbound)."""
    body = {
        "refusedId": m.id,
        "refusedType": m.type,
        "code": "conflict",
        "rule": "R2",
        "clause": "G8",
        "zh": "同一来源键内容不同",
        "en": "same source key, other content",
    }
    return Message(
        id=originated_id(m.id, "refusal"),
        source="hub",
        type="case.refusal",
        subject=m.subject,
        time_ms=m.time_ms,
        value=encode(load().by_type("case.refusal"), body),
        causation=m.id,
    )


@dataclass
class Log:
    """The topics of one test. Everything that is produced goes through one transactional producer."""

    settings: Settings
    producer: Producer = field(init=False)
    written: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    async def create(cls, bootstrap: str, prefix: str, data_dir: Path, **more: Any) -> "Log":
        values: dict[str, Any] = {"files_dir": data_dir / "files", **more}
        settings = Settings(
            kafka_bootstrap=bootstrap,
            topic_prefix=prefix,
            partitions=PARTITIONS,
            data_dir=data_dir,
            directory_dir=Path(__file__).parent.parent / "hub" / "directory" / "data",
            **values,
        )
        compact = {"cleanup.policy": "compact"}
        async with Admin(settings) as admin:
            for topic in KEYED:
                await admin.create(settings.topic(topic), PARTITIONS, 1, {})
            await admin.create(settings.topic("router.changelog"), PARTITIONS, 1, compact)
            await admin.create(settings.topic("books.checkpoints"), 1, 1, compact)
            await admin.create(settings.topic("books.closings"), 1, 1, {})
            await admin.create(settings.topic("hub.status"), 1, 1, compact)
            for member in MEMBERS:
                await admin.create(settings.topic(f"deliver.{member}"), 1, 1, {})
                await admin.create(settings.topic(f"commands.delivery.{member}"), 1, 1, {})
                await admin.create(settings.topic(f"delivery.{member}.changelog"), 1, 1, compact)
        log = cls(settings)
        log.producer = log._transactional()
        return log

    def _transactional(self) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "transactional.id": self.settings.topic_prefix + "test-writer",
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        producer.init_transactions(30)
        return producer

    def _produce(self, records: Iterable[Written]) -> None:
        for record in records:
            partition = (
                record.partition if record.partition is not None else partition_of(record.key, PARTITIONS)
            )
            topic = self.settings.topic(record.topic)
            headers = list(record.headers)
            self.producer.produce(
                topic,
                record.value,
                record.key,
                partition=partition,
                headers=headers,
                on_delivery=self._delivered,
            )
        assert self.producer.flush(30) == 0

    def _delivered(self, error: Any, produced: Any) -> None:
        assert error is None, error
        self.written[self.settings.bare(produced.topic()), produced.partition()] = produced.offset() + 1

    def commit(self, records: Iterable[Written]) -> None:
        """These records in one committed transaction."""
        self.producer.begin_transaction()
        self._produce(records)
        self.producer.commit_transaction(30)

    def abort(self, records: Iterable[Written]) -> None:
        """These records in one aborted transaction: on the log, and nobody may see them."""
        self.producer.begin_transaction()
        before = dict(self.written)
        self._produce(records)
        self.producer.abort_transaction(30)
        self.written = before

    def begin(self, records: Iterable[Written]) -> None:
        """Records of a transaction that stays open."""
        self.producer.begin_transaction()
        self._produce(records)

    def position(self, changelog: str, partition: int, positions: dict[str, int]) -> Written:
        """The position record of a lane."""
        value = msgspec.msgpack.encode({"positions": positions, "incarnation": "i"})
        return Written(changelog, POSITION_KEY, value, partition=partition)

    def positions_at_end(self) -> list[Written]:
        """Position records of lanes that have worked everything written so far."""
        records = [
            self.position(
                "router.changelog", p, {f"case.inbound-{p}": self.written.get(("case.inbound", p), 0)}
            )
            for p in range(PARTITIONS)
        ]
        for member in MEMBERS:
            topic = f"deliver.{member}"
            records.append(
                self.position(
                    f"delivery.{member}.changelog", 0, {f"{topic}-0": self.written.get((topic, 0), 0)}
                )
            )
        return records


def whole_case(m: Message, to: Sequence[str] = MEMBERS) -> list[Written]:
    """Everything the hub writes for a message that went well."""
    return [
        inbound(m),
        routed(m, to),
        event(m),
        *(delivery(m, member) for member in to),
        *(outcome(m, member) for member in to),
    ]


def eventually(check: Any, *, seconds: float = 20.0) -> None:
    """Wait until check() is true; the last error is raised when time is up."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.05)
