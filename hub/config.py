"""The hub's settings: one frozen object, read from the environment once and validated at start.

Every variable, its default and its bound stand in one table below; an error names the variable.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec


class SettingsError(Exception):
    """A setting is missing or out of bounds; the text names the environment variable."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one process. Times are in ms, sizes in bytes; the unit is the last word of the name."""

    kafka_bootstrap: str
    database_url: str = ""
    data_dir: Path
    directory_dir: Path
    files_dir: Path
    topic_prefix: str = ""
    partitions: int = 12
    replication_factor: int = 1
    min_insync_replicas: int = 1
    region: str = ""
    province: str = "46"
    pseudonym_key: bytes = b""
    token_key: bytes = b""
    gateway_listen: str = "127.0.0.1:8080"
    console_listen: str = "127.0.0.1:8081"
    views_listen: str = "127.0.0.1:8082"
    metrics_listen: str = ""
    gateway_url: str = ""
    views_url: str = ""
    console_admin_password: str = ""
    log_level: str = "INFO"
    worker_id: str = ""
    # gateway
    body_bytes_max: int = 983_040
    file_bytes_max: int = 67_108_864
    produce_timeout_ms: int = 10_000
    # lanes
    session_timeout_ms: int = 6_000
    heartbeat_interval_ms: int = 500
    transaction_timeout_ms: int = 60_000
    batch_records_max: int = 1_000
    batch_bytes_max: int = 983_040
    fetch_bytes_max: int = 8_388_608
    poll_wait_ms: int = 200
    lane_open_timeout_ms: int = 60_000
    reopen_delay_ms: int = 500
    drain_ms_max: int = 8_000
    redrive_alone_max: int = 100
    store_age_ms_max: int = 43_200_000
    store_bytes_max: int = 68_719_476_736
    store_keep_days: int = 7
    standby_replicas: int = 1
    restores_at_once_max: int = 2
    block_cache_bytes: int = 67_108_864
    write_buffer_bytes: int = 67_108_864
    clock_jump_ms_max: int = 10_000
    clock_shift_file: Path | None = None
    # routing
    credit_timeout_ms: int = 60_000
    early_held_max: int = 32
    parked_behind_max: int = 200
    # bridge: from this hub to one other
    bridge_target_region: str = ""
    bridge_target_bootstrap: str = ""
    bridge_target_topic_prefix: str = ""
    bridge_target_registry: str = ""
    bridge_retry_ms: int = 2_000
    bridge_retry_ms_max: int = 60_000
    bridge_cursor_ms_max: int = 1_000
    bridge_open_cache_bytes: int = 16_777_216
    closed_case_keep_days: int = 800
    # park brake (R24): share of the last decisions parked for one reason at which a lane stops
    park_brake_percent: int = 5
    park_brake_window: int = 500
    # evidence (G7): where the signing key and certificates are, and when a root is signed
    evidence_dir: Path | None = None
    evidence_passphrase: bytes = b""
    evidence_tsa_url: str = ""
    evidence_interval_ms: int = 10_000
    evidence_leaves_max: int = 1_000
    # notices to applicants: seal and keys, what the QR code leads to, who stands in the foot line
    notices_dir: Path | None = None
    notices_passphrase: bytes = b""
    notices_font: Path | None = None
    notices_query_url: str = ""
    notices_issuer: str = "一体化政务服务平台"
    notices_batch_max: int = 10
    evidence_exchange_ms: int = 3_600_000
    # certificates whose end is announced, besides those of evidence_dir
    certificates_dir: Path | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Settings from HUB_* variables. Raises SettingsError naming the variable that is missing or out of
        bounds."""
        values: dict[str, Any] = {}
        for name, parse in _PARSERS.items():
            variable = "HUB_" + name.upper()
            raw = env.get(variable, "")
            if raw == "":
                continue
            try:
                values[name] = parse(raw)
            except ValueError as error:
                raise SettingsError(f"{variable}={raw!r}: {error}") from None
        if "kafka_bootstrap" not in values:
            raise SettingsError(
                "缺少环境变量 / missing environment variable: HUB_KAFKA_BOOTSTRAP (host:port[,host:port])"
            )
        data_dir = values.setdefault("data_dir", Path("data"))
        values.setdefault("directory_dir", Path(__file__).parent / "directory" / "data")
        values.setdefault("files_dir", data_dir / "files")
        if "pseudonym_key" in values and len(values["pseudonym_key"]) < 16:
            raise SettingsError("HUB_PSEUDONYM_KEY: 至少 16 字节 / at least 16 bytes")
        settings = cls(**values)
        settings._agree()
        return settings

    def _agree(self) -> None:
        """Settings that bound each other. Raises SettingsError naming both."""
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise SettingsError(
                f"HUB_HEARTBEAT_INTERVAL_MS={self.heartbeat_interval_ms}: 不得超过 HUB_SESSION_TIMEOUT_MS"
                f"（{self.session_timeout_ms}）的三分之一 / at most a third of HUB_SESSION_TIMEOUT_MS"
            )
        if self.fetch_bytes_max < self.batch_bytes_max:
            raise SettingsError(
                f"HUB_FETCH_BYTES_MAX={self.fetch_bytes_max}: 不得小于 HUB_BATCH_BYTES_MAX"
                f"（{self.batch_bytes_max}） / at least HUB_BATCH_BYTES_MAX"
            )

    def topic(self, name: str) -> str:
        """A topic's full name on the broker."""
        return self.topic_prefix + name

    def bare(self, topic: str) -> str:
        """A topic's name in the catalogue."""
        return topic.removeprefix(self.topic_prefix)


