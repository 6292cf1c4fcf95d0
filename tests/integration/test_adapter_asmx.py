"""The ASMX port against servers as 2009 wrote them, and the hub's own SOAP side against a zeep client."""

import asyncio
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree
from zeep import Client as _Client

from adapters.factory import PortConfig, open_port
from adapters.formats import sp_xml
from adapters.ports import Dispatch, FormatError, Reply, ReplyKind, TooLate
from adapters.soap import server
from adapters.soap.codec import SOAP11, SOAP12
from signing.username_token import PASSWORD_DIGEST
from tests.integration.raw_http import Script, cutting, garbage, serving, stalling

Client: Any = _Client
NOW_MS = 1_772_326_800_000
Answers = Callable[[str, str, str], "str | bytes"]


def envelope(operation: str, text: str, charset: str = "gb2312") -> bytes:
    root = etree.Element("{http://schemas.xmlsoap.org/soap/envelope/}Envelope")
    body = etree.SubElement(root, "{http://schemas.xmlsoap.org/soap/envelope/}Body")
    answer = etree.SubElement(body, f"{{http://tempuri.org/}}{operation}Response")
    etree.SubElement(answer, f"{{http://tempuri.org/}}{operation}Result").text = text
    inner = etree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="{charset}"?>{inner}'.encode(
        "gbk" if charset == "gb2312" else charset
    )


def said(status: str, desc: str = "", data: str = "") -> str:
    return sp_xml.result(status, desc, NOW_MS, data)


class Department:
    """A 2009 department by hand: tokens, GBK, HTTP 200 for everything it understood."""

    def __init__(self, answer: str | bytes = "", status: int = 200) -> None:
        self.answer, self.status = answer or said("200", "已受理"), status
        self.calls: list[tuple[str, str, str]] = []
        self.tokens_given = 0
        self.token_valid = "t1"
        self.last_request = b""

    def script(self) -> Script:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            status, body = self.react(bytes(self.server.seen))
            self.server.seen.clear()
            head = f"HTTP/1.1 {status} X\r\nContent-Type: text/xml; charset=gb2312\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()

        return serve

    def react(self, request: bytes) -> tuple[int, bytes]:
        self.last_request = request
        _, _, body = request.partition(b"\r\n\r\n")
        root = etree.fromstring(body.decode("gbk").partition("?>")[2].encode())
        call = root[-1][0]
        operation = etree.QName(call).localname
        first, second = [child.text or "" for child in call]
        self.calls.append((operation, first, second))
        if operation == "getXmlToken":
            self.tokens_given += 1
            self.token_valid = f"t{self.tokens_given}"
            return 200, envelope(operation, said("200", "", self.token_valid))
        if first != self.token_valid:
            return 200, envelope(operation, said("300", "令牌无效或已过期"))
        if isinstance(self.answer, bytes):
            return self.status, self.answer
        return self.status, envelope(operation, self.answer)

    server: Any = None


def config(url: str, **changes: Any) -> PortConfig:
    values: dict[str, Any] = {
        "member": "dept-b",
        "style": "asmx",
        "url": url,
        "charset": "gb2312",
        "sp_key": "dept-b",
        "sp_secret": "s3cret",
        "call_timeout_ms": 700,
        "connect_timeout_ms": 400,
        "calls_in_flight_max": 1,
        "body_bytes_max": 4_194_304,
    }
    return PortConfig(**{**values, **changes})


def dispatch(reason: str = "不办了") -> Dispatch:
    return Dispatch(
        id="d" * 32,
        message_id="e" * 32,
        member="dept-b",
        kind="case.withdrawn",
        type="case.withdrawn",
        case_no="46ABCDEFGH01234567X",
        source="platform",
        occurred_ms=NOW_MS,
        body={"withdrawnAt": NOW_MS, "reason": reason, "by": "王伟"},
    )


async def deliver(department: Department, **changes: Any) -> Reply:
    async with serving(department.script()) as (raw, url):
        department.server = raw
        port = await open_port(config(url, **changes))
        try:
            return await port.deliver(dispatch(), lambda: True)
        finally:
            await port.close()


async def test_a_dispatch_arrives_as_gbk_labelled_gb2312_with_its_id() -> None:
    department = Department()
    reply = await deliver(department)
    assert reply.kind is ReplyKind.DONE
    operation, token, xml = department.calls[-1]
    assert (operation, token) == ("sendApply", "t1")
    assert xml.startswith('<?xml version="1.0" encoding="gb2312"?>')
    assert f"<EXCHANGENO>{'d' * 32}</EXCHANGENO>" in xml
    assert "<CHYY>不办了</CHYY>" in xml
    head = department.last_request.partition(b"\r\n\r\n")[0].decode()
    assert "POST /base/ApproveService.asmx HTTP/1.1" in head
    assert 'SOAPAction: "http://tempuri.org/sendApply"' in head
    assert re.search(r"Content-Type: text/xml; charset=gb2312", head)


async def test_r17_the_hub_proves_itself_by_the_members_token() -> None:
    department = Department()
    await deliver(department)
    assert department.calls[0] == ("getXmlToken", "dept-b", "s3cret")


