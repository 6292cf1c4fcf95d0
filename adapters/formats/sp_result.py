"""The reply of every SP* call, always inside HTTP 200:
<RESULT><STATUS>200|300</STATUS><DESC/><TIME/><DATA/></RESULT>. Nothing else lives here.
"""

from typing import Final

import msgspec
from lxml import etree

from adapters.formats import xml_safe
from adapters.formats.sp_values import refuse, write_time

OK: Final = "200"
FAILED: Final = "300"
REPLY_CHARS_MAX: Final = 65_536


class Result(msgspec.Struct, frozen=True):
    """One reply. time: as the member wrote it."""

    status: str
    desc: str = ""
    data: str = ""
    time: str = ""


def result(status: str, desc: str, time_ms: int, data: str = "") -> str:
    """The text of a reply. Characters that XML cannot carry become U+FFFD: a reply explains, it is no
    business data."""
    root = etree.Element("RESULT")
    for tag, text in (("STATUS", status), ("DESC", desc), ("TIME", write_time(time_ms)), ("DATA", data)):
        while bad := xml_safe.first_forbidden(text):
            text = text.replace(bad, "\ufffd")
        etree.SubElement(root, tag).text = text
    return etree.tostring(root, encoding="unicode")


def parse_result(text: str) -> Result:
    """A reply read; raises FormatError when it is none."""
    root = xml_safe.parse(text.strip(), document_bytes_max=REPLY_CHARS_MAX)
    status = (root.findtext("STATUS") or "").strip()
    if root.tag != "RESULT" or not status:
        refuse(
            "RESULT.STATUS", "RESULT with STATUS", "答复不是 RESULT/STATUS", "the reply is no RESULT/STATUS"
        )
    return Result(
        status,
        (root.findtext("DESC") or "").strip(),
        (root.findtext("DATA") or "").strip(),
        (root.findtext("TIME") or "").strip(),
    )
