"""The whole hub: every role and every simulated member as a process of its own, real cases, two roles killed
while they work.

Judged from outside: the members' own books, the topics as another consumer sees them, and where each case
ended.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from hub import ids
from hub.books.model import Report
from hub.books.reconcile import reconcile
from hub.config import Settings
from hub.evidence.document import from_bytes
from hub.evidence.identity import ANCHORS, read_anchors
from hub.evidence.verify import verify
from hub.kafka import open_reader
from hub.local.cluster import PLAYED_BY, STUBS, DataDirectory, LocalHub
from hub.local.evidence import prove_one
from schemas import codec
from signing.http_auth import sign_request
from signing.provider import SoftwareProvider
from stubs import cases as case_files
from stubs.driver import submit, wait_idle
from topics import catalogue

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES_PER_PATH = 3

pytestmark = pytest.mark.timeout(420)


def chosen() -> list[case_files.CaseFile]:
    """Some cases of every path and every sender."""
    groups: dict[tuple[str, str], list[case_files.CaseFile]] = defaultdict(list)
    for case in case_files.load(EXAMPLES / "cases"):
        groups[case.path, case.member].append(case)
    return [case for group in groups.values() for case in group[:CASES_PER_PATH]]


def numbers_of(cases: list[case_files.CaseFile], path: str) -> list[str]:
    """Case numbers of one path."""
    return [ids.case_number(case.member, "", case.case_ref) for case in cases if case.path == path]


class Ran:
    """A hub that has worked off its cases."""

    def __init__(self, hub: LocalHub, report: Report, cases: list[case_files.CaseFile]) -> None:
        self.hub = hub
        self.report = report
        self.cases = cases
        self.settings: Settings = hub.settings

    def query(self, sql: str, *arguments: Any) -> list[Any]:
        """Rows of the projector's database."""

        async def work() -> list[Any]:
            connection = await asyncpg.connect(self.settings.database_url)
            try:
                rows: list[Any] = await connection.fetch(sql, *arguments)
                return rows
            finally:
                await connection.close()

        return asyncio.run(work())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    data = DataDirectory(tmp_path_factory.mktemp("办件 枢纽") / "hub")
    with LocalHub(data) as hub:
        hub.provision()
        supervisor = hub.start()

        async def work() -> tuple[Report, list[case_files.CaseFile]]:
            members = {member: hub.urls[stub] for member, stub in PLAYED_BY.items()}
            stubs = {stub: hub.urls[stub] for stub in STUBS}
            cases = chosen()
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
                await submit(http, cases, members)
                await asyncio.sleep(3)
                for role in ("router", "delivery", "projector"):
                    supervisor.kill(role)
                    await asyncio.sleep(1)
                for _ in range(60):
                    await wait_idle(stubs, http, quiet_ms=1_500, timeout_ms=30_000)
                    report = await reconcile(hub.settings, full=True, member_books=members)
                    if not (report.messages.in_flight or report.messages.held or report.dispatches.in_flight):
                        break
            return report, cases

        report, cases = asyncio.run(work())
        yield Ran(hub, report, cases)


def test_g6_books_balance_by_id_after_two_kills(ran: Ran) -> None:
    assert ran.report.balanced, (ran.report.messages_line, ran.report.books_line, ran.report.problems)
    assert ran.report.books_line.endswith("lost=0 duplicated=0 balanced=yes")
    assert set(ran.report.compared) == set(PLAYED_BY)
    assert not ran.report.books_away


def test_every_case_ends_where_its_script_says(ran: Ran) -> None:
    rows = {row["case_no"]: row["stage"] for row in ran.query("SELECT case_no, stage FROM cases")}
    wrong = []
    for (member, case_ref), end in case_files.expected(ran.cases).items():
        stage = rows.get(ids.case_number(member, "", case_ref), "")
        # Handing out follows the decision; the book of stages may show it as the last step.
        if end.stage and stage not in (end.stage, "delivered", "evaluated"):
            wrong.append((end, stage))
    assert wrong == []


def test_g7_a_cases_evidence_holds_without_the_hub(ran: Ran, tmp_path: Path) -> None:
    """From the very bytes a member sent to the department's own signature that it has them."""
    rows = ran.query(
        "SELECT case_no FROM cases WHERE owner = 'dept-a' AND case_no = ANY($1::text[])",
        numbers_of(ran.cases, "plain"),
    )
    shown = asyncio.run(prove_one(ran.settings, [row["case_no"] for row in rows], tmp_path / "证据"))
    assert shown is not None
    assert shown.report.ok, [finding for finding in shown.report.findings if not finding.ok]
    assert all(one.content_shown for one in shown.report.proven if one.what.startswith("case."))
    assert any("dept-a" in one.receiver for one in shown.report.proven)


