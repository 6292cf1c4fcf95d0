"""The directory: members, items (事项), regions (区划) and routes as readable data, checked when loaded.

Public names only. Nothing here talks to a broker; `to_records` and `from_records` work on plain key/value
pairs.
"""

from hub.directory.checks import build
from hub.directory.errors import DirectoryError
from hub.directory.load import DATA, load
from hub.directory.model import (
    Acceptance,
    Adapter,
    Auth,
    Delivery,
    Directory,
    Guarantee,
    Item,
    Member,
    MemberKind,
    Region,
    Role,
    Route,
    RouteTo,
    Style,
)
from hub.directory.records import from_records, to_records, with_secrets

__all__ = [
    "DATA",
    "Acceptance",
    "Adapter",
    "Auth",
    "Delivery",
    "Directory",
    "DirectoryError",
    "Guarantee",
    "Item",
    "Member",
    "MemberKind",
    "Region",
    "Role",
    "Route",
    "RouteTo",
    "Style",
    "build",
    "from_records",
    "load",
    "to_records",
    "with_secrets",
]
