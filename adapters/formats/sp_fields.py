"""SP*/GDBS* XML as data: which record carries which message type, which field which part of its body.
Nothing is computed here. Fields marked `extension` are additions where the dialect has no field of its own.
"""

from typing import Final

import msgspec


class Column(msgspec.Struct, frozen=True):
    """tag: the field in the record. path: its place in the body. kind: text | time | int | bool | code.
    default: what an absent field means. codes: for kind `code`, field value -> body value."""

    tag: str
    path: str
    kind: str = "text"
    codes: dict[str, str] = {}
    default: str = ""
    extension: bool = False


class Record(msgspec.Struct, frozen=True):
    """key: the fields that identify a record beside (SBLSH_SHORT, VERSION), R1; "digest" = its SM3.
    time: the body field that is the business time. materials: whether RECORD elements list materials."""

    tag: str
    zh: str
    type: str
    time: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    materials: bool = False


def _ext(tag: str, path: str, kind: str = "text", default: str = "") -> Column:
    return Column(tag, path, kind, default=default, extension=True)


ROOT: Final = "APPROVEDATAINFO"
EXTENSION: Final = "SPKUOZHAN"  # 扩展: any type without a record of its own: LX = type, NR = body as JSON

CHANNELS: Final = {  # A.5 办理形式 -> (TJFS 提交方式 as in EA_JC `submit`, WSSBQD 网上申办渠道)
    "1": ("0", ""),
    "2": ("1", "0"),
    "3": ("1", "1"),
    "4": ("2", ""),
    "9": ("8", "9"),
}
# BJJGDM -> EA_JC doneresult. The exact EA_JC value travels beside it as the extension DONERESULT.
RESULTS_READ: Final = {"0": "0", "1": "5", "2": "2", "3": "3", "4": "4", "5": "5", "6": "0"}
RESULTS_WRITE: Final = {"0": "0", "1": "1", "2": "2", "3": "3", "4": "4", "5": "1", "6": "1"}
APPLICANT_KINDS_READ: Final = {"1": "1", "2": "2", "3": "6"}
APPLICANT_KINDS_WRITE: Final = {"1": "1", "2": "2", "3": "3", "4": "3", "5": "3", "6": "3"}

_FORM: Final = (  # 表单 R12; XML_DATA holds the content
    _ext("BDBH", "form.formId"),
    _ext("BDBB", "form.version"),
    _ext("BDGS", "form.mediaType"),
)
_METHODS: Final = {
    "0": "1",
    "1": "2",
    "2": "3",
    "3": "4",
}  # LQFS 0自取 1邮寄 (2专柜 3电子: extension) -> method

