"""The one error of the gateway and its shape on the wire. What is wrong is said in Chinese and English, with
field, rule and standard.

Every door turns a Rejected into its own form: JSON body, SOAP fault or STATUS 300. No transport lives here.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec


class ViolationLike(Protocol):
    """What schemas.validate says about one field."""

    @property
    def field(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def standard(self) -> str: ...
    @property
    def zh(self) -> str: ...
    @property
    def en(self) -> str: ...


class Violation(msgspec.Struct, frozen=True):
    """One broken rule: JSON path of the field, the rule, where it is written, both texts."""

    field: str
    rule: str
    standard: str
    zh: str
    en: str


class Rejected(Exception):
    """A request that gets no receipt. status is the HTTP status; retry_after_s > 0 asks the caller to try
    again later.

    server_time_ms is given with every refused authentication (R16); digests with a conflict: (first,
    second), SM3 hex (R2).
    """

    def __init__(
        self,
        status: int,
        code: str,
        zh: str,
        en: str,
        *,
        violations: Sequence[ViolationLike] = (),
        digests: tuple[str, str] | None = None,
        server_time_ms: int | None = None,
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(f"{code}: {zh} / {en}")
        self.status, self.code, self.zh, self.en = status, code, zh, en
        self.violations = tuple(Violation(v.field, v.rule, v.standard, v.zh, v.en) for v in violations)
        self.digests, self.server_time_ms, self.retry_after_s = digests, server_time_ms, retry_after_s

    def body(self) -> bytes:
        """JSON body: {"error": {"code", "zh", "en", "violations", "serverTime"?, "digests"?}}."""
        error: dict[str, Any] = {
            "code": self.code,
            "zh": self.zh,
            "en": self.en,
            "violations": self.violations,
        }
        if self.server_time_ms is not None:
            error["serverTime"] = self.server_time_ms
        if self.digests is not None:
            error["digests"] = {"first": self.digests[0], "second": self.digests[1]}
        return msgspec.json.encode({"error": error})


def invalid(
    field: str, rule: str, standard: str, zh: str, en: str, *, status: int = 400, code: str = "invalid"
) -> Rejected:
    """A refusal for one field, with the field's violation in its list."""
    return Rejected(status, code, zh, en, violations=(Violation(field, rule, standard, zh, en),))


def too_large(what_zh: str, what_en: str, bytes_max: int) -> Rejected:
    return Rejected(
        413,
        "too_large",
        f"{what_zh}超过上限 {bytes_max} 字节",
        f"{what_en} exceeds the limit of {bytes_max} bytes",
    )
