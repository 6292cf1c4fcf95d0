"""R19: what an SP* department's reply means. HTTP 200 with STATUS 300 is no success; the words decide.
The table is data, read from the top; a reply that matches nothing is UNKNOWN, never success.
"""

import re
from typing import Final

from adapters.formats.sp_result import Result
from adapters.ports import Reply, ReplyKind
from adapters.soap.codec import Fault

DETAIL_CHARS_MAX: Final = 1_000

# DESC of STATUS 300 -> meaning.
_WORDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"令牌|token|未授权|unauthori[sz]ed", ReplyKind.TRY_LATER),
        (r"重复|已接收|已存在|已收到|已处理|already|duplicate", ReplyKind.ALREADY_DONE),
        (r"繁忙|稍后|超时|维护|暂停服务|busy|try (again )?later|timeout", ReplyKind.TRY_LATER),
        (r"格式|报文|解析失败|缺少|过长|malformed|invalid xml", ReplyKind.MALFORMED),
        (r"拒绝|不予|不属于|退回|不符合|refused|rejected", ReplyKind.REFUSED),
    )
)
_TOKEN: Final = re.compile(r"令牌|token|未授权|unauthori[sz]ed", re.IGNORECASE)
# HTTP status when the body is no SOAP message. A 500, 502 or 504 may come after the work was done: UNKNOWN.
_STATUS: Final = dict.fromkeys((401, 403, 407, 408, 421, 425, 429, 503), ReplyKind.TRY_LATER)


def classify(result: Result) -> Reply:
    """The meaning of a reply to sendApply."""
    if result.status == "200":
        return Reply(kind=ReplyKind.DONE, code="200", detail=result.desc[:DETAIL_CHARS_MAX])
    kind = ReplyKind.UNKNOWN
    if result.status == "300":
        kind = next((kind for words, kind in _WORDS if words.search(result.desc)), ReplyKind.UNKNOWN)
    return Reply(kind=kind, code=result.status[:60], detail=_detail(result))


def classify_query(result: Result) -> Reply:
    """The meaning of a reply to queryApply: DATA 1 = held, 0 = not held, 2 = refused; else unknown."""
    held = {"1": ReplyKind.DONE, "0": ReplyKind.ABSENT, "2": ReplyKind.REFUSED}
    kind = held.get(result.data, ReplyKind.UNKNOWN) if result.status == "200" else ReplyKind.UNKNOWN
    return Reply(kind=kind, code=result.status[:60], detail=_detail(result))


def refuses_token(result: Result) -> bool:
    """True when the reply asks for a new token: the call was not taken."""
    return result.status == "300" and _TOKEN.search(result.desc) is not None


def of_fault(fault: Fault) -> Reply:
    """Client: this case's problem. Server: not now, if it says so; else nobody knows how far it came."""
    if fault.side == "client":
        kind = ReplyKind.MALFORMED
    else:
        busy = next((kind for words, kind in _WORDS if words.search(fault.text)), ReplyKind.UNKNOWN)
        kind = busy if busy is ReplyKind.TRY_LATER else ReplyKind.UNKNOWN
    return Reply(kind=kind, code=f"fault.{fault.side}", detail=fault.text[:DETAIL_CHARS_MAX])


def of_status(status: int, body: bytes) -> Reply:
    """The meaning of an answer that is no SOAP message."""
    kind = _STATUS.get(status)
    if kind is None:
        kind = ReplyKind.MALFORMED if 400 <= status < 500 else ReplyKind.UNKNOWN
    return Reply(kind=kind, code=str(status), detail=f"HTTP {status} {body[:300].decode('utf-8', 'replace')}")


def _detail(result: Result) -> str:
    return f"STATUS {result.status} {result.desc} {result.data}".strip()[:DETAIL_CHARS_MAX]
