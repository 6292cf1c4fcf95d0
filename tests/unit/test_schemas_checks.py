"""Check digits against the examples printed in the standards and against real codes; each single wrong
character is caught."""

import pytest

from schemas import samples
from schemas.checks import (
    base_code_ok,
    id_number_check_character,
    id_number_ok,
    item_code_ok,
    org_code_ok,
    region_form_ok,
    uscc_check_character,
    uscc_ok,
)

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@pytest.mark.parametrize(
    "code", ["91110000600037341L", "11310000MB2F30661Y", samples.USCC_AGENCY, samples.USCC_COMPANY]
)
def test_gb32100_accepts_true_codes(code: str) -> None:
    assert uscc_ok(code)
    assert uscc_check_character(code[:17]) == code[17]


@pytest.mark.parametrize("position", range(18))
def test_gb32100_catches_every_single_wrong_character(position: int) -> None:
    code = "91110000600037341L"
    for character in USCC_ALPHABET:
        wrong = code[:position] + character + code[position + 1 :]
        assert uscc_ok(wrong) == (wrong == code)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "91110000600037341",
        "91110000600037341LL",
        "91110000600037341l",
        "9111000O600037341L",
        "９1110000600037341L",
        "91110000600037341L\n",
    ],
)
def test_gb32100_refuses_other_forms(code: str) -> None:
    assert not uscc_ok(code)


def test_gb11643_accepts_the_standards_own_example() -> None:
    assert id_number_ok("11010519491231002X")
    assert id_number_check_character("11010519491231002") == "X"


@pytest.mark.parametrize("position", range(18))
def test_gb11643_catches_every_single_wrong_digit(position: int) -> None:
    number = "11010519491231002X"
    for digit in "0123456789":
        wrong = number[:position] + digit + number[position + 1 :]
        assert id_number_ok(wrong) == (wrong == number)


def test_gb11643_refuses_a_date_of_birth_that_never_was() -> None:
    first17 = "11010519490231002"  # 31 February
    assert not id_number_ok(first17 + id_number_check_character(first17))


@pytest.mark.parametrize("number", ["11010519491231002x", "110105491231002", "１1010519491231002X", ""])
def test_gb11643_refuses_other_forms(number: str) -> None:
    assert not id_number_ok(number)


def test_gb11714_organisation_codes_with_and_without_hyphen() -> None:
    assert org_code_ok("D2143569-X")
    assert org_code_ok("D2143569X")
    assert not org_code_ok("D2143569-1")
    assert not org_code_ok("D2143568-X")
    assert org_code_ok("91110000600037341L"[8:17])  # characters 9 to 17 of a USCC are an organisation code


def test_gbt39554_item_codes_of_31_and_33_characters() -> None:
    code = "11310000MB2F30661Y231200356400001"
    assert item_code_ok(code)
    assert item_code_ok(code[:31])
    assert not item_code_ok(code[:32])
    assert not item_code_ok(code[:17] + "A" + code[18:])  # the agency's check character
    assert not item_code_ok(code[:18] + "7" + code[19:])  # no seventh level
    assert not item_code_ok(code + "01")
    assert base_code_ok(code[19:31])
    assert not base_code_ok(code[19:30])


def test_region_codes_have_6_9_or_12_digits() -> None:
    for code in ("460105", "460400499", "460105000000"):
        assert region_form_ok(code)
    for code in ("", "4601", "4601050", "06010500", "46010a", "4601050000000"):
        assert not region_form_ok(code)
