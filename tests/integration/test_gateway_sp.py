"""/soap/sp as a 2009 system uses it: ASMX over GBK, key/secret token, SP* XML inside, HTTP 200 with STATUS
300 for a refusal."""

import asyncio
import re
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path
from xml.sax.saxutils import escape

import msgspec
import pytest
import pytest_asyncio
from gateway_harness import SP_KEY, SP_SECRET, Gateway, running_gateway, settings_for

from hub import ids
from hub.envelope import from_record
from hub.gateway.sp_door import BODY_BYTES_MAX
from schemas import codec
from tests.servers import Kafka

CASE = ids.case_number("platform", "", "YTH-2025-000001")
ACCEPT = (
    "<SPSHOULI><SLZTDM>1</SLZTDM><SLBMMC>三亚市人社局</SLBMMC><SLBMZZJGDM>11460200MB1A22024B</SLBMZZJGDM>"
    "<BLRXM>喆昇</BLRXM><SLSJ>2025-03-03 10:30:00</SLSJ><EXPRESSTYPE>0</EXPRESSTYPE></SPSHOULI>"
)
STEP = (
    "<GDBSSPCL><SPHJDM>2</SPHJDM><SPHJMC>审核</SPHJMC><SPRXM>李娜</SPRXM><SPYJ>{}</SPYJ>"
    "<SPSJ>2025-03-04 10:00:00</SPSJ></GDBSSPCL>"
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    directory = tmp_path_factory.mktemp("hub")
    async with running_gateway(settings_for(kafka.bootstrap, directory.name + "-sp.", directory)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def without_broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    settings = settings_for("127.0.0.1:1", "", tmp_path_factory.mktemp("hub"), produce_timeout_ms=200)
    async with running_gateway(settings, create_topic=False) as running:
        yield running


def document(*records: str, serial: str = CASE, version: int = 1) -> str:
    return (
        '<?xml version="1.0" encoding="gb2312"?>'
        f"<APPROVEDATAINFO><SBLSH_SHORT>{serial}</SBLSH_SHORT><VERSION>{version}</VERSION>"
        f"{''.join(records)}</APPROVEDATAINFO>"
    )


def envelope(operation: str, **arguments: str) -> bytes:
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in arguments.items())
    return (
        '<?xml version="1.0" encoding="gb2312"?><soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
        f'<soap:Body><{operation} xmlns="http://tempuri.org/">{inner}</{operation}></soap:Body></soap:Envelope>'
    ).encode("gb18030")


async def post(
    gateway: Gateway, body: bytes, media_type: str = "text/xml; charset=gb2312"
) -> tuple[int, str]:
    status, text, _ = await gateway.call("POST", "/soap/sp", body, {"Content-Type": media_type})
    return status, text


async def call(gateway: Gateway, operation: str, **arguments: str) -> dict[str, str]:
    """The RESULT inside an HTTP 200."""
    status, text = await post(gateway, envelope(operation, **arguments))
    assert status == 200, text
    inner = ET.fromstring(text.encode()).find(f".//{{http://tempuri.org/}}{operation}Result")
    assert inner is not None
    return {child.tag: child.text or "" for child in ET.fromstring(inner.text or "")}


async def token(gateway: Gateway) -> str:
    result = await call(gateway, "getXmlToken", key=SP_KEY, secret=SP_SECRET)
    assert result["STATUS"] == "200"
    return result["DATA"]


async def send(gateway: Gateway, xml: str, operation: str = "receiveBusinessAcceptSsdj") -> dict[str, str]:
    return await call(gateway, operation, token=await token(gateway), xmlStr=xml)


async def test_r16_key_and_secret_become_a_token_and_a_gb2312_document_becomes_a_message(
    gateway: Gateway,
) -> None:
    result = await send(gateway, document(ACCEPT))
    (receipt,) = msgspec.json.decode(result["DATA"])
    (record,) = [
        r for r in await gateway.inbound() if dict(r.headers)["ce_id"].decode() == receipt["messageId"]
    ]
    message = from_record(record.headers, record.value)
    contract, body = codec.decode(message.value)
    assert result["STATUS"] == "200"
    assert receipt["caseNo"] == message.subject == CASE
    assert (message.source, contract.name) == ("dept-b", "case.accepted")
    # 喆 is not in GB 2312: the label means GB18030 in practice (R14).
    assert (body["handler"], body["org"]["code"]) == ("喆昇", "11460200MB1A22024B")
    assert body["acceptedAt"] == 1740969000000, "10:30 without a zone is Asia/Shanghai (R7)"


async def test_g8_the_same_document_again_gives_the_same_receipts(gateway: Gateway) -> None:
    xml = document(ACCEPT, serial="SY-2025-0007")
    first, again = await send(gateway, xml), await send(gateway, xml)
    assert (first["STATUS"], first["DATA"]) == (again["STATUS"], again["DATA"])


async def test_r03_a_number_that_is_not_the_hubs_names_a_case_of_the_departments_own_counter(
    gateway: Gateway,
) -> None:
    (receipt,) = msgspec.json.decode((await send(gateway, document(ACCEPT, serial="SY-2025-0009")))["DATA"])
    assert receipt["caseNo"] == ids.case_number("dept-b", "", "SY-2025-0009")


async def test_r01_two_audit_steps_in_one_second_are_two_messages(gateway: Gateway) -> None:
    xml = document(STEP.format("同意"), STEP.format("拟同意，报批"))
    receipts = msgspec.json.decode((await send(gateway, xml, "receiveCourseInfoSsdj"))["DATA"])
    assert len({receipt["messageId"] for receipt in receipts}) == 2


async def test_r02_other_content_under_one_version_is_status_300_with_both_digests(gateway: Gateway) -> None:
    xml = document(ACCEPT, serial="SY-2025-0011")
    (receipt,) = msgspec.json.decode((await send(gateway, xml))["DATA"])
    refused = await send(gateway, xml.replace("李", "王").replace("喆昇", "王伟"))
    corrected = await send(
        gateway, document(ACCEPT.replace("喆昇", "王伟"), serial="SY-2025-0011", version=2)
    )
    digests = re.findall(r"\b[0-9a-f]{64}\b", refused["DESC"])
    assert refused["STATUS"] == "300"
    assert "conflict" in refused["DESC"]
    assert receipt["digest"] in digests
    assert len(set(digests)) == 2
    assert corrected["STATUS"] == "200"


async def test_one_bad_record_refuses_the_whole_document_and_nothing_of_it_is_written(
    gateway: Gateway,
) -> None:
    before = len(await gateway.inbound())
    bad = ACCEPT.replace("11460200MB1A22024B", "11460200MB1A22024C")
    result = await send(gateway, document(STEP.format("新的一步"), bad, serial="SY-2025-0013"))
    assert result["STATUS"] == "300"
    assert "org.code" in result["DESC"]
    assert "GB 32100" in result["DESC"]
    assert len(await gateway.inbound()) == before


async def test_examples_of_own_counter_cases_are_taken_as_they_are(gateway: Gateway) -> None:
    folder = Path(__file__).parents[2] / "examples" / "cases" / "dept-b" / "own_counter"
    documents = sorted(folder.glob("*.xml"))[:5]
    assert documents
    for path in documents:
        text = path.read_bytes().decode("gb18030")
        result = await send(gateway, text, "receiveApplyRegisterSsdj")
        assert result["STATUS"] == "200", result["DESC"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"token": "", "xmlStr": document(ACCEPT)}, "bad_token"),
        ({"token": "forged.token", "xmlStr": document(ACCEPT)}, "bad_token"),
    ],
)
async def test_r16_without_a_valid_token_nothing_is_read(
    without_broker: Gateway, arguments: dict[str, str], code: str
) -> None:
    result = await call(without_broker, "receiveBusinessAcceptSsdj", **arguments)
    assert result["STATUS"] == "300"
    assert code in result["DESC"]
    assert "令牌" in result["DESC"]


