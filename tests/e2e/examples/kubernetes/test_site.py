"""What the example's README says of the site that it installs, looked up on the hosts."""

from __future__ import annotations

import configparser
import hashlib
import re
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
import redis
import requests
from airstrip_airflow import Airflow
from airstrip_site import Site
from redis.backoff import NoBackoff
from redis.retry import Retry

LOGS = "/srv/airflow/logs"
UNITS = {
    "control-1": {"api-server", "scheduler", "dag-processor", "triggerer"},
    "worker-1": {"worker@default"},
}
# The one set of secrets, by those who have them.
CREDENTIALS = {
    "control-1": {
        "database_url", "database_async_url", "fernet_key", "jwt_secret", "api_secret_key", "session_secret_key",
        "broker_url", "results_view_url",
    },
    "worker-1": {"api_secret_key", "results_url"},
}  # fmt: skip


def digest(host: Any, name: str) -> str:
    """Return a digest of a credential: no failed test shows the secret."""
    return hashlib.sha256(host.file(f"/etc/airflow/credentials/{name}").content.strip()).hexdigest()


def test_it_is_the_version_that_the_readme_says(airflow: Airflow, readme: Any) -> None:
    version = airflow.request("GET", "/api/v2/version")["version"]
    assert version == "3.3.2"
    assert f"Airflow {version}" in readme.text


@pytest.mark.parametrize("name", UNITS)
def test_each_host_runs_its_components_and_no_webserver(hosts: dict[str, Any], name: str) -> None:
    listed = hosts[name].check_output(
        "systemctl list-units --plain --no-legend --state=active --type=service 'airflow-*'"
    )
    assert set(re.findall(r"^airflow-(\S+)\.service", listed, flags=re.MULTILINE)) == UNITS[name]


def test_the_user_interface_asks_who_it_is(site: Site, airflow: Airflow) -> None:
    session = requests.Session()
    session.trust_env = False
    answer = session.get(f"{site.edge_url}/api/v2/dags", verify=str(site.ca_certificate), timeout=30)
    assert answer.status_code == 401
    assert airflow.request("GET", "/ui/config")["instance_name"] == "Flujo de Airflow"


def options(host: Any) -> dict[tuple[str, str], str]:
    """Return what is in a host's airflow.cfg, by section and option."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(host.file("/etc/airflow/airflow.cfg").content_string)
    return {(section, name): value for section in parser.sections() for name, value in parser[section].items()}


def test_all_components_have_one_configuration(control: Any, worker: Any) -> None:
    values = [options(host) for host in (control, worker)]
    # Each host has those that its components read. The way to the API server is its own.
    shared = (values[0].keys() & values[1].keys()) - {("core", "execution_api_server_url")}
    assert {key: values[0][key] for key in shared} == {key: values[1][key] for key in shared}
    assert {("core", "executor"), ("logging", "base_log_folder")} <= shared
    assert values[0]["core", "executor"] == "CeleryExecutor"
    assert values[0]["logging", "base_log_folder"] == LOGS
    assert values[0]["api", "instance_name"] == "Flujo de Airflow"


@pytest.mark.parametrize("name", CREDENTIALS)
def test_each_host_has_its_part_of_the_secrets(hosts: dict[str, Any], name: str) -> None:
    listed = set(hosts[name].check_output("ls /etc/airflow/credentials").split())
    assert CREDENTIALS[name] <= listed
    # Workers have nothing for the metadata database.
    other = set().union(*(names for host, names in CREDENTIALS.items() if host != name)) - CREDENTIALS[name]
    assert not other & listed


def test_the_secrets_are_one_set(site: Site, control: Any, worker: Any) -> None:
    assert digest(control, "api_secret_key") == digest(worker, "api_secret_key")
    for secret in ("fernet_key", "jwt_secret", "api_secret_key"):
        wanted = hashlib.sha256(site.secrets[f"airflow_{secret}"].encode()).hexdigest()
        assert digest(control, secret) == wanted, secret


@pytest.fixture
def ask_redis(site: Site) -> Callable[..., bool]:
    def ask(username: str | None = None, password: str | None = None) -> bool:
        with site.tunnel("data-1", 6379) as port:
            client = redis.Redis(
                port=port, ssl=True, ssl_ca_certs=str(site.ca_certificate), protocol=2, retry=Retry(NoBackoff(), 0),
                username=username, password=password,
            )  # fmt: skip
            return bool(client.ping())

    return ask


def test_redis_has_a_password(site: Site, ask_redis: Callable[..., bool]) -> None:
    with pytest.raises(redis.RedisError, match=r"NOAUTH|Authentication"):
        ask_redis()
    with pytest.raises(redis.AuthenticationError):
        ask_redis(username="airflow", password="airflow")  # noqa: S106 the wrong one
    assert ask_redis(username="airflow", password=site.secrets["airflow_broker_password"])


def log_in(site: Site, password: str) -> str:
    """Log in to the database of the results, as from its network; return who it is."""
    with site.tunnel("data-1", 5432, site.address("data-1")) as port:
        connection = psycopg2.connect(
            host="127.0.0.1", port=port, user="results", dbname="results", password=password, connect_timeout=15
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            (name,) = cursor.fetchone() or ("",)
        connection.close()
    return str(name)


def test_postgresql_has_a_password(site: Site) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        log_in(site, "results")
    assert log_in(site, site.secrets["postgresql_role_results"]) == "results"


@pytest.mark.parametrize("directory", ["dags", "logs"])
def test_the_volume_is_one_for_all(control: Any, worker: Any, directory: str) -> None:
    found = [host.file(f"/srv/airflow/{directory}") for host in (control, worker)]
    assert [host.mount_point("/srv/airflow").exists for host in (control, worker)] == [True, True]
    assert {(file.uid, file.gid) for file in found} == {(50000, 50000)}
    mark = f"/srv/airflow/{directory}/.seen-by-both"
    control.check_output(f"touch {mark}")
    try:
        assert worker.file(mark).exists
    finally:
        control.check_output(f"rm {mark}")
