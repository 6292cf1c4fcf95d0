"""The one pass held to the three it replaces: validate.check, codec.encode, without_nulls."""

from typing import Any

from hub.gateway.intake import without_nulls
from schemas import admission, codec, validate
from schemas.errors import ContractError
from schemas.model import Contract


def admitted_alike(contract: Contract, body: Any) -> bool:
    """True when the body was admitted, and then byte for byte as by the three; never what they refuse."""
    found = admission.admit(contract, body)
    if found is None:
        return False
    try:
        checked = validate.check(contract, body)
    except ContractError as error:
        raise AssertionError(f"admitted although {error.violations}") from error
    assert found.value == codec.encode(contract, checked)
    assert found.content == without_nulls(checked)
    return True
