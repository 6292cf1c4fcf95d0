"""R26: what a person reads is masked; organisations, which are public, are not."""

import json

import pytest

from hub.projector.masking import applicant, mask_body, mask_text
from hub.projector.owners import parents

PERSON = {
    "name": "王小明",
    "idType": "111",
    "idNo": "460106199001011234",
    "address": "海口市龙华区滨海大道1号",
}
COMPANY = {"name": "海口某某有限公司", "idType": "001", "idNo": "91460100MA5RC0000X", "legalPerson": "赵六"}


@pytest.mark.parametrize(
    ("body", "secrets", "kept"),
    [
        ({"applicant": PERSON}, ["小明", "199001011234", "滨海大道"], ["王", "460", "1234"]),
        ({"applicant": COMPANY}, ["赵六"], ["海口某某有限公司", "91460100MA5RC0000X"]),
        ({"agent": {"name": "李雷", "mobile": "13800138000"}}, ["李雷", "13800138000"], []),
        ({"receiver": {"name": "韩梅梅"}}, ["韩梅梅"], []),
        (
            {"subjectIdType": "111", "subjectIdNo": "460106199001011234", "name": "王小明"},
            ["小明", "19900101"],
            [],
        ),
        (
            {"opinion": "已电话13800138000核实，证号460106199001011234"},
            ["13800138000", "199001011234"],
            ["核实"],
        ),
        ({"content": '{"name":"王小明"}'}, ["王小明"], []),
        ({"materials": [{"name": "身份证", "code": "M1"}]}, [], ["身份证", "M1"]),
        (
            {"org": {"code": "11460100MB0000000X", "name": "海口市市场监督管理局"}, "handler": "李四"},
            ["李四"],
            ["市场监督"],
        ),
    ],
)
def test_r26_a_body_shows_no_person_in_full(
    body: dict[str, object], secrets: list[str], kept: list[str]
) -> None:
    shown = json.dumps(mask_body(body), ensure_ascii=False)
    assert [secret for secret in secrets if secret in shown] == []
    assert [part for part in kept if part not in shown] == []


def test_r26_the_applicant_line_of_a_list() -> None:
    assert applicant(PERSON) == "王** 460***********1234"
    assert applicant(COMPANY) == "海口某某有限公司"


def test_case_numbers_and_digests_in_text_stay() -> None:
    assert mask_text("46ABCDEFGH01234567X 91460100MA5RC0000X") == "46ABCDEFGH01234567X 91460100MA5RC0000X"


def test_nesting_without_end_is_cut() -> None:
    body: dict[str, object] = {}
    for _ in range(100):
        body = {"a": body}
    assert "…" in json.dumps(mask_body(body), ensure_ascii=False)


def test_a_region_is_inside_its_parents() -> None:
    assert [*parents("460106")] == [
        "460106000000",
        "460106",
        "460100000000",
        "460100",
        "460000000000",
        "460000",
    ]
    assert next(iter(parents("460106001002"))) == "460106001002"
