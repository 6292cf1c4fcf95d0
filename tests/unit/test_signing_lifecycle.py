"""F79: the life of a seal. Every act only in its place, by a second person where one is needed, and in a book
in which no line can be changed, moved or left out unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given as generated
from hypothesis import strategies as st

from signing.errors import SigningError
from signing.seals.lifecycle import Act, Book, read_lines, to_line, write

START = datetime(2026, 1, 1, tzinfo=UTC)
APPLY = {
    "name": "行政审批专用章",
    "holder": "海口市行政审批局",
    "picture": "0" * 64,
    "valid_from": "2026-01-01T00:00:00+00:00",
    "valid_until": "2027-01-01T00:00:00+00:00",
}
DETAILS: Mapping[Act, Mapping[str, object]] = {
    "apply": APPLY,
    "approve": {},
    "reject": {"reason": "名称不符"},
    "make": {"seal": "1" * 64},
    "issue": {"to": "赵六"},
    "sign": {"document": "2" * 64, "signer": "3" * 64},
    "lose": {"reason": "遗失"},
    "destroy": {"reason": "机构撤并"},
}


class Writing:
    """A book being written, one minute an act."""

    def __init__(self) -> None:
        self.book, self.lines = Book(), []  # type: ignore[var-annotated]

    def act(self, act: Act, es_id: str = "A", by: str = "张三", **more: object) -> Writing:
        at = START + timedelta(minutes=self.book.entries)
        entry, self.book = write(self.book, act, es_id, by, at, {**DETAILS[act], **more})
        self.lines.append(to_line(entry))
        return self

    def to_use(self, es_id: str = "A", **more: object) -> Writing:
        return (
            self.act("apply", es_id, **more)
            .act("approve", es_id, "李四")
            .act("make", es_id)
            .act("issue", es_id)
        )


def refused(writing: Writing, act: Act, es_id: str = "A", by: str = "王五", **more: object) -> str:
    with pytest.raises(SigningError) as told:
        writing.act(act, es_id, by, **more)
    assert told.value.zh
    return told.value.en


def test_f79_a_whole_life() -> None:
    life = Writing().to_use().act("sign").act("sign").act("lose").act("destroy").book.seals["A"]
    assert (life.stage, life.signatures, life.applicant, life.approver) == ("destroyed", 2, "张三", "李四")


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_f79_the_applicant_cannot_decide(act: Act) -> None:
    assert "second person" in refused(Writing().act("apply"), act, by="张三")


@pytest.mark.parametrize("end", ["lose", "destroy"])
def test_f79_a_lost_or_destroyed_seal_signs_nothing_more(end: Act) -> None:
    writing = Writing().to_use().act(end)
    refused(writing, "sign")
    assert writing.book.withdrawn() == {"A": START + timedelta(minutes=4)}


def test_f79_nothing_is_made_before_it_is_approved_nor_issued_before_it_is_made() -> None:
    writing = Writing().act("apply")
    for act in ("make", "issue", "sign", "lose", "destroy"):
        refused(writing, act)
    writing.act("approve", by="李四")
    for act in ("apply", "approve", "issue", "sign", "lose"):
        refused(writing, act)


def test_f79_a_renewal_replaces_the_old_seal_when_it_is_issued_and_not_before() -> None:
    writing = Writing().to_use().act("apply", "B", renews="A").act("approve", "B", "李四").act("make", "B")
    writing.act("sign")
    refused(writing, "apply", "C", renews="A")
    writing.act("issue", "B")
    assert writing.book.seals["A"].stage == "replaced"
    assert set(writing.book.withdrawn()) == {"A"}
    refused(writing, "sign")
    writing.act("sign", "B")
    refused(writing, "apply", "D", renews="A")


def test_what_is_missing_or_too_long_is_named() -> None:
    assert "reason" in refused(Writing().to_use(), "lose", reason=" ")
    assert "by" in refused(Writing(), "apply", by="x" * 65)
    assert "esID" in refused(Writing(), "apply", es_id="a\nb")
    with pytest.raises(SigningError):
        write(Book(), "apply", "A", "张三", datetime(2026, 1, 1), APPLY)


def test_time_does_not_go_back() -> None:
    book = Writing().act("apply").book
    with pytest.raises(SigningError):
        write(book, "approve", "A", "李四", START - timedelta(seconds=1), {})


def test_the_book_reads_as_it_was_written() -> None:
    writing = Writing().to_use().act("sign").act("lose")
    entries, book = read_lines(writing.lines)
    assert book == writing.book
    assert [entry.act for entry in entries] == ["apply", "approve", "make", "issue", "sign", "lose"]


def test_no_line_can_be_changed_moved_left_out_or_repeated() -> None:
    lines = Writing().to_use().act("sign").act("lose").lines
    tampered = 0
    for at, line in enumerate(lines):
        spoilt = [[*lines[:at], b"", *lines[at + 1 :]], [*lines[:at], line, *lines[at:]]]
        spoilt += [[*lines[:at], *lines[at + 1 :]]] if at + 1 < len(lines) else []
        if at:
            spoilt.append([*lines[: at - 1], line, lines[at - 1], *lines[at + 1 :]])
        for place in range(0, len(line), 5):
            changed = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]
            spoilt.append([*lines[:at], changed, *lines[at + 1 :]])
        for one in spoilt:
            tampered += 1
            with pytest.raises(SigningError):
                read_lines(one)
    print(f"{tampered} changed books, none accepted")


def test_a_line_that_hashes_right_but_was_not_allowed_is_refused() -> None:
    """Whoever can write the file can hash too: the rules are judged again when reading."""
    forged = Writing().act("apply")
    other, _ = write(Book(), "apply", "A", "someone else", START, APPLY)
    entry, _ = write(Writing().act("apply", by="someone else").book, "approve", "A", "张三", START, {})
    with pytest.raises(SigningError):
        read_lines([*forged.lines, to_line(entry)])
    assert read_lines([to_line(other)])[1].entries == 1


@generated(
    st.lists(
        st.tuples(st.sampled_from(get_args(Act)), st.sampled_from("AB"), st.sampled_from("xy")), max_size=25
    )
)
def test_whatever_people_try_no_seal_signs_outside_its_time(tries: list[tuple[Act, str, str]]) -> None:
    writing = Writing()
    in_use: set[str] = set()
    for act, es_id, by in tries:
        try:
            writing.act(act, es_id, by)
        except SigningError:
            assert act != "sign" or es_id not in in_use
            continue
        assert act != "sign" or es_id in in_use
        in_use |= {es_id} if act == "issue" else set()
        in_use -= {es_id} if act in ("lose", "destroy") else set()
    assert read_lines(writing.lines)[1] == writing.book
