"""Removes one defence at a time in a copy of the project and runs the test that must then fail; keeps
docs/mutations.md. The list of defences is mutations.py.

Every test first runs with nothing removed: one that fails by itself proves nothing. All share the servers;
what hangs is ended with its process group. A removal that no test notices is a defect of the tests.
"""

import argparse
import compileall
import contextlib
import os
import py_compile
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.mutations import MUTATIONS, Mutation
from tests.servers import kafka_server, postgres_server

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mutations.md"
LEFT_OUT = shutil.ignore_patterns(
    ".venv", ".git", "data", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
)
TEST_SECONDS_MAX = 120
# Beside the test: the start of Python, and fixtures that end what the removal left running.
AROUND_SECONDS_MAX = 60
# The removal itself is broken: the test fell over the text, not over the missing defence.
SLIPS = ("SyntaxError", "IndentationError", "NameError", "ImportError", "ModuleNotFoundError")
TIMED_OUT = re.compile(r"Failed: Timeout \(>[\d.]+s\) from pytest-timeout")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:faker")


@dataclass(frozen=True)
class Case:
    """What became of one test, or of one of its parameters: passed, failed, error or skipped."""

    test: str
    result: str
    said: str = ""


@dataclass(frozen=True)
class Session:
    """A run of pytest that came to its end, or was ended."""

    cases: tuple[Case, ...]
    ended: bool
    output: str

    def of(self, test: str) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if case.test == test)


def _left_out(folder: str, names: list[str]) -> set[str]:
    # Only the data folder at the top is left out: hub/directory/data belongs to the project.
    return LEFT_OUT(folder, names) - (set() if Path(folder) == ROOT else {"data"})


