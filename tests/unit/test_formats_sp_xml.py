"""SP*/GDBS* XML as 2009 systems write it: source keys, charsets, several records, hostile documents."""

import base64
from typing import Any

import pytest

from adapters.formats import sp_fields, sp_xml
from adapters.ports import Dispatch, FormatError, Submission
from schemas import contracts, samples
from schemas.codec import decode, encode
from schemas.validate import check

CASE_NO = "46ABCDEFGH01234567X"
ORG = {"code": samples.USCC_AGENCY, "name": "三亚市人力资源和社会保障局"}
STEP = (
    "<GDBSSPCL><SPHJDM>2</SPHJDM><SPHJMC>审核</SPHJMC><SPRXM>李娜</SPRXM>"
    "<SPYJ>{opinion}</SPYJ><SPSJ>{when}</SPSJ></GDBSSPCL>"
)


def doc(*records: str, serial: str = CASE_NO, head: str = "", label: str = "gb2312") -> bytes:
    inner = "".join(records)
    text = f"<APPROVEDATAINFO><SBLSH_SHORT>{serial}</SBLSH_SHORT>{head}{inner}</APPROVEDATAINFO>"
    return f'<?xml version="1.0" encoding="{label}"?>{text}'.encode(
        "gb18030" if label.startswith("gb") else label
    )


def step(opinion: str = "同意", when: str = "2026-03-02 10:00:00") -> str:
    return STEP.format(opinion=opinion, when=when)


def read(document: bytes | str) -> tuple[Submission, ...]:
    return sp_xml.read(document, org=ORG)


def dispatch(type_: str, body: dict[str, Any], **changes: Any) -> Dispatch:
    base = Dispatch(
        id="d" * 32,
        message_id="e" * 32,
        member="dept-b",
        kind=type_,
        type=type_,
        case_no=CASE_NO,
        source="platform",
        occurred_ms=1_772_326_800_000,
        body=body,
        region="460200",
        item=samples.ITEM,
    )
    values = {name: getattr(base, name) for name in base.__struct_fields__}
    return Dispatch(**{**values, **changes})


# R1: what identifies a record at its sender


def test_r01_the_key_is_serial_and_version_which_defaults_to_1() -> None:
    record = "<SPLINGQUDENGJI><LQFS>0</LQFS><LQSJ>2026-03-05 09:00:00</LQSJ></SPLINGQUDENGJI>"
    (first,) = read(doc(record))
    (second,) = read(doc(record, head="<VERSION>2</VERSION>"))
    assert (first.source_ref, first.version) == (CASE_NO, 1)
    assert (second.source_ref, second.version) == (CASE_NO, 2)


def test_r01_two_review_steps_in_one_second_are_two_messages() -> None:
    first, second = read(doc(step("同意"), step("同意，报批")))
    assert first.source_ref != second.source_ref
    assert first.source_ref.startswith(f"{CASE_NO}/2/2026-03-02 10:00:00/")


def test_r01_the_same_step_sent_again_in_another_layout_is_the_same_message() -> None:
    (one,) = read(doc(step()))
    shuffled = (
        "<GDBSSPCL>\n  <SPSJ> 2026-03-02 10:00:00 </SPSJ><SPYJ>同意</SPYJ>"
        "<SPRXM>李娜</SPRXM><SPHJMC>审核</SPHJMC><SPHJDM>2</SPHJDM>\n</GDBSSPCL>"
    )
    (other,) = read(doc(shuffled, label="utf-8", head="<EXCHANGENO>9</EXCHANGENO>"))
    assert one.source_ref == other.source_ref


@pytest.mark.parametrize("tag", ["SPTEBIESHENQING", "SPTEBIEJIEGUO"])
def test_r01_a_special_procedure_is_known_by_its_number(tag: str) -> None:
    record = f"<{tag}><XH>{{}}</XH><TBCXKSRQ>2026-03-08</TBCXKSRQ><TBCXJSRQ>2026-03-09</TBCXJSRQ></{tag}>"
    first, second = read(doc(record.format(1), record.format(2)))
    assert [m.source_ref for m in (first, second)] == [f"{CASE_NO}/1", f"{CASE_NO}/2"]


