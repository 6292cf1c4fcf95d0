"""`govhub up`: the hub without members, and how to send a first case with curl."""

import signal
import time
from pathlib import Path

from rich.console import Console

from hub.local.cluster import SHOWN_ROLES, DataDirectory, LocalHub, pages
from hub.local.first_case import curl_lines
from hub.supervisor import orderly_termination


def run(base: Path) -> int:
    """Runs until Ctrl-C or SIGTERM. The data directory stays."""
    console = Console()
    data = DataDirectory(base)
    if data.recovered:
        console.print(f"沿用数据目录 / using the data in {data.path}")
    began = time.monotonic()
    with orderly_termination(), LocalHub(data, roles=SHOWN_ROLES, stubs=()) as hub:
        hub.provision()
        hub.start()
        for name, address in pages(hub):
            console.print(f"{name}: {address}")
        console.print(f"控制台账号 / console login: admin {hub.secrets.admin_password}")
        console.print(f"就绪用时 / ready after {time.monotonic() - began:.1f} s\n")
        console.print("发送第一件办件 / send a first case:\n")
        # Plain print: a shell line must not be wrapped.
        print(curl_lines(hub.urls["gateway"], data.path, hub.secrets), flush=True)
        console.print("\n按 Ctrl-C 结束 / running until Ctrl-C")
        try:
            signal.pause()
        except KeyboardInterrupt:
            console.print("正在停止 / stopping")
    return 0
