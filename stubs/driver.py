"""Hands cases to the simulated members and asks them whether they are quiet. For demonstrations and tests;
speaks only their /control routes."""

import asyncio
import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from stubs.cases import CaseFile, Expectation, digests, expected, files_in, load

__all__ = ["CaseFile", "Expectation", "expected", "idle", "load", "submit", "wait_idle"]

CASES_PER_CALL_MAX: Final = 500
FILES: Final = Path(__file__).parents[1] / "examples" / "files"


async def submit(
    session: aiohttp.ClientSession, cases: Iterable[CaseFile], urls: Mapping[str, str], *, files: Path = FILES
) -> int:
    """Put cases into the outboxes of their senders. urls: member -> URL of its stub; files: the folder the
    cases' files lie in. Safe to repeat: the same case twice is one case.

    Returns how many new messages that made; raises aiohttp.ClientError, KeyError for a file that is not
    there.
    """
    known = files_in(files)
    groups: dict[str, list[CaseFile]] = {}
    for case in cases:
        groups.setdefault(case.member, []).append(case)
    posted = 0
    for member, group in groups.items():
        for start in range(0, len(group), CASES_PER_CALL_MAX):
            document = _document(member, group[start : start + CASES_PER_CALL_MAX], known)
            url = urls[member] + "/control/submit"
            async with session.post(url, data=msgspec.json.encode(document)) as response:
                answer = msgspec.json.decode(await response.read())
                if response.status != 200:
                    raise aiohttp.ClientPayloadError(f"{url}: HTTP {response.status} {answer}")
                posted += answer["posted"]
    return posted


async def idle(stubs: Mapping[str, str], session: aiohttp.ClientSession) -> dict[str, dict[str, int]]:
    """Stub name -> {"unsent", "pending"}; all zero means that no member has anything more to say by
    itself."""
    result = {}
    for name, url in stubs.items():
        async with session.get(url + "/control/idle") as response:
            result[name] = msgspec.json.decode(await response.read(), type=dict[str, int])
    return result


async def wait_idle(
    stubs: Mapping[str, str], session: aiohttp.ClientSession, *, quiet_ms: int, timeout_ms: int
) -> bool:
    """True when every stub was quiet for `quiet_ms` on end; False after `timeout_ms`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_ms / 1000
    quiet_since = loop.time()
    while loop.time() < deadline:
        state = await idle(stubs, session)
        if any(counts["pending"] for counts in state.values()):
            quiet_since = loop.time()
        elif loop.time() - quiet_since >= quiet_ms / 1000:
            return True
        await asyncio.sleep(0.1)
    return False


def _document(member: str, group: list[CaseFile], known: dict[str, Path]) -> dict[str, Any]:
    wanted = dict.fromkeys(digest for case in group for digest in digests(case))
    return {
        "member": member,
        "messages": [case.message for case in group if case.message is not None],
        "documents": [base64.b64encode(case.document).decode() for case in group if case.document],
        "files": [
            {
                "sm3": digest,
                "mediaType": _MEDIA_TYPES.get(known[digest].suffix, "application/octet-stream"),
                "content": base64.b64encode(known[digest].read_bytes()).decode(),
            }
            for digest in wanted
        ],
    }


_MEDIA_TYPES: Final = {".pdf": "application/pdf", ".png": "image/png", ".txt": "text/plain"}
