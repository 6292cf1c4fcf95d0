"""One valid body per message type, as a REST member would send it (times as text, bytes as base64), for docs
and tests. Codes carry true check digits and name nobody.
"""

import base64
import copy
from typing import Any, Final

USCC_AGENCY: Final = "11460100MB0A00001N"
USCC_COMPANY: Final = "91460100MA5T00001L"
ID_NUMBER: Final = "460100199003071237"
ITEM: Final = USCC_AGENCY + "3" + "460131001000" + "01"
REGION: Final = "460105"

_AGENCY: Final = {"code": USCC_AGENCY, "name": "海口市某审批部门"}
_FORM: Final = {
    "formId": "food-licence-application",
    "version": "2024.1",
    "mediaType": "application/json",
    "content": base64.b64encode('{"经营场所":"秀英区示例路 1 号","面积":86.5}'.encode()).decode(),
}
_DIGEST: Final = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # SM3("abc")
_PAPER: Final = {
    "code": "M01",
    "name": "营业执照",
    "medium": "paper",
    "copy": "copy",
    "count": 1,
    "collect": "1",
}
_FILE: Final = {
    "code": "M02",
    "name": "经营场所平面图",
    "medium": "electronic",
    "copy": "original",
    "count": 1,
    "collect": "2",
    "sm3": _DIGEST,
    "size": 3,
    "mediaType": "application/pdf",
    "ref": "sm3:" + _DIGEST,
}
_ID: Final = "0123456789abcdef0123456789abcdef"
_OTHER_ID: Final = "fedcba9876543210fedcba9876543210"

