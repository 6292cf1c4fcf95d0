"""How a violation is noted while a body is checked. No rule is evaluated here.

A violation's path grows from the inside out while it travels up, so that the happy path never builds one.
"""

from collections.abc import Callable
from typing import Any, Final

from schemas.model import Field

VIOLATIONS_MAX: Final = 50

Found = tuple[list[str | int], str, str, str, str]  # steps from the inside out, rule, standard, zh, en
Errors = list[Found]
Checker = Callable[[Any, Errors], Any]
RecordRule = Callable[[dict[str, Any], Errors], None]


class Say:
    """Makes the violations of one field. Texts name the field by its bilingual doc and never quote the
    value."""

    def __init__(self, field: Field, contract: str) -> None:
        self.zh, self.en = f"「{field.doc_zh}」", f"“{field.doc_en}” "
        self.standard = field.standard or contract

    def __call__(
        self, errors: Errors, rule: str, zh: str, en: str, standard: str = "", at: str | None = None
    ) -> None:
        if len(errors) < VIOLATIONS_MAX:
            steps: list[str | int] = [] if at is None else [at]
            errors.append((steps, rule, standard or self.standard, self.zh + zh, self.en + en))


def add_step(errors: Errors, start: int, step: str | int) -> None:
    """Put a name or an index in front of the paths of the violations found from `start` on."""
    for found in errors[start:]:
        found[0].append(step)
