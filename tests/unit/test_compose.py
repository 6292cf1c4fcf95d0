"""docker-compose.yml: valid by the Compose Specification's schema, and what an operator relies on when
starting it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from hub.app import ROLES
from hub.config import Settings

TEXT = Path("docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BROKERS = ["kafka-1", "kafka-2", "kafka-3"]
ONE_SHOT = {"topics"}
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?P<rest>[^}]*)\}")


def test_it_is_valid_by_the_compose_specification() -> None:
    schema = json.loads(Path("tests/data/compose_spec.json").read_text("utf-8"))
    problems = [
        f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(COMPOSE)
    ]
    assert problems == []
    # The schema does refuse: a misspelt key is an error.
    assert list(Draft7Validator(schema).iter_errors({"services": {"a": {"imagee": "x"}}})) != []


def test_every_role_of_the_hub_has_a_service() -> None:
    commands = {name: service.get("command") for name, service in SERVICES.items()}
    assert {role: commands.get(role) for role in ROLES} == {role: ["serve", role] for role in ROLES}
    assert set(SERVICES) == {*BROKERS, "postgres", *ONE_SHOT, *ROLES}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_every_lasting_service_is_checked_restarted_and_keeps_its_data(name: str) -> None:
    service = SERVICES[name]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    assert service["restart"] == "unless-stopped"
    mounted = [volume.partition(":")[0] for volume in service["volumes"]]
    assert set(mounted) <= set(COMPOSE["volumes"])
    # Its first volume is its own: two services in one directory would corrupt each other's stores.
    assert [other for other in SERVICES if mounted[0] in str(SERVICES[other].get("volumes"))] == [name]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?", SERVICES[name]["image"])


def test_no_secret_has_a_default_and_what_is_missing_is_explained() -> None:
    sensitive = re.compile(r"PASSWORD|KEY|SECRET|TOKEN|CLUSTER_ID|NATION_DATABASE|MEMBERS")
    for found in VARIABLE.finditer(TEXT):
        if sensitive.search(found["name"]):
            assert re.fullmatch(r":\?.{10,}", found["rest"]), found[0]
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if sensitive.search(variable):
                assert str(value).startswith("${"), f"{variable} is written down"
            assert not re.search(r"://[^/@$]*:[^/@$]+@", str(value)), f"{variable} holds a password"


def test_three_brokers_acknowledge_only_what_two_hold() -> None:
    environments = [SERVICES[name]["environment"] for name in BROKERS]
    assert [environment["KAFKA_NODE_ID"] for environment in environments] == [1, 2, 3]
    for name, environment in zip(BROKERS, environments, strict=True):
        assert environment["KAFKA_DEFAULT_REPLICATION_FACTOR"] == 3
        assert environment["KAFKA_MIN_INSYNC_REPLICAS"] == 2
        assert environment["KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR"] == 3
        assert environment["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == 2
        assert environment["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"] == 3
        assert environment["KAFKA_LOG_RETENTION_MS"] == -1
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
        assert f"{environment['KAFKA_NODE_ID']}@{name}:9093" in environment["KAFKA_CONTROLLER_QUORUM_VOTERS"]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_the_hubs_settings_are_accepted_and_ask_for_three_replicas(role: str) -> None:
    environment = {
        name: VARIABLE.sub("postgresql://a-secret-long-enough", str(value))
        if str(value).startswith("$")
        else VARIABLE.sub("a-secret-long-enough", str(value))
        for name, value in SERVICES[role]["environment"].items()
    }
    settings = Settings.from_env(environment)
    assert (settings.replication_factor, settings.min_insync_replicas) == (3, 2)
    assert settings.kafka_bootstrap.count(",") == 2
    # The health check asks where this role listens.
    listens = {
        "gateway": settings.gateway_listen,
        "console": settings.console_listen,
        "views": settings.views_listen,
    }
    port = listens.get(role, settings.metrics_listen).rpartition(":")[2]
    assert f"127.0.0.1:{port}/readyz" in str(SERVICES[role]["healthcheck"]["test"])


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_has_no_more_rights_than_it_needs_and_waits_for_topics(role: str) -> None:
    service = SERVICES[role]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    assert set(SERVICES["topics"]["depends_on"]) == set(BROKERS)


def test_the_image_runs_as_a_normal_user_from_the_locked_packages() -> None:
    lines = Path("Dockerfile").read_text("utf-8").splitlines()
    assert "USER govhub" in lines
    assert any("--require-hashes" in line for line in lines)
