"""Makes example cases from a seed: all ways a case can go, in realistic shares. The same seed gives the same
cases, byte for byte.

`python -m examples.generate` rewrites examples/cases and examples/files; `cases(count, seed)` scales without
writing anything.
"""

import argparse
import base64
import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from examples import materials, parties
from stubs.cases import CREDIT_CHANGES, CaseFile
from stubs.credit import Grade, load_grades
from stubs.department import OFFICES
from stubs.model import SHANGHAI
from stubs.sp_documents import registration

ROOT: Final = Path(__file__).parent
DIRECTORY: Final = ROOT.parent / "hub" / "directory" / "data"
SEED: Final = 46
CASES_COMMITTED: Final = 300
FIRST_DAY: Final = datetime(2026, 9, 1, tzinfo=SHANGHAI)
DAYS: Final = 30
WITH_FILES_OF_HUNDRED: Final = 34
AT_WINDOW_OF_HUNDRED: Final = 25

# Ways of a case in per mille; the rest of what a province sees every day.
SHARES: Final = {
    "plain": 645,
    "not_permitted": 30,
    "corrected": 70,
    "corrected_twice": 10,
    "suspended": 50,
    "withdrawn": 40,
    "not_accepted": 40,
    "cross_region_counter": 40,
    "cross_region_mail": 20,
    "own_counter": 30,
    "nation_reject": 5,
    "credit_refused": 4,
    "credit_review_allow": 4,
    "credit_review_deny": 2,
    "unknown_item": 10,
}
# Ways that the committed examples show beside these, whatever the shares give.
_ALSO: Final = {
    "credit_slow": 2,
    "credit_silent": 1,
    "credit_black": 2,
    "nation_reject": 2,
    "credit_refused": 4,
    "credit_review_allow": 4,
    "credit_review_deny": 3,
    "unknown_item": 3,
    "corrected_twice": 3,
    "own_counter": 12,
    "dispatch_refused": 2,
}
_WINDOWS: Final = {"dept-a": "window-haikou", "dept-b": "window-sanya"}
_DISTRICTS: Final = {
    "dept-a": {
        "460105": "海口市秀英区",
        "460106": "海口市龙华区",
        "460107": "海口市琼山区",
        "460108": "海口市美兰区",
    },
    "dept-b": {
        "460202": "三亚市海棠区",
        "460203": "三亚市吉阳区",
        "460204": "三亚市天涯区",
        "460205": "三亚市崖州区",
    },
}
_UNKNOWN_BASE: Final = "460199999000"
_PERSONAL: Final = ("社会保障卡申领", "政府信息公开申请", "营业执照遗失补领（个体工商户）")


class Item(msgspec.Struct, frozen=True):
    """What the generator needs of an item of the directory."""

    code: str
    name: str
    owners: tuple[str, ...]
    acceptance: tuple[str, ...]
    credit: bool
    industry: str
    decision_standard: bool
    project_type: str
    result_type: str
    versions: tuple[int, ...]
    special: bool
    nation: bool


def read_items(path: Path = DIRECTORY / "items.yaml") -> list[Item]:
    """The items as the hub's directory lists them. Raises KeyError, yaml.YAMLError."""
    return [
        Item(
            code=str(code),
            name=entry["name_zh"],
            owners=tuple(entry["owners"].values()),
            acceptance=tuple(entry["acceptance"]),
            credit=entry.get("credit") == "query",
            industry=entry.get("industry", ""),
            decision_standard=bool(entry.get("decision_standard")),
            project_type=entry["project_type"],
            result_type=entry.get("result_type", ""),
            versions=tuple(entry["versions"]),
            special=bool(entry.get("special")),
            nation=entry.get("nation", True),
        )
        for code, entry in yaml.safe_load(path.read_text(encoding="utf-8"))["items"].items()
    ]


def cases(count: int, seed: int = SEED, *, first: int = 1) -> Iterator[CaseFile]:
    """`count` cases in the shares of SHARES, numbered from `first`: other numbers, other cases."""
    maker = _Maker(read_items(), load_grades())
    ways, weights = list(SHARES), list(SHARES.values())
    for number in range(first, first + count):
        source = random.Random(f"{seed}/{number}")
        yield maker.case(source.choices(ways, weights)[0], number, source)


def committed(seed: int = SEED) -> list[CaseFile]:
    """The cases kept under examples/cases."""
    result = list(cases(CASES_COMMITTED, seed))
    maker = _Maker(read_items(), load_grades())
    number = CASES_COMMITTED
    for way, copies in _ALSO.items():
        for _ in range(copies):
            number += 1
            result.append(maker.case(way, number, random.Random(f"{seed}/{number}")))
    return [*result, *credit_changes()]


