"""What a simulated member needs to know to start, read once from the environment. No defaults for secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from signing.certificates import parse_pem
from signing.errors import SigningError
from signing.http_auth import HMAC_SHA256, HMAC_SM3
from signing.issuing import Identity as Signer
from signing.keys import load_key
from signing.provider import SoftwareProvider

# Stub -> the members it speaks for, and the algorithm each of them signs with.
MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "platform": ("platform",),
    "dept-a": ("dept-a",),
    "dept-b": ("dept-b",),
    "s08": ("window-haikou", "window-sanya"),
    "credit": ("credit",),
    "nation": ("nation",),
    "supervision": ("supervision",),
}
NAMES: Final = tuple(MEMBERS)
_SM3_MEMBERS: Final = frozenset({"dept-a"})
_ASMX: Final = frozenset({"dept-b"})
_TABLES: Final = frozenset({"nation"})


class StubSettingsError(ValueError):
    """A setting is missing or wrong; the text names the environment variable."""


PROVIDER: Final = SoftwareProvider()


@dataclass(frozen=True, slots=True)
class Identity:
    """One member this process speaks for. inbound_key signs what it sends; outbound_key verifies what the hub
    sends (R16, R17).
    """

    member: str
    algorithm: str
    inbound_key: bytes
    outbound_key: bytes


@dataclass(frozen=True, slots=True)
class StubSettings:
    """Frozen settings of one stub process. `address` is (host, port); port 0 takes a free one."""

    name: str
    address: tuple[str, int]
    gateway_url: str
    directory: Path
    identities: tuple[Identity, ...]
    sp_key: str = ""
    sp_secret: str = ""
    database_url: str = ""
    signers: Mapping[str, Signer] = field(default_factory=dict)

    def identity(self, member: str) -> Identity:
        """The identity of a member of this process. Raises KeyError."""
        for identity in self.identities:
            if identity.member == member:
                return identity
        raise KeyError(member)


def from_env(name: str, env: Mapping[str, str]) -> StubSettings:
    """Settings of the stub called `name`. Raises StubSettingsError naming the variable."""
    if name not in MEMBERS:
        raise StubSettingsError(f"未知模拟成员 {name!r} / unknown stub: use one of {', '.join(NAMES)}")
    connected = env.get("HUB_STUB_MEMBERS")
    members = tuple(one for one in MEMBERS[name] if not connected or one in connected.split(","))
    if not members:
        raise StubSettingsError(
            f"HUB_STUB_MEMBERS: {name} 不代表其中任何成员 / {name} speaks for none of them"
        )
    return StubSettings(
        name=name,
        address=_address(_need(env, "HUB_STUB_LISTEN")),
        gateway_url=_url(_need(env, "HUB_GATEWAY_URL"), "HUB_GATEWAY_URL"),
        directory=Path(_need(env, "HUB_DATA_DIR")) / "stubs" / name,
        identities=() if name in _TABLES else tuple(_identity(member, env) for member in members),
        sp_key=_need(env, "HUB_MEMBER_DEPT_B_SP_KEY") if name in _ASMX else "",
        sp_secret=_need(env, "HUB_MEMBER_DEPT_B_SP_SECRET") if name in _ASMX else "",
        database_url=_need(env, "HUB_NATION_DATABASE_URL") if name in _TABLES else "",
        signers=_signers(members, env),
    )


def _identity(member: str, env: Mapping[str, str]) -> Identity:
    algorithm = HMAC_SM3 if member in _SM3_MEMBERS else HMAC_SHA256
    if member in _ASMX:  # it cannot sign: key, secret and tokens instead, both ways
        return Identity(member, algorithm, b"", b"")
    prefix = f"HUB_MEMBER_{member.upper().replace('-', '_')}_"
    inbound, outbound = (_need(env, prefix + name).encode() for name in ("INBOUND_KEY", "OUTBOUND_KEY"))
    return Identity(member, algorithm, inbound, outbound)


def _signers(members: tuple[str, ...], env: Mapping[str, str]) -> Mapping[str, Signer]:
    """Members with a key file of their own in HUB_STUB_KEYS_DIR sign their receipts."""
    if not env.get("HUB_STUB_KEYS_DIR"):
        return {}
    directory, found = Path(env["HUB_STUB_KEYS_DIR"]), {}
    for member in members:
        key_file, certificate_file = directory / f"{member}.key", directory / f"{member}.crt"
        if not key_file.exists():
            continue
        try:
            key = load_key(key_file, _need(env, "HUB_STUB_KEYS_PASSPHRASE").encode(), PROVIDER)
            found[member] = Signer(parse_pem(certificate_file.read_bytes())[0], key)
        except (OSError, SigningError) as error:
            raise StubSettingsError(f"HUB_STUB_KEYS_DIR: {key_file}: {error}") from error
    return found


def _need(env: Mapping[str, str], variable: str) -> str:
    value = env.get(variable, "").strip()
    if not value:
        raise StubSettingsError(f"缺少环境变量 {variable} / environment variable {variable} is not set")
    return value


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise StubSettingsError(f"HUB_STUB_LISTEN 应为 主机:端口 / must be host:port, got {text!r}")
    return host, int(port)


def _url(text: str, variable: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise StubSettingsError(f"{variable} 应为 http(s) 地址 / must be an http(s) URL, got {text!r}")
    return text.rstrip("/")
