"""A case as its first sender writes it, the ways a case can go, and where it must end. Data only; files are
read and written here."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from signing.digest import sm3_hex

# Way of a case -> (stage it ends in, whether its submission is refused, whether it is parked). Stages as the
# hub names them.
ENDS: Final[dict[str, tuple[str, bool, bool]]] = {
    "plain": ("decided", False, False),
    "not_permitted": ("decided", False, False),
    "corrected": ("decided", False, False),
    "corrected_twice": ("decided", False, False),
    "suspended": ("decided", False, False),
    "cross_region_counter": ("decided", False, False),
    "cross_region_mail": ("decided", False, False),
    "own_counter": ("decided", False, False),
    "nation_reject": ("decided", False, False),
    "credit_slow": ("decided", False, False),
    "credit_silent": ("decided", False, False),
    "credit_black": ("decided", False, False),
    "credit_review_allow": ("decided", False, False),
    "credit_review_deny": ("", True, False),
    "credit_refused": ("", True, False),
    "withdrawn": ("withdrawn", False, False),
    "not_accepted": ("not_accepted", False, False),
    "dispatch_refused": ("submitted", False, False),
    "unknown_item": ("", False, True),
}

CREDIT_CHANGES: Final = "changes"  # not cases: what the credit library pushes by itself


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """One case in the form its member really sends. message: canonical JSON (REST members); document: SP*
    XML, GBK labelled gb2312
    (dept-b). case_ref: the sender's own reference, from which the hub derives the case number (of a credit
    change: its source key)."""

    path: str
    member: str
    case_ref: str
    message: dict[str, Any] | None = None
    document: bytes = b""


class Expectation(msgspec.Struct, frozen=True):
    """Where a case must end: the stage, or refused or parked at its submission. delivered: handed out;
    evaluated is up to the applicant."""

    member: str
    case_ref: str
    path: str
    stage: str
    refused: bool
    parked: bool


def expected(cases: Iterable[CaseFile]) -> dict[tuple[str, str], Expectation]:
    """(member, case_ref) -> the end of each case."""
    return {
        (case.member, case.case_ref): Expectation(case.member, case.case_ref, case.path, *ENDS[case.path])
        for case in cases
        if case.path != CREDIT_CHANGES
    }


def load(directory: Path) -> list[CaseFile]:
    """Every case under <directory>/<member>/<path>.json (a JSON array of messages) and <member>/<path>/*.xml,
    in a stable order.

    Raises msgspec.DecodeError, KeyError for a file that is not a case.
    """
    cases: list[CaseFile] = []
    for file in sorted(directory.glob("*/*.json")):
        member = file.parent.name
        cases.extend(
            CaseFile(
                path=file.stem,
                member=member,
                case_ref=message.get("caseRef") or message["sourceRef"],
                message=message,
            )
            for message in msgspec.json.decode(file.read_bytes())
        )
    for file in sorted(directory.glob("*/*/*.xml")):
        way, member = file.parent.name, file.parent.parent.name
        cases += [CaseFile(path=way, member=member, case_ref=file.stem, document=file.read_bytes())]
    return cases


def digests(case: CaseFile) -> tuple[str, ...]:
    """SM3 of the files a case refers to."""
    materials = (case.message or {}).get("body", {}).get("materials", ())
    refs = (str(material.get("ref", "")) for material in materials)
    return tuple(ref.removeprefix("sm3:") for ref in refs if ref.startswith("sm3:"))


def files_in(directory: Path) -> dict[str, Path]:
    """SM3 (hex) -> file, for the files cases refer to."""
    return {sm3_hex(path.read_bytes()): path for path in sorted(directory.iterdir()) if path.is_file()}
