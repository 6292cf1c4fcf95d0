"""Messages -> rows of the national front-end tables up_pro_* (prescribed names, lengths, NOT NULL). Pure.
The DDL is adapters/tables/front_end.sql; a test holds both together.
"""

from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

import msgspec

from adapters.formats.canonical_json import SHANGHAI
from adapters.ports import Dispatch, FormatError
from signing.digest import sm3_hex

STANDARD: Final = "国家平台数据上报前置库 up_pro_*"
_EPOCH: Final = datetime(1970, 1, 1)  # the tables hold Beijing time without a zone
_ROW_GUID_CHARS: Final = 32


class Column(msgspec.Struct, frozen=True):
    """kind: text | int | time. chars_max counts characters (the target's varchar(n))."""

    name: str
    chars_max: int = 0
    required: bool = False
    kind: str = "text"


class Row(msgspec.Struct, frozen=True):
    """One row to send. row_guid: from (table, project_no, business key), never from a version (R31)."""

    table: str
    row_guid: str
    values: dict[str, Any]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What later rows need of a case's earlier messages.

    submitted: the columns of up_pro_accept that the submission gives. materials: code -> row values.
    specials: sn (text) -> the start of a special procedure. accepted: the parent row was written."""

    submitted: dict[str, Any] = {}
    materials: dict[str, dict[str, Any]] = {}
    specials: dict[str, dict[str, Any]] = {}
    accepted: bool = False


class Plan(msgspec.Struct, frozen=True):
    """What a dispatch writes: rows, parents first, and the card afterwards."""

    rows: tuple[Row, ...]
    card: Card


def _columns(text: str) -> tuple[Column, ...]:
    """`name length!` ... with ! = NOT NULL, length = int | time | characters."""
    found = []
    for part in text.split(","):
        name, kind = part.split()
        required, kind = kind.endswith("!"), kind.rstrip("!")
        chars = int(kind) if kind.isdigit() else 0
        found.append(Column(name, chars, required, "text" if chars else kind))
    return tuple(found)


TABLES: Final[dict[str, tuple[Column, ...]]] = {
    "up_pro_accept": _columns(
        "project_no 50!, project_name 1000, task_code 36!, task_handle_item 50, catalog_code 12!, "
        "local_task_code 50, local_catalog_code 50, task_name 1000!, task_version int!, apply_type 2!, "
        "applyer_name 100!, applyer_type 2!, applyer_page_type 70!, applyer_page_code 500!, "
        "contact_name 100, contact_type 6, contact_code 50, contact_mobile 11, legal 100, address 1000, "
        "zip_code 6, apply_date time!, accept_date time!, accept_doc_no 50, org_code 64!, org_name 100!, "
        "handle_user_name 100, project_type 2!, promise_date time"
    ),
    "up_pro_process": _columns(
        "project_no 50!, process_name 1000!, event_name 2!, event_start_time time!, event_end_time time!, "
        "handle_user_name 100!, handle_explain 2000!, remark 256"
    ),
    "up_pro_result": _columns(
        "project_no 50!, result_type 2!, result_date time!, result_explain 2000, result_cetr_name 256, "
        "result_cetr_no 2000, is_delivery_results 2!, handle_user_name 100, satisfaction 2, remark 256"
    ),
    "up_pro_special_procedure": _columns(
        "project_no 50!, special_type 2!, special_name 1000!, special_time time!, special_reason 2000!, "
        "applyer_user_name 100, end_time time!, result 2000, special_explain 2000, handle_user 100, "
        "remark 256"
    ),
    "up_pro_material": _columns(
        "project_no 50!, material_name 200!, get_type 2!, get_num 5, material_attach_name 200, remark 1000"
    ),
}
# Every row has them; written by the port, which knows the time and what it sent before.
SYNC_COLUMNS: Final = _columns("row_guid 50!, data_source 3!, cd_operation 2!, cd_time time!, cd_batch 32!")

_ACTIONS: Final = {
    "1": "通过",
    "2": "退回",
    "9": "其他",
}  # GB/T 39046 表7 业务动作: said where no opinion was given


def plan(dispatch: Dispatch, card: Card) -> Plan:
    """Rows of one dispatch, checked. Raises FormatError naming table.column.

    A kind without a table gives no row. Stated defaults: a special procedure is sent when it has ended, for
    end_time is NOT NULL; materials are sent with the acceptance.
    """
    make = _MAKERS.get(dispatch.kind)
    return make(dispatch, dispatch.body, card) if make is not None else Plan((), card)


def row_guid(table: str, project_no: str, key: str) -> str:
    """32 hex characters derived from what the row is about."""
    parts = "".join(f"{len(part)}:{part}" for part in (table, project_no, key))
    return sm3_hex(b"row_guid\n" + parts.encode())[:_ROW_GUID_CHARS]


def beijing(time_ms: int | None) -> datetime | None:
    """ms since the epoch -> Beijing time without zone, as the tables hold it."""
    if time_ms is None:
        return None
    return (_EPOCH + timedelta(milliseconds=time_ms)) + (SHANGHAI.utcoffset(None) or timedelta())


def _submitted(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    applicant, agent = body["applicant"], body.get("agent") or {}
    item = str(body["item"])
    submitted = {
        "project_name": body.get("projectName"),
        "task_code": item[:31],
        "task_handle_item": item if len(item) == 33 else None,
        "catalog_code": item[19:31],
        "task_name": body.get("itemName"),
        "task_version": body.get("itemVersion"),
        "apply_type": body.get("applyType"),
        "applyer_name": applicant.get("name"),
        "applyer_type": applicant.get("kind"),
        "applyer_page_type": applicant.get("idType"),
        "applyer_page_code": applicant.get("idNo"),
        "contact_name": agent.get("name"),
        "contact_type": agent.get("idType"),
        "contact_code": agent.get("idNo"),
        "contact_mobile": agent.get("mobile"),
        "legal": applicant.get("legalPerson"),
        "address": applicant.get("address"),
        "zip_code": applicant.get("postcode"),
        "apply_date": body.get("appliedAt"),
        "project_type": body.get("projectType"),
    }
    # Checked now, so that the sender hears of it while the case is young; the acceptance fills the rest.
    _check("up_pro_accept", submitted, only=frozenset(submitted))
    known = {**card.materials, **_materials(body)}
    return Plan((), msgspec.structs.replace(card, submitted=submitted, materials=known))


def _accepted(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    _need_card(card)
    no, org = dispatch.case_no, body["org"]
    accept = _row(
        "up_pro_accept",
        no,
        "",
        {
            **card.submitted,
            "accept_date": body.get("acceptedAt", body.get("decidedAt")),
            "accept_doc_no": body.get("docNo"),
            "org_code": org.get("code"),
            "org_name": org.get("name"),
            "handle_user_name": body.get("handler"),
            "project_type": body.get("projectType") or card.submitted.get("project_type"),
            "promise_date": body.get("promiseDate"),
        },
    )
    rows = (accept, *_material_rows(no, card.materials))
    return Plan(rows, msgspec.structs.replace(card, accepted=True))


def _not_accepted(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    """不予受理: the parent row, dated with the decision, and a result 6 (EA_JC doneresult)."""
    accept = _accepted(dispatch, body, card)
    values = {
        "result_type": "6",
        "result_date": body.get("decidedAt"),
        "result_explain": body.get("reason"),
        "is_delivery_results": "0",
        "handle_user_name": body.get("handler"),
    }
    return Plan((*accept.rows, _row("up_pro_result", dispatch.case_no, "", values)), accept.card)


def _corrected(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    changed = _materials(body)
    rows = _material_rows(dispatch.case_no, changed) if card.accepted else ()
    return Plan(rows, msgspec.structs.replace(card, materials={**card.materials, **changed}))


def _step(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    start = body.get("startedAt")
    values = {
        "process_name": body.get("stepName"),
        "event_name": body.get("action"),
        "event_start_time": start,
        "event_end_time": body.get("endedAt") or start,  # GB/T 39046 表7: no end yet = the start
        "handle_user_name": body.get("handler"),
        "handle_explain": body.get("opinion") or _ACTIONS.get(str(body.get("action"))),
    }
    return Plan((_row("up_pro_process", dispatch.case_no, _source_step(dispatch), values),), card)


def _special_started(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    start = {
        "special_type": body.get("kind"),
        "special_name": body.get("name"),
        "special_time": body.get("startedAt"),
        "special_reason": body.get("reason"),
        "applyer_user_name": body.get("approver"),
    }
    _check("up_pro_special_procedure", start, only=frozenset(start))
    return Plan((), msgspec.structs.replace(card, specials={**card.specials, str(body["sn"]): start}))


def _special_ended(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    sn = str(body["sn"])
    start = card.specials.get(sn)
    if start is None:
        _refuse(
            "up_pro_special_procedure.special_time",
            "start known",
            f"第 {sn} 次特别程序没有收到开始信息，special_time 等必填项无法填写",
            f"the start of special procedure {sn} is not known, so special_time cannot be filled",
        )
    values = {
        **start,
        "end_time": body.get("endedAt"),
        "result": body.get("result"),
        "special_explain": body.get("opinion"),
        "handle_user": body.get("handler"),
    }
    return Plan((_row("up_pro_special_procedure", dispatch.case_no, sn, values),), card)


def _decided(dispatch: Dispatch, body: dict[str, Any], card: Card) -> Plan:
    licence = body.get("licence") or {}
    values = {
        "result_type": body.get("result"),
        "result_date": body.get("decidedAt"),
        "result_explain": body.get("explanation"),
        "result_cetr_name": licence.get("name"),
        "result_cetr_no": licence.get("number"),
        "is_delivery_results": "1" if body.get("needDelivery") else "0",
        "handle_user_name": body.get("handler"),
    }
    return Plan((_row("up_pro_result", dispatch.case_no, "", values),), card)


_MAKERS: Final = {
    "case.submitted": _submitted,
    "case.accepted": _accepted,
    "case.not_accepted": _not_accepted,
    "case.corrected": _corrected,
    "case.process_step": _step,
    "case.special_started": _special_started,
    "case.special_ended": _special_ended,
    "case.decided": _decided,
}


def _source_step(dispatch: Dispatch) -> str:
    # The sender's key names the step whatever its version; two steps of one second differ in it (R1, R31).
    return dispatch.source_key or dispatch.message_id


def _materials(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for material in body.get("materials") or ():
        values = {
            "material_name": material.get("name"),
            "get_type": material.get("collect"),
            "get_num": str(material["count"]) if material.get("count") is not None else None,
            "material_attach_name": material.get("ref"),
        }
        _check("up_pro_material", values, only=frozenset(values))
        found[str(material["code"])] = values
    return found


def _material_rows(project_no: str, materials: dict[str, dict[str, Any]]) -> tuple[Row, ...]:
    return tuple(_row("up_pro_material", project_no, code, values) for code, values in materials.items())


def _row(table: str, project_no: str, key: str, values: dict[str, Any]) -> Row:
    complete = {**values, "project_no": project_no}
    _check(table, complete)
    times = {column.name for column in TABLES[table] if column.kind == "time"}
    ready = {name: beijing(value) if name in times else value for name, value in complete.items()}
    return Row(table, row_guid(table, project_no, key), ready)


def _check(table: str, values: dict[str, Any], only: frozenset[str] | None = None) -> None:
    for column in TABLES[table]:
        if only is not None and column.name not in only:
            continue
        value, place = values.get(column.name), f"{table}.{column.name}"
        if value is None or value == "":
            if column.required:
                _refuse(place, "NOT NULL", f"{place} 不能为空", f"{place} must not be empty")
        elif column.kind == "text":
            _check_text(place, str(value), column.chars_max)


def _check_text(place: str, text: str, chars_max: int) -> None:
    if len(text) > chars_max:
        _refuse(
            place,
            f"at most {chars_max} characters",
            f"{place} 有 {len(text)} 个字符，最多 {chars_max} 个",
            f"{place} has {len(text)} characters, at most {chars_max} are allowed",
        )
    if "\x00" in text:
        _refuse(place, "no U+0000", f"{place} 含字符 U+0000", f"{place} holds U+0000")


def _need_card(card: Card) -> None:
    if not card.submitted:
        _refuse(
            "up_pro_accept.applyer_name",
            "submission known",
            "没有该办件的申请信息，applyer_name 等必填项无法填写",
            "the case's submission is not known, so applyer_name and others cannot be filled",
        )


def _refuse(field: str, rule: str, zh: str, en: str) -> NoReturn:
    raise FormatError(field, rule, STANDARD, f"{zh}（{STANDARD}）", f"{en} ({STANDARD})")