async def test_r16_a_wrong_secret_gives_no_token(without_broker: Gateway) -> None:
    result = await call(without_broker, "getXmlToken", key=SP_KEY, secret="guessed")
    assert (result["STATUS"], result["DATA"]) == ("300", "")


async def test_broker_away_is_503_with_a_server_fault_never_status_300(without_broker: Gateway) -> None:
    body = envelope("receiveBusinessAcceptSsdj", token=await token(without_broker), xmlStr=document(ACCEPT))
    status, text, headers = await without_broker.call(
        "POST", "/soap/sp", body, {"Content-Type": "text/xml; charset=gb2312"}
    )
    assert (status, headers["Retry-After"]) == (503, "5")
    assert "Server" in text
    assert "broker_away" in text


@pytest.mark.parametrize(
    "xml",
    [
        "<APPROVEDATAINFO>",
        "<SOMETHING/>",
        document(),
        document("<SPWEIZHI><A>1</A></SPWEIZHI>"),
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><APPROVEDATAINFO>&x;</APPROVEDATAINFO>',
        document(ACCEPT.replace("2025-03-03 10:30:00", "soon")),
        document(ACCEPT.replace("<SLZTDM>1", "<SLZTDM>7")),
    ],
    ids=["cut", "other-root", "empty", "unknown-record", "external-entity", "bad-time", "bad-code"],
)
async def test_documents_that_cannot_be_read_are_status_300_in_two_languages(
    without_broker: Gateway, xml: str
) -> None:
    result = await send(without_broker, xml)
    assert result["STATUS"] == "300"
    assert "malformed" in result["DESC"] or "invalid" in result["DESC"]
    assert any("\u4e00" <= character <= "\u9fff" for character in result["DESC"])


BOMB = (
    b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>'
)


@pytest.mark.parametrize(
    "body",
    [BOMB, b"<not closed", b"", b"<x/>", envelope("formatDisk", token="x"), b"\x00\x01\x02", b"<a>" * 5_000],
    ids=["bomb", "cut", "empty", "no-envelope", "unknown-operation", "binary", "deep"],
)
async def test_envelopes_that_cannot_be_read_are_client_faults(without_broker: Gateway, body: bytes) -> None:
    status, text = await asyncio.wait_for(post(without_broker, body, "text/xml"), 10)
    assert status == 500
    assert "Client" in text
    assert "malformed" in text
    assert "/etc/" not in text


async def test_a_document_over_the_limit_is_413_and_other_media_types_415(without_broker: Gateway) -> None:
    assert (await post(without_broker, b" " * (BODY_BYTES_MAX + 1)))[0] == 413
    assert (await post(without_broker, envelope("getXmlToken"), "application/json"))[0] == 415


async def test_the_wsdl_names_the_address_under_which_it_was_asked(without_broker: Gateway) -> None:
    status, text, _ = await without_broker.call("GET", "/soap/sp?wsdl")
    assert status == 200
    assert f'location="{without_broker.url}/soap/sp"' in text
    assert "receiveBusinessAcceptSsdj" in text