_BODIES: Final[dict[str, dict[str, Any]]] = {
    "case.submitted": {
        "item": ITEM,
        "itemVersion": 3,
        "itemName": "食品经营许可（新办）",
        "region": REGION,
        "projectName": "某某餐饮店食品经营许可新办",
        "applyType": "1",
        "projectType": "2",
        "applicant": {
            "name": "海口某某餐饮有限公司",
            "kind": "2",
            "idType": "001",
            "idNo": USCC_COMPANY,
            "legalPerson": "王小明",
            "address": "海口市秀英区示例路 1 号",
            "postcode": "570100",
        },
        "agent": {"name": "李小红", "idType": "111", "idNo": ID_NUMBER, "mobile": "13800000000"},
        "channel": "2",
        "appliedAt": "2025-03-03T09:15:00+08:00",
        "form": _FORM,
        "materials": [_PAPER, _FILE],
        "window": "HK-0103",
        "creditChoice": False,
        "resultType": "1",
    },
    "case.material_received": {
        "voucherNo": "SJ20250303000017",
        "receivedAt": "2025-03-03T09:40:00+08:00",
        "org": _AGENCY,
        "handler": "陈收件",
        "materials": [_PAPER],
        "window": "HK-0103",
    },
    "case.pre_examined": {
        "result": "1",
        "org": _AGENCY,
        "handler": "林预审",
        "opinion": "材料齐全",
        "examinedAt": "2025-03-03T10:05:00+08:00",
    },
    "case.accepted": {
        "org": _AGENCY,
        "handler": "周受理",
        "acceptedAt": "2025-03-03T10:30:00+08:00",
        "docNo": "SL20250303000017",
        "promiseDate": "2025-03-17T18:00:00+08:00",
        "projectType": "2",
        "region": REGION,
        "window": "HK-0103",
        "queryCode": "482913",
    },
    "case.not_accepted": {
        "org": _AGENCY,
        "handler": "周受理",
        "decidedAt": "2025-03-03T10:30:00+08:00",
        "docNo": "BYSL20250303000002",
        "reason": "申请事项不属于本机关职权范围",
    },
    "case.correction_notified": {
        "org": _AGENCY,
        "handler": "周受理",
        "notifiedAt": "2025-03-03T11:00:00+08:00",
        "reason": "平面图缺少面积标注",
        "materials": [{"code": "M02", "name": "经营场所平面图", "requirement": "标注各功能区面积并签章"}],
        "deadline": "2025-03-10T18:00:00+08:00",
    },
    "case.corrected": {
        "correctedAt": "2025-03-05T15:20:00+08:00",
        "materials": [_FILE],
        "receiver": "陈收件",
    },
    "case.process_step": {
        "stepCode": "2",
        "stepName": "审核",
        "action": "1",
        "org": _AGENCY,
        "handler": "吴审核",
        "opinion": "同意，拟准予许可",
        "startedAt": "2025-03-06T09:00:00+08:00",
        "endedAt": "2025-03-06T16:30:00+08:00",
        "status": "2",
    },
    "case.special_started": {
        "sn": 1,
        "kind": "2",
        "name": "现场踏勘",
        "reason": "《食品经营许可管理办法》规定的现场核查",
        "startedAt": "2025-03-07T09:00:00+08:00",
        "approver": "郑批准",
        "limitDays": 10,
        "org": _AGENCY,
    },
    "case.special_ended": {
        "sn": 1,
        "endedAt": "2025-03-11T17:00:00+08:00",
        "result": "现场核查合格",
        "opinion": "恢复办理",
        "org": _AGENCY,
        "handler": "吴审核",
    },
    "case.withdrawn": {
        "withdrawnAt": "2025-03-03T09:50:00+08:00",
        "reason": "申请人自愿撤回",
        "by": "海口某某餐饮有限公司",
    },
    "case.decided": {
        "result": "0",
        "decidedAt": "2025-03-13T11:00:00+08:00",
        "org": _AGENCY,
        "handler": "郑批准",
        "explanation": "准予许可",
        "licence": {
            "name": "食品经营许可证",
            "number": "JY24601050000017",
            "validUntil": "2030-03-12",
            "issuer": "海口市某审批部门",
        },
        "needDelivery": True,
        "docNo": "JD20250313000009",
        "resultType": "1",
    },
    "case.delivered": {
        "method": "2",
        "trackingNo": "EMS1234567890123",
        "receiver": {"name": "李小红", "idType": "111", "idNo": ID_NUMBER},
        "deliveredAt": "2025-03-14T16:00:00+08:00",
        "window": "HK-0103",
        "org": _AGENCY,
    },
    "case.evaluated": {
        "channel": "移动服务端",
        "evaluator": "李小红",
        "evaluatedAt": "2025-03-15T20:00:00+08:00",
        "times": 1,
        "satisfaction": "1",
        "comment": "办得很快",
    },
    "case.refusal": {
        "refusedId": _ID,
        "refusedType": "case.decided",
        "code": "conflict",
        "field": "sourceRef",
        "rule": "R2",
        "clause": "GB/T 39046-2020 表8",
        "zh": "同一来源编号已收到不同内容",
        "en": "other content was received under the same source key",
        "actionZh": "核对两次内容，需更正时以新版本号重新报送",
        "actionEn": "compare both contents; to correct, send again with a new version",
        "firstDigest": _DIGEST,
        "secondDigest": _DIGEST[::-1],
    },
    "credit.answered": {
        "grade": "blue",
        "seriousDishonesty": False,
        "bannedIndustries": ["H62"],
        "decisionStandard": True,
        "validFrom": "2024-07-01T00:00:00+08:00",
        "answeredAt": "2025-03-03T09:15:02+08:00",
    },
    "credit.reviewed": {
        "allow": True,
        "reviewer": "周受理",
        "reason": "已核实失信信息正在修复",
        "reviewedAt": "2025-03-04T09:00:00+08:00",
    },
    "credit.changed": {
        "subjectIdType": "001",
        "subjectIdNo": USCC_COMPANY,
        "name": "海口某某餐饮有限公司",
        "grade": "black",
        "seriousDishonesty": True,
        "bannedIndustries": ["H62", "F52"],
        "validFrom": "2025-02-01T00:00:00+08:00",
    },
    "case.supervision_copy": {
        "copyOf": "case.decided",
        "messageId": _ID,
        "caseNo": "460123456789ABCDEFX",
        "item": ITEM,
        "region": REGION,
        "occurredAt": "2025-03-13T11:00:00+08:00",
        "flags": ["second-correction"],
        "content": '{"result":"0"}',
    },
    "nation.rejected": {
        "table": "up_pro_accept",
        "rowGuid": _ID,
        "dispatchId": _OTHER_ID,
        "messageId": _ID,
        "reason": "事项版本不存在",
        "rejectedAt": "2025-03-04T02:00:00+08:00",
    },
    "dispatch.refused": {
        "dispatchId": _OTHER_ID,
        "messageId": _ID,
        "member": "dept-a",
        "code": "E17",
        "detail": "事项已停用",
    },
    "hub.routed": {
        "messageId": _ID,
        "caseNo": "460123456789ABCDEFX",
        "disposition": "routed",
        "dispatches": [{"id": _OTHER_ID, "member": "dept-a", "kind": "case.submitted"}],
        "originated": False,
        "source": "platform",
        "type": "case.submitted",
        "occurredAt": "2025-03-03T09:15:00+08:00",
        "tablesVersion": "1",
        "grade": "blue",
    },
    "hub.outcome": {
        "dispatchId": _OTHER_ID,
        "messageId": _ID,
        "caseNo": "460123456789ABCDEFX",
        "member": "dept-a",
        "kind": "case.submitted",
        "outcome": "delivered",
        "code": "200",
        "attempts": 1,
        "at": "2025-03-03T09:15:01+08:00",
    },
}


def body(type_: str) -> dict[str, Any]:
    """A fresh copy of the sample body of a message type. Raises KeyError for a type without one."""
    return copy.deepcopy(_BODIES[type_])


def types() -> tuple[str, ...]:
    """The message types that have a sample."""
    return tuple(_BODIES)
