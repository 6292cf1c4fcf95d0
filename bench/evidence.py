"""What evidence costs: the chain link in the router's own transaction, and the evidence role beside it.

`python -m bench evidence` or `python -m bench.evidence [quick]`. Needs no broker: the router's decisions and
outputs without Kafka and RocksDB, so the share it shows is larger than in a running hub. Per CPU-second; kept
under bench/results/."""

import asyncio
import gc
import json
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from bench.load import case_messages
from hub import directory, envelope
from hub.config import Settings
from hub.evidence.identity import load_identity, make_directory
from hub.evidence.lane import Signer
from hub.evidence.leaves import Book, LedgerLane, parts_of
from hub.evidence.stamps import OwnStamper
from hub.kafka import Output, Record
from hub.router.outbox import RouterOutbox
from hub.routing.decide import decide
from hub.routing.tables import Tables
from signing.evidence import NO_STATEMENT, Chain
from signing.provider import SoftwareProvider

RESULTS = Path(__file__).parent / "results"
BATCH: Final = 1_000
LEAVES: Final = 1_000
STEPS: Final = 3
_LEDGER: Final = ("case.routed", 0)
_PASSPHRASE: Final = b"a passphrase of benchmarks"


def routed(messages: list[envelope.Message], *, linked: bool) -> tuple[float, list[Output]]:
    """CPU seconds to decide these messages and make their outputs, and the ledger lines. linked: with the
    chain."""
    settings = Settings(kafka_bootstrap="", data_dir=Path(), directory_dir=Path(), files_dir=Path())
    tables, now_ms = Tables(directory.load()), int(time.time() * 1000)
    headers = [envelope.to_headers(one) for one in messages]
    states: dict[str, bytes | None] = {}
    chain, lines = Chain(), []
    gc.collect()
    begun = time.process_time()
    for start in range(0, len(messages), BATCH):
        out = RouterOutbox(settings, 0, tables.version, now_ms)
        for message, came in zip(
            messages[start : start + BATCH], headers[start : start + BATCH], strict=True
        ):
            out.came(message, came)
            decision = decide(message, states.get(message.subject), tables, now_ms)
            states[message.subject] = decision.state or states.get(message.subject)
            out.add(message.subject, decision)
        if linked:
            chain = out.link(chain)
        lines += out.outputs[_LEDGER]
    return time.process_time() - begun, lines


def signed(lines: list[Output], signer: Signer) -> tuple[float, int, int]:
    """CPU seconds of the evidence role for these ledger lines, how many roots it signed, bytes it wrote."""
    records = [
        Record("case.routed", 0, n, at, 0, key, value, None, 0, 0, tuple(headers))
        for n, (key, value, headers, at) in enumerate(lines)
    ]
    lane = LedgerLane("case.routed-0", Book(0, NO_STATEMENT, b""), chained=True)
    roots = size = 0
    begun = time.process_time()
    for record in records:
        lane.take(record)
        if lane.ready >= LEAVES:
            interval, book = lane.close(int(time.time() * 1000))
            root = asyncio.run(signer.sign(interval.statement.to_bytes()))
            size += len(msgspec.json.encode(root)) + sum(map(len, parts_of(interval)))
            lane.closed(book)
            roots += 1
    return time.process_time() - begun, roots, size


def main() -> None:
    """Measure, print, keep."""
    quick = "quick" in sys.argv[1:]
    runs, cases = (5, 2_000) if quick else (7, 10_000)
    messages = list(case_messages(cases, STEPS))
    plain, linked, role = [], [], []
    lines: list[Output] = []
    with tempfile.TemporaryDirectory() as scratch:
        signer = _signer(Path(scratch))
        for _ in range(runs):
            plain.append(routed(messages, linked=False)[0])
            seconds, lines = routed(messages, linked=True)
            linked.append(seconds)
            role.append(signed(lines, signer))
        tracemalloc.start()
        signed(lines[: 20 * LEAVES], signer)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    count = len(messages)
    # The best of each: what other processes add to a run is never the code's own.
    without, with_ = min(plain), min(linked)
    beside = min(seconds for seconds, _, _ in role)
    rows: list[dict[str, Any]] = [
        {"": name, "µs a message": _us(seconds, count), "per CPU-second": round(count / seconds)}
        for name, seconds in (
            ("router without the chain", without),
            ("router with the chain", with_),
            ("evidence role beside it", beside),
        )
    ]
    notes = [
        f"the chain costs {100 * (with_ / without - 1):.1f} % of the router's own time",
        f"{role[-1][1]} roots over {count} lines, {role[-1][2] / count:.0f} bytes kept a line",
        f"memory of 20 intervals read one after the other: {peak / 1_048_576:.1f} MiB at most",
    ]
    table = Table(title=f"evidence, {count:,} messages, batches of {BATCH}, best of {runs} interleaved runs")
    for name in rows[0]:
        table.add_column(name, justify="left" if not name else "right")
    for line in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in line.values()))
    Console().print(table)
    for note in notes:
        print(note)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{time.strftime('%Y-%m-%d')}-evidence{'-quick' if quick else ''}.json"
    kept = {"rows": rows, "notes": notes, "runs": {"plain": plain, "linked": linked, "role": role}}
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _us(seconds: float, count: int) -> float:
    return round(seconds / count * 1_000_000, 1)


def _signer(scratch: Path) -> Signer:
    provider = SoftwareProvider()
    make_directory(scratch / "keys", _PASSPHRASE, "bench")
    identity = load_identity(scratch / "keys", "signer", _PASSPHRASE, provider)
    stamper = OwnStamper(provider, load_identity(scratch / "keys", "tsa", _PASSPHRASE, provider))
    return Signer(provider, identity, stamper)


if __name__ == "__main__":
    main()