def test_r01_a_second_receipt_of_corrected_material_is_a_message_of_its_own() -> None:
    record = "<SPBUZHENGSHOULI><BZSLBLRXM>{}</BZSLBLRXM><BZSJ>2026-03-0{} 09:00:00</BZSJ></SPBUZHENGSHOULI>"
    sent = read(doc(record.format("李", 3), record.format("李", 4), record.format("王", 3)))
    assert len({message.source_ref for message in sent}) == 3
    assert sent[0].source_ref.startswith(f"{CASE_NO}/2026-03-03 09:00:00/")


def test_r01_a_second_correction_is_a_message_of_its_own() -> None:
    def notice(reason: str, when: str) -> str:
        return (
            f"<SPBUZHENGGAOZHI><BZGZFCRXM>李娜</BZGZFCRXM><BZGZYY>{reason}</BZGZYY><BZCLQD>身份证</BZCLQD>"
            f"<BQBZCLBM>M01</BQBZCLBM><BZGZSJ>{when}</BZGZSJ></SPBUZHENGGAOZHI>"
        )

    keys = {
        read(doc(notice(reason, when)))[0].source_ref
        for reason, when in (("缺页", "2026-03-03 09:00:00"), ("缺页", "2026-03-04 09:00:00"))
    }
    keys.add(read(doc(notice("缺章", "2026-03-03 09:00:00")))[0].source_ref)
    assert len(keys) == 3


def test_r01_parts_of_a_key_cannot_run_into_each_other() -> None:
    record = "<SPTEBIEJIEGUO><XH>{}</XH><TBCXJSRQ>2026-03-09</TBCXJSRQ><TBCXJG>结束</TBCXJG></SPTEBIEJIEGUO>"
    (one,) = read(doc(record.format(1), serial="A/1"))
    assert one.source_ref == "A%2F1/1"


def test_r01_a_record_without_its_key_is_refused() -> None:
    with pytest.raises(FormatError, match="XH"):
        read(doc("<SPTEBIEJIEGUO><TBCXJSRQ>2026-03-09</TBCXJSRQ></SPTEBIEJIEGUO>"))


# Which case


def test_the_hubs_number_and_the_departments_own_are_told_apart() -> None:
    (known,) = read(doc(step()))
    (own,) = read(doc(step(), serial="RS2026030001"))
    assert (known.case_no, known.case_ref) == (CASE_NO, "")
    assert (own.case_no, own.case_ref) == ("", "RS2026030001")


def test_an_opening_record_always_carries_the_departments_own_reference() -> None:
    (opened,) = read(own_counter())
    assert (opened.type, opened.case_ref, opened.case_no) == ("case.submitted", CASE_NO, "")


def own_counter() -> bytes:
    text = sp_xml.document({"SBLSH_SHORT": CASE_NO}, [("case.submitted", samples.body("case.submitted"), {})])
    return sp_xml.encode(text)


# R14: charsets


def test_r14_a_gb2312_label_is_read_as_gb18030() -> None:
    (message,) = read(doc(step("同意，朱镕基路，㐀，𠮷")))
    assert message.body["opinion"] == "同意，朱镕基路，㐀，𠮷"


@pytest.mark.parametrize(("charset", "character"), [("gb2312", "𠮷"), ("gbk", "😀"), ("gb2312", "ẅ")])
def test_r14_a_character_the_charset_lacks_is_named_never_replaced(charset: str, character: str) -> None:
    body = {**samples.body("case.withdrawn"), "reason": f"我叫{character}"}
    with pytest.raises(FormatError) as refusal:
        sp_xml.write(dispatch("case.withdrawn", body), charset)
    assert refusal.value.field == "SPCHEHUI.CHYY"
    assert character in refusal.value.zh
    assert f"U+{ord(character):04X}" in refusal.value.en


def test_r14_gbk_characters_beyond_gb2312_are_written_as_themselves() -> None:
    body = {**samples.body("case.withdrawn"), "reason": "朱镕基"}
    raw = sp_xml.encode(sp_xml.write(dispatch("case.withdrawn", body)))
    assert "朱镕基".encode("gbk") in raw
    assert b"&#" not in raw


def test_r14_gb18030_takes_every_character() -> None:
    body = {**samples.body("case.withdrawn"), "reason": "𠮷😀"}
    text = sp_xml.write(dispatch("case.withdrawn", body), "gb18030")
    assert read(sp_xml.encode(text, "gb18030"))[0].body["reason"] == "𠮷😀"


