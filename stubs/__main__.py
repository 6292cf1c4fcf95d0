"""`python -m stubs NAME`: one simulated member in this process."""

import sys

from stubs import run
from stubs.settings import NAMES, StubSettingsError


def main() -> int:
    if len(sys.argv) != 2:
        print(f"用法 / usage: python -m stubs {{{'|'.join(NAMES)}}}", file=sys.stderr)
        return 2
    try:
        run(sys.argv[1])
    except StubSettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
