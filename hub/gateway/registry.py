"""The read side of the Confluent Schema Registry API, from the contracts: any Kafka UI, kcat, Connect or
consumer decodes our topics.

Subjects are message types. Read only: contracts change by release, never by request. Open to all: a contract
is no secret.
"""

from typing import Any, Final

import msgspec
from litestar import get
from litestar.params import FromPath
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from schemas import contracts
from schemas.errors import ContractError
from schemas.model import Contract

_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
COMPATIBILITY: Final = "FULL_TRANSITIVE"


def routes() -> list[ControllerRouterHandler]:
    """The handlers, at the root and under /registry."""

    @get(_both("/subjects"))
    async def subjects() -> Response[bytes]:
        return _ok(sorted({contract.name for contract in contracts.load().all}))

    @get(_both("/subjects/{subject:str}/versions"))
    async def versions(subject: FromPath[str]) -> Response[bytes]:
        found = contracts.load().versions(subject)
        return _ok(list(found)) if found else _missing(40401, f"Subject '{subject[:100]}' not found.")

    @get(_both("/subjects/{subject:str}/versions/{version:str}"))
    async def version_of(subject: FromPath[str], version: FromPath[str]) -> Response[bytes]:
        found = _find(subject, version)
        if found is None:
            return _no_version(subject)
        return _ok(
            {
                "subject": found.name,
                "version": found.version,
                "id": found.schema_id,
                "schema": schema_text(found),
            }
        )

    @get(_both("/subjects/{subject:str}/versions/{version:str}/schema"))
    async def schema_of(subject: FromPath[str], version: FromPath[str]) -> Response[bytes]:
        found = _find(subject, version)
        return _no_version(subject) if found is None else _ok(found.avro)

    @get(_both("/schemas/ids/{schema_id:int}"))
    async def by_id(schema_id: FromPath[int]) -> Response[bytes]:
        found = _by_id(schema_id)
        return _ok({"schema": schema_text(found)}) if found else _missing(40403, "Schema not found")

    @get(_both("/schemas/ids/{schema_id:int}/schema"))
    async def text_by_id(schema_id: FromPath[int]) -> Response[bytes]:
        found = _by_id(schema_id)
        return _ok(found.avro) if found else _missing(40403, "Schema not found")

    @get(_both("/schemas/ids/{schema_id:int}/versions"))
    async def versions_by_id(schema_id: FromPath[int]) -> Response[bytes]:
        found = _by_id(schema_id)
        if found is None:
            return _missing(40403, "Schema not found")
        return _ok([{"subject": found.name, "version": found.version}])

    @get(_both("/schemas/ids/{schema_id:int}/subjects"))
    async def subjects_by_id(schema_id: FromPath[int]) -> Response[bytes]:
        found = _by_id(schema_id)
        return _ok([found.name]) if found else _missing(40403, "Schema not found")

    @get(_both("/schemas/types"))
    async def types() -> Response[bytes]:
        return _ok(["AVRO"])

    @get([*_both("/config"), *_both("/config/{subject:str}")])
    async def config() -> Response[bytes]:
        return _ok({"compatibilityLevel": COMPATIBILITY})

    @get([*_both("/mode"), *_both("/mode/{subject:str}")])
    async def mode() -> Response[bytes]:
        return _ok({"mode": "READONLY"})

    return [
        subjects,
        versions,
        version_of,
        schema_of,
        by_id,
        text_by_id,
        versions_by_id,
        subjects_by_id,
        types,
        config,
        mode,
    ]


def schema_text(contract: Contract) -> str:
    """The Avro schema with docs and limits, as JSON text."""
    return msgspec.json.encode(contract.avro).decode()


def _both(path: str) -> list[str]:
    return [path, "/registry" + path]


def _by_id(schema_id: int) -> Contract | None:
    try:
        return contracts.load().by_id(schema_id)
    except ContractError:
        return None


def _find(subject: str, version: str) -> Contract | None:
    # The API's own words for the newest version are "latest" and -1.
    if version not in ("latest", "-1") and not version.isdigit():
        return None
    number = None if version in ("latest", "-1") else int(version)
    try:
        return contracts.load().by_type(subject, number)
    except ContractError:
        return None


def _no_version(subject: str) -> Response[bytes]:
    if subject not in contracts.load():
        return _missing(40401, f"Subject '{subject[:100]}' not found.")
    return _missing(40402, "Version not found.")


def _ok(content: Any) -> Response[bytes]:
    return Response(msgspec.json.encode(content), media_type=_MEDIA_TYPE)


def _missing(code: int, message: str) -> Response[bytes]:
    return Response(
        msgspec.json.encode({"error_code": code, "message": message}), status_code=404, media_type=_MEDIA_TYPE
    )