def copied(copy: Path) -> Path:
    """The project at `copy`, compiled once; a changed file is compiled anew because its hash is another."""
    shutil.copytree(ROOT, copy, ignore=_left_out)
    compileall.compile_dir(copy, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return copy


def _cases(report: Path) -> Iterator[Case]:
    for found in ElementTree.parse(report).iter("testcase"):
        file = found.attrib["classname"].replace(".", "/") + ".py"
        name = found.attrib["name"].partition("[")[0]
        bad = next((child for child in found if child.tag in {"failure", "error", "skipped"}), None)
        if bad is None:
            yield Case(f"{file}::{name}", "passed")
        else:
            result = {"failure": "failed"}.get(bad.tag, bad.tag)
            yield Case(f"{file}::{name}", result, bad.attrib.get("message", "").partition("\n")[0])


def run_tests(tests: Sequence[str], copy: Path, servers: dict[str, str], *options: str) -> Session:
    """pytest over these tests in a process group of its own, which is ended when its time is over."""
    report, output = copy.with_suffix(".xml"), copy.with_suffix(".txt")
    report.unlink(missing_ok=True)
    command = [*PYTEST, *options, "-o", f"timeout={TEST_SECONDS_MAX}", f"--junitxml={report}", *tests]
    env = {**os.environ, **servers, "PYTHONDONTWRITEBYTECODE": "1"}
    seconds = TEST_SECONDS_MAX * len(tests) + AROUND_SECONDS_MAX
    with output.open("wb") as words:
        process = subprocess.Popen(
            command, cwd=copy, env=env, stdout=words, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return Session((), False, f"no end after {seconds} s")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    cases = tuple(_cases(report)) if report.exists() else ()
    return Session(cases, True, output.read_text("utf-8", "replace"))


def unfit(tests: Sequence[str], copy: Path, servers: dict[str, str]) -> dict[str, str]:
    """The tests that do not pass with nothing removed, each with what it said; they prove nothing."""
    session = run_tests(tests, copy, servers)
    found = {}
    for test in tests:
        cases = session.of(test)
        bad = [case for case in cases if case.result != "passed"]
        if bad or not cases:
            found[test] = f"{bad[0].result}: {bad[0].said}" if bad else session.output[-400:]
    return found


def judged(session: Session) -> tuple[str, str]:
    """(verdict, the test's own words) of a run without the defence."""
    failed = [case for case in session.cases if case.result == "failed"]
    if not session.ended:
        return "unended", session.output
    if not session.cases or not failed:
        done = bool(session.cases) and all(case.result == "passed" for case in session.cases)
        return ("passed", "") if done else ("broken", session.output[-400:])
    said = failed[0].said
    if TIMED_OUT.match(said):
        return "unended", said
    return ("broken" if said.startswith(SLIPS) else "noticed"), said


def run(mutation: Mutation, copy: Path, servers: dict[str, str]) -> tuple[str, str]:
    """Runs the test without the defence. noticed = it failed; passed = it did not; unended = no end in time,
    which a busy machine does too: to be run again; stale and broken are defects of the list."""
    file = copy / mutation.file
    text = file.read_text("utf-8")
    if text.count(mutation.old) != 1:
        return "stale", f"occurs {text.count(mutation.old)} times in {mutation.file}"
    file.write_text(text.replace(mutation.old, mutation.new), "utf-8")
    try:
        return judged(run_tests([mutation.test], copy, servers, "-x"))
    finally:
        file.write_text(text, "utf-8")


@contextlib.contextmanager
def servers_for(chosen: Sequence[Mutation], scratch: Path) -> Iterator[dict[str, str]]:
    """Servers that all tests share, as the variables that tests/servers.py reads; none for unit tests."""
    with contextlib.ExitStack() as stack:
        found = {}
        if any("/unit/" not in mutation.test for mutation in chosen):
            near = stack.enter_context(kafka_server(scratch / "kafka"))
            database = stack.enter_context(postgres_server(scratch / "postgres"))
            found = {"HUB_KAFKA_BOOTSTRAP": near.bootstrap, "HUB_DATABASE_URL": database.url}
        if any("/test_g3_bridge" in mutation.test for mutation in chosen):
            far = stack.enter_context(kafka_server(scratch / "far", "HUB_FAR_KAFKA_BOOTSTRAP"))
            found["HUB_FAR_KAFKA_BOOTSTRAP"] = far.bootstrap
        yield found


def page(seen: dict[str, str]) -> str:
    """docs/mutations.md: a row for each defence of the list and what was seen last, by defence."""
    rows = [
        f"| {m.defence} | `{m.file}` | `{m.test}` | {seen.get(m.defence, 'not run')} |" for m in MUTATIONS
    ]
    lines = (
        "# 拆掉防线 / Defences removed",
        "",
        "每行拆掉一道防线，对应测试必须失败；不拆时须先通过。Each row: one defence was removed in a copy of "
        "the project, and its test must then fail; with nothing removed it must pass first.",
        "`noticed` = it failed, `passed` = it did not notice, `unended` = it came to no end in time (a busy "
        "machine does that too), `unfit` = it failed with nothing removed and proves nothing, `not run` = "
        "not since this page is kept. Written by `python -m tests.mutations --page`.",
        "",
        "| defence | file | test | seen |",
        "|---|---|---|---|",
        *rows,
    )
    return "\n".join(lines) + "\n"


def seen_on_page() -> dict[str, str]:
    """Defence → what the page says of it."""
    text = PAGE.read_text("utf-8") if PAGE.exists() else ""
    return dict(re.findall(r"^\| (.+?) \| `.+` \| `.+` \| (\w+) \|$", text, re.MULTILINE))


def verdicts(chosen: Sequence[Mutation], jobs: int) -> Iterator[tuple[Mutation, str, str]]:
    """(defence, verdict, words) in the order of the list, as they come; `jobs` copies at once."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        scratch = Path(folder)
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(copied(scratch / f"copy-{number}"))
        with servers_for(chosen, scratch) as servers:

            def controlled(tests: list[str]) -> dict[str, str]:
                with _taken(copies) as copy:
                    return unfit(tests, copy, servers)

            def removed(mutation: Mutation) -> tuple[str, str]:
                if why := bad.get(mutation.test):
                    return "unfit", why
                with _taken(copies) as copy:
                    return run(mutation, copy, servers)

            bad: dict[str, str] = {}
            tests = list(dict.fromkeys(mutation.test for mutation in chosen))
            for found in pool.map(controlled, filter(None, (tests[n::jobs] for n in range(jobs)))):
                bad |= found
            for mutation, seen in zip(chosen, pool.map(removed, chosen), strict=True):
                yield mutation, *seen


@contextlib.contextmanager
def _taken(copies: "queue.SimpleQueue[Path]") -> Iterator[Path]:
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def main() -> int:
    """Exit 0 only when every removal was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    chosen = [
        mutation
        for mutation in MUTATIONS
        if not given.words
        or any(word in f"{mutation.defence} {mutation.file} {mutation.test}" for word in given.words)
    ]
    seen, unnoticed, began = seen_on_page(), 0, time.monotonic()
    for mutation, verdict, said in verdicts(chosen, given.jobs):
        unnoticed += verdict != "noticed"
        seen[mutation.defence] = verdict
        print(f"{verdict:8} | {mutation.defence} | {mutation.test} | {said}", flush=True)
        if given.page:  # row by row: what was seen stays when the run is stopped
            PAGE.write_text(page(seen), "utf-8")
    print(f"mutations: removed={len(chosen)} unnoticed={unnoticed} seconds={time.monotonic() - began:.0f}")
    return 1 if unnoticed else 0
