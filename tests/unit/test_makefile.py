"""What `make` hands on to the hub: options only when asked for, in any path, and a clear word without a
Python."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def make(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    # Under `make test` an inner make would inherit the outer one's flags and print directories.
    outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "TESTS", "CASES", "KILL", "KEEP", "REGIONS"}
    env = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(["make", *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["CASES=1000"], ["--cases", "'1000'"]),
        (["CASES=5", "KILL=1", "KEEP=1"], ["--cases", "'5'", "--kill", "--keep"]),
        (["KILL=0", "KEEP=no"], []),
        (["REGIONS=2", "KILL=1"], ["--kill", "--regions", "'2'"]),
    ],
)
def test_demo_passes_on_what_was_given(given: list[str], expected: list[str]) -> None:
    commands = make("--dry-run", "demo", *given).stdout.splitlines()
    assert commands[-1].split() == [
        "HUB_STOP_WITH_PARENT=1", "exec", ".venv/bin/python", "-m", "hub", "demo", *expected
    ]  # fmt: skip


def test_without_a_new_enough_python_it_says_so_in_both_languages() -> None:
    refused = make("venv", "PYTHON=")
    assert refused.returncode != 0
    assert "需要 Python 3.11" in refused.stderr
    assert "3.11 or newer" in refused.stderr


def test_it_works_in_a_path_with_spaces_and_chinese_characters(tmp_path: Path) -> None:
    here = tmp_path / "一网 通办's"
    (here / ".ci").mkdir(parents=True)
    shutil.copy("Makefile", here)
    (here / ".ci" / "venv.py").write_text("print('prepared')")
    done = make("venv", cwd=here)
    assert (done.returncode, done.stdout) == (0, "prepared\n")
