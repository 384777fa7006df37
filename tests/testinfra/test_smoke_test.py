"""Role smoke_test: the DAG run that site.yml ended with, read back through the API."""

from __future__ import annotations

from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import Site

DAG = "airstrip_smoke_test"


@pytest.fixture(scope="module")
def run(airflow: Airflow) -> dict[str, Any]:
    """The last run of the DAG."""
    found: dict[str, Any] = airflow.request("GET", f"/api/v2/dags/{DAG}/dagRuns", order_by="-start_date", limit="1")
    return dict(found["dag_runs"][0])


@pytest.fixture(scope="module")
def tasks(airflow: Airflow, run: dict[str, Any]) -> list[dict[str, Any]]:
    return airflow.tasks(DAG, run["dag_run_id"])


def queues(site: Site) -> list[str]:
    """Return all queues that have a worker, sorted."""
    workers = [worker for name in site.group("airflow_worker") for worker in site.variable(name, "site_workers")]
    return sorted({queue for worker in workers for queue in worker["queues"]})


def test_run_succeeded(run: dict[str, Any]) -> None:
    assert run["state"] == "success"


def test_every_kind_of_task_ran(site: Site, tasks: list[dict[str, Any]]) -> None:
    expected = ["defer", "double", "double", "double", "numbers", "total", *(f"queue_{name}" for name in queues(site))]
    assert sorted(task["task_id"] for task in tasks) == sorted(expected)
    assert {task["state"] for task in tasks} == {"success"}


def test_every_queue_ran_its_task(site: Site, tasks: list[dict[str, Any]]) -> None:
    ran = {task["queue"]: task["hostname"] for task in tasks if task["task_id"].startswith("queue_")}
    assert sorted(ran) == queues(site)
    runs_tasks = site.group("airflow_worker") or site.group("airflow_scheduler")
    assert set(ran.values()) <= set(runs_tasks)


def test_every_log_can_be_read(airflow: Airflow, run: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    for task in tasks:
        text = airflow.log(DAG, run["dag_run_id"], task)
        expected = "airstrip: " if task["task_id"] != "defer" else "defer"
        assert expected in text.lower(), f"{task['task_id']}: {text[-500:]}"


def test_result_went_through_xcoms(airflow: Airflow, run: dict[str, Any]) -> None:
    assert airflow.result(DAG, run["dag_run_id"], "total") == 12


def test_dag_is_out_of_the_users_way(site: Site, inventory_hostname: str, host: Any) -> None:
    directory = host.file("/usr/local/share/airflow/smoke_test")
    if inventory_hostname not in site.group("airflow"):
        # Such a host only asks its own services.
        assert not directory.exists
        return
    assert (directory.user, directory.group, directory.mode) == ("root", "root", 0o755)
    assert "airstrip_smoke_test" not in host.check_output("ls /srv/airflow/dags")
