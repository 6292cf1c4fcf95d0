"""What a notice can say: facts of a case from its submission, facts of an event, which template they fill.
Pure: the same records give the same notice; no font, page or file here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
import yaml

from hub.envelope import Message
from hub.ids import originated_id

BEIJING: Final = timezone(timedelta(hours=8))
SUBMITTED: Final = "case.submitted"
VALUE_CHARS_MAX: Final = 1_000
MATERIALS_MAX: Final = 200
_METHODS: Final = {"1": "自取", "2": "邮寄", "3": "自助专柜", "4": "电子送达"}
_PLACE: Final = re.compile(r"\{(\w+)\}")


class ListOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the event's materials: its title and its three column heads."""

    title: str
    columns: tuple[str, str, str]


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One notice as data, see templates.yaml."""

    kind: str
    event: str
    title: str
    number: str
    to: str
    body: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    org: str
    date: str
    qr: bool
    when: dict[str, tuple[str, ...]] = {}
    list: ListOf | None = None


class Notice(msgspec.Struct, frozen=True):
    """One notice, filled in: what stands on paper. `id` is derived from the event: an event has one."""

    id: str
    case_no: str
    event_id: str
    kind: str
    title: str
    number: str
    to: str
    body: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    org: str
    date: str
    qr: bool
    materials: tuple[tuple[str, str], ...] = ()
    list: ListOf | None = None


@cache
def templates() -> tuple[Template, ...]:
    """The templates, checked: every word in braces is a known fact. Raises ValueError naming the template."""
    document = yaml.safe_load(files("hub.notices").joinpath("templates.yaml").read_text("utf-8"))
    found = msgspec.convert(document["notices"], tuple[Template, ...])
    known = FACTS | {"applicant"}
    for template in found:
        texts = (template.number, template.to, template.org, template.date, *template.body)
        for text in (*texts, *(value for _, value in template.rows)):
            unknown = set(_PLACE.findall(text)) - known
            if unknown:
                raise ValueError(f"{template.kind}: 未知的字段 / unknown fact {', '.join(sorted(unknown))}")
    return found


class CaseFacts(msgspec.Struct, frozen=True):
    """What later notices need of the submission."""

    item_name: str
    project_name: str
    applicant: str
    applied_ms: int


def case_facts(body: Mapping[str, Any]) -> CaseFacts:
    """From the body of a submission."""
    return CaseFacts(
        item_name=str(body["itemName"]),
        project_name=str(body["projectName"]),
        applicant=str(body["applicant"]["name"]),
        applied_ms=_ms(body["appliedAt"]),
    )


def template_of(type_: str, body: Mapping[str, Any]) -> Template | None:
    """The template that this event calls for, or None."""
    for template in templates():
        if template.event == type_ and all(body.get(name) in of for name, of in template.when.items()):
            return template
    return None


def notice_of(message: Message, body: Mapping[str, Any], case: CaseFacts) -> Notice | None:
    """The notice of an event, or None when it calls for none."""
    template = template_of(message.type, body)
    if template is None:
        return None
    said = facts(message, body, case)
    return Notice(
        id=originated_id(message.id, "notice", template.kind),
        case_no=message.subject,
        event_id=message.id,
        kind=template.kind,
        title=template.title,
        number=fill(template.number, said),
        to=fill(template.to, said),
        body=tuple(line for text in template.body if (line := fill(text, said))),
        rows=tuple((label, value) for label, text in template.rows if (value := fill(text, said))),
        org=fill(template.org, said),
        date=fill(template.date, said),
        qr=template.qr,
        materials=tuple(
            (str(m.get("name") or ""), str(m.get("requirement") or "")[:VALUE_CHARS_MAX])
            for m in (body.get("materials") or ())[:MATERIALS_MAX]
        )
        if template.list
        else (),
        list=template.list,
    )


def fill(text: str, said: Mapping[str, str]) -> str:
    """The text with its facts; empty when one of them is."""
    if any(not said[name] for name in _PLACE.findall(text)):
        return ""
    return _PLACE.sub(lambda found: said[found[1]], text)


def facts(message: Message, body: Mapping[str, Any], case: CaseFacts) -> dict[str, str]:
    """Every fact by name; one that is not known is empty."""
    org, licence, receiver = (body.get(name) or {} for name in ("org", "licence", "receiver"))
    found = {
        "caseNo": message.subject,
        "itemName": case.item_name,
        "projectName": case.project_name,
        "applicant": case.applicant,
        "appliedOn": day(case.applied_ms),
        "org": org.get("name"),
        "handler": body.get("handler"),
        "docNo": body.get("docNo"),
        "queryCode": body.get("queryCode"),
        "reason": body.get("reason"),
        "explanation": body.get("explanation"),
        "licenceName": licence.get("name"),
        "licenceNumber": licence.get("number"),
        "licenceUntil": licence.get("validUntil"),
        "method": _METHODS.get(str(body.get("method"))),
        "trackingNo": body.get("trackingNo"),
        "receiver": receiver.get("name"),
        "window": body.get("window"),
        "promisedOn": day(_ms(body.get("promiseDate"))),
        "deadlineOn": day(_ms(body.get("deadline"))),
    }
    for name, field in _MOMENTS.items():
        found[f"{name}At"] = moment(_ms(body.get(field)))
        found[f"{name}On"] = day(_ms(body.get(field)))
    return {name: str(value or "")[:VALUE_CHARS_MAX] for name, value in found.items()}


_MOMENTS: Final = {
    "accepted": "acceptedAt",
    "decided": "decidedAt",
    "notified": "notifiedAt",
    "delivered": "deliveredAt",
}


def _ms(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1_000)
    return int(value or 0)


def day(time_ms: int) -> str:
    """2026年1月2日 in Beijing; empty for 0 and for a time outside the calendar."""
    at = _at(time_ms)
    return f"{at.year}年{at.month}月{at.day}日" if at else ""


def moment(time_ms: int) -> str:
    """The same with hours and minutes."""
    at = _at(time_ms)
    return f"{day(time_ms)} {at:%H:%M}" if at else ""


def _at(time_ms: int) -> datetime | None:
    if not time_ms:
        return None
    try:
        return datetime.fromtimestamp(time_ms / 1_000, BEIJING)
    except (ValueError, OverflowError, OSError):
        return None


FACTS: Final = frozenset(facts(Message("", "", "", "", 0, b""), {}, CaseFacts("", "", "", 0)))
