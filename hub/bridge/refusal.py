"""What the target cluster will not take, however often it is asked: remembered over the reopenings of its
lane, tried alone and ever more rarely, said to the operator. Nothing is skipped for it. Pure.
"""

from typing import Final

import msgspec

from hub.bridge.model import id_of
from hub.errors import OutputRefused, WriteRefused
from hub.kafka import Record

_TOO_LARGE: Final = (
    "调大目标区域该主题的 max.message.bytes，或本桥的 HUB_BATCH_BYTES_MAX / "
    "raise that topic's max.message.bytes in the target, or this bridge's HUB_BATCH_BYTES_MAX"
)
_NOT_ALLOWED: Final = (
    "检查目标区域给本桥的权限和该主题的设置 / "
    "look at this bridge's rights and at that topic's settings in the target"
)
_GOES_ON: Final = "更正后自动继续，不跳过 / goes on by itself when that is mended; nothing is skipped"


class Refusal(msgspec.Struct, frozen=True):
    """Records of one input that were refused together. input: `<bare topic>-<partition>`, "" when no record
    was at work but the cursor alone. first, last: their offsets. tries: how often one alone was refused in
    succession. again_at_s: on the steady clock. text: for the operator, "" while it is not known which
    one."""

    input: str
    first: int
    last: int
    tries: int
    again_at_s: float
    text: str

    def covers(self, input_: str, offset: int) -> bool:
        """Whether this record is to be tried alone."""
        return self.input == input_ and offset <= self.last

    def left_s(self, now_s: float) -> float:
        """Seconds until it may be tried again."""
        return max(0.0, self.again_at_s - now_s)


def learn(
    before: Refusal | None,
    input_: str,
    records: list[Record],
    error: OutputRefused | WriteRefused,
    now_s: float,
    retry_ms: int,
    retry_ms_max: int,
) -> Refusal:
    """What a refused transaction over these records (none: only the cursor) teaches. Several are tried one by
    one at once; one alone is tried again after retry_ms, doubled each time up to retry_ms_max."""
    first = records[0].offset if records else -1
    last = records[-1].offset if records else -1
    if len(records) > 1:
        return Refusal(input_, first, last, 0, now_s, "")
    again = before is not None and (before.input, before.last, bool(before.text)) == (input_, last, True)
    tries = before.tries + 1 if before is not None and again else 1
    delay_ms = min(retry_ms * 2 ** min(tries - 1, 30), retry_ms_max)
    return Refusal(input_, first, last, tries, now_s + delay_ms / 1000, _said(input_, records, error))


def not_let_in(lane: str, error: WriteRefused) -> str:
    """What an operator is told of a lane that may not even open."""
    return (
        f"{lane}: 目标区域不许本桥写入 / the target does not let this bridge write: {error}. {_NOT_ALLOWED}"
    )


def _said(input_: str, records: list[Record], error: OutputRefused | WriteRefused) -> str:
    what = f"{input_}@{records[0].offset} {id_of(records[0])}" if records else "游标 / the cursor"
    place = "-".join(map(str, error.place)) if error.place is not None else "?"
    mend = _TOO_LARGE if isinstance(error, OutputRefused) else _NOT_ALLOWED
    return f"{what}: 目标区域拒收 / the target refuses it: {place}: {error}. {mend}. {_GOES_ON}"
