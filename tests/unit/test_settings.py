"""Settings are checked at start; the error names the variable, and both when two do not fit."""

import pytest

from hub.config import Settings, SettingsError


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"HUB_HEARTBEAT_INTERVAL_MS": "2001"}, ("HUB_HEARTBEAT_INTERVAL_MS", "HUB_SESSION_TIMEOUT_MS")),
        ({"HUB_FETCH_BYTES_MAX": "2048"}, ("HUB_FETCH_BYTES_MAX", "HUB_BATCH_BYTES_MAX")),
        ({"HUB_STORE_AGE_MS_MAX": "302400001"}, ("HUB_STORE_AGE_MS_MAX",)),
        ({"HUB_TRANSACTION_TIMEOUT_MS": "900001"}, ("HUB_TRANSACTION_TIMEOUT_MS",)),
        ({"HUB_STANDBY_REPLICAS": "-1"}, ("HUB_STANDBY_REPLICAS",)),
        ({"HUB_STORE_BYTES_MAX": "many"}, ("HUB_STORE_BYTES_MAX",)),
        ({"HUB_KAFKA_BOOTSTRAP": ""}, ("HUB_KAFKA_BOOTSTRAP",)),
    ],
)
def test_a_setting_out_of_bounds_is_named(given: dict[str, str], named: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({"HUB_KAFKA_BOOTSTRAP": "127.0.0.1:9092", **given})
    assert all(name in str(error.value) for name in named)
