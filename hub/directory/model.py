"""The directory's frozen data: members, items, regions, routes. No file, no check, no broker here."""

import enum
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Milliseconds = Annotated[int, Meta(ge=0, le=30 * 86_400_000)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class MemberKind(enum.StrEnum):
    PLATFORM = "platform"
    DEPARTMENT = "department"
    WINDOW = "window"
    CREDIT = "credit"
    NATION = "nation"
    SUPERVISION = "supervision"
    HUB = "hub"


class Style(enum.StrEnum):
    """How a member is spoken to: REST with canonical JSON, ASMX-style SOAP with SP* XML, front-end tables
    (前置库), or, for another region's hub, the bridge."""

    REST = "rest"
    ASMX = "asmx"
    TABLES = "tables"
    BRIDGE = "bridge"


class Guarantee(enum.StrEnum):
    """What a member promises about a repeated call (G4)."""

    IDEMPOTENT = "idempotent"
    QUERYABLE = "queryable"
    BLIND = "blind"


class Acceptance(enum.StrEnum):
    """Who may receive or accept a case of an item (H 9.2.2.3; 综合窗口受理制改革方案)."""

    DEPARTMENT = "department"
    WINDOW = "window"
    CROSS_REGION_WINDOW = "cross_region_window"


class Role(enum.StrEnum):
    """What a member is to one case. `window` as a sender: any permitted window; as a destination: the
    window of the case's own region."""

    OWNER = "owner"
    PLATFORM = "platform"
    ORIGIN = "origin"
    WINDOW = "window"
    NATION = "nation"
    SUPERVISION = "supervision"
    CREDIT = "credit"
    HUB = "hub"
    SENDER_OF_CAUSE = "sender_of_cause"


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Adapter(_Strict, frozen=True, kw_only=True):
    """style and where the member is. body_bytes_max: the largest body it takes."""

    style: Style
    url: str = ""
    database_url: str = ""
    charset: str = "utf-8"
    body_bytes_max: Annotated[int, Meta(ge=1_024, le=64 * 1024 * 1024)] = 1_048_576


class Delivery(_Strict, frozen=True, kw_only=True):
    """How its delivery lane works (G4): bounds of calls, waits, retries and queues."""

    guarantee: Guarantee
    calls_in_flight_max: Annotated[int, Meta(ge=1, le=256)] = 16
    call_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = 5_000
    query_after_ms: Milliseconds = 0
    start_within_ms: Annotated[int, Meta(ge=100, le=600_000)] = 2_000
    attempts_max: Annotated[int, Meta(ge=1, le=1_000)] = 8
    retry_delay_ms_min: Milliseconds = 200
    retry_delay_ms_max: Milliseconds = 30_000
    taken_in_max: Count = 2_000
    parked_max: Count = 200


class Auth(_Strict, frozen=True, kw_only=True):
    """Keys are `${VAR}` references in the data and values only in the memory of a process that was given an
    environment (R16, R17)."""

    algorithm: str = "HMAC-SHA256"
    inbound_keys: tuple[str, ...] = ()
    outbound_key: str = ""
    skew_ms: Annotated[int, Meta(ge=1_000, le=900_000)] = 300_000
    sp_key: str = ""
    sp_secret: str = ""
    addresses: tuple[str, ...] = ()


class Member(_Strict, frozen=True, kw_only=True):
    """One connected system. org_code: 统一社会信用代码 of its organisation. regions: codes it serves with
    everything below them.

    hold_early_ms: how long an early message of this member waits for its predecessor (R8). subscribes:
    dispatch kinds it takes. hub: the hub that the member is connected to, a member of kind hub; "" = each
    hub that reads this directory.
    """

    id: str = ""
    name_zh: Text
    name_en: Text
    kind: MemberKind
    org_code: str
    regions: tuple[str, ...]
    adapter: Adapter
    delivery: Delivery
    auth: Auth = Auth()
    hold_early_ms: Annotated[int, Meta(ge=1_000, le=30 * 86_400_000)] = 600_000
    subscribes: tuple[str, ...] = ()
    contact: Text
    source_systems: tuple[str, ...] = ()
    evidence_roots: bool = False
    hub: str = ""


class Item(_Strict, frozen=True, kw_only=True):
    """One 事项 (实施编码 31 or 业务办理项编码 33). owners: region code -> member that decides there (属地).

    receiving: where materials may be handed in; acceptance: who may accept (R11). credit `query`: ask the
    credit library before
    acceptance (R22); industry: what a ban must name; decision_standard: a ban is decidable without a person
    (H 9.3.1.2 d).
    services: credit grade -> services it opens (秒批 instant, 容缺 deferred_materials, 告知承诺 commitment).
    special: 特别程序 that the item may need. nation, supervision: whether its cases are copied there.
    """

    code: str = ""
    base_code: str
    name_zh: Text
    name_en: str = ""
    versions: tuple[Annotated[int, Meta(ge=1, le=9_999)], ...]
    owners: dict[str, str]
    receiving: tuple[Acceptance, ...] = tuple(Acceptance)
    acceptance: tuple[Acceptance, ...]
    industry: str = ""
    decision_standard: bool = False
    credit: Annotated[str, Meta(pattern="^(query|none)$")] = "none"
    services: dict[str, tuple[str, ...]] = {}
    special: tuple[str, ...] = ()
    project_type: Annotated[str, Meta(pattern="^[129]$")]
    promise_days: Annotated[int, Meta(ge=0, le=3_650)]
    result_type: str = ""
    nation: bool = True
    supervision: bool = True


class Region(_Strict, frozen=True, kw_only=True):
    """One region (GB/T 2260, or a statistical/hub-private code as `authority` says). parent: "" only for
    the province."""

    code: str = ""
    name_zh: Text
    parent: str = ""
    authority: Annotated[str, Meta(pattern="^(GB/T 2260|statistical|hub)$")] = "GB/T 2260"


class RouteTo(_Strict, frozen=True, kw_only=True):
    """One destination of a type: the role and the kind it is handed over as ("" = the type itself)."""

    role: Role
    kind: str = ""


class Route(_Strict, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Who may say a type (`from`) and where it goes (`to`)."""

    type: str = ""
    from_: tuple[Role, ...] = ()
    to: tuple[RouteTo, ...] = ()


class Directory(msgspec.Struct, frozen=True):
    """A checked snapshot. sources: the entries as written, secrets still `${VAR}`; version: SM3 over them,
    64 hex digits. region: the hub that reads it, a member of kind hub; "" = there is one hub only."""

    members: Mapping[str, Member]
    items: Mapping[str, Item]
    regions: Mapping[str, Region]
    routes: Mapping[str, Route]
    version: str
    sources: Mapping[str, Mapping[str, object]]
    region: str = ""

    @property
    def remote(self) -> dict[str, str]:
        """Members connected to another hub, and which; none when there is one hub only."""
        if not self.region:
            return {}
        return {
            id_: member.hub for id_, member in self.members.items() if member.hub not in ("", self.region)
        }

    @property
    def served(self) -> dict[str, Member]:
        """What this hub hands messages to: its own members and, standing for all of theirs, the other
        hubs."""
        elsewhere = self.remote
        return {
            id_: member
            for id_, member in self.members.items()
            if id_ not in elsewhere
            and (member.kind is not MemberKind.HUB or (self.region and id_ != self.region))
        }
