"""Bounded memory of nonces seen by one process. It sharpens refusals; correctness never rests on it:
another process, a restart or an eviction forgets, and the receipt of a re-sent message is the same anyway.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

Seen = Literal["new", "resend", "conflict"]


class NonceMemory:
    """Remembers (caller, nonce) → digest of what was signed, at most `nonces_max` of them, oldest dropped
    first."""

    def __init__(self, nonces_max: int = 200_000) -> None:
        self._nonces_max = nonces_max
        self._seen: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def see(self, caller: str, nonce: str, signed_digest: str, *, now_ms: int, keep_until_ms: int) -> Seen:
        """Record a nonce of an already authenticated caller; says whether it is new, a re-send or a
        conflict."""
        self._drop_expired(now_ms)
        known = self._seen.get((caller, nonce))
        if known is not None and known[1] >= now_ms:
            return "resend" if known[0] == signed_digest else "conflict"
        self._seen.pop((caller, nonce), None)
        self._seen[caller, nonce] = (signed_digest, keep_until_ms)
        if len(self._seen) > self._nonces_max:
            self._seen.popitem(last=False)
        return "new"

    def _drop_expired(self, now_ms: int) -> None:
        """Entries are nearly in order of expiry; stopping at the first live one keeps this O(1) amortised."""
        while self._seen:
            key, (_, keep_until_ms) = next(iter(self._seen.items()))
            if keep_until_ms >= now_ms:
                return
            del self._seen[key]
