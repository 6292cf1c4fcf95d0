"""WSDL 1.1 and XSD 1.0, document/literal wrapped: one operation for each message type that members may send,
and getMessageStatus.

Limits are facets. An array is its repeated element, without a wrapper; elements stand in the order of the
contract.
"""

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from schemas.checkers import INT_RANGE
from schemas.contracts import Contracts
from schemas.derive import exchange
from schemas.derive.forms import form_of
from schemas.derive.jsonschema import records_of
from schemas.model import Contract, Field, Kind, Record

NAMESPACE: Final = "urn:govhub:1"
SERVICE: Final = "HubService"
STATUS_OPERATION: Final = "getMessageStatus"
_XS: Final = {Kind.BOOLEAN: "xs:boolean", Kind.TIME: "xs:dateTime"}


def operation_of(contract: Contract) -> str:
    """The operation that sends a message type: case.submitted -> sendCaseSubmitted."""
    return f"send{contract.body.name}"


def operations(contracts: Contracts) -> dict[str, str]:
    """operation -> message type, for every type that members may send (its newest version)."""
    return {operation_of(contract): contract.name for contract in contracts if contract.origin == "member"}


def schema(contracts: Contracts) -> str:
    """The XSD of all requests and answers, one <xs:schema> element."""
    sendable = [contract for contract in contracts if contract.origin == "member"]
    records: dict[str, Record] = {}
    for contract in sendable:
        records |= {record.name: record for record in (*records_of(contract.body), contract.body)}
    records |= {
        record.name: record
        for record in (exchange.DISPATCH_STATUS, exchange.MESSAGE_STATUS, exchange.RECEIPT)
    }
    parts = [_complex_type(record) for record in records.values()]
    for contract in sendable:
        parts += [_request(contract), _answer(operation_of(contract), "Receipt")]
    message_id = exchange.RECEIPT.fields[0]
    parts.append(_wrapper(STATUS_OPERATION, _element(message_id)))
    parts.append(_answer(STATUS_OPERATION, "MessageStatus"))
    return (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:hub="{NAMESPACE}" '
        f'targetNamespace="{NAMESPACE}" elementFormDefault="qualified">\n{"".join(parts)}</xs:schema>'
    )


def render(contracts: Contracts, address: str) -> str:
    """The whole WSDL document. address: where the service is, as members see it."""
    names = [*operations(contracts), STATUS_OPERATION]
    documented = {
        operation_of(contract): _documentation(contract.doc_zh, contract.doc_en) for contract in contracts
    }
    messages = "".join(_messages(name) for name in names)
    port = "".join(
        f'<wsdl:operation name="{name}">{documented.get(name, "").replace("xs:", "wsdl:")}'
        f'<wsdl:input message="hub:{name}Request"/><wsdl:output message="hub:{name}Response"/>'
        "</wsdl:operation>\n"
        for name in names
    )
    bound = "".join(
        f'<wsdl:operation name="{name}"><soap:operation soapAction="{NAMESPACE}:{name}" style="document"/>'
        '<wsdl:input><soap:body use="literal"/></wsdl:input>'
        '<wsdl:output><soap:body use="literal"/></wsdl:output></wsdl:operation>\n'
        for name in names
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" '
        'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" '
        f'xmlns:hub="{NAMESPACE}" name="{SERVICE}" targetNamespace="{NAMESPACE}">\n'
        f"<wsdl:types>{schema(contracts)}</wsdl:types>\n{messages}"
        f'<wsdl:portType name="{SERVICE}Port">\n{port}</wsdl:portType>\n'
        f'<wsdl:binding name="{SERVICE}Binding" type="hub:{SERVICE}Port">'
        f'<soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>\n{bound}</wsdl:binding>\n'
        f'<wsdl:service name="{SERVICE}"><wsdl:port name="{SERVICE}" binding="hub:{SERVICE}Binding">'
        f"<soap:address location={quoteattr(address)}/></wsdl:port></wsdl:service>\n</wsdl:definitions>\n"
    )


def _messages(name: str) -> str:
    return (
        f'<wsdl:message name="{name}Request"><wsdl:part name="parameters" element="hub:{name}"/>'
        "</wsdl:message>\n"
        f'<wsdl:message name="{name}Response"><wsdl:part name="parameters" element="hub:{name}Response"/>'
        "</wsdl:message>\n"
    )


