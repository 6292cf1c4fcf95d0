"""The one error of this package and the violations it carries. No rule is evaluated here."""

import msgspec


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One broken rule. field: path in the body (`materials[2].name`, "" = the body itself); rule: short name
    of the rule; standard: where the rule comes from; zh, en: what is wrong, never quoting the value (it may
    identify a person)."""

    field: str
    rule: str
    standard: str
    zh: str
    en: str


class ContractError(Exception):
    """Something does not keep its contract. Every violation found is given together, at most
    `VIOLATIONS_MAX` of them."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        if not violations:
            raise ValueError("a ContractError needs at least one violation")
        self.violations = violations
        first = violations[0]
        more = f" (+{len(violations) - 1})" if len(violations) > 1 else ""
        place = f"{first.field}: " if first.field else ""
        super().__init__(f"{place}{first.zh} / {first.en} [{first.rule}; {first.standard}]{more}")


def violation(field: str, rule: str, standard: str, zh: str, en: str) -> ContractError:
    """A ContractError of one violation."""
    return ContractError((Violation(field=field, rule=rule, standard=standard, zh=zh, en=en),))
