"""What surrounds a body when a member and the gateway talk: envelope, receipt, status, error. The same
records for REST and SOAP."""

from typing import Any, Final

from schemas.model import Field, Kind, Record

TEXT_CHARS_MAX: Final = 200
VERSION_MAX: Final = 999_999
_HEX32: Final[dict[str, Any]] = {"pattern": "^[0-9a-f]{32}$"}
_HEX64: Final[dict[str, Any]] = {"pattern": "^[0-9a-f]{64}$"}


def _field(name: str, kind: Kind, zh: str, en: str, *, required: bool = False, **attributes: Any) -> Field:
    if kind is Kind.STRING and not {"pattern", "enumCodes"} & attributes.keys():
        attributes.setdefault("maxLength", TEXT_CHARS_MAX)
    return Field(
        name=name, kind=kind, required=required, doc_zh=zh, doc_en=en, standard="", attributes=attributes
    )


def _many(name: str, record: Record, zh: str, en: str) -> Field:
    item = Field(name=name, kind=Kind.RECORD, required=True, doc_zh=zh, doc_en=en, standard="", record=record)
    limits = {"maxItems": 1_000}
    return Field(
        name=name,
        kind=Kind.ARRAY,
        required=True,
        doc_zh=zh,
        doc_en=en,
        standard="",
        attributes=limits,
        items=item,
    )


_S, _I, _T = Kind.STRING, Kind.INT, Kind.TIME

ENVELOPE: Final = (
    _field(
        "sourceRef",
        _S,
        "来源编号：发送方系统中标识本消息的编号",
        "what identifies this message at its sender",
        required=True,
    ),
    _field(
        "occurredAt",
        _T,
        "业务发生时间，无时区视为北京时间",
        "business time; without a zone, China time",
        required=True,
    ),
    _field(
        "version",
        _I,
        "更正版本，默认 1",
        "version of a corrected message, 1 unless given",
        minimum=1,
        maximum=VERSION_MAX,
    ),
    _field("sourceSystem", _S, "来源系统，成员有多个系统时填写", "source system, where a member has several"),
    _field("caseRef", _S, "发送方自己的办件编号", "the sender's own case reference"),
    _field("caseNo", _S, "办件编号（枢纽或平台给出）", "case number, as the hub gave it", maxLength=50),
    _field("correlation", _S, "关联编号", "correlation"),
)

RECEIPT: Final = Record(
    name="Receipt",
    doc_zh="凭证：写入确认后出具，重送得到相同内容",
    doc_en="receipt, given once the message is durable; the same for every re-send",
    fields=(
        _field("messageId", _S, "消息编号", "message id", required=True, **_HEX32),
        _field("caseNo", _S, "办件编号", "case number", required=True, maxLength=100),
        _field("digest", _S, "内容的 SM3 摘要", "SM3 digest of the content", required=True, **_HEX64),
        _field("status", _S, "状态", "status", required=True, enumCodes={"received": "已接收 / received"}),
    ),
)

DISPATCH_STATUS: Final = Record(
    name="DispatchStatus",
    doc_zh="一条分发的状态",
    doc_en="what became of one dispatch",
    fields=(
        _field("dispatchId", _S, "分发编号", "dispatch id", required=True, **_HEX32),
        _field("messageId", _S, "消息编号", "message id", required=True, **_HEX32),
        _field("member", _S, "成员", "member", required=True),
        _field("kind", _S, "分发种类", "kind of dispatch", required=True),
        _field(
            "status", _S, "结果，办理中为 in_flight", "outcome; in_flight while there is none", required=True
        ),
        _field("code", _S, "代码", "code"),
        _field("detail", _S, "说明", "detail", maxLength=1_000),
        _field("attempts", _I, "调用次数", "attempts", minimum=0),
        _field("at", _T, "时间", "time"),
    ),
)

MESSAGE_STATUS: Final = Record(
    name="MessageStatus",
    doc_zh="消息状态：已接收、已路由、等待、停放或拒绝，及每条分发的结果",
    doc_en="what became of a message: received, routed, held, parked or refused, and each of its dispatches",
    fields=(
        _field("messageId", _S, "消息编号", "message id", required=True, **_HEX32),
        _field("status", _S, "状态", "status", required=True),
        _field("type", _S, "消息类型", "message type"),
        _field("source", _S, "来源成员", "source member"),
        _field("sourceRef", _S, "来源编号", "source reference"),
        _field("caseNo", _S, "办件编号", "case number"),
        _field("digest", _S, "内容的 SM3 摘要", "SM3 digest of the content", **_HEX64),
        _field("occurredAt", _T, "业务时间", "business time"),
        _field("receivedAt", _T, "接收时间", "time received"),
        _field("reason", _S, "原因代码", "reason"),
        _field("zh", _S, "中文说明", "explanation in Chinese", maxLength=2_000),
        _field("en", _S, "英文说明", "explanation in English", maxLength=2_000),
        _field("dataAsOf", _T, "数据截至时间", "time up to which the records are complete"),
        _many("dispatches", DISPATCH_STATUS, "各分发的结果", "the outcome of each dispatch"),
    ),
)

VIOLATION: Final = Record(
    name="Violation",
    doc_zh="违反的一条规则",
    doc_en="one broken rule",
    fields=(
        _field("field", _S, "字段路径", "path of the field"),
        _field("rule", _S, "规则", "rule", required=True),
        _field("standard", _S, "依据", "where the rule comes from", required=True),
        _field("zh", _S, "中文说明", "explanation in Chinese", required=True, maxLength=2_000),
        _field("en", _S, "英文说明", "explanation in English", required=True, maxLength=2_000),
    ),
)