def _request(contract: Contract) -> str:
    opening = [field for field in exchange.ENVELOPE if not (contract.opening and field.name == "caseNo")]
    envelope = "".join(
        _element(field, required=field.required or (contract.opening and field.name == "caseRef"))
        for field in opening
    )
    return _wrapper(
        operation_of(contract), envelope + f'<xs:element name="body" type="hub:{contract.body.name}"/>\n'
    )


def _answer(operation: str, type_: str) -> str:
    return f'<xs:element name="{operation}Response" type="hub:{type_}"/>\n'


def _wrapper(name: str, elements: str) -> str:
    return (
        f'<xs:element name="{name}"><xs:complexType><xs:sequence>\n{elements}'
        "</xs:sequence></xs:complexType></xs:element>\n"
    )


def _complex_type(record: Record) -> str:
    elements = "".join(_element(field) for field in record.fields)
    about = _annotation(record.doc_zh, record.doc_en)
    sequence = f"<xs:sequence>\n{elements}</xs:sequence>"
    return f'<xs:complexType name="{record.name}">{about}{sequence}</xs:complexType>\n'


def _element(field: Field, required: bool | None = None) -> str:
    needed = field.required if required is None else required
    about = _annotation(field.doc_zh, field.doc_en, field.standard)
    occurs, content = ("" if needed else ' minOccurs="0"'), field
    if field.kind is Kind.ARRAY:
        assert field.items is not None
        low = field.attributes.get("minItems", 0) if needed else 0
        occurs, content = f' minOccurs="{low}" maxOccurs="{field.attributes["maxItems"]}"', field.items
    if content.record is not None:
        return (
            f'<xs:element name="{field.name}" type="hub:{content.record.name}"{occurs}>{about}</xs:element>\n'
        )
    if content.kind in _XS:
        return f'<xs:element name="{field.name}" type="{_XS[content.kind]}"{occurs}>{about}</xs:element>\n'
    type_ = _simple_type(content, needed)
    return f'<xs:element name="{field.name}"{occurs}>{about}{type_}</xs:element>\n'


def _simple_type(field: Field, required: bool) -> str:
    limits = field.attributes
    if field.kind is Kind.BYTES:
        return _restriction("xs:base64Binary", f'<xs:maxLength value="{limits["maxBytes"]}"/>')
    if field.kind in INT_RANGE:
        low, high = INT_RANGE[field.kind]
        low, high = limits.get("minimum", low), limits.get("maximum", high)
        base = "xs:int" if field.kind is Kind.INT else "xs:long"
        return _restriction(base, f'<xs:minInclusive value="{low}"/><xs:maxInclusive value="{high}"/>')
    if "enumCodes" in limits:
        codes = "".join(_enumeration(code, label) for code, label in limits["enumCodes"].items())
        return _restriction("xs:string", codes + ("" if required else '<xs:enumeration value=""/>'))
    form = form_of(field)
    # An empty element in an optional place counts as absent, as many older systems write it.
    pattern = form if form is not None else r"[\s\S]*\S[\s\S]*"
    facets = f"<xs:pattern value={quoteattr(pattern if required else f'({pattern})?')}/>"
    if "maxLength" in limits:
        facets += f'<xs:maxLength value="{limits["maxLength"]}"/>'
    return _restriction("xs:string", facets)


def _restriction(base: str, facets: str) -> str:
    return f'<xs:simpleType><xs:restriction base="{base}">{facets}</xs:restriction></xs:simpleType>'


def _enumeration(code: str, label: str) -> str:
    zh, _, en = label.partition(" / ")
    return f"<xs:enumeration value={quoteattr(code)}>{_annotation(zh, en)}</xs:enumeration>"


def _annotation(zh: str, en: str, standard: str = "") -> str:
    return f"<xs:annotation>{_documentation(zh, en, standard)}</xs:annotation>"


def _documentation(zh: str, en: str, standard: str = "") -> str:
    behind = f"（{standard}）" if standard else ""
    return (
        f'<xs:documentation xml:lang="zh">{escape(zh + behind)}</xs:documentation>'
        f'<xs:documentation xml:lang="en">{escape(en)}</xs:documentation>'
    )
