"""Who is calling: the members of the directory as the gateway's doors need them, and the four ways to prove
it (R16).

Keys come from the directory; nothing here reads HTTP bodies or knows messages.
"""

import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from hub.directory import Member
from hub.gateway.errors import Rejected
from signing import sp_token, username_token
from signing.errors import AuthError
from signing.http_auth import HEADER_ALGORITHM, SKEW_MS_DEFAULT, Verifier, claimed_member, header_of
from signing.nonces import NonceMemory
from signing.username_token import UsernameToken

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NONCES_MAX: Final = 100_000
_REFERENCE: Final = re.compile(r"\$\{([A-Z0-9_]+)\}")
log = structlog.get_logger()


class Caller(msgspec.Struct, frozen=True):
    """A member as a caller. keys: one, or two during rotation. algorithm "" = either. networks empty = from
    anywhere."""

    id: str
    keys: tuple[bytes, ...]
    algorithm: str = ""
    skew_ms: int = SKEW_MS_DEFAULT
    sp_key: str = ""
    sp_secret: str = ""
    networks: tuple[Network, ...] = ()
    source_systems: frozenset[str] = frozenset()
    org_code: str = ""
    org_name: str = ""


def caller_of(member: Member, env: Mapping[str, str]) -> Caller:
    """A Caller from a directory member whose secrets are still `${VAR}` references: a gateway needs the
    inbound ones only.

    A reference that env does not hold gives no key: that member cannot call, and the log says which variable
    is missing.
    """
    auth = member.auth
    keys = [_resolved(member.id, key, env) for key in auth.inbound_keys]
    return Caller(
        id=member.id,
        keys=tuple(key.encode() for key in keys if key),
        algorithm=auth.algorithm,
        skew_ms=auth.skew_ms,
        sp_key=_resolved(member.id, auth.sp_key, env),
        sp_secret=_resolved(member.id, auth.sp_secret, env),
        networks=tuple(ipaddress.ip_network(address, strict=False) for address in auth.addresses),
        source_systems=frozenset(member.source_systems),
        org_code=member.org_code,
        org_name=member.name_zh,
    )


def _resolved(member: str, text: str, env: Mapping[str, str]) -> str:
    for variable in _REFERENCE.findall(text):
        if not env.get(variable):
            log.warning("gateway.key_missing", member=member, variable=variable)
            return ""
    return _REFERENCE.sub(lambda found: env[found[1]], text)