@pytest.mark.parametrize("bad", [b"\x80\x80\x80", b"\xff\xff"])
def test_r14_bytes_that_are_no_characters_are_refused(bad: bytes) -> None:
    with pytest.raises(FormatError) as refusal:
        read(doc(step()).replace("同意".encode("gbk"), bad))
    assert refusal.value.rule == "gb2312"


def test_a_control_character_cannot_be_written() -> None:
    body = {**samples.body("case.withdrawn"), "reason": "a\x00b"}
    with pytest.raises(FormatError, match=r"U\+0000"):
        sp_xml.write(dispatch("case.withdrawn", body))


# Both directions


@pytest.mark.parametrize("type_", sorted(sp_fields.BY_TYPE))
@pytest.mark.parametrize("charset", ["gb2312", "utf-8"])
def test_every_record_survives_the_way_out_and_back(type_: str, charset: str) -> None:
    contract = contracts.load().by_type(type_)
    value = encode(contract, check(contract, samples.body(type_)))
    _, decoded = decode(value)
    raw = sp_xml.encode(sp_xml.write(dispatch(type_, decoded), charset), charset)
    (back,) = sp_xml.read(raw, org=ORG)
    assert back.type == type_
    assert encode(contract, check(contract, back.body)) == value


@pytest.mark.parametrize("type_", ["case.refusal", "case.evaluated", "case.material_received"])
def test_a_type_without_a_record_travels_as_an_extension(type_: str) -> None:
    contract = contracts.load().by_type(type_)
    value = encode(contract, check(contract, samples.body(type_)))
    raw = sp_xml.encode(sp_xml.write(dispatch(type_, decode(value)[1])))
    (back,) = read(raw)
    assert back.type == type_
    assert encode(contract, check(contract, back.body)) == value


def test_an_extension_cannot_stand_in_for_a_record_of_the_dialect() -> None:
    """Else one message could come under two source keys."""
    record = "<SPKUOZHAN><LX>case.decided</LX><SJ>2026-03-01</SJ><NR>{}</NR></SPKUOZHAN>"
    with pytest.raises(FormatError, match="LX"):
        read(doc(record))


def test_a_dispatch_carries_its_id_as_the_exchange_number() -> None:
    text = sp_xml.write(dispatch("case.withdrawn", samples.body("case.withdrawn"), flags=("second",)))
    assert f"<EXCHANGENO>{'d' * 32}</EXCHANGENO>" in text
    assert "<BZXX>second</BZXX>" in text


def test_times_are_shanghai_whatever_the_machine_thinks() -> None:
    text = sp_xml.write(
        dispatch("case.withdrawn", {"withdrawnAt": 1_772_326_800_000, "by": "王", "reason": "无"})
    )
    assert "<CHSJ>2026-03-01 09:00:00</CHSJ>" in text


def test_a_refusal_at_the_counter_is_not_accepted() -> None:
    for state in ("2", "0"):
        record = (
            f"<SPSHOULI><SLZTDM>{state}</SLZTDM><BLRXM>李娜</BLRXM><BSLYY>不属于本部门</BSLYY>"
            "<SLSJ>20260302090000</SLSJ></SPSHOULI>"
        )
        (message,) = read(doc(record))
        assert message.type == "case.not_accepted"
        assert message.body["reason"] == "不属于本部门"
        assert message.body["org"] == ORG
        assert message.occurred_at == "2026-03-02T09:00:00"


def test_an_unknown_state_is_refused_not_guessed() -> None:
    with pytest.raises(FormatError) as refusal:
        read(doc("<SPSHOULI><SLZTDM>7</SLZTDM><SLSJ>2026-03-02</SLSJ></SPSHOULI>"))
    assert refusal.value.field == "SLZTDM"


def test_plain_dialect_codes_are_understood_without_extensions() -> None:
    record = (
        "<SPBANJIE><BJJGDM>1</BJJGDM><BJSJ>2026-03-09 17:00:00</BJSJ><SPRXM>李娜</SPRXM>"
        "<ZFHTHYY>材料不实</ZFHTHYY></SPBANJIE>"
    )
    (message,) = read(doc(record))
    assert message.body["result"] == "5"
    assert message.body["explanation"] == "材料不实"
    assert message.body["needDelivery"] is False