_SUBMITTED: Final = Record(
    "SPSHENQIN",
    "申办",
    "case.submitted",
    "appliedAt",
    (
        Column("SXBM", "item"),
        _ext("SXBB", "itemVersion", "int", "1"),
        Column("SXMC", "itemName"),
        Column("XZQHDM", "region"),
        Column("SBXMMC", "projectName"),
        _ext("SQLX", "applyType", default="1"),
        _ext("BJLX", "projectType"),
        Column("SQRMC", "applicant.name"),
        _ext("SQRLB", "applicant.kind"),  # A.4 exactly; SQRLX knows only three kinds
        Column("SQRZJLX", "applicant.idType"),
        Column("SQRZJHM", "applicant.idNo"),
        _ext("FDDBR", "applicant.legalPerson"),
        _ext("SQRDZ", "applicant.address"),
        _ext("YZBM", "applicant.postcode"),
        Column("LXRXM", "agent.name"),
        Column("LXRZJLX", "agent.idType"),
        Column("LXRSFZJHM", "agent.idNo"),
        Column("LXRSJ", "agent.mobile"),
        Column("SBSJ", "appliedAt", "time"),
        Column("SBJTWD", "window"),
        Column("PROJECT_CODE", "investProject"),
        _ext("XYCN", "creditChoice", "bool"),
        _ext("JGLX", "resultType"),
        *_FORM,
    ),
    materials=True,
)
_PRE_EXAMINED: Final = Record(
    "SPCAILIAOSHENHE",
    "预受理",
    "case.pre_examined",
    "examinedAt",
    (
        Column("YSLZTDM", "result", "code", {"1": "1", "0": "0", "2": "0"}),
        Column("YSLBMZZJGDM", "org.code"),
        Column("YSLBMMC", "org.name"),
        Column("BLRXM", "handler"),
        Column("BSLYY", "opinion"),
        Column("YSLSJ", "examinedAt", "time"),
    ),
)
_ACCEPTED: Final = Record(
    "SPSHOULI",
    "受理",
    "case.accepted",
    "acceptedAt",
    (
        Column("SLBMZZJGDM", "org.code"),
        Column("SLBMMC", "org.name"),
        Column("BLRXM", "handler"),
        Column("SLSJ", "acceptedAt", "time"),
        Column("SLHZH", "docNo"),
        _ext("CNBJSJ", "promiseDate", "time"),
        _ext("BJLX", "projectType"),
        Column("XZQHDM", "region"),
        _ext("SLCK", "window"),
        Column("CXMM", "queryCode"),
    ),
)
# The same element: SLZTDM 1 = accepted, 2 (or 0) = not accepted.
_NOT_ACCEPTED: Final = Record(
    "SPSHOULI",
    "不予受理",
    "case.not_accepted",
    "decidedAt",
    (
        Column("SLBMZZJGDM", "org.code"),
        Column("SLBMMC", "org.name"),
        Column("BLRXM", "handler"),
        Column("SLSJ", "decidedAt", "time"),
        Column("SLHZH", "docNo"),
        Column("BSLYY", "reason"),
    ),
)
_STEP: Final = Record(
    "GDBSSPCL",
    "审批过程",
    "case.process_step",
    "endedAt",
    (
        Column("SPHJDM", "stepCode"),
        Column("SPHJMC", "stepName"),
        _ext("SPDZ", "action", default="9"),
        Column("SPBMZZJDMD", "org.code"),  # the dialect's own spelling
        Column("SPBMMC", "org.name"),
        Column("SPRXM", "handler"),
        Column("SPYJ", "opinion"),
        _ext("SPKSSJ", "startedAt", "time"),
        Column("SPSJ", "endedAt", "time"),
        Column("SPHJZTDM", "status", "code", {"1": "1", "2": "2"}, "2"),
    ),
    key=("SPHJDM", "SPSJ", "digest"),
)
_DECIDED: Final = Record(
    "SPBANJIE",
    "办结",
    "case.decided",
    "decidedAt",
    (
        _ext("DONERESULT", "result"),
        Column("BJSJ", "decidedAt", "time"),
        Column("BJBMZZJDDM", "org.code"),
        Column("BJBMMC", "org.name"),
        Column("SPRXM", "handler"),
        Column("BJJGMS", "explanation"),
        Column("ZJGZMC", "licence.name"),
        Column("ZJBH", "licence.number"),
        Column("ZJYXQX", "licence.validUntil"),
        Column("FZGZDW", "licence.issuer"),
        _ext("SFKD", "needDelivery", "bool", "0"),
        _ext("BJWH", "docNo"),
        _ext("JGLX", "resultType"),
    ),
)
_SPECIAL_STARTED: Final = Record(
    "SPTEBIESHENQING",
    "特别程序申请",
    "case.special_started",
    "startedAt",
    (
        Column("XH", "sn", "int"),
        Column("TBCXZL", "kind"),
        Column("TBCXZLMC", "name"),
        Column("TBCXQDLY", "reason"),
        Column("TBCXKSRQ", "startedAt", "time"),
        Column("TBCXPZR", "approver"),
        Column("TBCXSX", "limitDays", "int"),
        _ext("SPBMZZJGDM", "org.code"),
        _ext("SPBMMC", "org.name"),
    ),
    key=("XH",),
)
_SPECIAL_ENDED: Final = Record(
    "SPTEBIEJIEGUO",
    "特别程序结果",
    "case.special_ended",
    "endedAt",
    (
        Column("XH", "sn", "int"),
        Column("TBCXJSRQ", "endedAt", "time"),
        Column("TBCXJG", "result"),
        _ext("BLYJ", "opinion"),
        _ext("SPBMZZJGDM", "org.code"),
        _ext("SPBMMC", "org.name"),
        _ext("BLRXM", "handler"),
    ),
    key=("XH",),
)
_CORRECTION_NOTIFIED: Final = Record(
    "SPBUZHENGGAOZHI",
    "补正告知",
    "case.correction_notified",
    "notifiedAt",
    (
        Column("D_ZZJGDM", "org.code"),
        _ext("BZGZBMMC", "org.name"),
        Column("BZGZFCRXM", "handler"),
        Column("BZGZYY", "reason"),
        Column("BZGZSJ", "notifiedAt", "time"),
        _ext("BZJZSJ", "deadline", "time"),
    ),
    key=("BZGZSJ", "digest"),
)
_CORRECTED: Final = Record(
    "SPBUZHENGSHOULI",
    "补正受理",
    "case.corrected",
    "correctedAt",
    (Column("BZSLBLRXM", "receiver"), Column("BZSJ", "correctedAt", "time"), *_FORM),
    key=("BZSJ", "digest"),
    materials=True,
)
_DELIVERED: Final = Record(
    "SPLINGQUDENGJI",
    "领取登记",
    "case.delivered",
    "deliveredAt",
    (
        Column("LQFS", "method", "code", _METHODS),
        Column("LQRXM", "receiver.name"),
        Column("LQRZJLX", "receiver.idType"),
        Column("LQRSFZJHM", "receiver.idNo"),
        Column("LQSJ", "deliveredAt", "time"),
        _ext("KDDH", "trackingNo"),
        _ext("LQCK", "window"),
        _ext("LQBMZZJGDM", "org.code"),
        _ext("LQBMMC", "org.name"),
    ),
)
_WITHDRAWN: Final = Record(  # the dialect has no withdrawal: the whole record is an extension
    "SPCHEHUI",
    "撤回",
    "case.withdrawn",
    "withdrawnAt",
    (_ext("CHSJ", "withdrawnAt", "time"), _ext("CHYY", "reason"), _ext("CHR", "by")),
)

