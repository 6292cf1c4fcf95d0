"""One SOAP service's messages through its WSDL: arguments -> envelope -> arguments, results likewise, faults.
Both sides use it: the port as a client, the gateway's endpoints as a server. No transport here.
"""

import io
from typing import Any, Final

import msgspec
import zeep
import zeep.exceptions
import zeep.helpers
from lxml import etree

from adapters.formats import xml_safe
from adapters.ports import FormatError

SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"
STANDARD: Final = "SOAP 1.1"
# zeep has no types for these.
_TRANSPORT: Final[Any] = zeep.Transport
_CONTEXT: Final[Any] = zeep.xsd.context.XmlParserContext
_PLAIN: Final[Any] = zeep.helpers.serialize_object


class Fault(msgspec.Struct, frozen=True):
    """A fault read. side: "client" or "server", whatever the SOAP version calls it."""

    side: str
    text: str


class Service:
    """The operations of one WSDL document, loaded once; thread-safe to use afterwards."""

    def __init__(self, wsdl: str) -> None:
        # No transport is ever used: the document imports nothing, and its address is the caller's affair.
        settings = zeep.Settings(strict=True, xml_huge_tree=False, forbid_dtd=True, forbid_entities=True)
        source: Any = io.BytesIO(wsdl.encode("utf-8"))
        document: Any = zeep.wsdl.Document(source, _TRANSPORT(), settings=settings)
        binding = next(iter(document.bindings.values()))
        self.operations: dict[str, Any] = dict(binding._operations)
        self._by_element = {op.input.body.qname.text: name for name, op in self.operations.items()}

    def call(self, operation: str, **arguments: Any) -> tuple[str, dict[str, str]]:
        """Envelope text and HTTP headers (SOAPAction) of a call."""
        message = self.operations[operation].create(**arguments)
        return etree.tostring(message.content, encoding="unicode"), dict(message.headers)

    def result(self, operation: str, envelope: etree._Element) -> Any:
        """The result in an answer's envelope. Raises FormatError."""
        try:
            return self.operations[operation].output.deserialize(_as_soap11(envelope))
        except (zeep.exceptions.Error, AttributeError, TypeError, ValueError, IndexError, KeyError) as bad:
            raise _unreadable(operation, bad) from bad

    def operation_of(self, body_child: etree._Element) -> str:
        """The operation a request's Body child belongs to. Raises FormatError naming the element."""
        name = self._by_element.get(body_child.tag)
        if name is None:
            local = etree.QName(body_child).localname[:60]
            raise FormatError(
                "soap:Body",
                "known operation",
                STANDARD,
                f"未知的操作 {local}（{STANDARD}）",
                f"unknown operation {local} ({STANDARD})",
            )
        return name

    def arguments(self, operation: str, body_child: etree._Element) -> dict[str, Any]:
        """The arguments of a request, as plain dicts, lists and values. Raises FormatError."""
        body = self.operations[operation].input.body
        try:
            document = self.operations[operation].input.wsdl
            context = _CONTEXT(settings=document.settings)
            found = _PLAIN(body.parse(body_child, document.types, context=context), dict)
        except (zeep.exceptions.Error, AttributeError, TypeError, ValueError, IndexError, KeyError) as bad:
            raise _unreadable(operation, bad) from bad
        return found if isinstance(found, dict) else {}

    def reply(self, operation: str, **result: Any) -> str:
        """Envelope text of an answer."""
        message = self.operations[operation].output.serialize(**result)
        return etree.tostring(message.content, encoding="unicode")


def body_of(envelope: etree._Element) -> etree._Element:
    """The one child of an envelope's Body, SOAP 1.1 or 1.2. Raises FormatError."""
    for namespace in (SOAP11, SOAP12):
        if envelope.tag == f"{{{namespace}}}Envelope":
            body = envelope.find(f"{{{namespace}}}Body")
            if body is not None and len(body) == 1:
                return body[0]
    raise FormatError(
        "soap:Envelope",
        "Envelope with one Body element",
        STANDARD,
        f"不是 SOAP 信封，或 Body 中不是一个元素（{STANDARD}）",
        f"no SOAP envelope, or Body does not hold exactly one element ({STANDARD})",
    )


def fault_of(envelope: etree._Element) -> Fault | None:
    """The fault in an answer, or None. An unknown code is the server's."""
    try:
        child = body_of(envelope)
    except FormatError:
        return None
    if etree.QName(child).localname != "Fault":
        return None
    code = (
        child.findtext("faultcode") or child.findtext(f"{{{SOAP12}}}Code/{{{SOAP12}}}Value") or ""
    ).strip()
    text = child.findtext("faultstring") or child.findtext(f"{{{SOAP12}}}Reason/{{{SOAP12}}}Text") or ""
    side = code.rpartition(":")[2].split(".")[0]
    return Fault(
        "client" if side in ("Client", "Sender", "VersionMismatch", "MustUnderstand") else "server", text
    )


def parse_envelope(document: bytes, charset: str = "", document_bytes_max: int = 0) -> etree._Element:
    """A defensively parsed envelope. Raises FormatError."""
    limit = document_bytes_max or xml_safe.DOCUMENT_BYTES_MAX
    return xml_safe.parse(document, charset=charset, document_bytes_max=limit)


def _as_soap11(envelope: etree._Element) -> etree._Element:
    if envelope.tag != f"{{{SOAP12}}}Envelope":
        return envelope
    again = etree.Element(f"{{{SOAP11}}}Envelope")
    body = etree.SubElement(again, f"{{{SOAP11}}}Body")
    body.append(body_of(envelope))
    return again


def _unreadable(operation: str, bad: Exception) -> FormatError:
    said = str(bad)[:200]
    return FormatError(
        operation,
        "as in the WSDL",
        STANDARD,
        f"{operation} 的内容与 WSDL 不符：{said}",
        f"{operation} does not match the WSDL: {said}",
    )
