"""Role prometheus: whom it lets in, and whom it asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from airstrip_site import Site

DIRECTORY = "/etc/airstrip/prometheus"


@dataclass(frozen=True)
class Server:
    """Prometheus at its own host, and the login of its own user."""

    base: str
    login: tuple[str, str] = field(repr=False)
    authority: str

    def request(self, method: str, path: str, login: tuple[str, str] | None = None) -> requests.Response:
        return requests.request(method, self.base + path, auth=login, verify=self.authority, timeout=30)

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what it says to its own user."""
        result = self.request("GET", f"/api/v1/{path}?{urlencode(parameters)}", self.login)
        assert result.status_code == 200, result.text
        return result.json()["data"]


@pytest.fixture(scope="module")
def server(site: Site, inventory_hostname: str) -> Iterator[Server]:
    with site.tunnel(inventory_hostname, 9090) as port:
        authority = str(site.directory / ".certificates" / "ca.crt")
        yield Server(
            f"http{'s' * site.is_shared}://127.0.0.1:{port}",
            ("airstrip", site.secrets["monitoring_password"]),
            authority,
        )


def test_service_runs_and_starts_with_the_host(host: Any) -> None:
    service = host.service("prometheus.service")
    assert service.is_running
    assert service.is_enabled


def test_nobody_gets_in_without_a_password(server: Server) -> None:
    """Tasks may run on the same host."""
    for path in ("/metrics", "/api/v1/targets", "/api/v1/query?query=up", "/classic/graph"):
        for login in (None, ("airstrip", "wrong")):
            assert server.request("GET", path, login).status_code == 401


def test_nobody_can_change_or_stop_it(server: Server) -> None:
    for path in ("/-/quit", "/-/reload", "/api/v1/write"):
        assert server.request("POST", path, server.login).status_code in (403, 404), path
    assert server.ask("status/flags")["web.enable-admin-api"] == "false"


@pytest.mark.only_in("monitoring")
def test_it_speaks_tls_alone(site: Site, inventory_hostname: str) -> None:
    with site.tunnel(inventory_hostname, 9090) as port:
        assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).status_code == 400


def test_secrets_are_for_root_alone(host: Any, site: Site) -> None:
    for name in ("web.yml", "password", "token", *(["tls.key"] if site.is_shared else [])):
        file = host.file(f"{DIRECTORY}/{name}")
        assert (file.user, file.mode) == ("root", 0o600)
    said = host.check_output("systemctl cat prometheus.service; cat /proc/$(pidof prometheus)/cmdline | tr '\\0' ' '")
    for name in ("monitoring_password", "exporters_token"):
        assert site.secrets[name] not in said


def test_every_target_is_up(server: Server, site: Site) -> None:
    limit = time.monotonic() + 120
    while True:
        targets = server.ask("targets", state="active")["activeTargets"]
        down = [f"{row['labels']} {row['lastError']}" for row in targets if row["health"] != "up"]
        if not down or time.monotonic() > limit:
            break
        time.sleep(5)
    assert down == []
    found = {(row["labels"]["job"], row["labels"]["instance"]) for row in targets}
    assert {host for job, host in found if job == "exporters"} == set(site.hosts)
    assert {host for job, host in found if job == "node"} == set(site.hosts)
    assert {host for job, host in found if job == "statsd"} == set(site.group("airflow"))
    jobs = {"airflow", "alertmanager", "blackbox", "haproxy", "postgresql", "probe", "process", "prometheus", "redis"}
    assert jobs <= {job for job, _ in found}


@pytest.mark.parametrize("name", ["airflow_exporter_up", "pg_up", "redis_up", "probe_success"])
def test_what_is_asked_answers(server: Server, name: str) -> None:
    result = server.ask("query", query=name)["result"]
    assert [row["value"][1] for row in result] == ["1"], result


def test_no_rule_is_broken(server: Server) -> None:
    groups = server.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 30
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] == "err"} == {}


def test_processes_are_told_by_their_unit(server: Server) -> None:
    result = server.ask("query", query='namedprocess_namegroup_num_procs{groupname=~"airflow-.*"}')["result"]
    units = {row["metric"]["groupname"] for row in result}
    assert {"airflow-scheduler.service", "airflow-worker@default.service"} <= units


@pytest.mark.only_in("monitoring")
def test_people_look_through_the_load_balancers(site: Site) -> None:
    """By their own password, and at nothing else."""
    address = site.variable(site.group("load_balancer")[0], "ansible_host")
    base, authority = f"https://{address}", str(site.directory / ".certificates" / "ca.crt")
    login = ("ada", site.secrets["site_viewer_ada"])
    query = f"{base}/prometheus/api/v1/query?query=up"
    result = requests.get(query, auth=login, verify=authority, timeout=30)
    assert result.json()["status"] == "success"
    assert requests.get(query, verify=authority, timeout=30).status_code == 401
    assert requests.get(query, auth=("ada", "wrong"), verify=authority, timeout=30).status_code == 401
    page = requests.get(f"{base}/prometheus", auth=login, verify=authority, timeout=30)
    assert page.url.endswith("/prometheus/classic/graph") or "Prometheus" in page.text


@pytest.mark.only_in("monitoring")
def test_passwords_are_not_guessed_there(site: Site) -> None:
    address = site.variable(site.group("load_balancer")[0], "ansible_host")
    authority = str(site.directory / ".certificates" / "ca.crt")
    url = f"https://{address}/prometheus/api/v1/query?query=up"
    seen = {
        requests.get(url, auth=("ada", f"guess{number}"), verify=authority, timeout=30).status_code
        for number in range(40)
    }
    assert seen == {401, 429}