def test_natural_days_become_a_deadline() -> None:
    record = (
        "<SPBUZHENGGAOZHI><BZGZFCRXM>李</BZGZFCRXM><BZGZYY>缺</BZGZYY><BZCLQD>身份证；户口簿</BZCLQD>"
        "<BQBZCLBM>M01;M02</BQBZCLBM><BZGZSJ>2026-03-03 09:00:00</BZGZSJ><BZGZSX>5</BZGZSX>"
        "<BZGZSXDW>Z</BZGZSXDW></SPBUZHENGGAOZHI>"
    )
    (message,) = read(doc(record))
    assert message.body["deadline"] == "2026-03-08T09:00:00"
    assert [m["name"] for m in message.body["materials"]] == ["身份证", "户口簿"]


def test_a_form_in_its_own_words_is_kept_byte_for_byte() -> None:
    text = own_counter().decode("gbk")
    start, end = text.index("<BDBM>"), text.index("</XML_DATA>")
    plain = text[:start] + "<XML_DATA>面积 86 平方米" + text[end:]
    (message,) = read(plain)
    assert base64.b64decode(message.body["form"]["content"]).decode() == "面积 86 平方米"


def test_records_of_one_kind_may_be_listed_inside_one_element() -> None:
    listed = step("一") + step("二")
    inner = listed.replace("<GDBSSPCL>", "<RECORD>").replace("</GDBSSPCL>", "</RECORD>")
    separate, together = read(doc(listed)), read(doc(f"<GDBSSPCL>{inner}</GDBSSPCL>"))
    assert [m.source_ref for m in separate] == [m.source_ref for m in together]


# Hostile and broken documents

BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
HOSTILE: dict[str, tuple[bytes, str]] = {
    "entity bomb": (doc(step()).replace(b"?>", b"?>" + BOMB.encode(), 1), "no DTD"),
    "external entity": (
        doc(step("&x;")).replace(b"?>", b'?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>', 1),
        "no DTD",
    ),
    "undeclared entity": (doc(step("&x;")), "well-formed XML"),
    "many elements": (doc("<A/>" * 60_000), "at most 20000 elements"),
    "deep": (doc("<A>" * 100 + "</A>" * 100), "depth at most 24"),
    "not well-formed": (doc("<SPBANJIE>"), "well-formed XML"),
    "another root": (b"<ROOT/>", "APPROVEDATAINFO"),
    "no record": (doc(""), "at least one record"),
    "unknown record": (doc("<SPNIMINGZHE><A>1</A></SPNIMINGZHE>"), "known record"),
    "utf-16 label": (doc(step(), label="utf-8").replace(b"utf-8", b"utf-16"), "known charset"),
    "no serial": (doc(step(), serial=""), "required"),
    "a field twice with other content": (
        doc(step().replace("<SPYJ>", "<SPYJ>否</SPYJ><SPYJ>")),
        "given once",
    ),
    "not a date": (doc(step(when="2026-13-45")), "YYYY-MM-DD hh:mm:ss"),
    "no key": (doc(step(when="")), "required"),
    "no time": (doc("<SPBANJIE><BJJGDM>6</BJJGDM></SPBANJIE>"), "business time"),
    "version 0": (doc(step(), head="<VERSION>0</VERSION>"), "1..999999"),
    "too long": (doc(step("长" * 2_200_000)), "at most 4194304"),
    "too many records": (doc(step() * 501), "at most 500 records"),
    "file inside": (own_counter().replace(b"<SEQ>1</SEQ>", b"<ATTACH_BODY>AA</ATTACH_BODY>"), "files apart"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_broken_document_is_refused_in_both_languages(name: str) -> None:
    document, rule = HOSTILE[name]
    with pytest.raises(FormatError) as refusal:
        read(document)
    assert refusal.value.rule == rule
    assert refusal.value.zh
    assert refusal.value.en


def test_a_reply_says_status_and_words_and_reads_back() -> None:
    text = sp_xml.result("300", "系统繁忙<&>\x00", 1_772_326_800_000, "D")
    found = sp_xml.parse_result(text)
    assert (found.status, found.desc, found.data, found.time) == (
        "300",
        "系统繁忙<&>\ufffd",
        "D",
        "2026-03-01 09:00:00",
    )


@pytest.mark.parametrize(
    "text", ["", "ok", "<RESULT/>", "<RESULT><STATUS/></RESULT>", "<A><STATUS>200</STATUS></A>"]
)
def test_what_is_no_reply_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        sp_xml.parse_result(text)
