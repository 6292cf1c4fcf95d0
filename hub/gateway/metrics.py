"""Counters and latency of one gateway process as Prometheus text. Small on purpose: no client library, no
labels from callers' input."""

from bisect import bisect_left
from collections import Counter
from typing import Final

_BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class Metrics:
    """Requests by door and status, messages by what became of them, and the time to a receipt."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._messages: Counter[str] = Counter()
        self._buckets = [0] * (len(_BUCKETS_MS) + 1)
        self._receipt_ms_sum = 0.0
        self.in_flight = 0

    def request(self, door: str, status: int) -> None:
        self._requests[door, status] += 1

    def message(self, outcome: str) -> None:
        """outcome: produced, repeated, conflict or refused."""
        self._messages[outcome] += 1

    def receipt(self, duration_ms: float) -> None:
        self._buckets[bisect_left(_BUCKETS_MS, duration_ms)] += 1
        self._receipt_ms_sum += duration_ms

    def text(self) -> str:
        """Prometheus text exposition format 0.0.4."""
        lines = ["# TYPE hub_gateway_requests_total counter"]
        lines += [
            f'hub_gateway_requests_total{{door="{door}",status="{status}"}} {count}'
            for (door, status), count in sorted(self._requests.items())
        ]
        lines.append("# TYPE hub_gateway_messages_total counter")
        lines += [
            f'hub_gateway_messages_total{{outcome="{outcome}"}} {count}'
            for outcome, count in sorted(self._messages.items())
        ]
        lines += ["# TYPE hub_gateway_in_flight gauge", f"hub_gateway_in_flight {self.in_flight}"]
        lines.append("# TYPE hub_gateway_receipt_milliseconds histogram")
        total = 0
        for edge, count in zip((*_BUCKETS_MS, "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'hub_gateway_receipt_milliseconds_bucket{{le="{edge}"}} {total}')
        lines.append(f"hub_gateway_receipt_milliseconds_sum {self._receipt_ms_sum:.3f}")
        lines.append(f"hub_gateway_receipt_milliseconds_count {total}")
        return "\n".join(lines) + "\n"
