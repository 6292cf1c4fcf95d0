"""Bodies against their contract: every violation together, and the normalised body; and the lifting of
routing fields.

No transport, no directory: whether a region, item or member exists is asked elsewhere.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.checkers import record_checker
from schemas.errors import ContractError, Violation
from schemas.findings import VIOLATIONS_MAX, Errors, Found
from schemas.model import Contract

__all__ = ["VIOLATIONS_MAX", "ContractError", "Violation", "check", "routing"]

_compiled: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {}


def check(contract: Contract, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body ready to encode: every field present (None where absent), times as int ms UTC, form content
    as bytes.

    Times are ISO 8601 text (no zone = Asia/Shanghai, 0001-01-01 = absent, R7) or int milliseconds; bytes are
    base64 text or bytes; an empty text in an optional field is absent. A checked body checks to itself.
    Raises ContractError with all violations, at most VIOLATIONS_MAX.
    """
    compiled = _compiled.get(contract.fingerprint)
    if compiled is None:
        compiled = _compiled[contract.fingerprint] = _compile(contract)
    return compiled(body)


def _compile(contract: Contract) -> Callable[[Any], dict[str, Any]]:
    record = record_checker(contract.body, f"{contract.name} v{contract.version}")

    def run(body: Any) -> dict[str, Any]:
        errors: Errors = []
        result: dict[str, Any] = record(body, errors)
        if errors:
            raise ContractError(tuple(_violation(found) for found in errors[:VIOLATIONS_MAX]))
        return result

    return run


def _violation(found: Found) -> Violation:
    steps, rule, standard, zh, en = found
    path = ""
    for step in reversed(steps):
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return Violation(field=path, rule=rule, standard=standard, zh=zh, en=en)


def routing(
    contract: Contract, body: Mapping[str, Any], pseudonym: Callable[[str, str], str]
) -> dict[str, str]:
    """Routing fields of a checked body by header name: `region`, `item`, and those that travel as ce_x<name>.

    pseudonym(document type, document number) gives what may travel in place of a personal identifier.
    Booleans are "1" and "0", lists are joined by commas; absent and empty values are left out.
    """
    lifted = {}
    for field in contract.routing:
        if field.pseudonym is not None:
            type_, number = (_at(body, path) for path in field.pseudonym)
            text = pseudonym(type_, number) if type_ and number else ""
        else:
            text = _header_text(_at(body, field.path))
        if text:
            lifted[field.name] = text
    return lifted


def _at(body: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = body
    for name in path:
        if value is None:
            return None
        value = value.get(name)
    return value


def _header_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return ",".join(value) if isinstance(value, list) else str(value)
