"""The figures of one delivery lane, for status topic and metrics. Nothing decides by them."""

import msgspec


class DeliveryStats(msgspec.Struct):
    """What the console shows of a lane."""

    taken_in: int = 0
    calling: int = 0
    delivered: int = 0
    holds: int = 0
    breaker: str = "closed"
    suspended: str = ""
    last_delivery_ms: int = 0
    last_error: str = ""
