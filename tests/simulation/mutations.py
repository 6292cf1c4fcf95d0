"""`python -m tests.simulation.mutations`: removes the defences that the simulation must miss, one at a
time in a copy, and plays schedules until one goes wrong."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutation_runner import LEFT_OUT, ROOT
from tests.mutations import MUTATIONS, Mutation

SEEDS = "0-599"
SECONDS_MAX = 300
# Defences of tests/mutations.py whose removal random schedules find by themselves.
FOUND_BY_CHANCE = (
    "the position record is the input position",
    "one transactional id per lane fences the predecessor",
    "the store is written only after the commit",
    "a store behind its changelog replays the tail",
    "a message id is routed once",
    "a blind call with unknown outcome is never repeated",
    "a queryable member is asked before it is called again",
    "an intent is durable before the call",
    "what stands behind a parked dispatch waits",
)


def noticed(mutation: Mutation, scratch: Path) -> str:
    """The last line of the schedules that were played without this defence; "" when all of them were
    clean."""
    copy = scratch / "copy"
    shutil.copytree(ROOT, copy, ignore=lambda folder, names: LEFT_OUT(folder, names) - _kept(folder))
    try:
        file = copy / mutation.file
        text = file.read_text("utf-8")
        assert text.count(mutation.old) == 1, f"stale: {mutation.defence}"
        file.write_text(text.replace(mutation.old, mutation.new), "utf-8")
        command = [sys.executable, "-m", "tests.simulation", SEEDS, "first"]
        done = subprocess.run(
            command, cwd=copy, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
        lines = done.stdout.splitlines()
        assert lines, done.stderr[-600:]
        return "" if done.returncode == 0 else lines[-1]
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _kept(folder: str) -> set[str]:
    # hub/directory/data belongs to the project.
    return set() if Path(folder) == ROOT else {"data"}


def main() -> int:
    """Exit 0 only when every removal was noticed."""
    unnoticed = 0
    by_name = {mutation.defence: mutation for mutation in MUTATIONS}
    with tempfile.TemporaryDirectory() as scratch:
        for defence in FOUND_BY_CHANCE:
            how = noticed(by_name[defence], Path(scratch))
            unnoticed += not how
            print(f"{'noticed' if how else 'passed':8} | {defence} | {how}", flush=True)
    print(f"simulation mutations: removed={len(FOUND_BY_CHANCE)} unnoticed={unnoticed}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
