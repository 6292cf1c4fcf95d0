"""Who is signed in: a signed cookie, so that a session needs no database (R25), and the CSRF token derived
from it. No pages here."""

import base64
import hmac
import secrets
import time
from typing import Final

import msgspec

from hub.console.accounts import Role
from signing.digest import hmac_sm3

COOKIE: Final = "govhub_session"
LOGIN_COOKIE: Final = "govhub_login"
SESSION_SECONDS_MAX: Final = 8 * 3600
COOKIE_BYTES_MAX: Final = 1_024


class Session(msgspec.Struct, frozen=True):
    """One signed-in person. expires_s: seconds since the epoch."""

    name: str
    roles: tuple[Role, ...]
    manages: bool
    expires_s: int
    nonce: str

    def may(self, *roles: Role) -> bool:
        """True when the person has one of these roles."""
        return any(role in self.roles for role in roles)


class Sessions:
    """Seals and opens cookies with one key. Without a configured key every start draws a new one and all
    sessions end."""

    def __init__(self, key: bytes) -> None:
        self._key = key or secrets.token_bytes(32)

    def open(self, name: str, roles: list[Role], manages: bool) -> tuple[Session, str]:
        """A new session and its cookie value."""
        expires = int(time.time()) + SESSION_SECONDS_MAX
        session = Session(name, tuple(roles), manages, expires, secrets.token_hex(16))
        return session, self._seal(msgspec.json.encode(session))

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it is absent, expired or not ours."""
        raw = self._unseal(cookie)
        if raw is None:
            return None
        try:
            session = msgspec.json.decode(raw, type=Session)
        except msgspec.DecodeError:
            return None
        return session if session.expires_s > time.time() else None

    def csrf(self, nonce: str) -> str:
        """The token that every form of this session carries."""
        return hmac_sm3(self._key, b"csrf:" + nonce.encode()).hex()

    def csrf_ok(self, nonce: str, token: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(self.csrf(nonce).encode(), token.encode())

    def _seal(self, raw: bytes) -> str:
        body = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return f"{body}.{hmac_sm3(self._key, b'session:' + body.encode()).hex()}"

    def _unseal(self, cookie: str) -> bytes | None:
        body, _, seal = cookie.partition(".")
        if len(cookie) > COOKIE_BYTES_MAX or not seal:
            return None
        if not hmac.compare_digest(
            hmac_sm3(self._key, b"session:" + body.encode()).hex().encode(), seal.encode()
        ):
            return None
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
