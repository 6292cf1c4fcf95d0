"""What a port must know of its member: plain values, taken from the directory by whoever opens the port."""

from typing import Any

import msgspec

from signing.http_auth import HMAC_SHA256


class PortConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One member's connection. style: rest | asmx | tables. charset: of the XML inside ASMX calls.
    Keys are texts, used as UTF-8."""

    member: str
    style: str
    url: str = ""
    database_url: str = ""
    charset: str = "utf-8"
    body_bytes_max: int = 1_048_576
    calls_in_flight_max: int = 16
    call_timeout_ms: int = 10_000
    connect_timeout_ms: int = 3_000
    algorithm: str = HMAC_SHA256
    outbound_key: str = ""
    sp_key: str = ""
    sp_secret: str = ""

    def __repr__(self) -> str:
        """Never shows a key."""
        return f"PortConfig(member={self.member!r}, style={self.style!r}, url={self.url!r})"


def port_config(member: Any) -> PortConfig:
    """The PortConfig of a directory member (id, adapter.{style,url,database_url,charset,body_bytes_max},
    delivery.{calls_in_flight_max,call_timeout_ms}, auth.{algorithm,outbound_key,sp_key,sp_secret}).
    Absent or empty values take the defaults."""
    values: dict[str, Any] = {"member": member.id}
    for part, names in (
        (member.adapter, ("style", "url", "database_url", "charset", "body_bytes_max")),
        (member.delivery, ("calls_in_flight_max", "call_timeout_ms")),
        (member.auth, ("algorithm", "outbound_key", "sp_key", "sp_secret")),
    ):
        for name in names:
            value = getattr(part, name, None)
            if value not in (None, "", 0):
                values[name] = value
    config = PortConfig(**values)
    # Connecting must fail before the whole call does, or "nothing was written" reads as "unknown".
    connect_timeout_ms = min(config.connect_timeout_ms, config.call_timeout_ms * 6 // 10)
    return msgspec.structs.replace(config, connect_timeout_ms=connect_timeout_ms)
