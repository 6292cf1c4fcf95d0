"""The words of the pages for what the hub calls by codes: (Chinese, English). Only tables."""

from typing import Final

Labels = dict[str, tuple[str, str]]

DISPOSITIONS: Final[Labels] = {
    "routed": ("已路由", "routed"),
    "refused": ("已拒绝", "refused"),
    "held": ("等待中", "held"),
    "parked": ("已停放", "parked"),
    "in_flight": ("在途", "in flight"),
}
OUTCOMES: Final[Labels] = {
    "delivered": ("已送达", "delivered"),
    "refused": ("被拒绝", "refused"),
    "parked": ("已停放", "parked"),
    "in_doubt": ("存疑", "in doubt"),
    "cancelled": ("已取消", "cancelled"),
    "in_flight": ("在途", "in flight"),
    "lost": ("丢失", "lost"),
}
STAGES: Final[Labels] = {
    "submitted": ("已申报", "submitted"),
    "accepted": ("已受理", "accepted"),
    "decided": ("已办结", "decided"),
    "not_accepted": ("不予受理", "not accepted"),
    "withdrawn": ("已撤回", "withdrawn"),
}
LANE_STATES: Final[Labels] = {
    "open": ("运行", "open"),
    "opening": ("正在打开", "opening"),
    "waiting": ("等待恢复", "waiting"),
    "stopped": ("已停止", "stopped"),
    "silent": ("无心跳", "silent"),
    "none": ("无通道", "no lane"),
}
ROLES: Final[Labels] = {
    "viewer": ("查看", "viewer"),
    "operator": ("运维", "operator"),
    "approver": ("复核", "approver"),
    "auditor": ("审计", "auditor"),
}
MEMBER_KINDS: Final[Labels] = {
    "platform": ("省级平台", "platform"),
    "department": ("部门系统", "department"),
    "window": ("综合窗口", "window"),
    "credit": ("信用库", "credit library"),
    "nation": ("国家平台", "national platform"),
    "supervision": ("监管系统", "supervision"),
    "hub": ("其他区域的枢纽", "another region's hub"),
}
TOPICS: Final[Labels] = {
    "case.inbound": ("接收", "received"),
    "case.routed": ("路由记录", "routing record"),
    "case.events": ("办件过程", "life cycle"),
    "case.outcomes": ("派发结果", "outcomes"),
}
ACTS: Final[Labels] = {
    "log_in": ("登录", "signed in"),
    "log_in_failed": ("登录失败", "sign-in failed"),
    "log_out": ("退出", "signed out"),
    "take_notice": ("下载通知书", "took a notice"),
    "unmask": ("查看完整信息", "unmasked"),
    "create_account": ("新建账号", "created an account"),
    "redrive": ("重投", "redrove"),
    "settle_delivered": ("了结为已送达", "settled as delivered"),
    "settle_not_delivered": ("了结为未送达，重发", "settled as not delivered, sent again"),
    "skip": ("放弃", "skipped"),
    "release": ("放行其后", "let go on"),
    "suspend": ("暂停成员", "suspended a member"),
    "resume": ("恢复成员", "resumed a member"),
    "release_brake": ("放开停放闸", "let a park brake off"),
    "acknowledge_clock": ("确认时钟无误", "said that a clock is right"),
    "bulk_propose": ("提请批量重投", "proposed a bulk redrive"),
    "bulk_alone": ("单人批量重投", "redrove a bulk alone"),
    "bulk_approve": ("复核批量重投", "approved a bulk redrive"),
    "bulk_countersign": ("补签批量重投", "countersigned a bulk redrive"),
}
