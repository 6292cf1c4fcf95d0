"""The snapshot that a decision reads: directory, credit standings and bounds, with what is worked out from
them once.

Nothing here changes after it was made, except a memo of answers that depend on nothing else.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from hub.directory.checks import ancestors
from hub.directory.model import Directory, Item, Member, MemberKind, Region, Role, Route
from hub.routing.model import Outgoing

_MEMO_MAX: Final = 50_000
_REGION_LENGTHS: Final = (12, 9, 6)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one case. held: messages waiting for a step; parked: queue of a parked case; seen: message
    ids remembered. keep_closed_ms: how long they are, after the end of a case (G8)."""

    held_max: int = 32
    parked_max: int = 200
    seen_max: int = 2_000
    state_bytes_max: int = 1_048_576
    credit_timeout_ms: int = 60_000
    hold_early_ms: int = 600_000
    keep_closed_ms: int = 800 * 86_400_000


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """A party's standing at the credit library (信用档): a record of credit.subjects, key = the party's
    pseudonym.

    grade: red, orange, blue, black. serious: 严重失信. banned: industries (GB/T 4754), a prefix bans
    everything below it.
    """

    grade: str
    serious: bool = False
    banned: tuple[str, ...] = ()
    changed_ms: int = 0


class Tables:
    """A versioned read-only snapshot; make a new one when the directory changes. `credit` may be a live
    mapping."""

    __slots__ = (
        "_above",
        "_members_of",
        "credit",
        "items",
        "limits",
        "members",
        "memo",
        "regions",
        "remote",
        "routes",
        "version",
    )

    def __init__(
        self, directory: Directory, credit: Mapping[str, Standing] | None = None, limits: Limits | None = None
    ) -> None:
        self.members: Mapping[str, Member] = directory.members
        self.items: Mapping[str, Item] = directory.items
        self.regions: Mapping[str, Region] = directory.regions
        self.routes: Mapping[str, Route] = directory.routes
        self.version = directory.version
        self.remote: Mapping[str, str] = directory.remote
        self.credit: Mapping[str, Standing] = {} if credit is None else credit
        self.limits = limits or Limits()
        self.memo: dict[tuple[str, ...], tuple[Outgoing, ...] | bool] = {}
        self._above = {code: (code, *ancestors(code, directory.regions)) for code in directory.regions}
        self._members_of = {
            kind: tuple(id_ for id_, member in directory.members.items() if member.kind is kind)
            for kind in MemberKind
        }

    def of_kind(self, kind: MemberKind) -> tuple[str, ...]:
        """Ids of the members of a kind, in the order of the directory."""
        return self._members_of[kind]

    def region(self, code: str) -> str:
        """The directory's region for a 6 to 12 digit code: itself, else the 9- or 6-digit region it lies
        in; "" when unknown."""
        for length in _REGION_LENGTHS:
            if len(code) >= length and code[:length] in self.regions:
                return code[:length]
        return ""

    def item(self, code: str) -> str:
        """The directory's item for a 31- or 33-character code; a 业务办理项 falls back to its 实施编码; ""
        when unknown."""
        if code in self.items:
            return code
        return code[:31] if len(code) == 33 and code[:31] in self.items else ""

    def owner(self, item: str, region: str) -> str:
        """属地: the member that decides cases of this item in this region or, failing that, above it; ""
        when there is none."""
        owners = self.items[item].owners
        for code in self._above.get(region, ()):
            if code in owners:
                return owners[code]
        return ""

    def covers(self, member: str, region: str) -> bool:
        """Whether a member serves a region (itself or one above it)."""
        served = self.members[member].regions
        return any(code in served for code in self._above.get(region, ()))

    def remember(self, key: tuple[str, ...], answer: tuple[Outgoing, ...] | bool) -> None:
        """Keep an answer that depends only on this snapshot and the key."""
        if len(self.memo) >= _MEMO_MAX:
            self.memo.clear()
        self.memo[key] = answer


ROLE_KINDS: Final = {
    Role.PLATFORM: MemberKind.PLATFORM,
    Role.NATION: MemberKind.NATION,
    Role.SUPERVISION: MemberKind.SUPERVISION,
    Role.CREDIT: MemberKind.CREDIT,
}
