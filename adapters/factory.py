"""Opens the right port for a member. The one place that knows which styles exist."""

from adapters.config import PortConfig, port_config
from adapters.ports import MemberPort
from adapters.rest.port import RestPort
from adapters.soap.port import AsmxPort
from adapters.tables.port import NationTablesPort

__all__ = ["PortConfig", "UnknownStyle", "open_port", "port_config"]


class UnknownStyle(ValueError):
    """A member's adapter style that this hub does not speak."""


async def open_port(config: PortConfig) -> MemberPort:
    """A port for one delivery lane; nothing is connected yet, so an unreachable member still opens.
    Raises UnknownStyle."""
    if config.style == "rest":
        return RestPort(config)
    if config.style == "asmx":
        return AsmxPort(config)
    if config.style == "tables":
        return NationTablesPort(config)
    raise UnknownStyle(
        f"成员 {config.member} 的接入方式未知：{config.style} / "
        f"member {config.member}: unknown adapter style {config.style!r}"
    )
