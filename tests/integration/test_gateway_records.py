"""What a member may ask of the gateway: the way of its messages, of its cases, and the files of the cases it
takes part in.

The projector's tables are filled by hand here; the projector has tests of its own.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import asyncpg
from gateway_harness import document, running_gateway, settings_for

import hub.projector
from hub import ids
from signing.digest import sm3_hex
from tests.servers import Kafka

SCHEMA = (Path(hub.projector.__file__).parent / "schema.sql").read_text("utf-8")
CASE = ids.case_number("platform", "", "YTH-2025-000001")
MESSAGE = ids.message_id("platform", "", "YTH-2025-000001", "case.submitted", 1)


async def fill(url: str, *statements: tuple[str, Any]) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SCHEMA)
        for statement, values in statements:
            await connection.execute(statement, *values)
    finally:
        await connection.close()


def message_row(
    id_: str, digest: str, source: str = "platform", disposition: str = "routed"
) -> tuple[str, Any]:
    return (
        "INSERT INTO messages (id, case_no, type, source, digest, disposition, occurred_at, received_at) "
        "VALUES ($1, $2, 'case.submitted', $3, $4, $5, now(), now())",
        (id_, CASE, source, digest, disposition),
    )


def dispatch_row(member: str, outcome: str = "delivered") -> tuple[str, Any]:
    return (
        "INSERT INTO dispatches (id, message_id, case_no, member, kind, outcome, attempts) "
        "VALUES ($1, $2, $3, $4, 'case.submitted', $5, 1)",
        (ids.dispatch_id(MESSAGE, member), MESSAGE, CASE, member, outcome),
    )


def file_row(sm3: str) -> tuple[str, Any]:
    return "INSERT INTO files (case_no, sm3) VALUES ($1, $2)", (CASE, sm3)


CASE_ROW = (
    "INSERT INTO cases (case_no, item, owner, origin, stage, applicant_masked) "
    "VALUES ($1, 'x', 'dept-a', 'platform', 'submitted', '海口**公司')",
    (CASE,),
)


async def test_r10_the_sender_sees_what_became_of_its_message_at_every_destination(
    database_url: str, tmp_path: Path
) -> None:
    await fill(
        database_url,
        message_row(MESSAGE, "d" * 64),
        dispatch_row("dept-a"),
        dispatch_row("credit", "refused"),
        CASE_ROW,
    )
    settings = settings_for("127.0.0.1:1", "", tmp_path, database_url=database_url)
    async with running_gateway(settings, create_topic=False) as gateway:
        status, seen, _ = await gateway.signed("platform", "GET", f"/v1/messages/{MESSAGE}")
        assert (status, seen["status"], seen["caseNo"]) == (200, "routed", CASE)
        assert {(d["member"], d["status"]) for d in seen["dispatches"]} == {
            ("dept-a", "delivered"),
            ("credit", "refused"),
        }
        # A receiver sees its own dispatch, a stranger nothing at all.
        _, received, _ = await gateway.signed("dept-a", "GET", f"/v1/messages/{MESSAGE}")
        assert [d["member"] for d in received["dispatches"]] == ["dept-a"]
        assert (await gateway.signed("window-haikou", "GET", f"/v1/messages/{MESSAGE}"))[0] == 404


async def test_r10_a_message_not_yet_on_record_is_received(
    kafka: Kafka, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    await fill(database_url)
    settings = settings_for(kafka.bootstrap, topic_prefix, tmp_path, database_url=database_url)
    async with running_gateway(settings) as gateway:
        await gateway.submit("platform", document())
        _, seen, _ = await gateway.signed("platform", "GET", f"/v1/messages/{MESSAGE}")
    assert seen["status"] == "received"


async def test_f07_a_case_is_shown_to_those_who_take_part_in_it(database_url: str, tmp_path: Path) -> None:
    await fill(database_url, message_row(MESSAGE, "d" * 64), dispatch_row("dept-a"), CASE_ROW)
    settings = settings_for("127.0.0.1:1", "", tmp_path, database_url=database_url)
    async with running_gateway(settings, create_topic=False) as gateway:
        status, seen, _ = await gateway.signed("dept-a", "GET", f"/v1/cases/{CASE}")
        assert (status, seen["stage"], len(seen["messages"]), len(seen["dispatches"])) == (
            200,
            "submitted",
            1,
            1,
        )
        assert (await gateway.signed("window-haikou", "GET", f"/v1/cases/{CASE}"))[0] == 404
        assert (await gateway.call("GET", f"/v1/cases/{CASE}"))[0] == 401


async def test_r02_a_conflict_is_found_on_record_after_a_restart(
    kafka: Kafka, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    """The gateway that gave the first receipt is gone; the projector's table remembers."""
    await fill(database_url, message_row(MESSAGE, "d" * 64))
    settings = settings_for(kafka.bootstrap, topic_prefix, tmp_path, database_url=database_url)
    async with running_gateway(settings) as gateway:
        status, answer, _ = await gateway.submit("platform", document())
        assert await gateway.inbound() == []
    assert (status, answer["error"]["digests"]["first"]) == (409, "d" * 64)


