"""The REST members alone: signed both ways, one effect per dispatch, an outbox that survives SIGKILL."""

import asyncio
import socket
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from stub_harness import dispatch, environment, open_desk, rest_config, running

from adapters.formats import canonical_json
from adapters.ports import ReplyKind
from adapters.rest.port import RestPort
from examples import materials
from stubs import cases
from stubs.department import OFFICES
from stubs.forms import form_answers
from stubs.settings import StubSettingsError, from_env

ROOT = Path(__file__).parents[2]
CASES = cases.load(ROOT / "examples" / "cases")
CASE_NO = "460123456789ABCDEFG"
NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens


def example(
    path: str, member: str = "platform", owner: str = "", files: bool | None = None
) -> dict[str, Any]:
    """The first example message of a way, for one owner, with or without files."""
    for case in CASES:
        if case.path == path and case.member == member and case.message is not None:
            code = form_answers(case.message["body"]["form"])["departmentCode"]
            if owner and code != OFFICES[owner].org_code:
                continue
            if files is not None and bool(cases.digests(case)) != files:
                continue
            return case.message
    raise LookupError(path)


def always() -> bool:
    return True


async def test_r17_an_unsigned_or_badly_signed_call_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    body = canonical_json.encode(
        dispatch("dept-a", "case.submitted", example("plain", owner="dept-a")["body"], case_no=CASE_NO)
    )
    async with running("dept-a", tmp_path, NOWHERE) as stub, aiohttp.ClientSession() as session:
        async with session.post(stub.url + "/hub/dispatches", data=body) as response:
            assert response.status == 401
            error = (await response.json())["error"]
        assert error["code"] == "missing_header"
        assert error["serverTime"] > 0
        port = RestPort(rest_config("dept-a", stub.url, outbound_key="a wrong key"))
        one = dispatch("dept-a", "case.submitted", example("plain", owner="dept-a")["body"], case_no=CASE_NO)
        reply = await port.deliver(one, always)
        assert reply.kind is not ReplyKind.DONE
        assert (await port.query(one)).kind is not ReplyKind.DONE
        await port.close()
        assert (await stub.get("/book"))["entries"] == []
        assert (await stub.get("/stats"))["unsigned"] == 3


async def test_a_repeated_dispatch_has_one_effect_and_is_counted(tmp_path: Path) -> None:
    async with open_desk() as (desk, url), running("dept-a", tmp_path, url) as stub:
        port = RestPort(rest_config("dept-a", stub.url))
        one = dispatch(
            "dept-a", "case.submitted", example("plain", owner="dept-a", files=False)["body"], case_no=CASE_NO
        )
        assert (await port.query(one)).kind is ReplyKind.ABSENT
        replies = [await port.deliver(one, always) for _ in range(3)]
        assert [reply.kind for reply in replies] == [
            ReplyKind.DONE,
            ReplyKind.ALREADY_DONE,
            ReplyKind.ALREADY_DONE,
        ]
        assert (await port.query(one)).kind is ReplyKind.DONE
        await port.close()
        await stub.quiet()
        (entry,) = (await stub.get("/book?after=0"))["entries"]
        assert entry == {
            "seq": 1,
            "dispatchId": one.id,
            "messageId": one.message_id,
            "kind": "case.submitted",
            "caseNo": CASE_NO,
            "effects": 1,
            "repeats": 2,
        }
        said = [document["type"] for _, document in desk.received]
        assert said.count("case.accepted") == 1
        assert said[-1] in ("case.delivered", "case.decided")
        assert {document["caseNo"] for _, document in desk.received} == {CASE_NO}


async def test_r16_messages_are_signed_and_leave_in_order_per_case(tmp_path: Path) -> None:
    known = {path: [case for case in CASES if case.path == path] for path in ("withdrawn", "plain")}
    group = [*known["withdrawn"], *(case for case in known["plain"] if case.member == "platform")][:40]
    async with open_desk() as (desk, url), running("platform", tmp_path, url) as stub:
        desk.answers = [503] * 12  # who is turned away must not be overtaken by the same case's next word
        files = [
            {"sm3": sm3, "mediaType": "application/pdf", "content": _base64(path.read_bytes())}
            for sm3, path in materials.files_by_digest().items()
        ]
        document = {"member": "platform", "messages": [case.message for case in group], "files": files}
        posted = await stub.submit(document)
        assert await stub.submit(document) == 0, "the same cases again are no new messages"
        await stub.quiet()
        assert len(desk.received) == posted
        assert {member for member, _ in desk.received} == {"platform"}
        assert set(desk.files) == {digest for case in group for digest in cases.digests(case)}
        order = defaultdict(list)
        for _, message in desk.received:
            order[message["caseRef"]].append(message["type"])
        assert all(types[0] == "case.submitted" for types in order.values())
        assert sum(types[1:] == ["case.withdrawn"] for types in order.values()) == len(known["withdrawn"])


