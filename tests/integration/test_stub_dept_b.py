"""The 2009 department alone, over real SOAP: what the hub's ASMX port meets, and what its own sender does."""

import asyncio
import base64
from pathlib import Path

import aiohttp
from stub_harness import SP_KEY, SP_SECRET, asmx_config, dispatch, open_desk, running

from adapters.formats import sp_xml
from adapters.ports import Dispatch, ReplyKind
from adapters.soap.port import AsmxPort
from stubs import asmx, cases
from stubs.department import OFFICES
from stubs.forms import form_answers

ROOT = Path(__file__).parents[2]
CASES = cases.load(ROOT / "examples" / "cases")
OWN = [case for case in CASES if case.document]
CASE_NO = "460123456789ABCDEFG"
NOWHERE = "http://127.0.0.1:9"


def submission(path: str = "plain", number: int = 1, case_no: str = CASE_NO) -> Dispatch:
    for case in CASES:
        if case.path == path and case.message is not None:
            body = case.message["body"]
            if form_answers(body["form"])["departmentCode"] == OFFICES["dept-b"].org_code:
                return dispatch("dept-b", "case.submitted", body, case_no=case_no, number=number)
    raise LookupError(path)


def always() -> bool:
    return True


async def raw(url: str, body: bytes, session: aiohttp.ClientSession) -> tuple[int, bytes, str]:
    headers = {"Content-Type": asmx.CONTENT_TYPE}
    async with session.post(url + "/ApproveService.asmx", data=body, headers=headers) as response:
        return response.status, await response.read(), response.headers["Content-Type"]


async def test_a_dispatch_is_taken_once_and_can_be_asked_for(tmp_path: Path) -> None:
    async with open_desk() as (desk, url), running("dept-b", tmp_path, url) as stub:
        port = AsmxPort(asmx_config(stub.url))
        one = submission()
        assert (await port.query(one)).kind is ReplyKind.ABSENT
        assert (await port.deliver(one, always)).kind is ReplyKind.DONE
        assert (await port.deliver(one, always)).kind is ReplyKind.ALREADY_DONE
        assert (await port.query(one)).kind is ReplyKind.DONE
        await port.close()
        await stub.quiet()
        (entry,) = (await stub.get("/book"))["entries"]
        assert (entry["dispatchId"], entry["effects"], entry["repeats"]) == (one.id, 1, 1)
        read = [sp_xml.read(text)[0] for _, text in desk.documents]
        assert [s.type for s in read][:2] == ["case.pre_examined", "case.accepted"]
        assert [s.type for s in read][-2:] == ["case.decided", "case.delivered"]
        assert {s.case_no for s in read} == {CASE_NO}


async def test_r17_without_a_token_nothing_is_taken(tmp_path: Path) -> None:
    async with running("dept-b", tmp_path, NOWHERE) as stub:
        port = AsmxPort(asmx_config(stub.url, sp_secret="another secret"))
        assert (await port.deliver(submission(), always)).kind is ReplyKind.TRY_LATER
        await port.close()
        async with aiohttp.ClientSession() as session:
            call = asmx.call("sendApply", token="forged", xmlStr="<APPROVEDATAINFO/>")
            status, body, _ = await raw(stub.url, call, session)
        assert status == 200
        assert asmx.read_result(asmx.read_answer(body.decode("gbk")))[:2] == ("300", "令牌无效或已过期")
        assert (await stub.get("/book"))["entries"] == []
        assert (await stub.get("/stats"))["unauthorised"] == 2


async def test_replies_are_gbk_labelled_gb2312_inside_http_200(tmp_path: Path) -> None:
    async with running("dept-b", tmp_path, NOWHERE) as stub, aiohttp.ClientSession() as session:
        call = asmx.call("getXmlToken", key=SP_KEY, secret="wrong")
        status, body, media_type = await raw(stub.url, call, session)
        assert (status, media_type) == (200, "text/xml; charset=gb2312")
        assert body.startswith(b'<?xml version="1.0" encoding="gb2312"?>')
        assert "未授权".encode("gbk") in body


