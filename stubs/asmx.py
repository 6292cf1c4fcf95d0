"""SOAP 1.1 as a .NET 2.0 ASMX service writes it: strings in, one string out, GBK bytes labelled gb2312.

Envelopes and RESULT replies only; no transport, no business.
"""

from typing import Final
from xml.sax.saxutils import escape

from lxml import etree

from stubs.sp_xml import CHARSET, LABEL, Unreadable, parse

NAMESPACE: Final = "http://tempuri.org/"
SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
CONTENT_TYPE: Final = f"text/xml; charset={LABEL}"
OK: Final = "200"
FAILED: Final = "300"
_CHARSETS: Final = {"gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "utf-8": "utf-8"}


def decode(body: bytes, charset: str | None) -> str:
    """The text of an envelope by its HTTP charset, or by the label in its XML declaration. Raises
    Unreadable."""
    label = (charset or "").lower()
    if not label:
        head = body[:120].decode("ascii", "replace").lower()
        label = next((known for known in _CHARSETS if known in head), "utf-8")
    try:
        return body.decode(_CHARSETS.get(label, "utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"字符集{label}错误") from error


def read_call(text: str) -> tuple[str, dict[str, str]]:
    """(operation, arguments) of a call. Raises Unreadable."""
    child = _body_child(parse(text))
    name = etree.QName(child)
    if name.namespace != NAMESPACE:
        raise Unreadable(f"命名空间应为{NAMESPACE}")
    return name.localname, {etree.QName(argument).localname: argument.text or "" for argument in child}


def read_answer(text: str) -> str:
    """The one string of an answer. Raises Unreadable, Fault."""
    child = _body_child(parse(text))
    if etree.QName(child).localname == "Fault":
        raise Fault(
            (child.findtext("faultcode") or "").rpartition(":")[2], child.findtext("faultstring") or ""
        )
    return child[0].text or "" if len(child) else ""


class Fault(Exception):
    """A SOAP fault: its code without prefix, and its text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


def call(operation: str, **arguments: str) -> bytes:
    """The envelope of a call, GBK. Raises UnicodeEncodeError."""
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in arguments.items())
    return _envelope(f'<{operation} xmlns="{NAMESPACE}">{inner}</{operation}>')


def answer(operation: str, result: str) -> bytes:
    """The envelope of an answer, GBK."""
    return _envelope(
        f'<{operation}Response xmlns="{NAMESPACE}">'
        f"<{operation}Result>{escape(result)}</{operation}Result></{operation}Response>"
    )


def fault(code: str, text: str) -> bytes:
    """A SOAP 1.1 fault: code Client or Server."""
    return _envelope(
        f"<soap:Fault><faultcode>soap:{code}</faultcode><faultstring>{escape(text)}</faultstring></soap:Fault>"
    )


def result(status: str, description: str, time: str, data: str = "") -> str:
    """The RESULT string every operation returns, whatever happened."""
    return (
        f"<RESULT><STATUS>{status}</STATUS><DESC>{escape(description)}</DESC>"
        f"<TIME>{time}</TIME><DATA>{escape(data)}</DATA></RESULT>"
    )


def read_result(text: str) -> tuple[str, str, str]:
    """(STATUS, DESC, DATA) of a RESULT string. Raises Unreadable."""
    root = parse(text)
    if root.tag != "RESULT":
        raise Unreadable("返回值不是RESULT")
    status, description, data = ((root.findtext(tag) or "").strip() for tag in ("STATUS", "DESC", "DATA"))
    return status, description, data


def _envelope(inner: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="{LABEL}"?><soap:Envelope xmlns:soap="{SOAP11}">'
        f"<soap:Body>{inner}</soap:Body></soap:Envelope>"
    ).encode(CHARSET)


def _body_child(root: etree._Element) -> etree._Element:
    body = root.find(f"{{{SOAP11}}}Body")
    if root.tag != f"{{{SOAP11}}}Envelope" or body is None or len(body) != 1:
        raise Unreadable("不是SOAP 1.1信封")
    return body[0]
