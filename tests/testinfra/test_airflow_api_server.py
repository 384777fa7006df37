"""Role airflow_api_server: the REST API, from outside."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import properties

UNIT = "airflow-api-server.service"


class Server:
    """The API server of one host. Behind load balancers, nobody else reaches it: the way leads through its host."""

    def __init__(self, url: str, ca: Path | None) -> None:
        self.url, self.ca = url, ca

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        verify = True if self.ca is None else str(self.ca)
        return requests.request(method, self.url + path, timeout=30, verify=verify, **arguments)


@pytest.fixture(scope="module")
def server(site: Site, inventory_hostname: str) -> Iterator[Server]:
    port = site.variable(inventory_hostname, "site_api_server_port")
    if site.group("load_balancer"):
        with site.tunnel(inventory_hostname, port) as local:
            yield Server(f"{'https' if site.is_shared else 'http'}://127.0.0.1:{local}", site.ca_certificate)
    else:
        yield Server(f"http://{site.address(inventory_hostname)}:{port}", None)


def test_answers_from_outside_with_the_release_that_is_installed(host: Any, server: Server) -> None:
    answer = server.ask("GET", "/api/v2/version")
    release = host.check_output("readlink /opt/airflow/current").rpartition("/")[2]
    assert release.startswith(f"{answer.json()['version']}-")


def test_administrator_gets_in_with_the_generated_password(site: Site, server: Server) -> None:
    client = Airflow(server.url, "admin", site.secrets["airflow_admin_password"], server.ca)
    assert client.request("GET", "/auth/fab/v1/users/admin")["username"] == "admin"


@pytest.mark.parametrize("password", ["admin", "airflow", "", "wrong" * 5])
def test_other_passwords_are_refused(server: Server, password: str) -> None:
    answer = server.ask("POST", "/auth/token", json={"username": "admin", "password": password})
    assert 400 <= answer.status_code < 500
    assert "access_token" not in answer.text


@pytest.mark.parametrize("path", ["/api/v2/dags", "/api/v2/variables", "/api/v2/config", "/auth/fab/v1/users"])
def test_nothing_is_told_without_a_token(server: Server, path: str) -> None:
    assert server.ask("GET", path).status_code in {401, 403}


def test_token_of_another_key_is_refused(server: Server) -> None:
    parts = [{"alg": "HS512", "typ": "JWT"}, {"sub": "1", "iat": time.time(), "exp": time.time() + 600}]
    message = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(b"airflow" * 10, message, "sha512")).rstrip(b"=")
    headers = {"Authorization": f"Bearer {(message + b'.' + signature).decode()}"}
    assert server.ask("GET", "/api/v2/dags", headers=headers).status_code in {401, 403}


def test_every_component_is_healthy(airflow: Airflow) -> None:
    health = airflow.request("GET", "/api/v2/monitor/health")
    expected = {"metadatabase", "scheduler", "triggerer", "dag_processor"}
    assert {name for name in expected if health[name]["status"] == "healthy"} == expected


def test_serves_the_user_interface(server: Server) -> None:
    answer = server.ask("GET", "/auth/login/")
    assert answer.status_code == 200
    assert "password" in answer.text.lower()


def test_runs_under_gunicorn(host: Any) -> None:
    main = properties(host, UNIT, "MainPID")["MainPID"]
    children = host.check_output(f"ps --no-headers -o args --ppid {main}")
    assert "gunicorn" in children


def test_has_time_for_open_requests(host: Any) -> None:
    assert properties(host, UNIT, "TimeoutStopUSec") == {"TimeoutStopUSec": "2min 30s"}


def test_gets_its_secrets_and_no_others(host: Any, site: Site) -> None:
    main = properties(host, UNIT, "MainPID")["MainPID"]
    names = host.check_output(f"ls /proc/{main}/root/run/credentials/{UNIT}").split()
    tls = ["api_server_certificate", "api_server_certificate_key", "database_async_url"]
    expected = [
        "api_secret_key",
        "database_url",
        "fernet_key",
        "jwt_secret",
        "session_secret_key",
        *(tls if site.is_shared else []),
    ]
    assert names == sorted(expected)


@pytest.mark.only_in("single_node")
@pytest.mark.parametrize("path", ["webserver_config.py", "credentials/session_secret_key"])
def test_does_not_start_without_the_key_of_logins(host: Any, server: Server, path: str) -> None:
    host.check_output(f"mv /etc/airflow/{path} /root/airstrip-kept")
    try:
        assert host.run(f"systemctl restart {UNIT}").rc != 0
        assert properties(host, UNIT, "MainPID") == {"MainPID": "0"}
    finally:
        host.check_output(f"mv /root/airstrip-kept /etc/airflow/{path} && systemctl restart {UNIT}")
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        try:
            if server.ask("GET", "/execution/health").status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(1)
    pytest.fail("the API server did not come back within two minutes")


def test_commands_on_users_need_no_key_of_logins(host: Any) -> None:
    listed = host.run("airflow users list --output json")
    assert listed.rc == 0, listed.stderr
    assert '"admin"' in listed.stdout
