"""Signatures a second on one core: both SM2 implementations beside `openssl speed sm2`, and RSA and ECDSA.

`python -m bench signing` or `python -m bench.signing [quick]`. Needs no broker. Interleaved, medians, per
CPU-second, so that a busy machine changes the figures less; kept under bench/results/."""

import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from signing.provider import KeyKind, SoftwareProvider
from signing.sm2_gmssl import Gmssl
from signing.sm2_openssl import Libcrypto, Unavailable

RESULTS = Path(__file__).parent / "results"
MESSAGE: Final = bytes(300)
BATCH: Final = 20
YARDSTICK: Final = "openssl speed sm2"
Contestants = dict[str, tuple[Callable[[], object], Callable[[], object]]]


def rate(work: Callable[[], object], seconds: float) -> float:
    """Calls per CPU-second of this process, measured over at least `seconds` of CPU time."""
    begun, calls = time.process_time(), 0
    while (used := time.process_time() - begun) < seconds:
        for _ in range(BATCH):
            work()
        calls += BATCH
    return calls / used


def contestants() -> Contestants:
    """Name → (sign once, verify once), digest of 300 bytes included."""
    providers: dict[str, tuple[SoftwareProvider, KeyKind]] = {
        "SM2 gmssl-pyx": (SoftwareProvider(Gmssl()), "SM2")
    }
    try:
        providers = {"SM2 libcrypto": (SoftwareProvider(Libcrypto()), "SM2"), **providers}
    except Unavailable as missing:
        print(f"libcrypto: {missing}", file=sys.stderr)
    either = next(iter(providers.values()))[0]
    providers |= {"RSA 3072": (either, "RSA"), "ECDSA P-256": (either, "EC")}
    found: Contestants = {}
    for name, (provider, kind) in providers.items():
        key = provider.generate(kind)
        value = provider.sign(key, MESSAGE)
        found[name] = (
            partial(provider.sign, key, MESSAGE),
            partial(provider.verify, key.public, MESSAGE, value),
        )
    return found


def openssl_speed(seconds: int) -> tuple[float, float] | None:
    """(sign, verify) per second as OpenSSL's own program measures itself; None where it cannot."""
    program = shutil.which("openssl")
    if program is None:
        return None
    run = subprocess.run(
        [program, "speed", "-seconds", str(seconds), "sm2"], capture_output=True, text=True, check=False
    )
    line = re.search(r"SM2 \(CurveSM2\)\s+\S+s\s+\S+s\s+([\d.]+)\s+([\d.]+)", run.stdout)
    return (float(line[1]), float(line[2])) if line else None


def main() -> None:
    """Measure, print, keep."""
    quick = "quick" in sys.argv[1:]
    runs, seconds = (2, 0.2) if quick else (5, 0.5)
    measured: dict[str, list[tuple[float, float]]] = {}
    for _ in range(runs):
        for name, (sign, verify) in contestants().items():
            measured.setdefault(name, []).append((rate(sign, seconds), rate(verify, seconds)))
        yardstick = openssl_speed(1)
        if yardstick is not None:
            measured.setdefault(YARDSTICK, []).append(yardstick)
    rows = [row(name, pairs) for name, pairs in measured.items()]
    table = Table(
        title=f"signatures of 300 bytes per CPU-second, one thread, median of {runs} interleaved runs"
    )
    for name in rows[0]:
        table.add_column(name, justify="left" if not name else "right")
    for line in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in line.values()))
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{time.strftime('%Y-%m-%d')}-signing{'-quick' if quick else ''}.json"
    kept = {
        "rows": rows,
        "runs": {name: [list(map(round, pair)) for pair in p] for name, p in measured.items()},
    }
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


def row(name: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """One line: medians, and lowest to highest."""
    sign, verify = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return {
        "": name,
        "sign": round(statistics.median(sign)),
        "sign low–high": f"{min(sign):,.0f}–{max(sign):,.0f}",
        "verify": round(statistics.median(verify)),
        "verify low–high": f"{min(verify):,.0f}–{max(verify):,.0f}",
    }


if __name__ == "__main__":
    main()
