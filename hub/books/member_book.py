"""A member's own book over HTTP: `GET {url}/book?after=N` in pages. Only reading; what it means is the
ledger's affair."""

from collections.abc import Mapping, Sequence
from typing import Final

import aiohttp
import msgspec

PAGE_BYTES_MAX: Final = 8 << 20
CALL_TIMEOUT_SECONDS: Final = 20


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """One line. effects: how often the business effect was applied; repeats: re-deliveries the member
    absorbed."""

    seq: int
    dispatch_id: str
    effects: int
    repeats: int = 0


class Page(msgspec.Struct, frozen=True):
    """entries in seq order; next: the `after` of the following page."""

    entries: tuple[Line, ...]
    next: int


class BookAway(Exception):
    """A member's book cannot be read; the text says why."""


class MemberBook:
    """One book, which several members of one system may share. after: the last line read."""

    def __init__(self, url: str, members: Sequence[str], after: int = 0) -> None:
        self.url = url.rstrip("/")
        self.members = tuple(members)
        self.after = after

    async def page(self, session: aiohttp.ClientSession) -> tuple[Line, ...]:
        """The next lines, () at the end. Raises BookAway."""
        try:
            async with session.get(f"{self.url}/book", params={"after": str(self.after)}) as response:
                if response.status != 200:
                    raise BookAway(f"{self.url}: HTTP {response.status}")
                raw = await response.content.read(PAGE_BYTES_MAX + 1)
                while not response.content.at_eof() and len(raw) <= PAGE_BYTES_MAX:
                    raw += await response.content.read(PAGE_BYTES_MAX + 1)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BookAway(f"{self.url}: {error!r}") from error
        if len(raw) > PAGE_BYTES_MAX:
            raise BookAway(f"{self.url}: 一页超过 / page over {PAGE_BYTES_MAX} bytes")
        try:
            page = msgspec.json.decode(raw, type=Page)
        except msgspec.DecodeError as error:
            raise BookAway(f"{self.url}: {error}") from error
        if page.entries:
            self.after = max(page.next, self.after)
        return page.entries


def books_of(urls: Mapping[str, str], after: Mapping[str, int] | None = None) -> list[MemberBook]:
    """One book per URL. urls: member -> base URL. after: URL -> last line read before."""
    members: dict[str, list[str]] = {}
    for member, url in urls.items():
        members.setdefault(url.rstrip("/"), []).append(member)
    return [MemberBook(url, names, (after or {}).get(url, 0)) for url, names in members.items()]


def open_session() -> aiohttp.ClientSession:
    """A client with bounded time. Proxies of the environment are not used: members are inside."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_SECONDS), trust_env=False)
