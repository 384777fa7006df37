"""Role airflow_api_server: the REST API, from outside."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import properties

UNIT = "airflow-api-server.service"


def url(site: Site, hostname: str) -> str:
    return f"http://{site.address(hostname)}:{site.variable(hostname, 'airflow_api_server_port')}"


def test_answers_from_outside_with_the_release_that_is_installed(
    host: Any, site: Site, inventory_hostname: str
) -> None:
    answer = requests.get(f"{url(site, inventory_hostname)}/api/v2/version", timeout=30)
    release = host.check_output("readlink /opt/airflow/current").rpartition("/")[2]
    assert release.startswith(f"{answer.json()['version']}-")


def test_administrator_gets_in_with_the_generated_password(site: Site, inventory_hostname: str) -> None:
    client = Airflow(url(site, inventory_hostname), "admin", site.secrets["airflow_admin_password"])
    assert client.request("GET", "/auth/fab/v1/users/admin")["username"] == "admin"


@pytest.mark.parametrize("password", ["admin", "airflow", "", "wrong" * 5])
def test_other_passwords_are_refused(site: Site, inventory_hostname: str, password: str) -> None:
    body = {"username": "admin", "password": password}
    answer = requests.post(f"{url(site, inventory_hostname)}/auth/token", json=body, timeout=30)
    assert 400 <= answer.status_code < 500
    assert "access_token" not in answer.text


@pytest.mark.parametrize("path", ["/api/v2/dags", "/api/v2/variables", "/api/v2/config", "/auth/fab/v1/users"])
def test_nothing_is_told_without_a_token(site: Site, inventory_hostname: str, path: str) -> None:
    assert requests.get(url(site, inventory_hostname) + path, timeout=30).status_code in {401, 403}


def test_token_of_another_key_is_refused(site: Site, inventory_hostname: str) -> None:
    parts = [{"alg": "HS512", "typ": "JWT"}, {"sub": "1", "iat": time.time(), "exp": time.time() + 600}]
    message = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(b"airflow" * 10, message, "sha512")).rstrip(b"=")
    headers = {"Authorization": f"Bearer {(message + b'.' + signature).decode()}"}
    answer = requests.get(f"{url(site, inventory_hostname)}/api/v2/dags", headers=headers, timeout=30)
    assert answer.status_code in {401, 403}


def test_every_component_is_healthy(airflow: Airflow) -> None:
    health = airflow.request("GET", "/api/v2/monitor/health")
    expected = {"metadatabase", "scheduler", "triggerer", "dag_processor"}
    assert {name for name in expected if health[name]["status"] == "healthy"} == expected


def test_serves_the_user_interface(site: Site, inventory_hostname: str) -> None:
    answer = requests.get(f"{url(site, inventory_hostname)}/auth/login/", timeout=30)
    assert answer.status_code == 200
    assert "password" in answer.text.lower()


def test_runs_under_gunicorn(host: Any) -> None:
    main = properties(host, UNIT, "MainPID")["MainPID"]
    children = host.check_output(f"ps --no-headers -o args --ppid {main}")
    assert "gunicorn" in children


def test_has_time_for_open_requests(host: Any) -> None:
    assert properties(host, UNIT, "TimeoutStopUSec") == {"TimeoutStopUSec": "2min 30s"}


def test_gets_its_secrets_and_no_others(host: Any) -> None:
    main = properties(host, UNIT, "MainPID")["MainPID"]
    names = host.check_output(f"ls /proc/{main}/root/run/credentials/{UNIT}").split()
    assert names == ["api_secret_key", "database_url", "fernet_key", "jwt_secret"]
