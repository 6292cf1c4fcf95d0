"""The one way XML from outside becomes a tree: bounded, without DTD, entities or network.
GB-labelled documents are read as GB18030, of which GB2312 and GBK are parts (R14).
"""

import re
from typing import Final, NoReturn

from lxml import etree

from adapters.ports import FormatError

STANDARD: Final = "XML 1.0"
DOCUMENT_BYTES_MAX: Final = 4 * 1024 * 1024
ELEMENTS_MAX: Final = 20_000
DEPTH_MAX: Final = 24

_DECLARATION: Final = re.compile(r"\s*<\?xml\b[^>]{0,200}\?>")
_LABEL: Final = re.compile(rb"""<\?xml\b[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_CODECS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "cp936": "gb18030",
}
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse(
    document: bytes | str,
    *,
    charset: str = "",
    document_bytes_max: int = DOCUMENT_BYTES_MAX,
    elements_max: int = ELEMENTS_MAX,
) -> etree._Element:
    """The root element of a document; a str was decoded by its transport already, its label is ignored.

    charset: the transport's label (Content-Type), which outranks the document's own (RFC 7303). Raises
    FormatError.
    """
    size = len(document)
    if size > document_bytes_max:
        _refuse(
            f"at most {document_bytes_max}", f"报文长度 {size}，上限 {document_bytes_max}", f"size {size}"
        )
    text = document if isinstance(document, str) else decode(document, charset)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        _refuse("no DTD", "不接受 DTD 与实体声明", "DTD and entity declarations are not accepted")
    # Every element costs a '<': counted before a tree is built, for that costs far more than its text.
    if text.count("<") > 2 * elements_max + 8:
        _refuse(f"at most {elements_max} elements", f"元素超过 {elements_max} 个", "too many elements")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        dtd_validation=False,
        remove_comments=True,
        remove_pis=True,
        recover=False,
    )
    try:
        root = etree.fromstring(_DECLARATION.sub("", text, count=1).encode("utf-8"), parser)
    except (etree.XMLSyntaxError, ValueError) as bad:
        said = str(bad)[:200]
        _refuse("well-formed XML", f"XML 不合法：{said}", f"invalid XML: {said}")
    check_shape(root, elements_max)
    return root


def decode(document: bytes, charset: str = "") -> str:
    """The text of a document by its label: GB* as GB18030, else UTF-8. Raises FormatError; no character is
    ever replaced."""
    if document.startswith(b"\xef\xbb\xbf"):
        document, label = document[3:], "utf-8"
    else:
        found = _LABEL.match(document.lstrip())
        label = (charset or (found[1].decode() if found else "utf-8")).lower()
    codec = _CODECS.get(label)
    if codec is None:
        _refuse("known charset", f"不支持的字符集 {label}", f"unsupported charset {label}")
    try:
        return document.decode(codec)
    except UnicodeDecodeError as bad:
        at = bad.start
        _refuse(label, f"第 {at} 字节不是 {label} 字符", f"byte {at} is not {label}")


def first_forbidden(text: str) -> str:
    """The first character that XML 1.0 §2.2 does not allow, or an empty string."""
    found = _NOT_XML.search(text)
    return found[0] if found else ""


def check_shape(root: etree._Element, elements_max: int) -> None:
    """Depth and number of elements; entity references left in the tree are refused. Raises FormatError."""
    level = [root]
    count = 0
    for _ in range(DEPTH_MAX):
        count += len(level)
        below: list[etree._Element] = []
        for element in level:
            for child in element:
                if not isinstance(child.tag, str):
                    _refuse("no entities", "不接受实体引用", "entity references are not accepted")
                below.append(child)
        if not below:
            break
        level = below
    else:
        _refuse(f"depth at most {DEPTH_MAX}", f"嵌套超过 {DEPTH_MAX} 层", "nested too deep")
    if count > elements_max:
        _refuse(f"at most {elements_max} elements", f"元素超过 {elements_max} 个", "too many elements")


def _refuse(rule: str, zh: str, en: str) -> NoReturn:
    raise FormatError("$", rule, STANDARD, f"{zh}（{STANDARD}）", f"{en}: {rule} ({STANDARD})")
