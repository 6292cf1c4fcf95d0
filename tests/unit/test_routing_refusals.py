"""R2, G8: conflicts and re-sends; R10: a refusal is a message of its own; G5: what the directory does not
know is parked, in order."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_cases import (
    CASE,
    DIRECTORY,
    NOW,
    PLAIN,
    TABLES,
    Hub,
    message,
    plain_case,
    submitted_case,
    tables,
    to,
    types,
)

from hub import ids
from hub.directory.model import Directory
from hub.routing.decide import decide, decide_timer, park, redrive
from hub.routing.model import Disposition, Timer
from hub.routing.state import FORMAT, TYPES, Case, decode
from hub.routing.tables import Tables
from schemas import codec

UNKNOWN_ITEM = PLAIN[:30] + "9"


def test_g8_the_same_message_again_changes_nothing_at_all() -> None:
    hub = Hub()
    for one in plain_case():
        hub.take(one)
        decision = hub.take(one)
        assert decision.duplicate
        assert decision.state is None
        assert (
            decision.verdicts
            == decision.timers_set
            == decision.timers_cleared
            == decision.table_updates
            == ()
        )


def test_g8_a_held_a_parked_and_a_refused_message_again_change_nothing() -> None:
    for opening in (message("case.submitted", item=UNKNOWN_ITEM), message("case.submitted", "dept-b")):
        hub = Hub()
        step = message("case.process_step")
        hub.take(step, opening)
        assert hub.take(step).duplicate
        assert hub.take(opening).duplicate


def test_r02_other_content_under_the_same_key_is_refused_and_the_original_stands() -> None:
    hub = Hub()
    submitted_case(hub)
    original = message("case.accepted", at=1, content="first")
    other = message("case.accepted", at=1, content="second")
    assert original.id == other.id
    hub.take(original)
    decision = hub.take(other)
    (notice,) = decision.verdicts
    assert hub.last(original).disposition is Disposition.ROUTED, "one id has one disposition: the original's"
    assert notice.originated
    assert to(notice) == {"dept-a": "case.refusal"}
    _, body = codec.decode(notice.message.value)
    assert (body["code"], body["rule"], body["refusedId"]) == ("conflict", "R2", original.id)
    assert (body["firstDigest"], body["secondDigest"]) == (original.digest, other.digest)
    assert notice.message.id == ids.originated_id(original.id, "conflict", other.digest)


def test_r02_the_same_conflict_again_is_told_once_and_another_one_again() -> None:
    hub = Hub()
    submitted_case(hub)
    hub.take(
        message("case.accepted", at=1, content="first"), message("case.accepted", at=1, content="second")
    )
    assert hub.take(message("case.accepted", at=1, content="second")).duplicate
    assert len(hub.take(message("case.accepted", at=1, content="third")).verdicts) == 1
    assert len(hub.originated("case.refusal")) == 2


def test_r10_a_refusal_is_a_message_to_the_sender_with_field_rule_clause_and_what_to_do() -> None:
    hub = Hub()
    submitted_case(hub)
    refused = message("case.accepted", "dept-b", at=1)
    hub.take(refused)
    (notice,) = hub.originated("case.refusal")
    contract, body = codec.decode(notice.message.value)
    assert contract.name == notice.message.type == "case.refusal"
    assert to(notice) == {"dept-b": "case.refusal"}
    assert notice.message.subject == CASE
    assert notice.message.causation == refused.id
    assert notice.message.id == ids.originated_id(refused.id, "refusal")
    assert notice.message.source == "hub"
    assert (body["refusedId"], body["refusedType"], body["rule"]) == (refused.id, "case.accepted", "R11")
    for field in ("field", "clause", "zh", "en", "actionZh", "actionEn"):
        assert body[field]


def test_r10_what_the_hub_made_itself_is_never_refused_back() -> None:
    hub = Hub()
    answer = message("credit.answered", "dept-a", at=1, grade="red")
    hub.take(message("case.submitted"), answer)
    assert hub.last(answer).disposition is Disposition.REFUSED
    assert not hub.originated("case.refusal")


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("unknown_item", {"item": UNKNOWN_ITEM}),
        ("unknown_region", {"region": "999999"}),
        ("no_owner", {"region": "460300"}),
        ("unknown_item_version", {"itemVersion": "7"}),
        ("unknown_member", {"source": "stranger"}),
    ],
)
def test_g5_what_the_directory_does_not_know_parks_the_case_with_its_reason(
    reason: str, changes: dict[str, str]
) -> None:
    hub = Hub()
    opening = message("case.submitted", **changes)  # type: ignore[arg-type]
    hub.take(opening)
    verdict = hub.last(opening)
    assert (verdict.disposition, verdict.reason, verdict.dispatches) == (Disposition.PARKED, reason, ())
    assert verdict.zh
    assert verdict.en
    assert hub.case.parked is not None
    assert hub.case.parked.since_ms == NOW


def test_g5_everything_later_of_a_parked_case_waits_behind_it_in_order() -> None:
    hub = Hub()
    case = plain_case(item=UNKNOWN_ITEM)
    hub.take(*case)
    assert [hub.last(one).disposition for one in case] == [Disposition.PARKED] * len(case)
    assert [hub.last(one).reason for one in case[1:]] == ["behind"] * (len(case) - 1)
    assert hub.case.parked is not None
    assert list(hub.case.parked.queue) == case
    assert not hub.verdicts[0].dispatches


def test_g5_the_queue_behind_is_bounded_and_the_refusal_names_the_bound() -> None:
    hub = Hub(tables(parked_max=3))
    steps = [message("case.process_step", ref=str(number)) for number in range(4)]
    hub.take(message("case.submitted", item=UNKNOWN_ITEM), *steps)
    assert [hub.last(one).disposition.value for one in steps] == ["parked", "parked", "refused", "refused"]
    assert "parked_max=3" in hub.last(steps[3]).en


def test_g5_a_case_cannot_outgrow_its_bytes_whether_held_or_parked() -> None:
    for opening in (None, message("case.submitted", item=UNKNOWN_ITEM)):
        hub = Hub(tables(state_bytes_max=10_000))
        if opening is not None:
            hub.take(opening)
        big = [message("case.process_step", ref=str(n), content="x" * 3_000) for n in range(4)]
        hub.take(*big)
        assert "state_bytes_max=10000" in hub.last(big[3]).zh
        assert hub.state is not None
        assert len(hub.state) < 12_000


def known_later() -> Tables:
    items = dict(DIRECTORY.items)
    items[UNKNOWN_ITEM] = msgspec.structs.replace(items[PLAIN], code=UNKNOWN_ITEM)
    directory: Directory = msgspec.structs.replace(DIRECTORY, items=items)
    return Tables(directory)


def test_g5_redrive_decides_the_queue_again_in_order_with_the_same_ids() -> None:
    hub = Hub()
    early = message("case.process_step", at=6, ref="early")
    case = plain_case(item=UNKNOWN_ITEM)
    hub.take(early, *case)
    hub.tables = known_later()
    decision = hub.keep(redrive(hub.state, hub.tables, NOW + 1))
    assert [verdict.message.id for verdict in decision.verdicts if verdict.message in case] == [
        one.id for one in case
    ]
    assert {verdict.disposition for verdict in decision.verdicts} == {Disposition.ROUTED}
    assert hub.last(early).disposition is Disposition.ROUTED
    assert hub.case.parked is None
    assert not hub.timers
    assert types(hub.received("platform"))[0] == "case.material_received"


def test_g5_redrive_without_the_cause_removed_parks_again_and_keeps_the_order() -> None:
    hub = Hub()
    case = plain_case(item=UNKNOWN_ITEM)
    hub.take(*case)
    hub.keep(redrive(hub.state, TABLES, NOW + 1))
    assert hub.case.parked is not None
    assert list(hub.case.parked.queue) == case


def test_g5_redrive_of_a_case_that_is_not_parked_changes_nothing() -> None:
    hub = Hub()
    submitted_case(hub)
    assert redrive(hub.state, TABLES, NOW).state is None
    assert redrive(None, TABLES, NOW).verdicts == ()


def test_g5_the_time_of_an_early_message_stands_still_while_its_case_is_parked() -> None:
    hub = Hub()
    step = message("case.process_step")
    hub.take(step)
    hub.take(message("case.submitted", item=UNKNOWN_ITEM))
    assert not hub.timers
    hub.now += 7 * 86_400_000
    hub.tables = known_later()
    hub.keep(redrive(hub.state, hub.tables, hub.now))
    assert hub.last(step).disposition is Disposition.HELD
    assert [timer.due_ms > hub.now for timer in hub.timers] == [True]


def test_g5_an_unknown_type_parks_and_does_not_crash() -> None:
    hub = Hub()
    strange = message("case.unheard_of")
    hub.take(message("case.submitted"), strange)
    assert (hub.last(strange).disposition, hub.last(strange).reason) == (Disposition.PARKED, "unknown_type")


def test_g5_a_cause_outside_the_rules_parks_the_case_with_the_message() -> None:
    hub = Hub()
    submitted_case(hub)
    step = message("case.accepted", at=1)
    hub.keep(park(step, hub.state, "output_refused", "输出过大", "an output is too large", TABLES, NOW))
    assert (hub.last(step).disposition, hub.last(step).reason) == (Disposition.PARKED, "output_refused")
    assert park(step, hub.state, "x", "x", "x", TABLES, NOW).duplicate
    hub.keep(redrive(hub.state, TABLES, NOW))
    assert hub.last(step).disposition is Disposition.ROUTED


def test_g5_a_state_of_another_release_is_kept_and_what_comes_is_parked_until_it_can_be_read() -> None:
    hub = Hub()
    submitted_case(hub, "case.accepted")
    readable = hub.state
    assert readable is not None
    hub.state = b"\x7f" + readable[1:]
    steps = [message("case.process_step", at=6, ref=str(number)) for number in range(2)]
    hub.take(*steps)
    assert [hub.last(one).reason for one in steps] == ["state_format"] * 2
    assert hub.take(steps[0]).duplicate
    assert redrive(hub.state, TABLES, NOW).state is None, "still unreadable"
    assert decide_timer(Timer(NOW, CASE, "early"), hub.state, TABLES, NOW).verdicts == ()
    hub.state = hub.state.replace(b"\x7f" + readable[1:], readable)  # a release that can read it
    hub.keep(redrive(hub.state, TABLES, NOW))
    assert [hub.last(one).disposition for one in steps] == [Disposition.ROUTED] * 2
    assert hub.case.accepted


def test_the_number_of_remembered_ids_is_bounded_and_the_case_parked_beyond_it() -> None:
    hub = Hub(tables(seen_max=3, parked_max=2))
    steps = [message("case.process_step", ref=str(number)) for number in range(7)]
    hub.take(*steps)
    assert [hub.last(one).disposition.value for one in steps] == ["held"] * 3 + ["parked"] * 2 + [
        "refused"
    ] * 2
    assert hub.last(steps[3]).reason == "seen_limit"


def test_a_timer_that_is_not_the_one_set_is_cleared_and_changes_nothing() -> None:
    hub = Hub()
    hub.take(message("case.process_step"))
    stale = Timer(NOW + 5, CASE, "early")
    decision = decide_timer(stale, hub.state, TABLES, NOW + 5)
    assert (decision.state, decision.verdicts, decision.timers_cleared) == (None, (), (stale,))


def test_the_state_begins_with_its_format_and_reads_one_with_fewer_fields() -> None:
    hub = Hub()
    submitted_case(hub, "case.accepted")
    assert hub.state is not None
    assert hub.state[:1] == FORMAT
    fields = msgspec.msgpack.decode(hub.state[1:])
    older = FORMAT + msgspec.msgpack.encode(fields[:-3])
    assert decode(older).accepted


def test_an_id_that_appears_inside_another_ids_bytes_is_not_taken_for_it() -> None:
    case = Case()
    case.remember("11" * 8 + "22" * 8, "33" * 32, "platform", "case.submitted")
    inside = "22" * 8 + "33" * 8  # sixteen bytes that lie across the first id and its digest
    assert case.find(inside) is None
    case.remember(inside, "44" * 32, "dept-a", "case.accepted")
    assert case.find(inside) == ("44" * 32, "dept-a", "case.accepted")


_values = st.sampled_from(["", "0", "1", "2", "9" * 5_000, "²", "-1", "red", "black", "p" * 32, "F52", PLAIN])
_messages = st.builds(
    lambda type_, source, at, ref, attributes, item, region: message(
        type_, source, at, ref, item=item, region=region, **attributes
    ),
    st.sampled_from([*TYPES, "hub.routed", "", "credit.query"]),
    st.sampled_from([*DIRECTORY.members, "hub", "stranger"]),
    st.integers(-5, 20),
    st.text(max_size=3),
    st.dictionaries(
        st.sampled_from(["sn", "org", "grade", "serious", "banned", "allow", "result", "message"]), _values
    ),
    st.sampled_from([*DIRECTORY.items, "", UNKNOWN_ITEM]),
    st.sampled_from(["460100", "460200", "", "4601", "999999", "460105001"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_messages, max_size=25))
def test_g6_every_id_ends_as_exactly_one_of_routed_refused_held_or_parked(messages: list[object]) -> None:
    hub = Hub()
    first: dict[str, object] = {}
    for one in messages:
        first.setdefault(one.id, one)  # type: ignore[attr-defined]
        hub.take(one)  # type: ignore[arg-type]
    own = {id_ for id_, verdict in hub.ledger().items() if not verdict.originated}
    assert own == set(first)
    waiting = {held.message.id for held in hub.case.held}
    waiting |= {hub.case.gated.message.id} if hub.case.gated else set()
    queued = {one.id for one in hub.case.parked.queue} if hub.case.parked else set()
    by_disposition = {d: {i for i in own if hub.ledger()[i].disposition is d} for d in Disposition}
    assert by_disposition[Disposition.HELD] == waiting
    assert by_disposition[Disposition.PARKED] == queued
    dispatched = [(v.message.id, out.member) for v in hub.verdicts for out in v.dispatches]
    assert len(dispatched) == len(set(dispatched)), "a dispatch id was made twice"
    originated = [v.message.id for v in hub.verdicts if v.originated]
    assert len(originated) == len(set(originated)), "a message of the hub's own was made twice"


@settings(max_examples=60, deadline=None)
@given(st.lists(_messages, max_size=12))
def test_decide_is_pure_and_the_same_input_gives_the_same_decision(messages: list[object]) -> None:
    state: bytes | None = None
    for one in messages:
        first = decide(one, state, TABLES, NOW)  # type: ignore[arg-type]
        second = decide(one, state, tables(), NOW)  # type: ignore[arg-type]
        assert first == second
        state = first.state if first.state is not None else state
