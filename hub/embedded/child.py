"""The few system calls between fork and exec, run as a script of its own: `python -I -S child.py PARENT
ACCOUNT ARGV…`.

Standard library only, no import of ours: it must start in milliseconds and work from any directory. It
replaces itself by ARGV, so the process id the parent sees is the server's own.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    if libc().prctl(ctypes.c_int(option), *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def become(uid: int, gid: int, reach_everything: bool) -> None:
    """Gives up root for uid:gid. With `reach_everything` one capability stays: passing directories closed to
    others (a checkout below /root), because opening those directories to everybody instead would outlive the
    process."""
    if reach_everything:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if not reach_everything:
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    kept = 1 << CAP_DAC_OVERRIDE
    # effective, permitted, inheritable; then the same for the upper 32 capabilities
    data = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    if libc().capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def main(arguments: list[str]) -> None:
    parent, account, argv = int(arguments[0]), arguments[1], arguments[2:]
    if account != "-":
        uid, gid, reach_everything = (int(part) for part in account.split(":"))
        become(uid, gid, bool(reach_everything))
    if sys.platform == "linux":
        # After the change of account: the kernel clears the setting whenever credentials change.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("parent died before exec / 父进程已退出")
    # A parent started with nohup or in the background passes ignored signals on; a server must see its
    # SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execve(argv[0], argv, os.environ)


if __name__ == "__main__":
    main(sys.argv[1:])
