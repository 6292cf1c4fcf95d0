"""Notices: what an event calls for, what stands on paper, the fonts they bring, the two files they become."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uharfbuzz as hb
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.envelope import Message
from hub.notices import store
from hub.notices.facts import CaseFacts, Notice, case_facts, notice_of, templates
from hub.notices.fonts import NAMED, typefaces
from hub.notices.layout import Laid, lay_out
from hub.notices.pdf import write_pdf
from hub.notices.sealing import Sealer, open_sealer
from hub.notices.trial import write_trial
from hub.notices.truetype import ERROR_UNITS_MAX, Pen
from hub.seals.book import SealBook
from schemas.contracts import load
from schemas.samples import body as sample
from schemas.validate import check
from signing.errors import SigningError
from signing.ofd.checking import check_ofd
from signing.ofd.drawing import Boxes, Text
from signing.pdf.checking import check_pdf
from signing.seals.checking import Circumstances
from signing.seals.lifecycle import Act
from signing.seals.reading import parse_seal

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FACES = typefaces(None)
NO_FACES = (None, None)
WITH_FONT = pytest.mark.skipif(FACES[0] is None, reason="no Chinese font on this machine")
ORG = {"code": "11460100MB0000000X", "name": "海口市市场监督管理局"}
CASE = CaseFacts("食品经营许可", "王小明面馆食品经营许可", "王小明", 1_763_778_000_000)
AT = 1_763_864_400_000
BODIES: dict[str, dict[str, Any]] = {
    "case.accepted": {"org": ORG, "handler": "李四", "acceptedAt": AT, "docNo": "琼受〔2025〕1号"},
    "case.not_accepted": {"org": ORG, "handler": "李四", "decidedAt": AT, "reason": "不属于本机关职权范围"},
    "case.correction_notified": {
        "org": ORG,
        "handler": "李四",
        "notifiedAt": AT,
        "reason": "材料不齐",
        "deadline": AT,
        "materials": [{"code": "1", "name": "营业执照", "requirement": "加盖公章"}],
    },
    "case.decided": {"org": ORG, "handler": "李四", "decidedAt": AT, "result": "0"},
    "case.delivered": {"method": "2", "trackingNo": "EMS1", "deliveredAt": AT},
}


def notice(type_: str, **more: Any) -> Notice:
    found = notice_of(Message("e1", "dept-a", type_, "46CASE", AT, b""), BODIES[type_] | more, CASE)
    assert found is not None
    return found


def words(laid: Laid) -> str:
    marks = (mark for page in laid.drawing.pages for mark in page)
    return "".join(mark.text for mark in marks if isinstance(mark, Text)).replace("　", "")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notices") / "keys"
    write_trial(folder, b"a long passphrase", "示例局", NOW)
    return folder


@pytest.fixture(scope="module")
def sealer(keys: Path) -> Sealer:
    return open_sealer(keys, b"a long passphrase")


# --- what it says


@pytest.mark.parametrize(
    ("type_", "more", "title"),
    [
        ("case.accepted", {}, "受理通知书"),
        ("case.not_accepted", {}, "不予受理通知书"),
        ("case.correction_notified", {}, "一次告知补正通知书"),
        ("case.decided", {}, "准予许可决定书"),
        ("case.decided", {"result": "1"}, "不予许可决定书"),
        ("case.delivered", {}, "送达回证"),
    ],
)
def test_each_event_has_its_notice_with_who_what_and_when(
    type_: str, more: dict[str, Any], title: str
) -> None:
    made = notice(type_, **more)
    assert made.title == title
    said = words(lay_out(made, FACES, "", "平台"))
    for part in (
        title,
        "王小明",
        "46CASE",
        "2025年11月23日" if type_ != "case.delivered" else "邮寄",
        made.id,
    ):
        assert part in said
    assert "{" not in said
    assert "None" not in said


def test_an_event_without_a_notice_has_none() -> None:
    message = Message("e1", "dept-a", "case.process_step", "46CASE", AT, b"")
    assert notice_of(message, {"stepName": "审查"}, CASE) is None
    assert notice_of(Message("e1", "d", "case.decided", "46CASE", AT, b""), {"result": "5"}, CASE) is None


def test_the_id_comes_from_the_event_alone() -> None:
    assert notice("case.accepted").id == notice("case.accepted", handler="王五").id
    other = notice_of(Message("e2", "d", "case.accepted", "46CASE", AT, b""), BODIES["case.accepted"], CASE)
    assert other is not None
    assert other.id != notice("case.accepted").id


def test_what_is_not_known_leaves_out_its_line() -> None:
    bare = notice("case.accepted", docNo=None)
    assert bare.number == ""
    assert "承诺办结时间" not in dict(bare.rows)
    unknown = notice_of(
        Message("e1", "d", "case.accepted", "46CASE", AT, b""),
        BODIES["case.accepted"],
        CaseFacts("", "", "申请人", 0),
    )
    assert unknown is not None
    assert not any("于提出" in line for line in unknown.body)


def test_templates_name_only_fields_that_their_contract_has() -> None:
    for template in templates():
        contract = load().by_type(template.event)
        fields = {field["name"]: field for field in contract.avro["fields"]}
        for name, values in template.when.items():
            assert set(values) <= set(fields[name]["enumCodes"]), template.kind


@pytest.mark.parametrize("type_", sorted(BODIES))
def test_every_sample_of_the_contract_becomes_a_notice_that_can_be_laid_out(type_: str) -> None:
    submitted = load().by_type("case.submitted")
    body = check(load().by_type(type_), sample(type_))
    opened = case_facts(check(submitted, sample("case.submitted")))
    made = notice_of(Message("e1", "d", type_, "46CASE", AT, b""), {**body, "result": "0"}, opened)
    assert made is not None
    assert lay_out(made, FACES, "", "平台").drawing.pages


# --- how it stands on paper


def test_long_lists_run_over_pages_and_nothing_leaves_the_paper() -> None:
    materials = [
        {"code": str(n), "name": f"材料{n}" * 5, "requirement": "重新提交。" * 30} for n in range(40)
    ]
    laid = lay_out(notice("case.correction_notified", materials=materials), FACES, "", "平台")
    assert len(laid.drawing.pages) > 3
    assert laid.seal_page == len(laid.drawing.pages)
    for page in laid.drawing.pages:
        for mark in page:
            if isinstance(mark, Text):
                assert mark.x >= 20
                assert mark.x + sum(mark.advances) <= 184
                assert 20 < mark.y < 285
    assert "材料39" in words(laid)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=400))
def test_fuzz_any_text_is_laid_out_and_stays_inside_its_column(text: str) -> None:
    laid = lay_out(notice("case.not_accepted", reason=text), FACES, "", "平台")
    for page in laid.drawing.pages:
        for mark in page:
            if isinstance(mark, Text) and len(mark.text) > 1:
                assert mark.x + sum(mark.advances) <= 186


def test_a_line_never_begins_with_a_closing_mark() -> None:
    for length in range(20, 60):
        laid = lay_out(notice("case.not_accepted", reason="字" * length + "，字字。"), FACES, "", "平台")
        firsts = [m.text[0] for m in laid.drawing.pages[0] if isinstance(m, Text) and m.x == 28.0]
        assert not set(firsts) & set("，。、；：）")


def test_the_qr_code_is_square_and_leads_to_the_case() -> None:
    import segno

    laid = lay_out(notice("case.accepted"), FACES, "https://query.example/46CASE", "平台")
    (code,) = [mark for page in laid.drawing.pages for mark in page if isinstance(mark, Boxes)]
    matrix = segno.make_qr("https://query.example/46CASE", error="m").matrix
    module = 30 / len(matrix)
    x0, y0 = min(b[0] for b in code.boxes), min(b[1] for b in code.boxes)
    dark = {
        (round((y - y0) / module), round((x - x0) / module) + n)
        for x, y, width, _ in code.boxes
        for n in range(round(width / module))
    }
    assert dark == {(r, c) for r, row in enumerate(matrix) for c, bit in enumerate(row) if bit}


def test_rare_characters_stand_alone_and_missing_ones_are_left_to_the_reader() -> None:
    laid = lay_out(notice("case.not_accepted", reason="申请人𠮷某\ue123"), FACES, "", "平台")
    texts = [m for page in laid.drawing.pages for m in page if isinstance(m, Text)]
    assert any(mark.text == "𠮷" for mark in texts)
    private = next(mark for mark in texts if "\ue123" in mark.text)
    assert laid.drawing.fonts[private.font].name == NAMED
    assert laid.drawing.fonts[private.font].data == b""


# --- fonts


@WITH_FONT
def test_the_cut_font_draws_what_the_whole_font_draws() -> None:
    face = FACES[0]
    assert face is not None
    cut = face.cut(set("受理通知书A，"))
    shape = hb.Font(hb.Face(cut))
    for character in "受理通知书A，":
        number = shape.get_nominal_glyph(ord(character))
        assert number
        assert shape.get_glyph_h_advance(number) / face.metrics.em == pytest.approx(face.advance(character))
    assert shape.get_nominal_glyph(ord("准")) in (0, None)
    assert face.cut(set("受理")) == face.cut(set("理受"))
    assert len(cut) < 20_000


POINTS = st.tuples(st.integers(-300, 1300), st.integers(-300, 1300))


@given(POINTS, POINTS, POINTS, POINTS)
def test_quadratic_pieces_lie_on_the_cubic_they_replace(
    start: tuple[int, int], first: tuple[int, int], second: tuple[int, int], end: tuple[int, int]
) -> None:
    pen = Pen()
    pen.moveTo(start)
    pen.curveTo(first, second, end)
    points = pen.contours[0]
    pieces = (len(points) - 1) // 2
    for number in range(pieces):
        a, control, b = (point[:2] for point in points[2 * number : 2 * number + 3])
        for t in (0.25, 0.5, 0.75):
            whole = (number + t) / pieces
            for i in (0, 1):
                quadratic = (1 - t) ** 2 * a[i] + 2 * t * (1 - t) * control[i] + t * t * b[i]
                cubic = (
                    (1 - whole) ** 3 * start[i]
                    + 3 * whole * (1 - whole) ** 2 * first[i]
                    + 3 * whole**2 * (1 - whole) * second[i]
                    + whole**3 * end[i]
                )
                # The bound, and the rounding of three points to whole units.
                assert abs(quadratic - cubic) <= ERROR_UNITS_MAX + 1


def test_a_named_file_that_is_no_chinese_font_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="字体"):
        typefaces(tmp_path / "none.ttf")


# --- the two files


@pytest.mark.parametrize("faces", [FACES, NO_FACES], ids=["font", "no font"])
@pytest.mark.parametrize("type_", sorted(BODIES))
def test_both_forms_are_valid_with_and_without_a_font(
    sealer: Sealer, type_: str, faces: tuple[Any, Any]
) -> None:
    laid = lay_out(notice(type_), faces, "https://query.example/46CASE", "平台")
    given = Circumstances(sealer.trust, sealer.provider, NOW)
    verdict = check_ofd(sealer.ofd(laid, NOW), given)
    assert verdict.valid
    assert verdict.ofd is not None
    assert verdict.ofd.documents[0].title == f"{notice(type_).title} 46CASE"
    assert check_pdf(sealer.pdf(laid, NOW), given).valid_now


def test_the_text_of_a_pdf_can_be_searched() -> None:
    """Every glyph number of the embedded fonts has its way back to a character."""
    laid = lay_out(notice("case.accepted"), FACES, "", "平台")
    assert b"/ToUnicode" in write_pdf(laid.drawing) or FACES[0] is None
    assert write_pdf(laid.drawing) == write_pdf(laid.drawing)
    assert b"/STSong-Light" in write_pdf(lay_out(notice("case.accepted"), NO_FACES, "", "平台").drawing)


def test_a_seal_that_may_not_be_used_is_told_before_anything_is_made(sealer: Sealer) -> None:
    assert sealer.problem(NOW) == ""
    assert "seal.maker_certificate" in sealer.problem(NOW + timedelta(days=800))


def test_an_expired_seal_makes_no_notice(sealer: Sealer) -> None:
    laid = lay_out(notice("case.accepted"), NO_FACES, "", "平台")
    with pytest.raises(SigningError):
        sealer.ofd(laid, NOW + timedelta(days=800))


def test_f79_a_seal_reported_lost_makes_no_notice(keys: Path, tmp_path: Path) -> None:
    """The book is looked at for every notice: no restart is needed."""
    book = SealBook(tmp_path)
    sealer = open_sealer(keys, b"a long passphrase", book)
    laid = lay_out(notice("case.accepted"), NO_FACES, "", "平台")
    number = parse_seal((keys / "seal.esl").read_bytes()).es_id
    named = {"name": "n", "holder": "h", "picture": "p", "valid_from": "a", "valid_until": "b"}
    acts: list[tuple[Act, str, dict[str, object]]] = [
        ("apply", "张三", dict(named)),
        ("approve", "李四", {}),
        ("make", "王五", {"seal": "0"}),
        ("issue", "王五", {"to": "赵六"}),
    ]
    for act, by, detail in acts:
        book.add(act, number, by, NOW, detail)
        assert sealer.ofd(laid, NOW)
    assert sealer.problem(NOW) == ""
    book.add("lose", number, "王五", NOW, {"reason": "遗失"})
    assert "seal.status" in sealer.problem(NOW + timedelta(minutes=1))
    with pytest.raises(SigningError, match=r"seal\.status"):
        sealer.ofd(laid, NOW + timedelta(minutes=1))


def test_a_trial_set_is_never_overwritten_and_wants_its_passphrase(keys: Path) -> None:
    before = {path.name: path.read_bytes() for path in keys.iterdir()}
    with pytest.raises(FileExistsError):
        write_trial(keys, b"a long passphrase", "示例局", NOW)
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == before
    with pytest.raises(SigningError):
        open_sealer(keys, b"another passphrase")
    assert (keys / "signer.key").stat().st_mode & 0o077 == 0
    assert b"ENCRYPTED" in (keys / "signer.key").read_bytes()


def test_a_file_that_is_there_is_never_written_again(tmp_path: Path) -> None:
    path = store.file_of(tmp_path, "ab" * 16, "ofd")
    assert store.keep(path, b"first") == b"first"
    assert store.keep(path, b"second") == b"first"
    assert [p.name for p in path.parent.iterdir()] == [f"{'ab' * 16}.ofd"]
    for id_, form in (("../../etc/passwd", "ofd"), ("ab" * 16, "exe"), ("AB" * 16, "ofd"), ("", "pdf")):
        with pytest.raises(ValueError, match="no such notice"):
            store.file_of(tmp_path, id_, form)


def test_facts_never_end_up_as_template_words() -> None:
    tricky = notice("case.not_accepted", reason="{org} %s {caseNo}")
    assert "不予受理的原因：{org} %s {caseNo}" in tricky.body
    assert re.fullmatch(r"[0-9a-f]{32}", tricky.id)
