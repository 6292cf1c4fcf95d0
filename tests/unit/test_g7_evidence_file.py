"""G7: an evidence file is judged by anybody, offline: the honest one holds, and of a changed one each change
is named."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.cli import govhub
from hub.evidence.document import Document, NoDocument, from_bytes, to_bytes
from hub.evidence.export import of_case
from hub.evidence.identity import ANCHORS
from hub.evidence.leaves import LedgerLane, parts_of, read_part
from hub.evidence.verify import Report, verify
from signing.evidence import RootStatement
from signing.trust import Trust
from tests.evidence_files import CASE, NEW, NOW, PROVIDER, closed, document, keys, routed, signed, trust

HONEST = document()
LATER = NOW + timedelta(days=1)


def judge(one: Document, believed: Trust | None = None) -> Report:
    return verify(from_bytes(to_bytes(one)), believed or trust(), PROVIDER, now=LATER)


def failures(report: Report) -> str:
    return "\n".join(f"{finding.part}: {finding.en}" for finding in report.findings if not finding.ok)


def test_g7_an_honest_file_proves_every_line_and_says_by_whom() -> None:
    report = judge(HONEST)
    assert report.ok, failures(report)
    assert len(report.proven) == 6
    assert {one.result for one in report.proven} == {"routed", "delivered"}
    assert all("signer" in one.signed_by and "tsa" in one.stamped_by for one in report.proven)
    assert all(one.content_shown for one in report.proven)
    said = " ".join(en for _, en in report.unproven)
    for limit in ("receiver did not sign", "shared key", "same organisation", "left out", "no peer"):
        assert limit in said


def changed(change: Callable[[Any], None], honest: Document = HONEST) -> Document:
    raw = msgspec.json.decode(to_bytes(honest))
    change(raw)
    return from_bytes(msgspec.json.encode(raw))


def _restate(number: int, **values: Any) -> Callable[[Any], None]:
    def change(raw: Any) -> None:
        root = raw["roots"][number]
        statement = replace(RootStatement.from_bytes(root["statement"].encode()), **values)
        root["statement"] = statement.to_bytes().decode()

    return change


def _put(path: tuple[Any, ...], value: Any) -> Callable[[Any], None]:
    def change(raw: Any) -> None:
        for step in path[:-1]:
            raw = raw[step]
        raw[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_put(("messages", 1, "content", "body", "projectName"), "x"), "message .*the message was changed"),
        (_put(("messages", 0, "content", "occurredAt"), 1), "message .*the message was changed"),
        (_put(("messages", 0, "id"), "0" * 32), "message 0{32}.*no ledger line"),
        (_put(("handovers", 0, "proof", 0), "00" * 32), "line case.routed-0@0 .*the proof was changed"),
        (_put(("handovers", 0, "index"), 1), "line case.routed-0@0 .*the proof was changed"),
        (_put(("handovers", 0, "sequence"), 9), "line case.routed-0@0 .*its root is not in the file"),
        (_put(("handovers", 0, "leaf", "at"), 5), "line case.routed-0@0 .*the line was changed"),
        (_put(("handovers", 1, "leaf", "line", "digest"), "00"), "line case.routed-0@2 .*the line was"),
        (_put(("handovers", 3, "leaf", "line", "outcome"), "x"), "line case.outcomes-0@0 .*the line was"),
        (_restate(0, root=bytes(32)), "root case.routed-0#0: the root statement was changed"),
        (_restate(0, closed_at_ms=1), "root case.routed-0#0: the root statement was changed"),
        (_restate(1, previous=bytes(32)), "root case.routed-0#1: does not follow"),
        (_put(("roots", 0, "statement"), "nothing"), "root b'nothing'"),
    ],
)  # fmt: skip
def test_g7_each_change_is_named(change: Callable[[Any], None], named: str) -> None:
    report = judge(changed(change))
    assert not report.ok
    assert re.search(named, failures(report)), failures(report)


def test_g7_a_changed_time_stamp_is_named() -> None:
    other = signed_root_with_stamp_of(1)
    report = judge(msgspec.structs.replace(HONEST, roots=[other, *HONEST.roots[1:]]))
    assert "root case.routed-0#0: time stamp: the token is over other bytes" in failures(report)
    assert len(report.proven) == 4, "what lies under the other roots still holds"


def signed_root_with_stamp_of(number: int) -> Any:
    return msgspec.structs.replace(HONEST.roots[0], timestamp=HONEST.roots[number].timestamp)


def test_g7_a_signer_nobody_trusts_proves_nothing() -> None:
    report = judge(HONEST, Trust(()))
    assert not report.ok
    assert not report.proven
    assert "no trusted issuer" in failures(report)


def test_g7_a_file_without_hand_overs_proves_nothing() -> None:
    assert not judge(msgspec.structs.replace(HONEST, handovers=[])).ok


def test_g7_a_receivers_own_signature_is_checked_and_named() -> None:
    report = judge(document(receipts=True))
    assert report.ok, failures(report)
    assert sum("dept-a" in one.receiver for one in report.proven) == 3
    assert "receiver did not sign" not in " ".join(en for _, en in report.unproven)


WITNESSED = document(witnessed=True)


def test_g7_a_peer_that_holds_the_roots_is_named() -> None:
    report = judge(WITNESSED)
    assert report.ok, failures(report)
    assert [who for who in report.witnesses if "nation" in who]
    assert "no peer" not in " ".join(en for _, en in report.unproven)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_put(("anchors", 0, "links"), []), "the peer holds another history"),
        (_put(("anchors", 0, "links", 0), "x"), "a statement between"),
        (_put(("anchors", 0, "text"), "{}"), "anchor: "),
        (_put(("anchors", 0, "signature"), ""), "anchor: "),
        (_put(("anchors", 0, "countersigned", 0, "peer"), "other"), "countersignature does not fit"),
        (_put(("anchors", 0, "countersigned", 0, "text"), "{}"), "countersignature does not fit"),
    ],
)
def test_g7_history_that_the_peer_does_not_hold_is_named(change: Callable[[Any], None], named: str) -> None:
    report = judge(changed(change, WITNESSED))
    assert not report.ok
    assert re.search(named, failures(report)), failures(report)


def test_g7_a_hub_that_signs_another_history_is_betrayed_by_the_peer() -> None:
    """The hub has its key and makes a file with one line less; what the peer holds does not lead there."""
    other = LedgerLane("case.routed-0", NEW, chained=False)
    interval = closed(other, [routed(0, 0)])
    forged = msgspec.structs.replace(
        WITNESSED,
        messages=[],
        handovers=list(of_case([read_part(part) for part in parts_of(interval)], CASE)),
        roots=[signed(interval)],
    )
    report = judge(forged)
    assert not report.ok
    assert "the peer holds another history" in failures(report)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_g7_no_changed_character_goes_unnoticed(data: st.DataObject) -> None:
    """Whatever one character of the file is changed to: it is no file, or not proven, or says the same."""
    honest = to_bytes(HONEST)
    at = data.draw(st.integers(0, len(honest) - 1))
    bad = honest[:at] + data.draw(st.sampled_from([b"0", b"1", b"a", b"Z", b'"', b"{"])) + honest[at + 1 :]
    try:
        one = from_bytes(bad)
    except NoDocument:
        return
    report = verify(one, trust(), PROVIDER, now=LATER)
    same = msgspec.structs.replace(one, exported_at="", unsigned=0)
    if same == HONEST:
        assert report.ok
    elif report.ok:
        # The unsigned parts of a token's wrapping, and certificates nobody needs, may differ in a byte.
        assert report.proven == judge(HONEST).proven


_SMALL = st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.text(max_size=5)
_ANY = st.recursive(_SMALL, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


@settings(max_examples=60, deadline=None)
@given(_ANY, st.sampled_from(["at", "offset", "lane", "line"]))
def test_g7_nonsense_in_a_line_is_a_finding_and_no_crash(value: Any, name: str) -> None:
    report = judge(changed(_put(("handovers", 0, "leaf", name), value)))
    assert len(report.proven) <= 6


def test_g7_the_command_says_what_holds_by_its_exit_code(tmp_path: Path) -> None:
    honest, bad = tmp_path / "证据.json", tmp_path / "bad.json"
    honest.write_bytes(to_bytes(HONEST))
    bad.write_bytes(to_bytes(changed(_put(("messages", 1, "content", "caseNo"), "46X"))))
    anchors = ["--anchors", str(keys() / ANCHORS)]
    run = CliRunner().invoke
    shown = run(govhub, ["evidence", "verify", str(honest), *anchors])
    assert shown.exit_code == 0, shown.output
    assert "未证明 / not proven:" in shown.output
    assert "ok=yes" in shown.output.splitlines()[-1]
    refused = run(govhub, ["evidence", "verify", str(bad), *anchors, "--json"])
    assert refused.exit_code == 1
    answer = msgspec.json.decode(refused.output)
    assert [f["part"].split()[0] for f in answer["findings"] if not f["ok"]] == ["message"]
    assert run(govhub, ["evidence", "verify", __file__, *anchors]).exit_code == 1
