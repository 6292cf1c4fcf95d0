"""The hub's side of SOAP: reads the calls of members, writes answers and faults.
Used by the gateway for /soap/sp (ASMX style) and /soap/hub (typed, WSDL derived from the contracts).
"""

import datetime
import decimal
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from lxml import etree

from adapters.formats import xml_safe
from adapters.soap import asmx
from adapters.soap.codec import SOAP11, SOAP12, Service, body_of
from signing.username_token import PASSWORD_TEXT, UsernameToken

WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"


class Call(msgspec.Struct, frozen=True):
    """One request. arguments: as a contract's body holds them (times as ISO 8601 text, bytes as bytes).
    security: the UsernameToken, when the caller sent one. soap12: answer in the same version."""

    operation: str
    arguments: dict[str, Any]
    security: UsernameToken | None = None
    soap12: bool = False


class SoapServer:
    """One endpoint. Loaded once a process; nothing here keeps state between calls."""

    def __init__(self, wsdl: str) -> None:
        self.wsdl = wsdl
        self._service = Service(wsdl)

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(self._service.operations)

    def parse_call(self, body: bytes, *, charset: str = "", body_bytes_max: int = 0) -> Call:
        """The call in a request body. charset: of the Content-Type header, when given.

        Raises FormatError: not XML, DTD or entities, no envelope, unknown operation, arguments not as in the
        WSDL.
        """
        limit = body_bytes_max or xml_safe.DOCUMENT_BYTES_MAX
        envelope = xml_safe.parse(body, charset=charset, document_bytes_max=limit)
        child = body_of(envelope)
        operation = self._service.operation_of(child)
        arguments = self._service.arguments(operation, child)
        return Call(
            operation,
            {name: plain(value) for name, value in arguments.items() if value is not None},
            _security(envelope),
            envelope.tag == f"{{{SOAP12}}}Envelope",
        )

    def reply(self, operation: str, result: Mapping[str, Any] | str, *, soap12: bool = False) -> bytes:
        """The answer of an operation: its result's fields, or for ASMX the one string."""
        fields = {f"{operation}Result": result} if isinstance(result, str) else dict(result)
        text = self._service.reply(operation, **fields)
        if soap12:
            text = text.replace(SOAP11, SOAP12, 1)
        return text.encode("utf-8")


def sp_server(address: str) -> SoapServer:
    """The endpoint /soap/sp: ASMX style, one xmlStr in, one RESULT string out."""
    return SoapServer(asmx.wsdl("SpService", asmx.HUB_OPERATIONS, address))


def fault(
    code: str,
    zh: str,
    en: str,
    detail: Mapping[str, str] | None = None,
    *,
    client: bool = True,
    soap12: bool = False,
) -> bytes:
    """A fault in both languages. code: the hub's stable error code; it goes into the detail with the further
    fields (field, rule, standard, serverTime ...). client: the request is wrong; else the hub cannot now."""
    namespace = SOAP12 if soap12 else SOAP11
    envelope = etree.Element(f"{{{namespace}}}Envelope", nsmap={"soap-env": namespace})
    found = etree.SubElement(etree.SubElement(envelope, f"{{{namespace}}}Body"), f"{{{namespace}}}Fault")
    text = _printable(f"{zh} / {en}")
    if soap12:
        side = "Sender" if client else "Receiver"
        parent = etree.SubElement(found, f"{{{namespace}}}Code")
        etree.SubElement(parent, f"{{{namespace}}}Value").text = f"soap-env:{side}"
        reason = etree.SubElement(etree.SubElement(found, f"{{{namespace}}}Reason"), f"{{{namespace}}}Text")
        reason.set("{http://www.w3.org/XML/1998/namespace}lang", "zh")
        reason.text = text
        holder = etree.SubElement(found, f"{{{namespace}}}Detail")
    else:
        etree.SubElement(found, "faultcode").text = f"soap-env:{'Client' if client else 'Server'}"
        etree.SubElement(found, "faultstring").text = text
        holder = etree.SubElement(found, "detail")
    error = etree.SubElement(holder, "error")
    for name, value in {"code": code, "zh": zh, "en": en, **(detail or {})}.items():
        etree.SubElement(error, name).text = _printable(value)
    return etree.tostring(envelope, encoding="utf-8", xml_declaration=True)


def plain(value: Any) -> Any:
    """A parsed XSD value as the contracts' validators take it: dates as ISO text, decimals as int, absent
    fields left out."""
    if isinstance(value, dict):
        # An optional array is wrapped by nothing in our WSDL; an absent one comes as None or an empty list.
        return {name: plain(item) for name, item in value.items() if item is not None and item != []}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value)
    return value


def _security(envelope: etree._Element) -> UsernameToken | None:
    token = envelope.find(f"*/{{{WSSE}}}Security/{{{WSSE}}}UsernameToken")
    if token is None:
        return None
    password = token.find(f"{{{WSSE}}}Password")
    return UsernameToken(
        username=(token.findtext(f"{{{WSSE}}}Username") or "").strip(),
        password=(password.text or "") if password is not None else "",
        password_type=str(password.get("Type") or PASSWORD_TEXT) if password is not None else PASSWORD_TEXT,
        nonce=(token.findtext(f"{{{WSSE}}}Nonce") or "").strip(),
        created=(token.findtext(f"{{{WSU}}}Created") or "").strip(),
    )


def _printable(text: str) -> str:
    # A fault explains; what XML cannot carry becomes U+FFFD rather than a second error.
    while bad := xml_safe.first_forbidden(text):
        text = text.replace(bad, "\ufffd")
    return text