MATERIAL: Final = (  # 材料 RECORD
    Column("STUFF_SEQ", "code"),
    Column("CLMC", "name"),
    Column("WJLX", "medium", "code", {"0": "paper", "1": "electronic"}),
    Column("CLSL", "count", "int", default="1"),
    _ext("SQFS", "collect"),
    Column("ATTACH_SIGN", "sm3"),
    _ext("ATTACH_SIZE", "size", "int"),
    Column("ATTACH_TYPE", "mediaType"),
    Column("ATTACH_ID", "ref"),
)

RECORDS: Final = (
    _SUBMITTED,
    _PRE_EXAMINED,
    _ACCEPTED,
    _NOT_ACCEPTED,
    _STEP,
    _DECIDED,
    _SPECIAL_STARTED,
    _SPECIAL_ENDED,
    _CORRECTION_NOTIFIED,
    _CORRECTED,
    _DELIVERED,
    _WITHDRAWN,
)
BY_TYPE: Final = {record.type: record for record in RECORDS}
BY_TAG: Final = {record.tag: record for record in reversed(RECORDS)}  # SPSHOULI -> accepted; SLZTDM decides
# Spellings of the same records seen in the field.
ALIASES: Final = {
    "SHOULI": "SPSHOULI",
    "SPGUOCHENG": "GDBSSPCL",
    "BUZHENGSHOULI": "SPBUZHENGSHOULI",
    "LINGQUDENGJI": "SPLINGQUDENGJI",
}
