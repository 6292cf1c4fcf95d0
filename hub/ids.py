"""Derived identifiers. Nothing here reads a clock, draws a random number or keeps state: the same input gives
the same id for ever (G4, G8)."""

from typing import Final

import msgspec

from signing.digest import sm3

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)  # two digits at once
_CHECK_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CHECK_VALUE: Final = {character: value for value, character in enumerate(_CHECK_ALPHABET)}
_CASE_DIGITS: Final = 16  # 80 bits


def _derive(*parts: str) -> bytes:
    # Length-prefixed, so that ("ab", "c") and ("a", "bc") cannot meet.
    return sm3(b"".join([b"%d:%b" % (len(raw), raw) for raw in [part.encode() for part in parts]]))


def message_id(member: str, source_system: str, source_key: str, type_: str, version: int) -> str:
    """32 hex characters derived from what identifies the message at its sender (R1)."""
    return _derive("message", member, source_system, source_key, type_, str(version))[:16].hex()


def originated_id(cause: str, kind: str, detail: str = "") -> str:
    """Id of a message the hub makes itself: derived from the message that caused it (G6)."""
    return _derive("originated", cause, kind, detail)[:16].hex()


def dispatch_id(message: str, destination: str) -> str:
    """32 hex characters derived from (message id, destination member): the same across retry, crash, replay
    and failover (G4)."""
    # The same bytes as _derive("dispatch", message, destination), written out: once per dispatch.
    name = destination.encode()
    return sm3(b"8:dispatch%d:%b%d:%b" % (len(message), message.encode(), len(name), name))[:16].hex()


def case_number(member: str, source_system: str, case_ref: str, *, province: str = "46") -> str:
    """办件编号 for a case the hub numbers: province + 16 base-32 characters of SM3 + ISO 7064 MOD 37,36 check
    character (19 in all)."""
    number = int.from_bytes(_derive("case", member, source_system, case_ref)[:10])
    digits = "".join([_PAIRS[(number >> shift) & 1023] for shift in range(70, -10, -10)])
    payload = province + digits
    return payload + _check_character(payload)


def is_case_number(text: str, *, province: str = "46") -> bool:
    """True for a number made by `case_number` (form and check character)."""
    return (
        len(text) == len(province) + _CASE_DIGITS + 1
        and text.startswith(province)
        and all(c in _CHECK_ALPHABET for c in text)
        and _check_character(text[:-1]) == text[-1]
    )


def _check_character(payload: str) -> str:
    # ISO/IEC 7064 MOD 37,36: one check character over 0-9A-Z.
    total = 36
    for character in payload:
        total = (total + _CHECK_VALUE[character]) % 36 or 36
        total = total * 2 % 37
    return _CHECK_ALPHABET[(37 - total) % 36]


def content_digest(type_: str, content: object) -> str:
    """SM3 (hex) of the canonical decoded content: JSON with sorted keys, no spaces, UTF-8."""
    return sm3(type_.encode() + b"\n" + msgspec.json.encode(content, order="sorted")).hex()
