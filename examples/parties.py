"""Applicants that do not exist: names, identity numbers and credit codes with true check digits. Nothing
random beyond the given source.

Identity numbers carry a district founded in 2020 (460302, 460303) with birth years before 2000, credit codes
a main identifier that
begins with MAEX: nobody real has them.
"""

import random
from typing import Any, Final

from schemas.checks import id_number_check_character, uscc_check_character

_SURNAMES: Final = "王陈符吴林黄黎李周张郑曾蔡冯韩邢邓谢杨云"
# fmt: off
_GIVEN: Final = (
    "海燕", "国强", "秀兰", "志明", "春梅", "文博", "雨桐", "建华", "丽娜", "俊杰",
    "晓东", "美玲", "子涵", "家豪", "诗琪", "永福", "玉珍", "世杰", "小喆", "丹䶮",
)
# fmt: on
# 喆 is in GBK but not in GB 2312, 䶮 only in GB 18030: old systems stumble over such names.
_GBK_GIVEN: Final = _GIVEN[:-1]
_WORDS: Final = ("椰风", "南溟", "琼湾", "海棠", "鹿城", "美兰", "云月", "三角梅", "金盘", "石山")
_BRANCHES: Final = {
    "F52": ("食品", "超市", "便利店"),
    "F5251": ("大药房", "医药"),
    "L7263": ("劳务派遣",),
    "L7262": ("人力资源服务",),
    "P8391": ("职业培训",),
    "": ("机电设备", "计量技术", "旅游服务", "物业管理"),
}
_ORG_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_BASE36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STREETS: Final = ("滨海大道", "海府路", "国兴大道", "解放路", "迎宾路", "河东路", "榆亚路", "凤翔西路")


def person_name(source: random.Random, *, in_gbk: bool) -> str:
    """A personal name; with in_gbk only characters a GBK system can write."""
    return source.choice(_SURNAMES) + source.choice(_GBK_GIVEN if in_gbk else _GIVEN)


def id_number(source: random.Random) -> str:
    """公民身份号码 with a true check digit (GB 11643-1999)."""
    first17 = (
        source.choice(("460302", "460303"))
        + f"{source.randint(1950, 1999)}{source.randint(1, 12):02d}{source.randint(1, 28):02d}"
        + f"{source.randint(1, 999):03d}"
    )
    return first17 + id_number_check_character(first17)


def credit_code(region: str, number: int) -> str:
    """统一社会信用代码 of a company: 91, region, main identifier with its own check digit, check character
    (GB 32100-2015)."""
    main8 = "MAEX" + _base31(number)
    first17 = "91" + region[:6] + main8 + _org_check(main8)
    return first17 + uscc_check_character(first17)


def natural_person(source: random.Random, region_name: str, *, in_gbk: bool) -> dict[str, Any]:
    """Party of kind 1 (A.4 自然人)."""
    return {
        "name": person_name(source, in_gbk=in_gbk),
        "kind": "1",
        "idType": "111",
        "idNo": id_number(source),
        "address": _address(source, region_name),
        "postcode": "570100" if "海口" in region_name else "572000",
    }


def company(
    source: random.Random, region: str, region_name: str, number: int, industry: str, *, in_gbk: bool
) -> dict[str, Any]:
    """Party of kind 2 (A.4 企业法人)."""
    branch = source.choice(_BRANCHES.get(industry, _BRANCHES[""]))
    city = "海口" if region.startswith("4601") else "三亚"
    return {
        "name": f"{city}示例{source.choice(_WORDS)}{branch}有限公司",
        "kind": "2",
        "idType": "001",
        "idNo": credit_code(region, number),
        "legalPerson": person_name(source, in_gbk=in_gbk),
        "address": _address(source, region_name),
        "postcode": "570100" if city == "海口" else "572000",
    }


def agent(source: random.Random, *, in_gbk: bool) -> dict[str, Any]:
    """联系人/代理人."""
    return {
        "name": person_name(source, in_gbk=in_gbk),
        "idType": "111",
        "idNo": id_number(source),
        "mobile": f"1380000{source.randint(0, 9999):04d}",
    }


def _address(source: random.Random, region_name: str) -> str:
    return f"海南省{region_name}{source.choice(_STREETS)}{source.randint(1, 288)}号"


def _base31(number: int) -> str:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    digits = ""
    for _ in range(4):
        number, rest = divmod(number, 31)
        digits = alphabet[rest] + digits
    return digits


def _org_check(main8: str) -> str:
    total = sum(
        _BASE36.index(character) * weight for character, weight in zip(main8, _ORG_WEIGHTS, strict=True)
    )
    return "0123456789X"[-total % 11]
