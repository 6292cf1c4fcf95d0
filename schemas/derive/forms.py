"""Forms of codes as regular expressions that JSON Schema (ECMA 262) and XSD both understand. Check digits
are beyond both.

No anchors and no groups that only one of the two knows.
"""

from typing import Final

from schemas import checks
from schemas.model import Field

_USCC: Final = checks.USCC_FORM.pattern
_ANY_CASE: Final = {
    "uscc": "[0-9A-HJ-NPQRTUWXYa-hj-npqrtuwxy]{18}",
    "idNumber": "[1-9][0-9]{16}[0-9Xx]",
}
CODE_FORMS: Final = {
    "uscc": _USCC,
    "idNumber": checks.ID_NUMBER_FORM.pattern,
    "itemCode": checks.ITEM_CODE_FORM.pattern.replace("(?:", "("),
    "baseCode": checks.BASE_CODE_FORM.pattern,
    "region": checks.REGION_FORM.pattern.replace("(?:", "("),
}


def form_of(field: Field) -> str | None:
    """The form of a text field without anchors, or None when only its length is limited."""
    if "pattern" in field.attributes:
        pattern: str = field.attributes["pattern"]
        return pattern.removeprefix("^").removesuffix("$").replace("(?:", "(")
    return CODE_FORMS[field.attributes["check"]] if "check" in field.attributes else None


def any_case_form(check: str) -> str:
    """The form of a document number before its letters are made capital."""
    return _ANY_CASE[check]
