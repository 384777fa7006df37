"""Fixtures of the tests of examples/scaling-platform."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_prometheus import Prometheus
from airstrip_site import PROJECT, Site

EXAMPLE = PROJECT / "examples" / "scaling-platform"
DAGS = ("orders_etl", "queue_load", "queue_failures")
# Asks a URL that the host itself reaches, and prints status and text.
_ASK = """
import sys, urllib.error, urllib.request
method, url, body = sys.argv[1:]
request = urllib.request.Request(url, data=body.encode() or None, method=method)
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""

Ask = Callable[..., Any]


def until(found: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float) -> Any:
    """Ask again and again; return the first answer that is wanted."""
    limit = time.monotonic() + seconds
    while not wanted(answer := found()):
        assert time.monotonic() < limit, f"after {seconds} s still {answer!r}"
        time.sleep(2)
    return answer


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture(scope="session")
def hosts(site: Site) -> dict[str, Any]:
    """All hosts by name, as root."""
    names = ("control-1", "worker-1", "worker-2", "services-1")
    return {name: testinfra.get_host(site.connection(name)) for name in names}


@pytest.fixture(scope="session")
def control(hosts: dict[str, Any]) -> Any:
    return hosts["control-1"]


@pytest.fixture(scope="session")
def services(hosts: dict[str, Any]) -> Any:
    """The company's host, which is none of the site's."""
    return hosts["services-1"]


@pytest.fixture(scope="session")
def readme(site: Site) -> Callable[..., str]:
    """Run a command of the README, which has it with its own inventory; return what it said."""
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    joined = " ".join(text.replace("\\\n", " ").split())

    def run(program: str, arguments: str, *more: str) -> str:
        quoted = ['"' + part.replace('"', '\\"') + '"' for part in more]
        assert " ".join(["-i examples/scaling-platform/inventory", arguments, *quoted]) in joined
        result = site.command(program, *arguments.split(), *more)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="session")
def airflow(site: Site, readme: Callable[..., str]) -> Airflow:
    """Airflow's API, as the first administrator, with the example's DAGs."""
    readme("ansible-playbook", "playbooks/deploy_dags.yml -e dags_source=examples/scaling-platform/dags")
    found = site.airflow()
    for dag in DAGS:
        found.wait_for_dag(dag, 180)
    return found


@pytest.fixture(scope="session")
def start(airflow: Airflow, readme: Callable[..., str]) -> Callable[..., str]:
    """Start a run by the README's command; return its id."""

    def run(dag: str, conf: str = "") -> str:
        told = f"airflow dags trigger {dag}" + (f" --conf '{conf}'" if conf else "")
        readme("ansible", "control-1 -m ansible.builtin.command -a", told)
        newest = airflow.request("GET", f"/api/v2/dags/{dag}/dagRuns", order_by="-run_after", limit="1")
        return str(newest["dag_runs"][0]["dag_run_id"])

    return run


@pytest.fixture(scope="session")
def prometheus(site: Site) -> Iterator[Prometheus]:
    """Prometheus, as its own user."""
    with site.tunnel("control-1", 9090) as port:
        authority = site.directory / ".certificates" / "ca.crt"
        yield Prometheus(f"https://127.0.0.1:{port}", "airstrip", site.secrets["monitoring_password"], authority)


@pytest.fixture(scope="session")
def ask(hosts: dict[str, Any]) -> Ask:
    """Ask a URL from a host: the JSON of the answer, which has to be a good one."""

    def asked(name: str, method: str, url: str, body: Any = None) -> Any:
        # Testinfra quotes what stands for %s.
        given = "" if body is None else json.dumps(body)
        status, _, text = hosts[name].check_output("python3 -c %s %s %s %s", _ASK, method, url, given).partition(" ")
        assert status.startswith("2"), f"{status} {text}"
        return json.loads(text) if text.strip() else None

    return asked
