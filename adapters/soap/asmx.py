"""ASMX services as .NET 2.0 wrote them: http://tempuri.org/, strings in, one string out, document/literal.
Their WSDL text is held here; nothing is called or parsed.
"""

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import quoteattr

NAMESPACE: Final = "http://tempuri.org/"
TOKEN_ARGS: Final = ("key", "secret")
XML_ARGS: Final = ("token", "xmlStr")

# What the hub calls at an SP* department.
DEPARTMENT_OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "getXmlToken": TOKEN_ARGS,
    "sendApply": XML_ARGS,
    "queryApply": XML_ARGS,
}
# What an SP* department calls at the hub (/soap/sp).
HUB_OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "getXmlToken": TOKEN_ARGS,
    "receiveApplyRegisterSsdj": XML_ARGS,  # 申办登记: a case begun at the department's own counter
    "receiveBusinessAcceptSsdj": XML_ARGS,  # 受理
    "receiveCourseInfoSsdj": XML_ARGS,  # 审批过程
    "getSuspendInfoSsdj": XML_ARGS,  # 特别程序
    "receiveCorrectionSsdj": XML_ARGS,  # 补正
    "receiveBusinessApproveResultSsdj": XML_ARGS,  # 办结
    "receiveBusinessFinishSsdj": XML_ARGS,  # 领取登记
}


def wsdl(service: str, operations: Mapping[str, tuple[str, ...]], address: str) -> str:
    """WSDL 1.1 of a service whose operations take strings and return one string `<name>Result`."""
    elements, messages, ports, bindings = [], [], [], []
    for name, arguments in operations.items():
        fields = "".join(_string(argument) for argument in arguments)
        elements.append(_wrapper(name, fields) + _wrapper(f"{name}Response", _string(f"{name}Result")))
        messages.append(_message(f"{name}SoapIn", name) + _message(f"{name}SoapOut", f"{name}Response"))
        ports.append(
            f'<wsdl:operation name="{name}"><wsdl:input message="tns:{name}SoapIn"/>'
            f'<wsdl:output message="tns:{name}SoapOut"/></wsdl:operation>'
        )
        bindings.append(
            f'<wsdl:operation name="{name}"><soap:operation soapAction="{NAMESPACE}{name}" style="document"/>'
            '<wsdl:input><soap:body use="literal"/></wsdl:input>'
            '<wsdl:output><soap:body use="literal"/></wsdl:output></wsdl:operation>'
        )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:tns="{NAMESPACE}"'
        ' xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:s="http://www.w3.org/2001/XMLSchema"'
        f' targetNamespace="{NAMESPACE}"><wsdl:types><s:schema elementFormDefault="qualified"'
        f' targetNamespace="{NAMESPACE}">{"".join(elements)}</s:schema></wsdl:types>{"".join(messages)}'
        f'<wsdl:portType name="{service}Soap">{"".join(ports)}</wsdl:portType>'
        f'<wsdl:binding name="{service}Soap" type="tns:{service}Soap">'
        f'<soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>{"".join(bindings)}</wsdl:binding>'
        f'<wsdl:service name="{service}"><wsdl:port name="{service}Soap" binding="tns:{service}Soap">'
        f"<soap:address location={quoteattr(address)}/></wsdl:port></wsdl:service></wsdl:definitions>"
    )


def _string(name: str) -> str:
    return f'<s:element minOccurs="0" maxOccurs="1" name="{name}" type="s:string"/>'


def _wrapper(name: str, fields: str) -> str:
    inner = f"<s:complexType><s:sequence>{fields}</s:sequence></s:complexType>"
    return f'<s:element name="{name}">{inner}</s:element>'


def _message(name: str, element: str) -> str:
    return (
        f'<wsdl:message name="{name}"><wsdl:part name="parameters" element="tns:{element}"/></wsdl:message>'
    )