def _text(raw: str) -> str:
    return raw


def _path(raw: str) -> Path:
    return Path(raw)


def _key(raw: str) -> bytes:
    return raw.encode()


def _whole(low: int, high: int) -> Any:
    def parse(raw: str) -> int:
        value = int(raw)
        if not low <= value <= high:
            raise ValueError(f"须在 {low}..{high} 之间 / must be within {low}..{high}")
        return value

    return parse


def _address(raw: str) -> str:
    host, _, port = raw.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise ValueError("格式为 主机:端口 / must be host:port")
    return raw


def _bootstrap(raw: str) -> str:
    for part in raw.split(","):
        _address(part.strip())
    return raw


def _database(raw: str) -> str:
    if urlsplit(raw).scheme not in ("postgresql", "postgres"):
        raise ValueError("格式为 / must be postgresql://user:password@host:port/database")
    return raw


def _http(raw: str) -> str:
    if urlsplit(raw).scheme not in ("http", "https"):
        raise ValueError("格式为 / must be http(s)://host:port")
    return raw.rstrip("/")


def _level(raw: str) -> str:
    if raw.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("DEBUG | INFO | WARNING | ERROR")
    return raw.upper()


_MS: Final = _whole(1, 86_400_000)
_BYTES: Final = _whole(1_024, 1 << 34)
_PARSERS: Final[dict[str, Any]] = {
    "kafka_bootstrap": _bootstrap,
    "database_url": _database,
    "data_dir": _path,
    "directory_dir": _path,
    "files_dir": _path,
    "topic_prefix": _text,
    "partitions": _whole(1, 1_000),
    "replication_factor": _whole(1, 9),
    "min_insync_replicas": _whole(1, 9),
    "region": _text,
    "province": _text,
    "pseudonym_key": _key,
    "token_key": _key,
    "gateway_listen": _address,
    "console_listen": _address,
    "views_listen": _address,
    "metrics_listen": _address,
    "gateway_url": _http,
    "views_url": _http,
    "console_admin_password": _text,
    "log_level": _level,
    "worker_id": _text,
    "body_bytes_max": _BYTES,
    "file_bytes_max": _BYTES,
    "produce_timeout_ms": _MS,
    "session_timeout_ms": _MS,
    "heartbeat_interval_ms": _MS,
    # Kafka's transaction.max.timeout.ms is 15 minutes; its coordinator looks every 10 s.
    "transaction_timeout_ms": _whole(1, 900_000),
    "batch_records_max": _whole(1, 100_000),
    "batch_bytes_max": _BYTES,
    "fetch_bytes_max": _BYTES,
    "poll_wait_ms": _MS,
    "lane_open_timeout_ms": _MS,
    "reopen_delay_ms": _MS,
    "drain_ms_max": _MS,
    "redrive_alone_max": _whole(1, 100_000),
    # Half of the changelogs' delete.retention.ms at most, or a store could miss a tombstone.
    "store_age_ms_max": _whole(1, 302_400_000),
    "store_bytes_max": _whole(1 << 20, 1 << 44),
    "store_keep_days": _whole(1, 36_500),
    "standby_replicas": _whole(0, 8),
    "restores_at_once_max": _whole(1, 64),
    "block_cache_bytes": _BYTES,
    "write_buffer_bytes": _BYTES,
    "clock_jump_ms_max": _MS,
    "clock_shift_file": _path,
    "credit_timeout_ms": _MS,
    "early_held_max": _whole(1, 10_000),
    "parked_behind_max": _whole(1, 10_000),
    "bridge_target_region": _text,
    "bridge_target_bootstrap": _bootstrap,
    "bridge_target_topic_prefix": _text,
    "bridge_target_registry": _http,
    "bridge_retry_ms": _MS,
    "bridge_retry_ms_max": _MS,
    "bridge_cursor_ms_max": _MS,
    "bridge_open_cache_bytes": _BYTES,
    "closed_case_keep_days": _whole(1, 36_500),
    "park_brake_percent": _whole(1, 100),
    "park_brake_window": _whole(10, 100_000),
    "notices_dir": _path,
    "notices_passphrase": _key,
    "notices_font": _path,
    "notices_query_url": _http,
    "notices_issuer": _text,
    "notices_batch_max": _whole(1, 1_000),
    "certificates_dir": _path,
    "evidence_dir": _path,
    "evidence_passphrase": _key,
    "evidence_tsa_url": _http,
    "evidence_interval_ms": _MS,
    "evidence_leaves_max": _whole(1, 100_000),
    "evidence_exchange_ms": _MS,
}
