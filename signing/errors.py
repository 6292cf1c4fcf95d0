"""The two errors of this package. One says who may not come in, the other what is not well formed.
Both speak Chinese and English; neither ever carries a key, a password or personal data.
"""

from __future__ import annotations


class AuthError(Exception):
    """A caller that could not be authenticated.

    `code` is stable and made for programs; `zh` and `en` are made for people; `server_time_ms` is the
    server's clock (ms since epoch) so that a caller whose clock is off can correct itself.
    """

    def __init__(self, code: str, zh: str, en: str, server_time_ms: int) -> None:
        super().__init__(f"{code}: {zh} / {en}")
        self.code = code
        self.zh = zh
        self.en = en
        self.server_time_ms = server_time_ms


class SigningError(ValueError):
    """Malformed or unusable cryptographic input: DER, signature, key, certificate, ciphertext, seal.

    `field` names the part, `rule` the rule it breaks, `standard` where the rule is written.
    """

    def __init__(self, field: str, rule: str, standard: str = "", *, zh: str = "", en: str = "") -> None:
        self.field = field
        self.rule = rule
        self.standard = standard
        self.zh = zh or f"{field} 不符合要求（{rule}{'，' + standard if standard else ''}）"
        self.en = en or f"{field}: {rule}{' (' + standard + ')' if standard else ''}"
        super().__init__(f"{self.zh} / {self.en}")