def test_g7_a_member_gets_the_evidence_receipt_of_its_message_the_same_each_time(ran: Ran) -> None:
    case = next(one for one in ran.cases if one.path == "plain" and one.member == "platform")
    number = ids.case_number(case.member, "", case.case_ref)
    (row,) = ran.query("SELECT id FROM messages WHERE case_no = $1 AND type = 'case.submitted'", number)
    path = f"/v1/messages/{row['id']}/evidence"

    async def fetch() -> tuple[int, bytes]:
        key = ran.hub.secrets.members["platform"]["INBOUND_KEY"].encode()
        now_ms = int(time.time() * 1000)
        headers = sign_request(key, "platform", "GET", path, b"", timestamp_ms=now_ms, nonce=f"e{now_ms}")
        async with (
            aiohttp.ClientSession() as http,
            http.get(ran.hub.urls["gateway"] + path, headers=headers) as response,
        ):
            return response.status, await response.read()

    (status, first), (_, again) = asyncio.run(fetch()), asyncio.run(fetch())
    assert status == 200, first
    assert first == again
    assert ran.settings.evidence_dir is not None
    trust = read_anchors(ran.settings.evidence_dir / ANCHORS)
    report = verify(from_bytes(first), trust, SoftwareProvider(), now=datetime.now(UTC))
    assert report.ok
    assert [one.message_id for one in report.proven] == [row["id"]]


FLOWS = [
    ("F06 申请", "plain", "case.submitted", "dept-b"),
    ("F08 撤回", "withdrawn", "case.withdrawn", "dept-b"),
    ("F10 受理", "plain", "case.accepted", "platform"),
    ("F10 不予受理", "not_accepted", "case.not_accepted", "platform"),
    ("F11 补正告知", "corrected", "case.correction_notified", "platform"),
    ("F11 补正", "corrected", "case.corrected", "dept-b"),
    ("F11 二次补正上报监管", "corrected_twice", "case.correction_notified", "supervision"),
    ("F14 特别程序开始", "suspended", "case.special_started", "nation"),
    ("F14 特别程序结束", "suspended", "case.special_ended", "platform"),
    ("F15 过程", "plain", "case.process_step", "nation"),
    ("F17 决定", "plain", "case.decided", "platform"),
    ("F19 送达", "plain", "case.delivered", "dept-b"),
    ("F21 评价", "suspended", "case.evaluated", "dept-a"),
    ("F28 审批结果到监管", "plain", "case.decided", "supervision"),
    ("F51 异地收件到属地部门", "cross_region_counter", "case.submitted", "dept-b"),
    ("F52 送达信息回异地窗口", "cross_region_counter", "case.delivered", "window-haikou"),
    ("F60 信用核验", "credit_refused", "case.submitted", "credit"),
    ("F61 禁办告知", "credit_refused", "case.refusal", "platform"),
    ("国家上报受理", "plain", "case.accepted", "nation"),
    ("自有窗口办件上报平台", "own_counter", "case.decided", "platform"),
]


@pytest.mark.parametrize(("flow", "path", "type_", "member"), FLOWS, ids=[flow[0] for flow in FLOWS])
def test_flow_reaches_its_receiver(ran: Ran, flow: str, path: str, type_: str, member: str) -> None:
    rows = ran.query(
        "SELECT d.outcome FROM dispatches d JOIN messages m ON m.id = d.message_id "
        "WHERE d.case_no = ANY($1) AND d.member = $3 "
        "AND (m.type = $2 OR (m.type = 'credit.query' AND $3 = 'credit'))",
        numbers_of(ran.cases, path),
        type_,
        member,
    )
    assert any(row["outcome"] == "delivered" for row in rows), f"{flow}: {[dict(row) for row in rows]}"


def test_r03_nobody_gets_an_echo_of_its_own_message(ran: Ran) -> None:
    echoes = ran.query(
        "SELECT m.type, d.member FROM dispatches d JOIN messages m ON m.id = d.message_id "
        "WHERE d.member = m.source AND NOT m.originated"
    )
    assert [dict(row) for row in echoes] == []
    own = ran.query(
        "SELECT DISTINCT source FROM messages WHERE type = 'case.submitted' AND source LIKE 'dept-%'"
    )
    assert {row["source"] for row in own} == {"dept-a", "dept-b"}


