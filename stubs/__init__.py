"""Simulated members (模拟成员): each a process of its own with its own storage, outbox and book of taken
dispatches. `run` is the whole public face; nothing of the hub is imported here.
"""

import asyncio
import os
from collections.abc import Mapping


def run(name: str, env: Mapping[str, str] | None = None) -> None:
    """Serve one simulated member until SIGTERM or SIGINT.

    name: platform, dept-a, dept-b, s08, credit, nation or supervision. Raises settings.StubSettingsError
    naming the variable.
    """
    from stubs.app import serve

    asyncio.run(serve(name, os.environ if env is None else env))