async def test_a_refused_token_is_fetched_anew_once() -> None:
    department = Department()
    async with serving(department.script()) as (raw, url):
        department.server = raw
        port = await open_port(config(url))
        assert (await port.deliver(dispatch(), lambda: True)).kind is ReplyKind.DONE
        department.token_valid = "withdrawn"
        assert (await port.deliver(dispatch(), lambda: True)).kind is ReplyKind.DONE
        await port.close()
    assert department.tokens_given == 2
    assert [call[0] for call in department.calls[-3:]] == ["sendApply", "getXmlToken", "sendApply"]


WORDS = [
    (said("200", "成功"), ReplyKind.DONE),
    (said("300", "重复提交，已接收"), ReplyKind.ALREADY_DONE),
    (said("300", "系统繁忙，请稍后再试"), ReplyKind.TRY_LATER),
    (said("300", "不属于本部门受理范围，退回"), ReplyKind.REFUSED),
    (said("300", "XML格式错误"), ReplyKind.MALFORMED),
    (said("300", "失败"), ReplyKind.UNKNOWN),
    (said("300", ""), ReplyKind.UNKNOWN),
    (said("500", "成功"), ReplyKind.UNKNOWN),
    ("成功", ReplyKind.UNKNOWN),
    ("<RESULT><STATUS>200", ReplyKind.UNKNOWN),
]


@pytest.mark.parametrize(("answer", "kind"), WORDS)
async def test_r19_http_200_is_no_success_the_words_decide(answer: str, kind: ReplyKind) -> None:
    assert (await deliver(Department(answer))).kind is kind


def soap_fault(code: str, text: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="gb2312"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
        f"<s:Body><s:Fault><faultcode>s:{code}</faultcode><faultstring>{text}</faultstring></s:Fault></s:Body>"
        "</s:Envelope>"
    ).encode("gbk")


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (500, soap_fault("Client", "缺少参数"), ReplyKind.MALFORMED),
        (500, soap_fault("Server", "系统繁忙"), ReplyKind.TRY_LATER),
        (500, soap_fault("Server", "Server was unable to process request"), ReplyKind.UNKNOWN),
        (200, soap_fault("Client", "缺少参数"), ReplyKind.MALFORMED),
        (500, b"<html>Runtime Error</html>", ReplyKind.UNKNOWN),
        (503, b"Service Unavailable", ReplyKind.TRY_LATER),
        (404, b"not found", ReplyKind.MALFORMED),
        (200, b"<html>login</html>", ReplyKind.UNKNOWN),
        (200, b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', ReplyKind.UNKNOWN),
        (200, b"", ReplyKind.UNKNOWN),
    ],
)
async def test_r19_faults_and_other_answers(status: int, answer: bytes, kind: ReplyKind) -> None:
    department = Department(status=status)
    department.answer = answer
    assert (await deliver(department)).kind is kind


@pytest.mark.parametrize("script", [cutting, stalling, garbage])
async def test_without_a_token_nothing_can_be_unknown(script: Script) -> None:
    async with serving(script) as (_, url):
        port = await open_port(config(url))
        reply = await port.deliver(dispatch(), lambda: True)
        await port.close()
    assert (reply.kind, reply.code) == (ReplyKind.TRY_LATER, "token")


async def test_a_cut_after_the_call_was_written_is_unknown() -> None:
    department = Department()
    answering = department.script()

    async def cut_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"sendApply" in department.server.seen:
            writer.transport.abort()
        else:
            await answering(reader, writer)

    async with serving(cut_the_second) as (raw, url):
        department.server = raw
        port = await open_port(config(url))
        assert (await port.deliver(dispatch(), lambda: True)).kind is ReplyKind.UNKNOWN
        await port.close()


async def test_a_call_that_may_no_longer_start_is_not_written() -> None:
    department = Department()
    async with serving(department.script()) as (raw, url):
        department.server = raw
        port = await open_port(config(url))
        with pytest.raises(TooLate):
            await port.deliver(dispatch(), lambda: False)
        await port.close()
    assert [call[0] for call in department.calls] == ["getXmlToken"]


async def test_r14_a_character_gbk_lacks_is_never_sent() -> None:
    department = Department()
    async with serving(department.script()) as (raw, url):
        department.server = raw
        port = await open_port(config(url))
        with pytest.raises(FormatError, match="𠮷"):
            await port.deliver(dispatch("𠮷"), lambda: True)
        await port.close()
    assert not department.calls


async def test_a_body_over_the_members_limit_is_not_sent() -> None:
    department = Department()
    reply = await deliver(department, body_bytes_max=600)
    assert (reply.kind, reply.code) == (ReplyKind.MALFORMED, "too_large")
    assert [call[0] for call in department.calls] == ["getXmlToken"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said("200", "已接收", "1"), ReplyKind.DONE),
        (said("200", "未接收", "0"), ReplyKind.ABSENT),
        (said("200", "已退回", "2"), ReplyKind.REFUSED),
        (said("200", "", ""), ReplyKind.UNKNOWN),
        (said("300", "系统繁忙", "0"), ReplyKind.UNKNOWN),
        ("0", ReplyKind.UNKNOWN),
    ],
)
async def test_a_query_believes_only_a_clear_answer(answer: str, kind: ReplyKind) -> None:
    department = Department(answer)
    async with serving(department.script()) as (raw, url):
        department.server = raw
        port = await open_port(config(url))
        assert (await port.query(dispatch())).kind is kind
        await port.close()
    assert department.calls[-1][0] == "queryApply"


