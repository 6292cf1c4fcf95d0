"""Reading a submission: what the applicant filled in, who fetches the result, what every member keeps of it.
Pure.
"""

import base64
import binascii
from typing import Any

import msgspec

from stubs.model import CaseMemory, Event


def form_answers(form: Any) -> dict[str, Any]:
    """What the applicant filled in: the form's content (base64 of JSON, or the bytes themselves); empty for a
    form we cannot read.
    """
    if not isinstance(form, dict):
        return {}
    content = form.get("content", "")
    try:
        raw = content if isinstance(content, bytes) else base64.b64decode(str(content), validate=True)
        answers = msgspec.json.decode(raw)
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return {}  # a form of another system: opaque to us (R12)
    return answers if isinstance(answers, dict) else {}


def scenario_of(form: Any) -> str:
    """The scenario written in a form; `plain` when there is none."""
    return str(form_answers(form).get("scenario", "plain"))


def collector_of(body: dict[str, Any]) -> str:
    """Who fetches the result: the agent, else the legal representative, else the applicant in person (at most
    30 characters).
    """
    applicant = body.get("applicant") or {}
    agent = body.get("agent") or {}
    return str(agent.get("name") or applicant.get("legalPerson") or applicant.get("name") or "申请人")[:30]


def without_nulls(value: Any) -> Any:
    """The same document without null members: an absent field and a null one mean the same to us."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def remember_submission(event: Event) -> CaseMemory:
    """What every member keeps of a submission it receives."""
    body = without_nulls(event.body)
    return CaseMemory(
        scenario=scenario_of(body.get("form")),
        origin=event.source,
        clock=event.occurred_at,
        item=str(body.get("item", event.item)),
        item_name=str(body.get("itemName", "")),
        region=str(body.get("region", event.region)),
        project_type=str(body.get("projectType", "2")),
        window=str(body.get("window") or ""),
        collector=collector_of(body),
        materials=tuple(body.get("materials") or ()),
    )
