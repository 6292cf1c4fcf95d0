"""A lane's timers: keys in its store, by due time. Fired by the lane's owner inside a transaction, so each
once.

Which timers there are and what they mean is the owner's business.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final

Range = Callable[[bytes, bytes, int], Iterator[tuple[bytes, bytes]]]
"""(start, end, limit) -> entries in key order: Lane.range."""

_PREFIX: Final = b"t"
_END: Final = b"u"
_NEVER: Final = 1 << 62


def timer_key(due_ms: int, subject: str, purpose: str) -> bytes:
    """Where a timer stands. Two with the same time, subject and purpose are one."""
    return _PREFIX + due_ms.to_bytes(8) + subject.encode() + b"\x00" + purpose.encode()


class DueTimes:
    """Which timers are due. Remembers the lowest due time there can be: a search never begins in front of it,
    where the tombstones of those that fired lie, and there is no search at all before that time."""

    def __init__(self, entries: Range) -> None:
        self._entries = entries
        self._lowest_ms = 0

    def set(self, due_ms: int) -> None:
        """A timer is about to be set. Must be called before it is committed."""
        self._lowest_ms = min(self._lowest_ms, due_ms)

    def due(self, now_ms: int, limit: int, passed_over: Collection[bytes] = ()) -> list[bytes]:
        """Values of up to `limit` timers due at now_ms, earliest first; passed_over: keys that never count
        again."""
        if now_ms < self._lowest_ms:
            return []
        start = _PREFIX + self._lowest_ms.to_bytes(8)
        end = _PREFIX + (now_ms + 1).to_bytes(8)
        found = [
            (key, value)
            for key, value in self._entries(start, end, limit + len(passed_over))
            if key not in passed_over
        ][:limit]
        first = found[0][0] if found else next(iter(self._entries(end, _END, 1)), (None, b""))[0]
        self._lowest_ms = _NEVER if first is None else int.from_bytes(first[1:9])
        return [value for _, value in found]
