"""Check digits and code forms of the national standards. Pure text in, bool out; whether a code exists in a
directory is not asked here."""

import re
from collections.abc import Callable
from datetime import date
from operator import mul
from typing import Final

_USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # no I, O, S, V, Z
_USCC_VALUE: Final = {character: value for value, character in enumerate(_USCC_ALPHABET)}
_USCC_WEIGHTS: Final = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)  # 3^i mod 31
_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECK: Final = "10X98765432"
_ORG_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_BASE36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

USCC_FORM: Final = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
ID_NUMBER_FORM: Final = re.compile(r"[1-9][0-9]{16}[0-9X]")
ORG_CODE_FORM: Final = re.compile(r"[0-9A-Z]{8}-?[0-9X]")
# 实施编码 31 = USCC 18 + 行使层级 1 + 基本编码 12; 业务办理项编码 33 = 31 + 序号 2.
ITEM_CODE_FORM: Final = re.compile(
    r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}[1-6][0-9]{12}(?:[0-9]{2})?"
)
BASE_CODE_FORM: Final = re.compile(r"[0-9]{12}")
REGION_FORM: Final = re.compile(r"[1-9][0-9]{5}(?:[0-9]{3}|[0-9]{6})?")


def uscc_check_character(first17: str) -> str:
    """The 18th character of a unified social credit code (GB 32100-2015). Raises KeyError for a character
    outside the alphabet."""
    # map, not a generator: two of these and an identity number in every submission.
    total = sum(map(mul, map(_USCC_VALUE.__getitem__, first17), _USCC_WEIGHTS))
    return _USCC_ALPHABET[-total % 31]


def uscc_ok(code: str) -> bool:
    """统一社会信用代码: 18 characters, 6-digit region inside, check character (GB 32100-2015)."""
    return USCC_FORM.fullmatch(code) is not None and uscc_check_character(code[:17]) == code[17]


def id_number_check_character(first17: str) -> str:
    """The 18th character of a citizen's identity number (GB 11643-1999, ISO 7064 MOD 11-2). first17: 17
    ASCII digits."""
    return _ID_CHECK[sum(map(mul, map(int, first17), _ID_WEIGHTS)) % 11]


def id_number_ok(number: str) -> bool:
    """公民身份号码: 18 characters, a real date of birth, check character (GB 11643-1999). A lower-case x is
    not the standard's."""
    if ID_NUMBER_FORM.fullmatch(number) is None or id_number_check_character(number[:17]) != number[17]:
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return True


def org_code_ok(code: str) -> bool:
    """组织机构代码: 8 characters and a check character, with or without the hyphen (GB 11714-1997)."""
    if ORG_CODE_FORM.fullmatch(code) is None:
        return False
    total = sum(
        _BASE36.index(character) * weight for character, weight in zip(code[:8], _ORG_WEIGHTS, strict=True)
    )
    return "0123456789X"[-total % 11] == code[-1]


def item_code_ok(code: str) -> bool:
    """实施编码 (31) or 业务办理项编码 (33): form, level 1 to 6 and the agency's USCC check character (GB/T
    39554.1-2020)."""
    return ITEM_CODE_FORM.fullmatch(code) is not None and uscc_ok(code[:18])


def base_code_ok(code: str) -> bool:
    """基本编码: 12 digits (GB/T 39554.1-2020)."""
    return BASE_CODE_FORM.fullmatch(code) is not None


def region_form_ok(code: str) -> bool:
    """行政区划代码 by form only: 6 digits (GB/T 2260), 9 (with a town, GB/T 10114) or 12 (with a village)."""
    return REGION_FORM.fullmatch(code) is not None


# Name in a contract's "check" -> (predicate, standard, Chinese, English)
CODE_CHECKS: Final[dict[str, tuple[Callable[[str], bool], str, str, str]]] = {
    "uscc": (
        uscc_ok,
        "GB 32100-2015",
        "不是合法的统一社会信用代码（18 位，含校验位）",
        "is not a valid unified social credit code (18 characters with check character)",
    ),
    "idNumber": (
        id_number_ok,
        "GB 11643-1999",
        "不是合法的公民身份号码（出生日期或校验位不符）",
        "is not a valid identity number (date of birth or check character)",
    ),
    "itemCode": (
        item_code_ok,
        "GB/T 39554.1-2020",
        "不是合法的事项编码（31 位实施编码或 33 位业务办理项编码，含校验位）",
        "is not a valid item code (31 or 33 characters with the agency's check character)",
    ),
    "baseCode": (
        base_code_ok,
        "GB/T 39554.1-2020",
        "不是合法的基本编码（12 位数字）",
        "is not a valid base code (12 digits)",
    ),
    "region": (
        region_form_ok,
        "GB/T 2260",
        "不是合法的行政区划代码（6、9 或 12 位数字）",
        "is not a valid region code (6, 9 or 12 digits)",
    ),
}
