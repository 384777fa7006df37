"""Flower, as people reach it: it shows the workers, tells of no token, and changes nothing."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

# What a worker is told begins with this; a token is of three parts in base64, of which the first begins with `{"`.
TELLTALES = ("eyJ", '"token"', "ExecuteTask")
TABLE = (
    "/tasks/datatable?draw=1&start=0&length=100&search[value]="
    "&order[0][column]=0&columns[0][data]=name&order[0][dir]=asc"
)
REFUSED = (
    *("/api/worker/shutdown/{worker}", "/api/worker/pool/shrink/{worker}", "/api/task/revoke/1"),
    *("/api/task/send-task/execute_workload", "/api//worker/shutdown/{worker}", "/%61pi/worker/shutdown/{worker}"),
    *("/workers", "/api/../api/worker/shutdown/{worker}"),
)


class Viewer:
    """A person who may look, or one who says so."""

    def __init__(self, site: Site, login: tuple[str, str] | None) -> None:
        self._base = f"https://{site.variable(site.group('load_balancer')[0], 'ansible_host')}/flower"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = login
        self._session.verify = str(site.directory / ".certificates" / "ca.crt")

    def get(self, path: str) -> requests.Response:
        return self._session.get(self._base + path, timeout=30)

    def post(self, path: str, **headers: str) -> requests.Response:
        return self._session.post(self._base + path, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def ada(site: Site) -> Viewer:
    return Viewer(site, ("ada", site.secrets["site_viewer_ada"]))


def run(host: Any, program: str, credential: str, argument: str = "") -> str:
    """Return what a program of this directory prints on a host; it reads what is secret, so that no command has it."""
    encoded = base64.b64encode((Path(__file__).with_name("files") / program).read_bytes()).decode()
    python = f'/opt/airflow/current/bin/python -c "$(echo {encoded} | base64 -d)"'
    return str(host.check_output(f"{python} '{argument}' </etc/airflow/credentials/{credential}"))


def until(question: Callable[[], list[str]], seconds: float = 60) -> list[str]:
    """Return the first answer that is not empty."""
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(2)
    return answer


def workers(viewer: Viewer) -> list[str]:
    """Return the names of the workers that Flower shows as alive."""
    viewer.get("/workers?refresh=1")
    return sorted(row["hostname"] for row in viewer.get("/workers?json=1").json()["data"] if row["status"])


@pytest.fixture(scope="module")
def shown(ada: Viewer, site: Site) -> list[str]:
    wanted = len(site.group("airflow_worker"))
    return until(lambda: found if len(found := workers(ada)) >= wanted else [])


def test_it_shows_the_workers_to_those_who_may_look(site: Site, shown: list[str]) -> None:
    assert {name.partition("@")[0] for name in shown} == {"default"}
    assert len(shown) == len(site.group("airflow_worker"))
    assert Viewer(site, None).get("/workers").status_code == 401
    assert Viewer(site, ("ada", "wrong")).get("/workers").status_code == 401
    assert Viewer(site, ("airstrip", "")).get("/workers").status_code == 401


@pytest.fixture(scope="module")
def tasks(airflow: Airflow, ada: Viewer, shown: list[str]) -> list[str]:  # noqa: ARG001 - after that
    """States of tasks that Flower has seen."""
    run = airflow.start("airstrip_smoke_test")
    assert airflow.wait("airstrip_smoke_test", run, 180) == "success"
    return until(lambda: [row["state"] for row in ada.get(TABLE).json()["data"] if row["name"] == "execute_workload"])


def test_it_tells_of_tasks_and_of_no_token(ada: Viewer, shown: list[str], tasks: list[str]) -> None:
    assert tasks
    for worker in shown:
        ada.get(f"/worker/{worker}")
    rows = ada.get(TABLE).json()["data"]
    pages = ["/", "/workers", "/workers?json=1", "/tasks", "/broker", TABLE]
    pages += [f"/worker/{worker}" for worker in shown] + [f"/task/{row['uuid']}" for row in rows[:5]]
    for page in pages:
        answer = ada.get(page)
        assert answer.status_code == 200, page
        assert [word for word in TELLTALES if word in answer.text] == [], page
    for path in ("/api/tasks", "/api/workers", "/metrics", f"/api/task/info/{rows[0]['uuid']}"):
        assert ada.get(path).status_code in (403, 404), path


@pytest.mark.parametrize("path", REFUSED)
def test_it_changes_nothing(site: Site, ada: Viewer, shown: list[str], path: str) -> None:
    answer = ada.post(path.format(worker=shown[0]))
    assert answer.status_code in (403, 404, 405)
    # Nor from its own host, past the load balancers.
    host = testinfra.get_host(site.connection(site.group("flower")[0]))
    assert run(host, "flower_post.py", "flower_logins", path.format(worker=shown[0])) in ("403", "404", "405")
    assert workers(ada) == shown


def test_no_other_site_asks_for_a_change(ada: Viewer) -> None:
    assert ada.post(TABLE, Origin="https://evil.example").status_code == 403


def test_its_user_of_the_broker_takes_no_message(site: Site) -> None:
    host = testinfra.get_host(site.connection(site.group("flower")[0]))
    url = host.check_output("cat /etc/airflow/credentials/flower_broker_url")
    assert "airflow-flower-default" in url
    said = run(host, "flower_rights.py", "flower_broker_url")
    assert said.splitlines() == ["length: allowed", "read: refused", "take: refused", "stop others: refused"]