class Callers:
    """All callers, and their authentication. Nonce memory is bounded and of this process; correctness never
    rests on it (R16)."""

    def __init__(
        self,
        callers: Iterable[Caller],
        *,
        token_key: bytes,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._now_ms = now_ms
        self._token_key = token_key
        self._verifier = Verifier(NONCES_MAX)
        self._file_verifier = Verifier(NONCES_MAX)
        self._nonces = NonceMemory(NONCES_MAX)
        self.replace(callers)

    def replace(self, callers: Iterable[Caller]) -> None:
        """Take a new version of the directory; requests in progress keep what they have."""
        self._by_id = {caller.id: caller for caller in callers}
        self._by_sp_key = {caller.sp_key: caller for caller in self._by_id.values() if caller.sp_key}

    def get(self, member: str) -> Caller | None:
        return self._by_id.get(member)

    def claimed(self, headers: Mapping[str, str], address: str) -> Caller:
        """The caller a request names, before its signature is checked; enough to refuse strangers before
        reading a body."""
        name = claimed_member(headers) or ""
        caller = self._by_id.get(name)
        if caller is None:
            # Same words for an unknown member and one without keys: the verifier says what is missing.
            self._verify(Caller(name, ()), headers, "GET", "/", b"")
            raise AssertionError("a caller without keys was verified")
        self._check_address(caller, address)
        return caller

    def signed(
        self, headers: Mapping[str, str], method: str, path_and_query: str, body: bytes, address: str
    ) -> Caller:
        """The member whose signature is on this request. Raises Rejected 401 with the server's time, 403 for
        a foreign address."""
        caller = self.claimed(headers, address)
        self._verify(caller, headers, method, path_and_query, body)
        return caller

    def signed_file(
        self, headers: Mapping[str, str], path_and_query: str, content: bytes, address: str
    ) -> Caller:
        """As `signed` for a PUT, safe in a thread: with a nonce memory of its own, one caller at a time."""
        caller = self.claimed(headers, address)
        self._verify(caller, headers, "PUT", path_and_query, content, self._file_verifier)
        return caller

    def username(self, token: UsernameToken, body: bytes, address: str) -> Caller:
        """The member of a WS-Security UsernameToken; its password is the inbound key as text."""
        now_ms = self._now_ms()
        caller = self._by_id.get(token.username)
        passwords = [key.decode("utf-8", "replace") for key in caller.keys] if caller else []
        skew_ms = caller.skew_ms if caller else SKEW_MS_DEFAULT
        try:
            username_token.verify(
                token, passwords=passwords, now_ms=now_ms, skew_ms=skew_ms, memory=self._nonces, content=body
            )
        except AuthError as error:
            raise _unauthenticated(error) from error
        if caller is None:
            raise AssertionError("an unknown user was verified")
        self._check_address(caller, address)
        return caller

    def issue_token(self, key: str, secret: str, address: str, ttl_s: int = sp_token.TTL_S_DEFAULT) -> str:
        """getXmlToken: a token for a caller that gave its key and secret."""
        now_ms = self._now_ms()
        caller = self._by_sp_key.get(key)
        if caller is None or not _same(caller.sp_secret, secret):
            raise _unauthenticated(
                AuthError("bad_token", "key 或 secret 不正确", "key or secret is not right", now_ms)
            )
        self._check_address(caller, address)
        return sp_token.issue(key, secret, now_ms // 1000, ttl_s, self._token_key)

    def token(self, token: str, address: str) -> Caller:
        """The member a token speaks for."""
        now_ms = self._now_ms()
        try:
            key = sp_token.check(token, self._token_key, now_ms // 1000)
            caller = self._by_sp_key.get(key)
            secrets: Sequence[str] = (caller.sp_secret,) if caller else ()
            sp_token.check(token, self._token_key, now_ms // 1000, secrets=secrets)
        except AuthError as error:
            raise _unauthenticated(error) from error
        if caller is None:
            raise AssertionError("a token of an unknown key was verified")
        self._check_address(caller, address)
        return caller

    def _verify(
        self,
        caller: Caller,
        headers: Mapping[str, str],
        method: str,
        path_and_query: str,
        body: bytes,
        verifier: Verifier | None = None,
    ) -> None:
        now_ms = self._now_ms()
        given = header_of(headers, HEADER_ALGORITHM)
        if caller.algorithm and given and given != caller.algorithm:
            raise _unauthenticated(
                AuthError(
                    "bad_signature",
                    f"{HEADER_ALGORITHM}：该成员登记的算法是 {caller.algorithm}",
                    f"{HEADER_ALGORITHM}: this member is registered with {caller.algorithm}",
                    now_ms,
                )
            )
        try:
            (verifier or self._verifier).verify(
                headers, method, path_and_query, body, keys=caller.keys, now_ms=now_ms, skew_ms=caller.skew_ms
            )
        except AuthError as error:
            raise _unauthenticated(error) from error

    def _check_address(self, caller: Caller, address: str) -> None:
        if not caller.networks:
            return
        try:
            given = ipaddress.ip_address(address)
        except ValueError:
            given = None
        if given is None or not any(given in network for network in caller.networks):
            raise Rejected(
                403,
                "foreign_address",
                f"来源地址 {address} 不在成员 {caller.id} 登记的地址之内",
                f"address {address} is not registered for member {caller.id}",
            )


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


def _unauthenticated(error: AuthError) -> Rejected:
    return Rejected(401, error.code, error.zh, error.en, server_time_ms=error.server_time_ms)