def test_r30_the_nation_collected_rows_and_its_rejects_came_back(ran: Ran) -> None:
    refused = ran.query("SELECT detail FROM dispatches WHERE member = 'nation' AND outcome = 'refused'")
    assert refused, "a row the nation rejected later makes its dispatch refused"
    told = ran.query("SELECT member FROM dispatches WHERE kind = 'case.refusal' AND outcome = 'delivered'")
    assert {"dept-a", "dept-b"} & {row["member"] for row in told}


def test_second_correction_is_flagged_to_supervision_only_once_per_case(ran: Ran) -> None:
    """F11: 一次性告知; a second notice on the same case is what supervision looks at."""

    async def flags() -> Counter[str]:
        counted: Counter[str] = Counter()
        async with open_reader(ran.settings) as reader:
            starts = await reader.start_offsets(
                await reader.partitions([ran.settings.topic("deliver.supervision")])
            )
            async for batch in reader.read_to_stable(starts):
                for record in batch:
                    if b"second-correction" in dict(record.headers).get("hub_flags", b""):
                        counted[record.key.decode()] += 1
        return counted

    flagged = asyncio.run(flags())
    twice = numbers_of(ran.cases, "corrected_twice")
    copied = {
        row["case_no"]
        for row in ran.query(
            "SELECT case_no FROM dispatches WHERE member = 'supervision' AND case_no = ANY($1)", twice
        )
    }
    assert copied, "at least one of them is an item that supervision gets copies of"
    assert flagged == dict.fromkeys(copied, 1)


def outside(ran: Ran, topics: list[str]) -> dict[str, list[Any]]:
    """Committed records as librdkafka sees them, another client than ours."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": ran.settings.kafka_bootstrap,
            "group.id": "outside",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    known = consumer.list_topics(timeout=20).topics
    places = [
        TopicPartition(t, p, OFFSET_BEGINNING)
        for t in topics
        for p in known[ran.settings.topic(t)].partitions
    ]
    consumer.assign(places)
    open_, got = {(p.topic, p.partition) for p in places}, defaultdict(list)
    while open_:
        record = consumer.poll(20)
        assert record is not None, f"no end of {open_}"
        if record.error() is not None:
            open_.discard((record.topic(), record.partition()))
            continue
        got[ran.settings.bare(record.topic())].append(record)
    consumer.close()
    return got


def test_another_read_committed_consumer_sees_what_the_books_say(ran: Ran) -> None:
    members = list(PLAYED_BY)
    seen = outside(
        ran, ["case.inbound", "case.routed", "case.outcomes", *(f"deliver.{member}" for member in members)]
    )
    accepted = {dict(record.headers())["ce_id"] for record in seen["case.inbound"]}
    assert len(accepted) == ran.report.messages.accepted
    dispatched = Counter(
        dict(r.headers())["hub_dispatch"].decode() for m in members for r in seen[f"deliver.{m}"]
    )
    assert set(dispatched.values()) == {1}
    assert len(dispatched) == ran.report.dispatches.dispatches
    last = {
        dict(r.headers())["hub_dispatch"].decode(): codec.decode(r.value())[1]["outcome"]
        for r in seen["case.outcomes"]
    }
    outcomes = Counter(last.values())
    assert outcomes["delivered"] == ran.report.dispatches.delivered
    assert outcomes["refused"] == ran.report.dispatches.refused
    assert set(last) == set(dispatched)


def test_confluents_deserializer_reads_every_avro_topic_through_the_gateway(ran: Ran) -> None:
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer
    from confluent_kafka.serialization import MessageField, SerializationContext

    client = SchemaRegistryClient({"url": ran.hub.urls["gateway"]})
    deserialize = AvroDeserializer(client)
    entries = [topic for topic in catalogue.load().topics if topic.value == "avro"]
    names = [
        name
        for topic in entries
        for name in (
            [topic.name.replace("{member}", m) for m in PLAYED_BY]
            if "{member}" in topic.name
            else [topic.name]
        )
    ]
    decoded: Counter[str] = Counter()
    for name, records in outside(ran, names).items():
        for record in records:
            body = deserialize(record.value(), SerializationContext(record.topic(), MessageField.VALUE))
            assert isinstance(body, dict)
            decoded[name] += 1
    assert {"case.inbound", "case.routed", "case.events", "case.outcomes"} <= set(decoded)
    assert all(decoded[f"deliver.{member}"] for member in PLAYED_BY)


def test_r25_every_role_answers_for_itself(ran: Ran) -> None:
    import urllib.request

    for role in ("gateway", "console"):
        for page in ("/healthz", "/readyz", "/metrics"):
            with urllib.request.urlopen(ran.hub.urls[role] + page, timeout=10) as answer:
                assert answer.status == 200, f"{role}{page}"