async def test_intake_does_not_depend_on_the_database(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    away = "postgresql://nobody:nothing@127.0.0.1:1/none"
    settings = settings_for(kafka.bootstrap, topic_prefix, tmp_path, database_url=away)
    async with running_gateway(settings) as gateway:
        statuses = {(await gateway.submit("platform", document(sourceRef=f"S-{n}")))[0] for n in range(5)}
        asked, answer, headers = await gateway.signed("platform", "GET", f"/v1/cases/{CASE}")
    assert statuses == {202}
    assert (asked, answer["error"]["code"], headers["Retry-After"]) == (503, "records_away", "5")


async def test_r12_a_file_comes_back_byte_for_byte_to_who_uploaded_it(tmp_path: Path) -> None:
    content = hashlib.shake_128(b"a plan of the premises").digest(3_000_000)
    settings = settings_for("127.0.0.1:1", "", tmp_path)
    async with running_gateway(settings, create_topic=False) as gateway:
        status, kept, _ = await gateway.signed("dept-a", "PUT", "/v1/files", content, "application/pdf")
        assert (status, kept) == (
            200,
            {"ref": f"sm3:{sm3_hex(content)}", "size": 3_000_000, "sm3": sm3_hex(content)},
        )
        path = f"/v1/files/{kept['sm3']}"
        async with gateway.client.get(
            gateway.url + path, headers=gateway.sign("dept-a", "GET", path)
        ) as answer:
            assert answer.headers["Content-Length"] == "3000000"
            assert await answer.read() == content


async def test_r12_a_file_opens_for_members_that_were_sent_its_case_and_for_no_others(
    database_url: str, tmp_path: Path
) -> None:
    content = b"%PDF-1.7 a licence"
    await fill(
        database_url, message_row(MESSAGE, "d" * 64), dispatch_row("dept-a"), file_row(sm3_hex(content))
    )
    settings = settings_for("127.0.0.1:1", "", tmp_path, database_url=database_url)
    path = f"/v1/files/{sm3_hex(content)}"
    async with running_gateway(settings, create_topic=False) as gateway:
        await gateway.signed("platform", "PUT", "/v1/files", content, "application/pdf")
        assert (await gateway.signed("dept-a", "GET", path))[:2] == (200, content.decode())
        assert (await gateway.signed("window-haikou", "GET", path))[0] == 404
        assert (await gateway.call("GET", path))[0] == 401


async def test_r12_naming_anothers_file_in_a_case_of_ones_own_does_not_open_it(
    database_url: str, tmp_path: Path
) -> None:
    content = b"somebody else's identity card"
    await fill(
        database_url, message_row(MESSAGE, "d" * 64), dispatch_row("dept-a"), file_row(sm3_hex(content))
    )
    settings = settings_for("127.0.0.1:1", "", tmp_path, database_url=database_url)
    async with running_gateway(settings, create_topic=False) as gateway:
        await gateway.signed("window-haikou", "PUT", "/v1/files", content, "image/png")
        assert (await gateway.signed("dept-a", "GET", f"/v1/files/{sm3_hex(content)}"))[0] == 404


async def test_r12_a_file_that_is_not_what_was_signed_or_too_large_leaves_nothing(tmp_path: Path) -> None:
    settings = settings_for("127.0.0.1:1", "", tmp_path, file_bytes_max=65_536)
    async with running_gateway(settings, create_topic=False) as gateway:
        headers = gateway.sign("platform", "PUT", "/v1/files", b"what was signed")
        changed = await gateway.call("PUT", "/v1/files", b"what was sent  ", headers)
        large = await gateway.signed("platform", "PUT", "/v1/files", b"x" * 65_537, "application/pdf")
        stranger = await gateway.signed("nobody", "PUT", "/v1/files", b"x" * 100, "application/pdf")
        empty = await gateway.signed("platform", "PUT", "/v1/files", b"", "application/pdf")
    assert [answer[0] for answer in (changed, large, stranger, empty)] == [401, 413, 401, 400]
    assert [path for path in settings.files_dir.rglob("*") if path.is_file()] == []


async def test_r12_uploads_of_one_content_at_once_are_one_file(tmp_path: Path) -> None:
    settings = settings_for("127.0.0.1:1", "", tmp_path)
    async with running_gateway(settings, create_topic=False) as gateway:
        uploads = [
            gateway.signed(m, "PUT", "/v1/files", b"same", "text/plain") for m in ("platform", "dept-a") * 4
        ]
        answers = await asyncio.gather(*uploads)
    assert {status for status, _, _ in answers} == {200}
    kept = sorted(path.name for path in settings.files_dir.rglob("*") if path.is_file())
    assert kept == [sm3_hex(b"same"), sm3_hex(b"same") + ".by.dept-a", sm3_hex(b"same") + ".by.platform"]
