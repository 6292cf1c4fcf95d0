"""Where messages go: 属地, windows in two cities (F50-F52), flags to supervision (F11), copies only where
the item allows."""

import msgspec
from routing_cases import ANYWHERE, DIRECTORY, INTERNAL, PLAIN, Hub, message, org, submitted_case, to

from hub.directory.model import Directory
from hub.routing.model import Disposition
from hub.routing.tables import Tables


def test_f50_a_case_goes_to_the_department_of_the_region_it_is_for() -> None:
    for region, owner in (
        ("460100", "dept-a"),
        ("460108", "dept-a"),
        ("460200", "dept-b"),
        ("460205901", "dept-b"),
    ):
        hub = Hub()
        opening = message("case.submitted", item=INTERNAL, region=region)
        hub.take(opening)
        assert owner in to(hub.last(opening)), region
        assert hub.case.owner == owner


def test_f50_a_longer_region_code_belongs_to_the_region_it_lies_in() -> None:
    for region in ("460105000000", "460105001", "460105001002"):
        hub = Hub()
        opening = message("case.submitted", region=region)
        hub.take(opening)
        assert "dept-a" in to(hub.last(opening)), region
        assert hub.case.region == "460105"


def test_f51_f52_a_case_taken_in_at_a_window_elsewhere_goes_to_the_owner_and_delivery_comes_back() -> None:
    hub = Hub()
    opening = message("case.submitted", "window-haikou", item=ANYWHERE, region="460204")
    hub.take(opening)
    assert to(hub.last(opening)) == {
        "dept-b": "case.submitted",
        "platform": "case.submitted",
        "nation": "case.submitted",
    }
    accepted = message("case.accepted", "window-haikou", at=1, org=org("dept-b"))
    decided = message("case.decided", "dept-b", at=2, result="0")
    hub.take(accepted, decided)
    assert set(to(hub.last(accepted))) == {"dept-b", "platform", "nation"}
    assert set(to(hub.last(decided))) == {"platform", "window-haikou", "window-sanya", "nation"}, (
        "the local window hands over"
    )
    delivered = message("case.delivered", "window-sanya", at=3)
    hub.take(delivered)
    assert set(to(hub.last(delivered))) == {"window-haikou", "platform", "dept-b"}


def test_f11_the_second_correction_notice_on_a_case_is_flagged_to_supervision() -> None:
    hub = Hub()
    submitted_case(hub, "case.corrected")
    first = hub.last(message("case.correction_notified", at=3))
    second = message("case.correction_notified", at=5, ref="second")
    hub.take(second)
    assert {out.member: out.flags for out in first.dispatches} == {"platform": (), "supervision": ()}
    assert {out.member: out.flags for out in hub.last(second).dispatches} == {
        "platform": (),
        "supervision": ("second-correction",),
    }


def test_f11_a_correction_of_the_notice_itself_is_no_second_notice() -> None:
    hub = Hub()
    submitted_case(hub, "case.correction_notified")
    again = message("case.correction_notified", at=3, version="2", content="typo corrected")
    hub.take(again)
    assert all(out.flags == () for out in hub.last(again).dispatches)


def test_f28_supervision_gets_copies_of_what_its_routes_name() -> None:
    hub = Hub()
    submitted_case(hub, "case.evaluated")
    kinds = {
        out.kind for verdict in hub.verdicts for out in verdict.dispatches if out.member == "supervision"
    }
    assert kinds == {"case.supervision_copy"}
    assert "case.decided" in {m.type for m in hub.received("supervision")}


def test_r32_items_that_are_not_for_the_nation_or_supervision_are_not_copied_there() -> None:
    hub = Hub()
    submitted_case(hub, "case.evaluated", item=INTERNAL)
    assert hub.received("dept-a")
    assert not hub.received("nation")
    assert not hub.received("supervision")


def test_nobody_gets_an_echo_and_each_member_gets_a_message_once() -> None:
    hub = Hub()
    submitted_case(hub, "case.evaluated", source="window-haikou")
    for verdict in hub.verdicts:
        members = [out.member for out in verdict.dispatches]
        assert verdict.message.source not in members
        assert len(members) == len(set(members))


def test_a_member_gets_only_the_kinds_it_subscribes_to() -> None:
    members = dict(DIRECTORY.members)
    kept = tuple(kind for kind in members["platform"].subscribes if kind != "case.decided")
    members["platform"] = msgspec.structs.replace(members["platform"], subscribes=kept)
    directory: Directory = msgspec.structs.replace(DIRECTORY, members=members)
    hub = Hub(Tables(directory))
    taken = submitted_case(hub, "case.decided")
    assert "platform" not in to(hub.last(taken[-1]))


def test_r33_a_row_the_nation_rejects_changes_the_outcome_and_tells_the_department() -> None:
    hub = Hub()
    taken = submitted_case(hub, "case.decided")
    rejected = message("nation.rejected", "nation", 20, dispatch="d" * 32, message=taken[-1].id)
    decision = hub.take(rejected)
    (change,) = decision.outcome_changes
    assert (change.dispatch_id, change.message_id, change.member, change.outcome) == (
        "d" * 32,
        taken[-1].id,
        "nation",
        "refused",
    )
    (notice,) = hub.originated("case.refusal")
    assert to(notice) == {"dept-a": "case.refusal"}
    assert hub.last(rejected).disposition is Disposition.ROUTED


def test_r33_a_rejected_row_of_a_submission_goes_to_the_deciding_department_too() -> None:
    hub = Hub()
    (opening,) = submitted_case(hub)
    hub.take(message("nation.rejected", "hub", 20, dispatch="d" * 32, message=opening.id))
    assert to(hub.originated("case.refusal")[0]) == {"dept-a": "case.refusal"}


def test_r10_a_dispatch_a_member_refuses_is_told_to_the_sender_of_that_message() -> None:
    for type_, sender in (("case.submitted", "platform"), ("case.process_step", "dept-a")):
        hub = Hub()
        taken = submitted_case(hub, type_)
        refused = message(
            "dispatch.refused", "hub", 20, message=taken[-1].id, member="supervision", dispatch="d" * 32
        )
        decision = hub.take(refused)
        (notice,) = hub.originated("case.refusal")
        assert to(notice) == {sender: "case.refusal"}
        assert decision.outcome_changes == (), "the lane wrote that outcome itself"


def test_r10_a_refusal_that_is_refused_starts_no_loop() -> None:
    hub = Hub()
    submitted_case(hub, item=PLAIN)
    hub.take(message("case.accepted", "dept-b", at=1))
    (notice,) = hub.originated("case.refusal")
    again = message(
        "dispatch.refused", "hub", 20, message=notice.message.id, member="dept-b", dispatch="d" * 32
    )
    hub.take(again)
    assert len(hub.originated("case.refusal")) == 1
    assert hub.last(again).disposition is Disposition.ROUTED