async def test_g8_an_outbox_survives_sigkill_and_says_the_same_bytes_again(tmp_path: Path) -> None:
    group = [case for case in CASES if case.member == "platform" and case.path == "withdrawn"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gateway = f"http://127.0.0.1:{port}"
    document = {"messages": [case.message for case in group], "files": _all_files()}
    async with running("platform", tmp_path, gateway) as stub:
        posted = await stub.submit(document)
        await stub.sigkill()
    async with running("platform", tmp_path, gateway) as stub:
        assert (await stub.get("/control/idle"))["unsent"] == posted
        async with open_desk(port) as (desk, _url):
            desk.answers = [503, 500, 429, 503]
            await stub.quiet()
            assert len(desk.received) == posted == 2 * len(group)
            first_tried = desk.bodies[:4]
            assert all(desk.bodies.count(body) == 2 for body in first_tried), "re-sent byte for byte"


async def test_a_final_refusal_is_kept_with_its_answer_and_not_repeated(tmp_path: Path) -> None:
    async with open_desk() as (desk, url), running("platform", tmp_path, url) as stub:
        desk.answers = [409]
        await stub.submit({"messages": [example("plain", files=False)]})
        await stub.quiet()
        stats = await stub.get("/stats")
        assert (stats["rejected"], stats["sent"]) == (1, 0)
        assert stats["lastRejected"][0]["answer"].startswith("HTTP 409")
        assert len(desk.bodies) == 1


async def test_r12_a_department_reads_the_files_before_it_speaks(tmp_path: Path) -> None:
    message = example("plain", owner="dept-a", files=True)
    digests = [m["ref"].removeprefix("sm3:") for m in message["body"]["materials"] if m.get("ref")]
    known = materials.files_by_digest()
    async with open_desk() as (desk, url), running("dept-a", tmp_path, url) as stub:
        port = RestPort(rest_config("dept-a", stub.url))
        await port.deliver(dispatch("dept-a", "case.submitted", message["body"], case_no=CASE_NO), always)
        await asyncio.sleep(0.4)
        assert desk.received == [], "the store does not let it read yet"
        desk.files = {digest: known[digest].read_bytes() for digest in digests}
        await stub.quiet()
        await port.close()
        assert desk.received[0][1]["type"] == "case.material_received"
        assert (await stub.get("/stats"))["filesMissing"] == 0


async def test_f11_the_origin_corrects_also_when_the_notice_overtakes_its_receipt(tmp_path: Path) -> None:
    message = example("corrected", owner="dept-a", files=False)
    async with open_desk() as (desk, url), running("platform", tmp_path, url) as stub:
        desk.answers = [503]
        from hub import ids

        case_no = ids.case_number("platform", "", message["caseRef"])
        port = RestPort(rest_config("platform", stub.url))
        notice = {
            "org": {"code": OFFICES["dept-a"].org_code, "name": OFFICES["dept-a"].name},
            "handler": "陈海燕",
            "reason": "材料不清晰",
            "materials": [{"code": "CL01", "name": "申请书", "requirement": "重新扫描"}],
            "notifiedAt": "2026-10-20T10:00:00+08:00",
        }
        one = dispatch("platform", "case.correction_notified", notice, case_no=case_no, source="dept-a")
        assert (await port.deliver(one, always)).kind is ReplyKind.DONE
        await stub.submit({"messages": [message]})
        await stub.quiet()
        await port.close()
        assert [document["type"] for _, document in desk.received] == ["case.submitted", "case.corrected"]
        assert desk.received[1][1]["caseNo"] == case_no


async def test_f52_the_window_of_the_deciding_city_hands_out_and_speaks_under_its_own_name(
    tmp_path: Path,
) -> None:
    message = example("cross_region_counter", "window-haikou", files=False)
    async with open_desk() as (desk, url), running("s08", tmp_path, url) as stub:
        await stub.submit({"member": "window-haikou", "messages": [message]})
        await stub.quiet()
        from hub import ids

        case_no = ids.case_number("window-haikou", "", message["caseRef"])
        decided = {
            "result": "0",
            "org": {"code": OFFICES["dept-b"].org_code, "name": OFFICES["dept-b"].name},
            "handler": "林喆",
            "needDelivery": True,
            "decidedAt": "2026-10-20T10:00:00+08:00",
        }
        for member in ("window-haikou", "window-sanya"):
            port = RestPort(rest_config(member, f"{stub.url}/{member}"))
            one = dispatch(member, "case.decided", decided, case_no=case_no, source="dept-b")
            assert (await port.deliver(one, always)).kind is ReplyKind.DONE
            await port.close()
        await stub.quiet()
        said = [(member, document["type"]) for member, document in desk.received]
        assert said == [
            ("window-haikou", "case.submitted"),
            ("window-haikou", "case.material_received"),
            ("window-haikou", "case.pre_examined"),
            ("window-haikou", "case.accepted"),
            ("window-sanya", "case.delivered"),
        ]


async def test_r22_the_credit_library_answers_grades_and_is_silent_once_where_marked(tmp_path: Path) -> None:
    async with open_desk() as (_desk, url), running("credit", tmp_path, url) as stub:
        port = RestPort(rest_config("credit", stub.url, call_timeout_ms=500))
        refused = dispatch(
            "credit",
            "case.submitted",
            example("credit_refused")["body"],
            case_no=CASE_NO,
            kind="credit.query",
        )
        reply = await port.deliver(refused, always)
        assert reply.kind is ReplyKind.DONE
        assert reply.answer is not None
        assert (reply.answer.body["grade"], reply.answer.body["seriousDishonesty"]) == ("black", True)
        slow = dispatch(
            "credit",
            "case.submitted",
            example("credit_slow")["body"],
            case_no=CASE_NO,
            number=2,
            kind="credit.query",
        )
        assert (await port.deliver(slow, always)).kind is ReplyKind.UNKNOWN
        again = await port.deliver(slow, always)
        assert again.answer is not None
        assert again.answer.body["grade"] == "orange"
        await port.close()
        entries = (await stub.get("/book"))["entries"]
        assert [(entry["effects"], entry["repeats"]) for entry in entries] == [(1, 0), (1, 1)]


async def test_s05_supervision_takes_copies_and_says_nothing(tmp_path: Path) -> None:
    async with running("supervision", tmp_path, NOWHERE) as stub:
        port = RestPort(rest_config("supervision", stub.url))
        copy = dispatch(
            "supervision",
            "case.submitted",
            example("plain")["body"],
            case_no=CASE_NO,
            kind="case.supervision_copy",
        )
        assert (await port.deliver(copy, always)).kind is ReplyKind.DONE
        await port.close()
        (entry,) = (await stub.get("/book"))["entries"]
        assert entry["kind"] == "case.supervision_copy"
        assert (await stub.get("/control/idle"))["unsent"] == 0


@pytest.mark.parametrize(
    "variable", ["HUB_STUB_LISTEN", "HUB_GATEWAY_URL", "HUB_DATA_DIR", "HUB_MEMBER_PLATFORM_INBOUND_KEY"]
)
def test_a_missing_setting_is_named(variable: str, tmp_path: Path) -> None:
    env = environment(tmp_path, NOWHERE)
    del env[variable]
    with pytest.raises(StubSettingsError, match=variable):
        from_env("platform", env)


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()


def _all_files() -> list[dict[str, str]]:
    return [
        {"sm3": sm3, "mediaType": "application/pdf", "content": _base64(path.read_bytes())}
        for sm3, path in materials.files_by_digest().items()
    ]


async def test_r10_a_department_refuses_what_is_not_its_own_and_keeps_nothing(tmp_path: Path) -> None:
    async with open_desk() as (desk, url), running("dept-a", tmp_path, url) as stub:
        port = RestPort(rest_config("dept-a", stub.url))
        one = dispatch("dept-a", "case.submitted", example("dispatch_refused")["body"], case_no=CASE_NO)
        for _ in range(2):
            reply = await port.deliver(one, always)
            assert (reply.kind, reply.code) == (ReplyKind.REFUSED, "not_ours")
        await port.close()
        assert (await stub.get("/book"))["entries"] == []
        assert desk.received == []
