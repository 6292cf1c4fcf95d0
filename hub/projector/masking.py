"""Masking of personal identifiers (脱敏) for everything a person reads. Pure functions; who may see more is
decided elsewhere."""

import re
from typing import Any, Final

#  Identifiers of persons inside free text: 18-character ID numbers and mobile numbers, not part of a longer
# run.
_ID_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])([1-9]\d{5})\d{8}(\d{3}[0-9Xx])(?![0-9A-Za-z])")
_MOBILE: Final = re.compile(r"(?<![0-9A-Za-z])(1[3-9]\d)\d{4}(\d{4})(?![0-9A-Za-z])")
_NAMES: Final = frozenset({"name", "legalPerson", "handler", "evaluator", "reviewer", "approver", "receiver"})
_NUMBERS: Final = frozenset({"idNo", "subjectIdNo", "mobile"})
_PLACES: Final = frozenset({"address"})
_OPAQUE: Final = frozenset({"content"})
_PEOPLE: Final = frozenset({"agent", "receiver", "applicant"})
_PERSON_KEYS: Final = frozenset({"idNo", "mobile", "subjectIdNo"})
DEPTH_MAX: Final = 24


def mask_name(name: str) -> str:
    """王小明 → 王**; the first character stays."""
    return name[:1] + "*" * (len(name) - 1) if len(name) > 1 else "*" * len(name)


def mask_number(number: str) -> str:
    """460106199001011234 → 460***********1234; short numbers keep their last two characters."""
    if len(number) >= 11:
        return number[:3] + "*" * (len(number) - 7) + number[-4:]
    return "*" * max(len(number) - 2, 0) + number[-2:] if len(number) > 2 else "*" * len(number)


def mask_text(text: str) -> str:
    """Free text with every ID number and mobile number inside it masked."""
    text = _ID_NUMBER.sub(lambda m: mask_number(m.group(0)), text)
    return _MOBILE.sub(lambda m: m.group(1) + "****" + m.group(2), text)


def is_organisation(id_type: str) -> bool:
    """True for identifiers of organisations (证件类型 0xx: 001 = USCC), which are public."""
    return id_type.startswith("0")


def applicant(party: dict[str, Any]) -> str:
    """One line for lists: a natural person masked, an organisation by its name. party: record Party."""
    name, id_type = str(party.get("name") or ""), str(party.get("idType") or "")
    if is_organisation(id_type):
        return name
    return f"{mask_name(name)} {mask_number(str(party.get('idNo') or ''))}".strip()


def names_of(body: Any, depth: int = 0) -> set[str]:
    """Names of natural persons in a body, to be masked wherever else they are written (a project's title
    often holds one)."""
    if depth > DEPTH_MAX:
        return set()
    if isinstance(body, list):
        return set().union(*(names_of(entry, depth + 1) for entry in body))
    if not isinstance(body, dict):
        return set()
    found = set().union(*(names_of(value, depth + 1) for value in body.values()))
    name = body.get("name")
    person = not is_organisation(str(body.get("idType") or body.get("subjectIdType") or ""))
    if isinstance(name, str) and len(name) > 1 and person and not _PERSON_KEYS.isdisjoint(body):
        found.add(name)
    return found


def mask_names(text: str, names: set[str]) -> str:
    """Every occurrence of these names masked, the longest first."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, mask_name(name))
    return text


def masked_body(body: Any) -> Any:
    """`mask_body`, and the persons' names masked in every other text of the same body too."""
    return _without_names(mask_body(body), names_of(body))


def _without_names(body: Any, names: set[str]) -> Any:
    if isinstance(body, dict):
        return {key: _without_names(value, names) for key, value in body.items()}
    if isinstance(body, list):
        return [_without_names(entry, names) for entry in body]
    return mask_names(body, names) if isinstance(body, str) else body


def mask_body(body: Any, *, person: bool = False, depth: int = 0) -> Any:
    """A decoded body with personal identifiers masked and opaque content left out. Organisations' names and
    codes stay.

    person: this record describes a person even where it carries no identifier (agent, receiver).
    """
    if depth > DEPTH_MAX:
        return "…"
    if isinstance(body, dict):
        organisation = is_organisation(str(body.get("idType") or body.get("subjectIdType") or ""))
        person = (person or not _PERSON_KEYS.isdisjoint(body)) and not organisation
        return {key: _mask_entry(key, value, person, organisation, depth) for key, value in body.items()}
    if isinstance(body, list):
        return [mask_body(entry, depth=depth + 1) for entry in body]
    return mask_text(body) if isinstance(body, str) else body


def _mask_entry(key: str, value: Any, person: bool, organisation: bool, depth: int) -> Any:
    if not isinstance(value, str):
        return mask_body(value, person=key in _PEOPLE, depth=depth + 1)
    if key in _OPAQUE:
        return f"[{len(value)}]"
    if key in _NUMBERS:
        return value if organisation else mask_number(value)
    if key in _NAMES and (person or key != "name"):
        return mask_name(value)
    if key in _PLACES:
        return value[:6] + "****"
    return mask_text(value)
