"""What the compose file said: versions, names, ports, bounds, and who may do what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import redis
from airstrip_airflow import Airflow
from airstrip_edge import fetch, wait_for
from airstrip_postgresql import sql
from airstrip_site import Site
from airstrip_units import active, units

MB = 1024 * 1024


@pytest.fixture(scope="module")
def broker(site: Site) -> Iterator[Any]:
    """Valkey, as its administrator."""
    with site.tunnel("node-1", 6379) as port:
        password = site.secrets["redis_admin_password"]
        with redis.Redis(host="127.0.0.1", port=port, username="admin", password=password) as connection:
            yield connection


def option(node: Any, section: str, name: str) -> str:
    """Return an option as Airflow has it."""
    return str(node.check_output(f"airflow config get-value {section} {name}").splitlines()[-1])


def test_it_is_airflow_3_1_7(airflow: Airflow) -> None:
    assert airflow.request("GET", "/api/v2/version")["version"] == "3.1.7"


@pytest.mark.parametrize(
    ("section", "name", "wanted"),
    [
        ("core", "executor", "CeleryExecutor"),
        ("core", "auth_manager", "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"),
        ("core", "dags_are_paused_at_creation", "True"),
        ("core", "load_examples", "False"),
        ("core", "execution_api_server_url", "http://127.0.0.1:8443/execution/"),
        ("scheduler", "enable_health_check", "True"),
    ],
)
def test_it_is_configured_as_it_was(node: Any, section: str, name: str, wanted: str) -> None:
    assert option(node, section, name) == wanted


def test_each_database_has_an_owner_of_its_own(node: Any) -> None:
    names = "('app', 'airflow', 'analytics')"
    owners = f"SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname IN {names} ORDER BY 1"  # noqa: S608
    assert sql(node, owners) == "airflow|airflow\nanalytics|dbt\napp|app"
    assert sql(node, "SELECT rolname FROM pg_roles WHERE rolsuper") == "postgres"


@pytest.mark.parametrize("user", ["app", "airflow", "dbt"])
def test_nobody_gets_into_the_database_of_another(connect: Any, user: str) -> None:
    own = {"dbt": "analytics"}.get(user, user)
    with connect(user, own) as connection:
        assert connection.info.dbname == own
    for other in {"app", "airflow", "analytics"} - {own}:
        with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"), connect(user, other):
            pass


def test_the_broker_is_valkey_with_256_mb(broker: Any, node: Any) -> None:
    assert broker.info("server")["server_name"] == "valkey"
    assert node.package("valkey-server").version.startswith("8.1")
    assert int(broker.config_get("maxmemory")["maxmemory"]) == 256 * MB
    assert broker.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert broker.config_get("appendonly")["appendonly"] == "yes"


def test_nobody_asks_the_broker_without_a_password(site: Site) -> None:
    with (
        site.tunnel("node-1", 6379) as port,
        redis.Redis(host="127.0.0.1", port=port, protocol=2) as stranger,
        pytest.raises(redis.RedisError, match=r"NOAUTH|Authentication"),
    ):
        stranger.ping()


@pytest.mark.parametrize("port", [5432, 6379, 8974, 5555, 8081])
def test_its_own_ports_are_the_host_s_alone(node: Any, site: Site, port: int) -> None:
    assert node.socket(f"tcp://127.0.0.1:{port}").is_listening
    assert not node.socket(f"tcp://{site.address('node-1')}:{port}").is_listening


def test_people_come_to_8080(site: Site) -> None:
    assert site.edge_url == f"http://{site.address('node-1')}:8080"


def test_the_scheduler_s_health_server_answers(node: Any) -> None:
    assert fetch(node, "http://127.0.0.1:8974/health")[0] == 200
    assert fetch(node, "http://127.0.0.1:8974/other")[0] == 404


def test_tasks_run_as_50000(node: Any) -> None:
    assert node.user("airflow").uid == 50000


def test_one_number_says_that_there_are_three_workers(node: Any, site: Site) -> None:
    worker = site.variable("node-1", "site_workers")[0]
    assert (worker["scale"]["min"], worker["scale"]["max"]) == (3, 3)
    names = [f"airflow-worker@default-{number}.service" for number in (1, 2, 3)]
    assert units(node, "airflow-worker*") == names
    assert [name for name in active(node) if name.startswith("airflow-worker")] == names


def workers(node: Any) -> dict[str, list[str]]:
    """Return the workers that answer, each with its queues."""
    text = node.run("airflow-celery inspect active_queues --json").stdout
    said = json.loads(text[text.index("{") :]) if "{" in text else {}
    return {name: [queue["name"] for queue in queues] for name, queues in said.items()}


ALL_THREE = {f"default-{number}@node-1": ["default"] for number in (1, 2, 3)}


def test_all_three_take_tasks(node: Any) -> None:
    assert workers(node) == ALL_THREE


def fill(broker: Any) -> int:
    """Write pieces of 4 MB until one is refused; return how many there are."""
    for number in range(100):
        try:
            broker.set(f"airstrip:{number}", "x" * 4 * MB)
        except redis.OutOfMemoryError:
            return number
    return 100


def test_a_full_broker_refuses_and_drops_nothing(broker: Any, node: Any) -> None:
    broker.set("airstrip:first", "there")
    try:
        assert 40 < fill(broker) <= 64
        assert broker.get("airstrip:first") == b"there"
    finally:
        for name in broker.scan_iter("airstrip:*"):
            broker.delete(name)
    wait_for(lambda: workers(node) == ALL_THREE, "all workers answer again", 120)