def credit_changes() -> list[CaseFile]:
    """What the credit library says by itself: the standing of every party it lists, then one repair (R22)."""
    grades = list(load_grades().values())
    repaired = msgspec.structs.replace(
        grades[0], grade="blue", serious_dishonesty=False, banned_industries=()
    )
    changes = []
    for number, grade in enumerate([*grades, repaired], 1):
        day = (
            FIRST_DAY + timedelta(hours=number) if number <= len(grades) else FIRST_DAY + timedelta(days=DAYS)
        )
        changes.append(_credit_change(number, grade, day, repaired=number > len(grades)))
    return changes


def _credit_change(number: int, grade: Grade, moment: datetime, *, repaired: bool) -> CaseFile:
    reference = f"XYBG2026{number:05d}"
    body: dict[str, Any] = {
        "subjectIdType": "001",
        "subjectIdNo": grade.id_no,
        "name": grade.name,
        "grade": grade.grade,
        "seriousDishonesty": grade.serious_dishonesty,
        "bannedIndustries": list(grade.banned_industries),
        "validFrom": moment.isoformat(timespec="seconds"),
    }
    if repaired:
        body["repairedAt"] = moment.isoformat(timespec="seconds")
    message = {
        "type": "credit.changed",
        "sourceRef": reference,
        "occurredAt": moment.isoformat(timespec="seconds"),
        "body": body,
    }
    return CaseFile(path=CREDIT_CHANGES, member="credit", case_ref=reference, message=message)


class _Maker:
    """Makes single cases; holds what all of them read."""

    def __init__(self, items: list[Item], grades: dict[str, Grade]) -> None:
        self._items, self._grades = items, grades

    def case(self, way: str, number: int, source: random.Random) -> CaseFile:
        """One case that goes the given way."""
        item = source.choice([item for item in self._items if _suits(item, way)])
        owner = source.choice(item.owners)
        member = _opener(way, owner, source)
        region, region_name = source.choice(list(_DISTRICTS[owner].items()))
        body = self._body(way, number, source, item, owner, member, (region, region_name))
        case_ref = f"{_PREFIX[member]}2026{number:07d}"
        if member == "dept-b":
            return CaseFile(path=way, member=member, case_ref=case_ref, document=registration(case_ref, body))
        message = {
            "type": "case.submitted",
            "sourceRef": f"{case_ref}-SQ",
            "caseRef": case_ref,
            "occurredAt": body["appliedAt"],
            "body": body,
        }
        return CaseFile(path=way, member=member, case_ref=case_ref, message=message)

    def _body(
        self,
        way: str,
        number: int,
        source: random.Random,
        item: Item,
        owner: str,
        member: str,
        region: tuple[str, str],
    ) -> dict[str, Any]:
        in_gbk = owner == "dept-b"
        applicant = self._applicant(way, number, source, item, region, in_gbk)
        at_window = member.startswith("window-")
        applied = FIRST_DAY + timedelta(
            days=source.randrange(DAYS), minutes=source.randint(8 * 60 + 30, 17 * 60 + 30)
        )
        code = item.code[:19] + _UNKNOWN_BASE if way == "unknown_item" else item.code
        mark = "（测试退回）" if way == "nation_reject" else ""
        body: dict[str, Any] = {
            "item": code,
            "itemVersion": max(item.versions),
            "itemName": item.name,
            "region": region[0],
            "projectName": f"{applicant['name']}{item.name}{mark}",
            "applyType": "1",
            "projectType": item.project_type,
            "applicant": applicant,
            "agent": parties.agent(source, in_gbk=in_gbk),
            "channel": "1" if member != "platform" else source.choice("23"),
            "appliedAt": applied.isoformat(timespec="seconds"),
            "form": _form(way, owner, item, source),
            "materials": materials.of_case(
                applicant["kind"],
                with_files=member != "dept-b" and source.randrange(100) < WITH_FILES_OF_HUNDRED,
                online=member == "platform",
                number=number,
            ),
            "creditChoice": item.credit and way == "plain" and source.random() < 0.3,
            "resultType": item.result_type,
        }
        if at_window:
            body["window"] = member
        return body

    def _applicant(
        self, way: str, number: int, source: random.Random, item: Item, region: tuple[str, str], in_gbk: bool
    ) -> dict[str, Any]:
        if item.name in _PERSONAL:
            return parties.natural_person(source, region[1], in_gbk=in_gbk)
        party = parties.company(source, region[0], region[1], number, item.industry, in_gbk=in_gbk)
        listed = _listed(way, item, self._grades)
        if listed is not None:
            party |= {"idNo": listed.id_no, "name": listed.name}
        return party


