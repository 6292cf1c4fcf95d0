"""Makes .venv from requirements.lock, or does nothing when it is already made. Standard library only.

Run by the Makefile with any Python ≥ 3.11. Safe when two run at once; needs no network once the stamp is
written.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "installed"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

# Started by name it finds its interpreter beside itself: a `#!` line breaks on a path with a space.
COMMAND = '#!/bin/sh\nexec "$(dirname -- "$(readlink -f -- "$0")")/python" -m hub "$@"\n'


def wanted() -> str:
    return (
        f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {sys.version_info.major}.{sys.version_info.minor}\n"
    )


def installed() -> str:
    return STAMP.read_text("utf-8") if STAMP.is_file() and (VENV / "bin" / "python").exists() else ""


def make() -> None:
    print(
        f"准备 Python 环境，首次需几分钟 / preparing {VENV.name}, a few minutes the first time …", flush=True
    )
    python = VENV / "bin" / "python"
    if not works(python):
        shutil.rmtree(VENV, ignore_errors=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        except subprocess.CalledProcessError:
            sys.exit("缺少 venv 模块，请安装 python3-venv / the venv module is missing, install python3-venv")
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "--requirement", str(LOCK)], check=True)
    site = next((VENV / "lib").glob("python3*/site-packages"))
    # The project itself, by a path relative to site-packages: no build, no download, any characters in the
    # path.
    (site / "govhub.pth").write_text("../../../..\n", "utf-8")
    command = VENV / "bin" / "govhub"
    command.write_text(COMMAND, "utf-8")
    command.chmod(0o755)
    STAMP.write_text(wanted(), "utf-8")


def works(python: Path) -> bool:
    """Whether an interpreter of our own version is there and starts; an upgraded system Python leaves a
    broken one."""
    if not python.exists():
        return False
    version = "import sys; print(f'{sys.version_info.major}.{sys.version_info.minor}')"
    answer = subprocess.run([str(python), "-c", version], capture_output=True, text=True, check=False)
    return answer.stdout.strip() == VERSION


def main() -> None:
    if installed() == wanted():
        return
    descriptor = os.open(ROOT / ".venv.lock", os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if installed() == wanted():  # another make did it while we waited
        return
    try:
        make()
    except subprocess.CalledProcessError as error:
        sys.exit(f"安装失败 / installation failed: {error}")


if __name__ == "__main__":
    main()
