"""The router role: lanes over case.inbound that decide and dispatch, each batch one Kafka transaction."""

from hub.router.role import serve

__all__ = ["serve"]