async def test_one_call_at_a_time_the_second_hears_busy(tmp_path: Path) -> None:
    async with running("dept-b", tmp_path, NOWHERE) as stub:
        port = AsmxPort(asmx_config(stub.url, calls_in_flight_max=8))
        first = submission(number=0)
        assert (await port.deliver(first, always)).kind is ReplyKind.DONE
        several = [submission(number=n, case_no=f"4601234567890000{n:03d}") for n in range(1, 9)]
        kinds = [
            reply.kind for reply in await asyncio.gather(*(port.deliver(one, always) for one in several))
        ]
        assert ReplyKind.TRY_LATER in kinds
        assert set(kinds) <= {ReplyKind.DONE, ReplyKind.TRY_LATER}
        entries = (await stub.get("/book"))["entries"]
        assert len(entries) == 1 + kinds.count(ReplyKind.DONE)
        await port.close()


async def test_what_it_cannot_read_or_is_too_large_is_refused(tmp_path: Path) -> None:
    async with running("dept-b", tmp_path, NOWHERE) as stub, aiohttp.ClientSession() as session:
        call = asmx.call("getXmlToken", key=SP_KEY, secret=SP_SECRET)
        _, body, _ = await raw(stub.url, call, session)
        token = asmx.read_result(asmx.read_answer(body.decode("gbk")))[2]
        bomb = '<!DOCTYPE a [<!ENTITY b "c">]><APPROVEDATAINFO>&b;</APPROVEDATAINFO>'
        for text, words in ((bomb, "DTD"), ("<APPROVEDATAINFO/>", "缺少"), ("not xml", "XML格式错误")):
            _, body, _ = await raw(stub.url, asmx.call("sendApply", token=token, xmlStr=text), session)
            status, description, _ = asmx.read_result(asmx.read_answer(body.decode("gbk")))
            assert status == "300"
            assert words in description
        status_code, _, _ = await raw(stub.url, b"x" * (4 * 1024 * 1024 + 1), session)
        assert status_code == 413
        status_code, body, _ = await raw(stub.url, b"<a/>", session)
        assert status_code == 500
        assert b"soap:Client" in body


async def test_r03_own_cases_survive_sigkill_and_arrive_in_order_as_gbk(tmp_path: Path) -> None:
    documents = {"documents": [base64.b64encode(case.document).decode() for case in OWN]}
    async with running("dept-b", tmp_path, NOWHERE) as stub:
        posted = await stub.submit(documents)
        await stub.sigkill()
    async with open_desk() as (desk, url), running("dept-b", tmp_path, url) as stub:
        desk.answers = [300, 300]
        await stub.quiet()
        assert len(desk.documents) == posted
        for case in OWN:
            read = [s for _, text in desk.documents for s in sp_xml.read(text) if s.case_ref == case.case_ref]
            assert read[0].type == "case.submitted"
            assert read[1].type == "case.accepted"
            assert read[-1].type == "case.delivered"
        registered = {text for name, text in desk.documents if name == "receiveApplyRegisterSsdj"}
        assert {case.document.decode("gbk").strip() for case in OWN} == {text.strip() for text in registered}


async def test_r10_it_refuses_what_is_not_its_own_and_keeps_nothing(tmp_path: Path) -> None:
    body = next(case.message for case in CASES if case.path == "dispatch_refused" and case.message)["body"]
    async with running("dept-b", tmp_path, NOWHERE) as stub:
        port = AsmxPort(asmx_config(stub.url))
        reply = await port.deliver(dispatch("dept-b", "case.submitted", body, case_no=CASE_NO), always)
        await port.close()
        assert reply.kind is ReplyKind.REFUSED
        assert (await stub.get("/book"))["entries"] == []