# The hub's own side


def test_a_dotnet_style_call_is_read_and_answered() -> None:
    sp = server.sp_server("http://127.0.0.1/soap/sp")
    client: Any = Client(io.BytesIO(sp.wsdl.encode()))
    message = client.create_message(client.service, "receiveCourseInfoSsdj", token="t", xmlStr="<a>审核</a>")
    call = sp.parse_call(etree.tostring(message, encoding="utf-8"))
    assert (call.operation, call.arguments) == (
        "receiveCourseInfoSsdj",
        {"token": "t", "xmlStr": "<a>审核</a>"},
    )
    answer = sp.reply(call.operation, said("200", "成功"))
    output = client.service._binding.get(call.operation).output
    assert sp_xml.parse_result(output.deserialize(etree.fromstring(answer))).desc == "成功"


def test_a_gbk_envelope_and_a_soap12_envelope_are_read() -> None:
    sp = server.sp_server("http://127.0.0.1/soap/sp")
    inner = '<getXmlToken xmlns="http://tempuri.org/"><key>部门乙</key><secret>s</secret></getXmlToken>'
    for namespace, soap12 in ((SOAP11, False), (SOAP12, True)):
        text = f'<e:Envelope xmlns:e="{namespace}"><e:Body>{inner}</e:Body></e:Envelope>'
        for body, charset in (
            (f'<?xml version="1.0" encoding="gb2312"?>{text}'.encode("gbk"), ""),
            (text.encode("gbk"), "GBK"),
            (text.encode(), ""),
        ):
            call = sp.parse_call(body, charset=charset)
            assert call.arguments == {"key": "部门乙", "secret": "s"}
            assert call.soap12 is soap12
        assert namespace.encode() in sp.reply("getXmlToken", "x", soap12=soap12)


def test_a_username_token_is_found_in_the_header() -> None:
    sp = server.sp_server("http://127.0.0.1/soap/sp")
    given = (
        "<w:UsernameToken><w:Username>dept-c</w:Username>"
        f'<w:Password Type="{PASSWORD_DIGEST}">abc=</w:Password>'
        f'<w:Nonce>bm9uY2U=</w:Nonce><u:Created xmlns:u="{server.WSU}">2026-03-01T01:00:00Z</u:Created>'
        "</w:UsernameToken>"
    )
    inner = '<getXmlToken xmlns="http://tempuri.org/"><key>k</key><secret>s</secret></getXmlToken>'
    body = (
        f'<e:Envelope xmlns:e="{SOAP11}"><e:Header><w:Security xmlns:w="{server.WSSE}">{given}</w:Security>'
        f"</e:Header><e:Body>{inner}</e:Body></e:Envelope>"
    )
    token = sp.parse_call(body.encode()).security
    assert token is not None
    assert (token.username, token.password, token.nonce) == ("dept-c", "abc=", "bm9uY2U=")
    assert (token.password_type, token.created) == (PASSWORD_DIGEST, "2026-03-01T01:00:00Z")


BODY = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{}</e:Body></e:Envelope>'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<a/>",
        BODY.format(""),
        BODY.format('<drop xmlns="http://tempuri.org/"/>'),
        BODY.format("<getXmlToken/>"),
        BODY.format('<getXmlToken xmlns="http://tempuri.org/"><other>1</other></getXmlToken>'),
        BODY.format('<getXmlToken xmlns="http://tempuri.org/"/><a/>'),
        '<!DOCTYPE a [<!ENTITY b "c">]>' + BODY.format("<a>&b;</a>"),
        BODY.format(
            '<getXmlToken xmlns="http://tempuri.org/"><key>' + "<a/>" * 50_000 + "</key></getXmlToken>"
        ),
    ],
)
def test_a_call_that_is_none_is_refused_in_both_languages(text: str) -> None:
    with pytest.raises(FormatError) as refusal:
        server.sp_server("http://127.0.0.1/soap/sp").parse_call(text.encode())
    assert refusal.value.zh
    assert refusal.value.en


@pytest.mark.parametrize("soap12", [False, True])
def test_a_fault_speaks_both_languages_and_says_whose_it_is(soap12: bool) -> None:
    raw = server.fault("clock_skew", "时间不符", "the clock is off", {"serverTime": "1"}, soap12=soap12)
    root = etree.fromstring(raw)
    assert "".join(str(text) for text in root.itertext()).count("时间不符") == 2
    assert root.findtext(".//error/code") == "clock_skew"
    assert root.findtext(".//error/serverTime") == "1"
    assert (b"Sender" if soap12 else b"Client") in raw
    assert (b"Receiver" if soap12 else b"Server") in server.fault(
        "away", "忙", "busy", client=False, soap12=soap12
    )
