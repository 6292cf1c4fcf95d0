"""The environment of the peers that the hub does not need itself: .venv-bench, by bench/requirements.lock."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PLACE: Final = ROOT / ".venv-bench"
PYTHON: Final = PLACE / "bin" / "python"
_LOCK: Final = ROOT / "bench" / "requirements.lock"
_STAMP: Final = PLACE / "installed"
_INSTALL_S_MAX: Final = 600


def prepare() -> str:
    """Make it once; "" when it is there, otherwise why it is not. Without network the benchmark goes on
    without these peers."""
    wanted = (
        f"{hashlib.sha256(_LOCK.read_bytes()).hexdigest()} {sys.version_info.major}.{sys.version_info.minor}"
    )
    if _STAMP.exists() and _STAMP.read_text("utf-8") == wanted:
        return ""
    print(f"准备基准测试环境 / preparing {PLACE.name} …", flush=True)
    shutil.rmtree(PLACE, ignore_errors=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True)
        subprocess.run(
            [*pip, "--no-deps", "--require-hashes", "--requirement", str(_LOCK)],
            check=True,
            timeout=_INSTALL_S_MAX,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return f"{PLACE.name}: {error}"
    _STAMP.write_text(wanted, "utf-8")
    return ""
