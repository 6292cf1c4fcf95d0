"""A case's durable state: what has been seen and how far its life has come. Encoding and memory of ids; no
rules here."""

from typing import Final

import msgspec

from hub.routing.model import Held, Parked
from signing.digest import sm3

# One byte before the MessagePack array; release N reads N-1, fields are only ever added at the end.
FORMAT: Final = b"\x01"
QUARANTINE: Final = (
    b"\xfe"  # a state this release cannot read, kept untouched, with the messages that came meanwhile
)

_ID_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_ENTRY_BYTES: Final = _ID_BYTES + _DIGEST_BYTES + 2
_UNKNOWN: Final = 255

# What a remembered id was: index = the byte in the memory. Only ever add at the end.
TYPES: Final = (
    "case.submitted",
    "case.material_received",
    "case.pre_examined",
    "case.accepted",
    "case.not_accepted",
    "case.correction_notified",
    "case.corrected",
    "case.process_step",
    "case.special_started",
    "case.special_ended",
    "case.withdrawn",
    "case.decided",
    "case.delivered",
    "case.evaluated",
    "credit.answered",
    "credit.reviewed",
    "credit.changed",
    "nation.rejected",
    "dispatch.refused",
    "case.refusal",
)
_TYPE_INDEX: Final = {type_: index for index, type_ in enumerate(TYPES)}


class UnknownFormat(Exception):
    """The state was written by a release this one cannot read."""


class Case(msgspec.Struct, array_like=True):
    """The working copy of one aggregate's state, alive for one decision; only its encoded form is kept.

    seen: 50 bytes an id (id, digest, voice, type). voices: member ids, by index. gated: the submission that
    awaits credit or a review.
    ended_ms: business time of the end, 0 = not yet. specials: sn that are open; specials_done: sn that
    ended.
    timer_*_ms: the timers that are set, 0 = none. asked_by: the hub whose question about this case was
    handed on here, "" = none.
    """

    seen: bytes = b""
    voices: list[str] = []
    opened: bool = False
    stage: str = ""
    origin: str = ""
    owner: str = ""
    item: str = ""
    region: str = ""
    party: str = ""
    nation: bool = True
    supervision: bool = True
    accepted: bool = False
    ended_ms: int = 0
    notified: int = 0
    corrected: int = 0
    specials: list[int] = []
    specials_done: list[int] = []
    grade: str = ""
    gated: Held | None = None
    held: list[Held] = []
    parked: Parked | None = None
    changed_ms: int = 0
    timer_early_ms: int = 0
    timer_credit_ms: int = 0
    timer_archive_ms: int = 0
    asked_by: str = ""

    def find(self, id_: str) -> tuple[str, str, str] | None:
        """(digest, source, type) of a remembered id; None when it was never seen. Unknown parts are empty
        text."""
        raw = _raw(id_, _ID_BYTES)
        if raw not in self.seen:  # nearly always
            return None
        position = _position(self.seen, raw)
        if position < 0:
            return None
        digest, voice, type_ = (
            self.seen[position + _ID_BYTES : position + _ENTRY_BYTES - 2],
            self.seen[position + _ENTRY_BYTES - 2],
            self.seen[position + _ENTRY_BYTES - 1],
        )
        return (
            digest.hex(),
            self.voices[voice] if voice < len(self.voices) else "",
            TYPES[type_] if type_ < len(TYPES) else "",
        )

    def saw(self, type_: str) -> bool:
        """Whether an id of this type is remembered."""
        return _TYPE_INDEX[type_] in self.seen[_ENTRY_BYTES - 1 :: _ENTRY_BYTES]

    def remember(self, id_: str, digest: str, source: str, type_: str) -> None:
        """Add an id to the memory. The 255th member of one case and types outside TYPES are remembered
        without their name."""
        voices = self.voices
        if source in voices:
            voice = voices.index(source)
        elif len(voices) < _UNKNOWN:
            voice = len(voices)
            voices.append(source)
        else:
            voice = _UNKNOWN
        entry = _entry(id_, digest)
        self.seen += entry + bytes((voice, _TYPE_INDEX.get(type_, _UNKNOWN)))

    @property
    def seen_count(self) -> int:
        return len(self.seen) // _ENTRY_BYTES

    def waiting_bytes(self) -> int:
        """About how many bytes the messages that wait here take in the encoded state."""
        waiting = [held.message for held in self.held]
        if self.gated is not None:
            waiting.append(self.gated.message)
        if self.parked is not None:
            waiting.extend(self.parked.queue)
        return sum(message_bytes(message.value) for message in waiting)


class Quarantine(msgspec.Struct, array_like=True):
    """An unreadable state, as it was, and what came for it since."""

    original: bytes
    parked: Parked


def message_bytes(value: bytes) -> int:
    """About how many bytes a waiting message takes: its value and a generous envelope."""
    return len(value) + 1_024


def same_digest(stored: str, digest: str) -> bool:
    """Whether a digest equals the stored one (both may have been folded to 32 bytes)."""
    return stored == digest or stored == _raw(digest, _DIGEST_BYTES).hex()


_encode = msgspec.msgpack.Encoder().encode
_decode_case = msgspec.msgpack.Decoder(Case).decode
_decode_quarantine = msgspec.msgpack.Decoder(Quarantine).decode


def decode(state: bytes | None) -> Case:
    """The case of an encoded state; a new one for None. Raises UnknownFormat."""
    if not state:
        return Case()
    if state[:1] != FORMAT:
        raise UnknownFormat(state[:1].hex())
    try:
        return _decode_case(memoryview(state)[1:])
    except msgspec.DecodeError as error:
        raise UnknownFormat(str(error)) from error


def encode(case: Case) -> bytes:
    """Format byte and MessagePack array."""
    return FORMAT + _encode(case)


def decode_quarantine(state: bytes) -> Quarantine | None:
    """The quarantine record of a state, None when it is not one."""
    return _decode_quarantine(memoryview(state)[1:]) if state[:1] == QUARANTINE else None


def encode_quarantine(quarantine: Quarantine) -> bytes:
    return QUARANTINE + _encode(quarantine)


def _entry(id_: str, digest: str) -> bytes:
    """Id and digest as they are remembered. Both at once where they are our own: once a message."""
    if len(id_) == 2 * _ID_BYTES and len(digest) == 2 * _DIGEST_BYTES:
        try:
            raw = bytes.fromhex(id_ + digest)
            if len(raw) == _ID_BYTES + _DIGEST_BYTES:
                return raw
        except ValueError:
            pass  # folded below
    return _raw(id_, _ID_BYTES) + _raw(digest, _DIGEST_BYTES)


def _raw(text: str, length: int) -> bytes:
    try:
        raw = bytes.fromhex(text)
        if len(raw) == length:
            return raw
    except ValueError:
        pass  # not one of our own ids: folded below
    return sm3(text.encode())[:length]


def _position(seen: bytes, raw: bytes) -> int:
    """Offset of the entry whose id this is. A hit inside another entry's bytes is passed over."""
    position = seen.find(raw)
    while position >= 0 and position % _ENTRY_BYTES:
        position = seen.find(raw, position + 1)
    return position