_PREFIX: Final = {
    "platform": "YTH",
    "window-haikou": "HKCK",
    "window-sanya": "SYCK",
    "dept-a": "HKSJ",
    "dept-b": "SYRS",
}


def _suits(item: Item, way: str) -> bool:
    match way:
        case "suspended":
            return item.special
        case "cross_region_counter" | "cross_region_mail":
            return "cross_region_window" in item.acceptance
        case "credit_refused":
            return item.credit and item.decision_standard and item.industry in ("F52", "L7263")
        case "credit_review_allow" | "credit_review_deny":
            return item.credit and not item.decision_standard
        case "credit_slow" | "credit_silent" | "credit_black":
            return item.credit
        case "nation_reject":
            return item.nation
        case "own_counter":
            return not item.credit
        case _:
            return True


def _opener(way: str, owner: str, source: random.Random) -> str:
    """Who takes the case in."""
    local = _WINDOWS[owner]
    if way == "own_counter":
        return owner
    if way.startswith("cross_region"):
        return next(window for window in _WINDOWS.values() if window != local)
    if way in (
        "withdrawn",
        "unknown_item",
        "credit_slow",
        "credit_silent",
        "credit_black",
        "dispatch_refused",
    ):
        return "platform"
    return local if source.randrange(100) < AT_WINDOW_OF_HUNDRED else "platform"


def _listed(way: str, item: Item, grades: dict[str, Grade]) -> Grade | None:
    """The party of the credit library that makes the case go its way."""
    for grade in grades.values():
        banned = item.industry in grade.banned_industries
        if way.startswith(("credit_refused", "credit_review")) and banned:
            return grade
        if way == "credit_black" and grade.grade == "black" and not grade.banned_industries:
            return grade
        if (way, grade.silence) in (("credit_slow", "once"), ("credit_silent", "always")):
            return grade
    return None


def _form(way: str, owner: str, item: Item, source: random.Random) -> dict[str, Any]:
    """The item's own form (R12). `scenario` tells the simulated members which way the case goes."""
    answers = {
        "scenario": way,
        "department": OFFICES[owner].name,
        "departmentCode": OFFICES[owner].org_code,
        "经营场所面积": source.randint(20, 800),
        "从业人数": source.randint(1, 120),
        "承诺属实": True,
    }
    return {
        "formId": f"BD{item.code[19:31]}",
        "version": f"2026.{max(item.versions)}",
        "mediaType": "application/json",
        "content": base64.b64encode(msgspec.json.encode(answers)).decode(),
    }


def write(directory: Path, made: list[CaseFile]) -> Counter[tuple[str, str]]:
    """One JSON file a member and way; one XML file a case of the member that speaks SP*. What an earlier run
    wrote there goes. Returns how many of each."""
    for stale in (*directory.glob("*/*.json"), *directory.glob("*/*/*.xml")):
        stale.unlink()
    groups: dict[tuple[str, str], list[CaseFile]] = {}
    for case in made:
        groups.setdefault((case.member, case.path), []).append(case)
    for (member, way), group in sorted(groups.items()):
        folder = directory / member
        folder.mkdir(parents=True, exist_ok=True)
        if group[0].message is None:
            (folder / way).mkdir(exist_ok=True)
            for case in group:
                (folder / way / f"{case.case_ref}.xml").write_bytes(case.document)
        else:
            document = msgspec.json.format(msgspec.json.encode([case.message for case in group]), indent=1)
            (folder / f"{way}.json").write_bytes(document + b"\n")
    return Counter({key: len(group) for key, group in groups.items()})


def main() -> None:
    """Rewrite the committed examples."""
    parser = argparse.ArgumentParser(description="生成示例办件 / make the example cases")
    parser.add_argument("--out", type=Path, default=ROOT / "cases")
    parser.add_argument(
        "--cases",
        type=int,
        default=0,
        help="只生成 N 件 / N cases in the usual shares instead of the committed set",
    )
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    materials.write_files()
    made = list(cases(options.cases, options.seed)) if options.cases else committed(options.seed)
    for (member, way), number in sorted(write(options.out, made).items()):
        print(f"{member:14} {way:22} {number:5}")


if __name__ == "__main__":
    main()
