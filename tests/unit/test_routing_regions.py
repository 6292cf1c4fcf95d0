"""One case in two regions (F50 to F52): each hub decides for its own members, and together they hand over
exactly what one hub would."""

from collections import deque
from pathlib import Path

import msgspec
import pytest

from hub.directory import Directory, load
from hub.envelope import Message
from hub.local.regions import NORTH, SOUTH, write_directory
from hub.routing.model import Disposition, Verdict
from hub.routing.tables import Tables
from tests.unit.routing_cases import ANYWHERE, REVIEWABLE, Hub, message, plain_case, to

IN_SANYA = {"item": ANYWHERE, "region": "460203"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("directory")
    write_directory(path)
    return path


class Regions:
    """Two hubs and the bridges between them: what one dispatches to the other arrives there, in order."""

    def __init__(self, path: Path) -> None:
        self.hubs = {region: Hub(Tables(load(path, region=region))) for region in (NORTH, SOUTH)}
        self._under_way: deque[tuple[str, Message]] = deque()
        self.crossed: list[tuple[str, Message]] = []

    def file(self, *messages: Message) -> None:
        """Each message at its sender's own hub, then everything that follows from it."""
        for one in messages:
            self.say(one)
            self.settle()

    def say(self, one: Message) -> None:
        """At its sender's hub; nothing crosses yet."""
        remote = self.hubs[NORTH].tables.remote
        self._take(remote.get(one.source, NORTH), one)

    def settle(self) -> None:
        """Let everything cross."""
        while self._under_way:
            self._take(*self._under_way.popleft())

    def fire(self, region: str, purpose: str) -> None:
        self._spread(region, list(self.hubs[region].fire(purpose).verdicts))
        self.settle()

    def _take(self, region: str, one: Message) -> None:
        self._spread(region, list(self.hubs[region].take(one).verdicts))

    def _spread(self, region: str, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            for out in verdict.dispatches:
                if out.member in self.hubs:
                    via = f"{verdict.message.via},{region}".strip(",")
                    extra = {"to": out.to} if out.to else {}
                    attributes = {**verdict.message.attributes, **extra}
                    copied = msgspec.structs.replace(verdict.message, via=via, attributes=attributes)
                    self._under_way.append((out.member, copied))
                    self.crossed.append((out.member, copied))

    def handed(self) -> list[tuple[str, str, str]]:
        """(message id, member, kind) of every dispatch to a member."""
        return sorted(
            (verdict.message.id, out.member, out.kind)
            for hub in self.hubs.values()
            for verdict in hub.verdicts
            for out in verdict.dispatches
            if out.member not in self.hubs
        )


def in_one_hub(*messages: Message) -> list[tuple[str, str, str]]:
    hub = Hub()
    hub.take(*messages)
    return sorted((v.message.id, out.member, out.kind) for v in hub.verdicts for out in v.dispatches)


def case_of(owner: str, origin: str, **submitted: str) -> list[Message]:
    """The plain case with another owner and origin."""
    said = []
    for one in plain_case(source=origin, **submitted):
        if one.type not in ("case.submitted", "case.corrected", "case.delivered", "case.evaluated"):
            attributes = {k: v for k, v in one.attributes.items() if k != "org"}
            one = message(one.type, owner, ref=one.source_key, **attributes)
        elif one.type == "case.corrected":
            one = msgspec.structs.replace(one, source=origin)
        elif one.type == "case.delivered":
            one = msgspec.structs.replace(one, source=owner)
        said.append(one)
    return said


@pytest.mark.parametrize("origin", ["platform", "window-haikou", "window-sanya", "dept-b"])
def test_f50_f51_two_hubs_hand_over_exactly_what_one_would(path: Path, origin: str) -> None:
    said = case_of("dept-b", origin, **IN_SANYA)
    regions = Regions(path)
    regions.file(*said)
    assert regions.handed() == in_one_hub(*said)
    stages = {hub.case.stage for hub in regions.hubs.values()}
    assert stages == {"decided"}, "the case is whole in both regions"


def test_f52_the_result_of_a_case_from_elsewhere_comes_back_to_its_window(path: Path) -> None:
    said = case_of("dept-a", "window-sanya")
    regions = Regions(path)
    regions.file(*said)
    assert regions.handed() == in_one_hub(*said)
    assert "case.decided" in [one.type for one in regions.hubs[SOUTH].received("window-sanya")]


def test_nothing_goes_back_to_a_hub_it_came_through(path: Path) -> None:
    regions = Regions(path)
    regions.file(*case_of("dept-b", "platform", **IN_SANYA))
    assert regions.crossed
    for hub, one in regions.crossed:
        assert hub not in one.via.split(","), f"{one.type} to {hub} via {one.via}"
    assert len(regions.crossed) == len({(hub, one.id) for hub, one in regions.crossed}), "each crosses once"


def test_a_case_of_one_region_does_not_cross(path: Path) -> None:
    regions = Regions(path)
    regions.file(*plain_case())
    assert regions.crossed == []


def test_r10_a_refusal_reaches_the_sender_in_the_other_region(path: Path) -> None:
    regions = Regions(path)
    foreign = message("case.accepted", "window-sanya", org="11460200MB1A220401")
    regions.file(message("case.submitted", "window-sanya"), foreign)
    refused = message("case.decided", "dept-b", ref="not mine")
    regions.file(refused)
    notices = [one for one in regions.hubs[SOUTH].received("dept-b") if one.type == "case.refusal"]
    assert [one.causation for one in notices] == [refused.id]


def test_r22_the_credit_library_of_the_other_region_is_asked_and_its_answer_comes_back(path: Path) -> None:
    """The gate stands where the case came in; the library is reached through its own hub."""
    regions = Regions(path)
    submission = message("case.submitted", "dept-b", item=REVIEWABLE, region="460203")
    regions.file(submission)
    asked = regions.hubs[NORTH].received("credit")
    assert [one.type for one in asked] == ["credit.query"]
    assert regions.hubs[SOUTH].last(submission).disposition is Disposition.HELD
    regions.file(message("credit.answered", "credit", grade="red", member="credit"))
    assert regions.hubs[SOUTH].last(submission).disposition is Disposition.ROUTED
    assert regions.hubs[SOUTH].case.grade == regions.hubs[NORTH].case.grade == "red"
    assert [one.type for one in regions.hubs[NORTH].received("credit")] == ["credit.query"], "asked once"


def test_r22_a_black_party_is_reviewed_by_a_person_of_the_other_region(path: Path) -> None:
    regions = Regions(path)
    submission = message("case.submitted", "dept-b", item=REVIEWABLE, region="460203")
    regions.file(submission, message("credit.answered", "credit", grade="black", banned="L72"))
    assert "credit.review" in [one.type for one in regions.hubs[NORTH].received("platform")]
    regions.file(message("credit.reviewed", "platform", allow="1"))
    assert regions.hubs[SOUTH].last(submission).disposition is Disposition.ROUTED


def test_every_hub_keeps_the_credit_standings(path: Path) -> None:
    regions = Regions(path)
    regions.file(message("credit.changed", "credit", party="q" * 32, grade="black"))
    for hub in regions.hubs.values():
        updates = [update for decision in hub.decisions for update in decision.table_updates]
        assert [update.key for update in updates] == ["q" * 32]
    assert [one.type for one in regions.hubs[NORTH].received("platform")] == ["credit.changed"]


def test_what_two_regions_say_at_the_same_moment_is_judged_at_the_deciding_departments_hub(
    path: Path,
) -> None:
    """Withdrawn in the north while the department in the south accepts: its word stands in both, and who
    withdrew is told."""
    regions = Regions(path)
    regions.file(message("case.submitted", "platform", **IN_SANYA))
    regions.say(message("case.withdrawn", "platform"))
    regions.say(message("case.accepted", "dept-b"))
    regions.settle()
    assert "case.accepted" in [one.type for one in regions.hubs[NORTH].received("platform")]
    notices = [one for one in regions.hubs[NORTH].received("platform") if one.type == "case.refusal"]
    assert len(notices) == 1
    regions.file(message("case.decided", "dept-b", result="0"))
    assert {hub.case.stage for hub in regions.hubs.values()} == {"decided"}


def test_a_hub_serves_its_own_members_and_the_other_hubs(path: Path) -> None:
    north, south, one = (load(path, region=region) for region in (NORTH, SOUTH, ""))
    assert SOUTH in north.served
    assert NORTH not in north.served
    assert set(south.served) == {"dept-b", "window-sanya", NORTH}
    assert set(one.served) == set(load().members), "without HUB_REGION there is one hub, with every member"


def test_the_keys_of_another_hubs_members_are_not_asked_for(path: Path) -> None:
    env = {
        f"HUB_MEMBER_{member}_{name}": "k" * 16
        for member in ("DEPT_B", "WINDOW_SANYA")
        for name in ("URL", "INBOUND_KEY", "OUTBOUND_KEY", "SP_KEY", "SP_SECRET")
    }
    south: Directory = load(path, env, SOUTH)
    assert south.members["platform"].auth.inbound_keys == ()
    assert south.members["window-sanya"].auth.inbound_keys == ("k" * 16,)
    assert to(Hub(Tables(south)).take(message("case.submitted", "window-sanya")).verdicts[0]) == {
        NORTH: "case.submitted"
    }
