"""`python -m tests.simulation [SEED | FIRST-LAST] [first]`: play schedules (until the first finding); a
finding prints its seed, what went wrong and what had happened."""

import logging
import sys
import time

import structlog

from tests.simulation.schedule import play


def main() -> int:
    """Exit 0 when every schedule was clean."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    first, _, last = (sys.argv[1] if len(sys.argv) > 1 else "0-999").partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began, found, faults = time.perf_counter(), 0, 0
    played = 0
    for seed in seeds:
        verdict, schedule = play(seed)
        played += 1
        faults += len(schedule.chaos.happened)
        if not verdict.clean or not last:
            found += not verdict.clean
            print(f"seed {seed}: {verdict}\n    " + "\n    ".join(schedule.chaos.happened), flush=True)
        if found and sys.argv[2:] == ["first"]:
            break
    seconds = time.perf_counter() - began
    rate = played / seconds * 60
    print(f"simulation: schedules={played} faults={faults} found={found} per_minute={rate:.0f}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
