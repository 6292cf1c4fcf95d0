"""Turns the four raw tables into a checked Directory. Pure: plain data in, a snapshot or the first mistake
out."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from hub.directory.errors import DirectoryError
from hub.directory.marked import Where
from hub.directory.model import Directory, Item, Member, MemberKind, Region, Role, Route, Style
from schemas.checks import item_code_ok, region_form_ok, uscc_ok
from signing.digest import sm3_hex

TABLES: Final = ("members", "items", "regions", "routes")
PROVINCE_PARENT: Final = ""
ENTRIES_MAX: Final = 200_000
SECRETS: Final = ("outbound_key", "sp_key", "sp_secret")

Place = Callable[[str, Where], str]
Raw = Mapping[str, Mapping[str, Any]]
T = TypeVar("T", Member, Item, Region, Route)

REFERENCE: Final = re.compile(r"\$\{([A-Z][A-Z0-9_]{0,99})\}")
_MEMBER_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_PATH_PART: Final = re.compile(r"\.([A-Za-z_0-9]+)|\[(\d+|\.\.\.)\]")


class _Checker:
    """One run over the raw tables. `fail` raises with the place of a path inside a table."""

    def __init__(self, raw: Raw, place: Place, env: Mapping[str, str] | None, region: str) -> None:
        self.raw, self.place, self.env, self.region = raw, place, env, region

    def fail(self, table: str, where: Where, zh: str, en: str) -> None:
        field = ".".join(str(part) for part in where) or table
        raise DirectoryError(self.place(table, where), field, zh, en)

    def table(self, table: str, kind: type[T]) -> dict[str, T]:
        entries = self.raw.get(table, {})
        if not entries:
            self.fail(table, (), "没有任何条目", "has no entries")
        if len(entries) > ENTRIES_MAX:
            self.fail(table, (), f"超过 {ENTRIES_MAX} 条", f"more than {ENTRIES_MAX} entries")
        name = {"members": "id", "routes": "type"}.get(table, "code")
        result: dict[str, T] = {}
        for key, entry in entries.items():
            if not isinstance(entry, dict):
                self.fail(table, (key,), "条目必须是键值对", "an entry must be a mapping")
            if name in entry:
                self.fail(
                    table, (key, name), "由键给出，不可再写", "is given by the key and must not be written"
                )
            filled = self._member(key, entry) if table == "members" else entry
            try:
                result[key] = msgspec.convert({**filled, name: key}, kind)
            except msgspec.ValidationError as error:
                self._convert_failed(table, key, str(error))
        return result

    def _member(self, key: str, entry: Mapping[str, Any]) -> Any:
        """The entry with its variables; of a member of another hub neither address nor key is wanted here."""
        if self.env is None or not self.region or entry.get("hub", "") in ("", self.region):
            return self._filled("members", (key,), entry)
        return {name: value for name, value in entry.items() if name != "auth"}

    def _filled(self, table: str, where: Where, value: Any) -> Any:
        """The value with `${VAR}` taken from the environment; secrets must be written so."""
        if isinstance(value, dict):
            return {key: self._filled(table, (*where, key), child) for key, child in value.items()}
        if isinstance(value, list):
            return [self._filled(table, (*where, index), child) for index, child in enumerate(value)]
        if not isinstance(value, str):
            return value
        if value and (where[-1] in SECRETS or "inbound_keys" in where) and not REFERENCE.fullmatch(value):
            self.fail(
                table,
                where,
                "密钥必须写成 ${变量}，不得写在文件里",
                "a secret must be written as ${VAR}, never in the file",
            )
        if self.env is None:
            return value
        for variable in REFERENCE.findall(value):
            if not self.env.get(variable):
                self.fail(
                    table, where, f"环境变量 {variable} 未设置", f"environment variable {variable} is not set"
                )
        env = self.env
        return REFERENCE.sub(lambda found: env[found[1]], value)

    def _convert_failed(self, table: str, key: str, text: str) -> None:
        message, _, path = text.partition(" - at ")
        where: list[str | int] = [key]
        for name, index in _PATH_PART.findall(path):
            where.append(name or (int(index) if index.isdigit() else index))
        unknown = re.search(r"unknown field `([^`]+)`", message)
        missing = re.search(r"missing required field `([^`]+)`", message)
        if unknown:
            self.fail(table, (*where, unknown[1]), f"未知的键 {unknown[1]}", f"unknown key {unknown[1]}")
        if missing:
            self.fail(
                table, tuple(where), f"缺少必填的键 {missing[1]}", f"required key {missing[1]} is missing"
            )
        got = self._written(table, tuple(where))
        self.fail(
            table, tuple(where), f"值 {got} 不符合要求（{message}）", f"value {got} not allowed ({message})"
        )

    def _written(self, table: str, where: Where) -> str:
        """What stands at a path, as written (a secret is a reference there), cut short."""
        value: Any = self.raw[table]
        for part in where:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return "?"
        return repr(value)[:60]


def build(raw: Raw, place: Place, env: Mapping[str, str] | None = None, region: str = "") -> Directory:
    """Check everything and return the snapshot; its version is the SM3 of the entries as written. region:
    the hub that reads it. Raises DirectoryError."""
    checker = _Checker(raw, place, env, region)
    regions = checker.table("regions", Region)
    members = checker.table("members", Member)
    items = checker.table("items", Item)
    routes = checker.table("routes", Route)
    _check_routes(checker, routes)
    _check_regions(checker, regions)
    _check_members(checker, members, regions, routes)
    _check_hubs(checker, members)
    for item in items.values():
        _check_item(checker, item, members, regions)
    sources = {table: dict(raw[table]) for table in TABLES}
    version = sm3_hex(msgspec.json.encode(sources, order="sorted"))
    return Directory(
        members=members,
        items=items,
        regions=regions,
        routes=routes,
        version=version,
        sources=sources,
        region=region,
    )


def _check_regions(checker: _Checker, regions: Mapping[str, Region]) -> None:
    for code, region in regions.items():
        where: Where = (code,)
        if not region_form_ok(code):
            checker.fail(
                "regions",
                where,
                "区划代码应为 6–12 位数字（GB/T 2260）",
                "a region code has 6 to 12 digits (GB/T 2260)",
            )
        seen = {code}
        parent = region.parent
        while parent:
            if parent not in regions:
                checker.fail(
                    "regions",
                    (*where, "parent"),
                    f"上级区划 {parent} 不存在",
                    f"parent region {parent} does not exist",
                )
            if parent in seen:
                checker.fail("regions", (*where, "parent"), "上级区划成环", "the parents form a circle")
            seen.add(parent)
            parent = regions[parent].parent


def _check_members(
    checker: _Checker,
    members: Mapping[str, Member],
    regions: Mapping[str, Region],
    routes: Mapping[str, Route],
) -> None:
    kinds = set(routes) | {to.kind for route in routes.values() for to in route.to}
    for id_, member in members.items():
        if not _MEMBER_ID.fullmatch(id_):
            checker.fail(
                "members",
                (id_,),
                "成员标识只能用小写字母、数字和连字符",
                "a member id is lower-case letters, digits and hyphens",
            )
        if not uscc_ok(member.org_code):
            checker.fail(
                "members",
                (id_, "org_code"),
                "统一社会信用代码校验位不符（GB 32100）",
                "check character of the USCC is wrong (GB 32100)",
            )
        if not member.regions:
            checker.fail("members", (id_, "regions"), "至少一个区划", "at least one region")
        for index, code in enumerate(member.regions):
            if code not in regions:
                checker.fail(
                    "members", (id_, "regions", index), f"区划 {code} 不存在", f"region {code} does not exist"
                )
        for index, kind in enumerate(member.subscribes):
            if kind not in kinds:
                checker.fail(
                    "members", (id_, "subscribes", index), f"没有路由产生 {kind}", f"no route gives {kind}"
                )
        tables, bridge = member.adapter.style is Style.TABLES, member.adapter.style is Style.BRIDGE
        if not bridge and not (member.adapter.database_url if tables else member.adapter.url):
            name = "database_url" if tables else "url"
            checker.fail(
                "members",
                (id_, "adapter"),
                f"{member.adapter.style} 需要 {name}",
                f"style {member.adapter.style} needs {name}",
            )
        if member.delivery.retry_delay_ms_min > member.delivery.retry_delay_ms_max:
            checker.fail(
                "members",
                (id_, "delivery"),
                "重试间隔下限大于上限",
                "retry_delay_ms_min is above retry_delay_ms_max",
            )
        if member.auth.algorithm not in ("HMAC-SHA256", "HMAC-SM3"):
            checker.fail(
                "members",
                (id_, "auth", "algorithm"),
                "只能是 HMAC-SHA256 或 HMAC-SM3",
                "HMAC-SHA256 or HMAC-SM3 only",
            )


def _check_hubs(checker: _Checker, members: Mapping[str, Member]) -> None:
    def is_hub(id_: str) -> bool:
        return id_ in members and members[id_].kind is MemberKind.HUB

    if checker.region and not is_hub(checker.region):
        zh, en = "HUB_REGION 须为 kind: hub 的成员", "HUB_REGION must be a member with kind: hub"
        checker.fail("members", (checker.region,), zh, en)
    for id_, member in members.items():
        if (member.kind is MemberKind.HUB) is not (member.adapter.style is Style.BRIDGE):
            zh, en = "kind: hub 与 style: bridge 须同时使用", "kind: hub and style: bridge go together"
            checker.fail("members", (id_, "adapter", "style"), zh, en)
        if member.hub and (member.kind is MemberKind.HUB or not is_hub(member.hub)):
            zh, en = f"{member.hub} 不是 kind: hub 的成员", f"{member.hub} is not a member with kind: hub"
            checker.fail("members", (id_, "hub"), zh, en)


def _check_item(
    checker: _Checker, item: Item, members: Mapping[str, Member], regions: Mapping[str, Region]
) -> None:
    where: Where = (item.code,)
    if not item_code_ok(item.code) or len(item.code) not in (31, 33):
        checker.fail("items", where, "事项编码应为 31 或 33 位（GB/T 39554.1）且信用代码校验位正确",
                     "an item code has 31 or 33 characters (GB/T 39554.1) with a valid USCC")  # fmt: skip
    if item.base_code != item.code[19:31]:
        checker.fail(
            "items",
            (*where, "base_code"),
            "基本编码应等于实施编码第 20–31 位",
            "base_code must equal characters 20 to 31 of the code",
        )
    if not item.versions or len(set(item.versions)) != len(item.versions):
        checker.fail(
            "items", (*where, "versions"), "版本不能为空或重复", "versions must be present and distinct"
        )
    if not item.acceptance or not item.receiving:
        checker.fail("items", where, "受理方或收件方不能为空", "acceptance and receiving must not be empty")
    if item.credit == "query" and not item.industry:
        checker.fail(
            "items",
            (*where, "industry"),
            "需信用核验的事项要写行业",
            "an item with credit: query needs an industry (H 9.3.1.2)",
        )
    if not item.owners:
        checker.fail("items", (*where, "owners"), "至少一个属地", "at least one owner")
    for code, owner in item.owners.items():
        _check_owner(checker, item, code, owner, members, regions)


def _check_owner(
    checker: _Checker,
    item: Item,
    code: str,
    owner: str,
    members: Mapping[str, Member],
    regions: Mapping[str, Region],
) -> None:
    where: Where = (item.code, "owners", code)
    if code not in regions:
        checker.fail("items", where, f"区划 {code} 不存在", f"region {code} does not exist")
    if owner not in members:
        checker.fail("items", where, f"成员 {owner} 不存在", f"member {owner} does not exist")
    if members[owner].kind is not MemberKind.DEPARTMENT:
        checker.fail("items", where, f"{owner} 不是实施机构", f"{owner} is not a department")
    above = ancestors(code, regions)
    if not set(members[owner].regions) & {code, *above}:
        checker.fail("items", where, f"{owner} 不管辖 {code}", f"{owner} does not serve {code}")
    for other in above:
        if other in item.owners:
            checker.fail(
                "items", where, f"与上级区划 {other} 的属地重叠", f"overlaps the owner of {other} above it"
            )


def _check_routes(checker: _Checker, routes: Mapping[str, Route]) -> None:
    not_speaking = {Role.SENDER_OF_CAUSE, Role.SUPERVISION}
    for type_, route in routes.items():
        if not re.fullmatch(r"[a-z]+(\.[a-z_]+)+", type_):
            checker.fail("routes", (type_,), "不是消息类型名", "not the name of a message type")
        for index, role in enumerate(route.from_):
            if role in not_speaking:
                checker.fail(
                    "routes", (type_, "from", index), f"{role} 不能发消息", f"{role} cannot be a sender"
                )
        for index, to in enumerate(route.to):
            if to.role is Role.HUB:
                checker.fail(
                    "routes", (type_, "to", index), "hub 不能是目的地", "hub cannot be a destination"
                )


def ancestors(code: str, regions: Mapping[str, Region]) -> tuple[str, ...]:
    """The regions above one, nearest first."""
    result = []
    region = regions.get(code)
    while region is not None and region.parent:
        result.append(region.parent)
        region = regions.get(region.parent)
    return tuple(result)
