"""The REST door on a real broker: a receipt means durable, re-sending is safe, and everything bad gets a
clear answer in two languages."""

import asyncio
from pathlib import Path

import pytest
from gateway_harness import document, running_gateway, settings_for

from hub import ids
from hub.envelope import from_record
from schemas import codec
from tests.servers import Kafka


async def test_g1_a_receipt_is_given_for_a_record_that_is_on_the_topic(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        status, receipt, _ = await gateway.submit("platform", document())
        (record,) = await gateway.inbound()
    message = from_record(record.headers, record.value)
    contract, body = codec.decode(message.value)
    assert status == 202
    assert receipt == {
        "messageId": ids.message_id("platform", "", "YTH-2025-000001", "case.submitted", 1),
        "caseNo": ids.case_number("platform", "", "YTH-2025-000001"),
        "digest": message.digest,
        "status": "received",
    }
    assert record.key.decode() == message.subject == receipt["caseNo"]
    assert (message.id, message.source, message.type) == (receipt["messageId"], "platform", "case.submitted")
    assert (contract.name, body["item"], body["region"]) == ("case.submitted", message.item, message.region)
    assert message.time_ms == 1740964500000, "09:15 without a zone is Asia/Shanghai (R7)"


async def test_g8_sending_again_gives_the_same_receipt_and_writes_nothing(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        answers = [await gateway.submit("platform", document()) for _ in range(3)]
        together = await asyncio.gather(*(gateway.submit("platform", document()) for _ in range(8)))
        records = await gateway.inbound()
    assert {(status, str(receipt)) for status, receipt, _ in (*answers, *together)} == {
        (202, str(answers[0][1]))
    }
    assert len(records) == 1


async def test_g7_two_gateways_give_one_receipt(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    settings = settings_for(kafka.bootstrap, topic_prefix, tmp_path)
    async with running_gateway(settings) as one, running_gateway(settings) as other:
        assert (await one.submit("platform", document()))[1] == (await other.submit("platform", document()))[
            1
        ]


async def test_r02_same_source_key_with_other_content_is_refused_with_both_digests(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    other = document(occurredAt="2025-03-03T09:16:00")
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        _, receipt, _ = await gateway.submit("platform", document())
        status, answer, _ = await gateway.submit("platform", other)
        records = await gateway.inbound()
    assert status == 409
    assert answer["error"]["code"] == "conflict"
    digests = answer["error"]["digests"]
    assert digests["first"] == receipt["digest"] != digests["second"]
    assert len(records) == 1


async def test_r02_of_two_contents_that_arrive_together_one_is_accepted_and_one_refused(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    contents = [document(occurredAt=f"2025-03-03T09:{minute:02d}:00") for minute in range(10)]
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        answers = await asyncio.gather(*(gateway.submit("platform", content) for content in contents))
        records = await gateway.inbound()
    assert sorted(status for status, _, _ in answers) == [202] + [409] * 9
    assert len(records) == 1


async def test_r01_a_higher_version_is_another_message_of_the_same_case(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        _, first, _ = await gateway.submit("platform", document())
        status, second, _ = await gateway.submit(
            "platform", document(version=2, occurredAt="2025-03-04T08:00:00")
        )
    assert status == 202
    assert first["caseNo"] == second["caseNo"]
    assert first["messageId"] != second["messageId"]


async def test_the_digest_does_not_depend_on_how_the_json_is_written(
    kafka: Kafka, topic_prefix: str, tmp_path: Path
) -> None:
    body = document()["body"]
    reordered = dict(reversed(list(body.items()))) | {"investProject": None}
    same_moment = document(occurredAt="2025-03-03T01:15:00Z", body=reordered)
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        _, first, _ = await gateway.submit("platform", document())
        assert (await gateway.submit("platform", same_moment))[:2] == (202, first)


@pytest.mark.parametrize("gone", ["applicant", "item"])
async def test_a_missing_field_is_named_with_rule_and_standard_in_both_languages(
    kafka: Kafka, topic_prefix: str, tmp_path: Path, gone: str
) -> None:
    wrong = document()
    del wrong["body"][gone]
    async with running_gateway(settings_for(kafka.bootstrap, topic_prefix, tmp_path)) as gateway:
        status, answer, _ = await gateway.submit("platform", wrong)
        assert await gateway.inbound() == []
    (violation,) = answer["error"]["violations"]
    assert (status, answer["error"]["code"], violation["field"], violation["rule"]) == (
        400,
        "invalid",
        gone,
        "required",
    )
    assert violation["standard"]
    assert violation["zh"]
    assert violation["en"]


async def test_broker_away_is_503_with_retry_after_and_no_receipt(tmp_path: Path) -> None:
    settings = settings_for("127.0.0.1:1", "", tmp_path, produce_timeout_ms=500)
    async with running_gateway(settings, create_topic=False) as gateway:
        status, answer, headers = await gateway.submit("platform", document())
        ready, _, _ = await gateway.call("GET", "/readyz")
        alive, _, _ = await gateway.call("GET", "/healthz")
    assert (status, answer["error"]["code"], headers["Retry-After"]) == (503, "broker_away", "5")
    assert (ready, alive) == (503, 200)
