"""The sample in docs/signing.md runs, and says what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_seal_sample_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/signing.md").read_text("utf-8")
    sample = re.search(r"<!-- sample: python -->\n```python\n(.*?)```", page, re.DOTALL)
    assert sample
    names: dict[str, object] = {}
    exec(compile(sample[1], "docs/signing.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert {line.split()[1] for line in lines} == {"passed", "absent"}
    steps = set(re.findall(r"`((?:seal|signature)\.\w+)`", page))
    assert {line.split()[0] for line in lines} == steps
