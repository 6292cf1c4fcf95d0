"""/openapi.json and /docs: the contract for machines and for people, from one source. No script, nothing
fetched from elsewhere. Chinese first, English beside it.
"""

import functools
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, get
from litestar.response import Response
from litestar.types import ControllerRouterHandler

from hub.gateway.soap_wire import base_url
from schemas import contracts, samples
from schemas.derive import openapi
from schemas.model import Contract, Field, Kind, Record

_HERE: Final = Path(__file__).parent
_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_KINDS: Final = {
    Kind.STRING: "文本 text",
    Kind.INT: "整数 integer",
    Kind.LONG: "整数 integer",
    Kind.BOOLEAN: "是否 boolean",
    Kind.BYTES: "Base64",
    Kind.TIME: "时间 time",
}
_CHECKS: Final = {
    "uscc": "统一社会信用代码，含校验位 USCC with check character",
    "idNumber": "证件号码，含校验位 document number with check digit",
    "itemCode": "事项编码 item code",
    "region": "行政区划代码 region code",
}
_SIZES: Final = (
    ("maxLength", "≤ {} 字符 characters"),
    ("maxBytes", "≤ {} 字节 bytes"),
    ("maxItems", "≤ {} 项 items"),
)
_TABLE: Final = (
    "<table><tr><th>字段 field<th>含义 meaning<th>必填<th>类型 type<th>限制 limits<th>依据 standard</tr>"
)
_OPENING: Final = (
    "<p>申报消息：带 <code>caseRef</code>，由枢纽给出办件编号。"
    "<small>Opening message: give caseRef, the hub numbers the case.</small></p>"
)


def routes(*, url: str) -> list[ControllerRouterHandler]:
    """The handlers, open to all: a contract is no secret."""

    @get("/openapi.json")
    async def description(request: Request[Any, Any, Any]) -> Response[bytes]:
        document = openapi.render(contracts.load(), base_url(request, url))
        return Response(msgspec.json.encode(document), media_type="application/json; charset=utf-8")

    @get("/docs")
    async def page() -> Response[bytes]:
        return Response(render(), media_type="text/html; charset=utf-8", headers=_SECURITY)

    return [description, page]


@functools.cache
def render() -> bytes:
    """The whole page."""
    # By id: they were bound in the order of a case's life.
    known = sorted((c for c in contracts.load() if c.origin == "member"), key=lambda c: c.schema_id)
    links = "".join(
        f'<a href="#{contract.name}">{_text(contract.doc_zh)}<small>{contract.name}</small></a>'
        for contract in known
    )
    return (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>接入契约 · Contract</title><style>{_asset('docs.css')}</style></head><body>"
        f"<nav><b>消息类型 types</b>{links}</nav><main>{_asset('docs_introduction.html')}"
        f"{''.join(''.join(_contract(contract)) for contract in known)}</main></body></html>"
    ).encode()


def _asset(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _contract(contract: Contract) -> Iterator[str]:
    yield (
        f'<h2 id="{contract.name}">{_text(contract.doc_zh)} <code>{contract.name}</code>'
        f"<small>{_text(contract.doc_en)} · v{contract.version} · schema id {contract.schema_id}</small></h2>"
    )
    if contract.opening:
        yield _OPENING
    yield _TABLE
    yield from _rows(contract.body, "")
    sample = json.dumps(sample_message(contract), ensure_ascii=False, indent=2)
    yield f"</table><details><summary>示例 sample</summary><pre>{_text(sample)}</pre></details>"


def _rows(record: Record, prefix: str) -> Iterator[str]:
    for field in record.fields:
        content = field.items if field.items is not None else field
        path = f"{prefix}{field.name}{'[]' if field.kind is Kind.ARRAY else ''}"
        kind = "对象 object" if content.record is not None else _KINDS[content.kind]
        yield (
            f"<tr><td><code>{path}</code><td>{_text(field.doc_zh)}<small>{_text(field.doc_en)}</small>"
            f"<td>{'必填' if field.required else ''}<td>{kind}<td>{_limits(field)}"
            f"<td>{_text(field.standard)}</tr>"
        )
        if content.record is not None:
            yield from _rows(content.record, path + ".")


def _limits(field: Field) -> str:
    limits = field.attributes
    parts = [text.format(limits[name]) for name, text in _SIZES if name in limits]
    if "minimum" in limits or "maximum" in limits:
        parts.append(f"{limits.get('minimum', '')} … {limits.get('maximum', '')}")
    if "check" in limits:
        parts.append(_CHECKS.get(limits["check"], _text(limits["check"])))
    if "enumCodes" in limits:
        codes = limits["enumCodes"].items()
        parts.append("<br>".join(f"<code>{_text(code)}</code> {_text(label)}" for code, label in codes))
    elif "pattern" in limits:
        parts.append(f"<code>{_text(limits['pattern'])}</code>")
    return "<br>".join(parts)


def sample_message(contract: Contract) -> dict[str, Any]:
    """A whole message in canonical JSON; a case number stands where the hub's own goes."""
    message: dict[str, Any] = {
        "type": contract.name,
        "sourceRef": "HJ-2025-000123",
        "occurredAt": "2025-03-03T09:15:00+08:00",
    }
    if contract.opening:
        message["caseRef"] = "HJ-2025-000123"
    elif contract.key_rule == "case":
        message["caseNo"] = "…"
    return message | {"body": samples.body(contract.name)}


def _text(text: str) -> str:
    return html.escape(str(text))
