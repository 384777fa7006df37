"""Role airflow_triggerer."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import properties

UNIT = "airflow-triggerer.service"


def test_its_job_lives(host: Any, airflow: Airflow) -> None:
    jobs = airflow.living_jobs("TriggererJob")
    assert host.check_output("hostname") in [job["hostname"] for job in jobs]


@pytest.mark.only_in("distributed")
def test_log_server_wants_a_signature(site: Site, inventory_hostname: str) -> None:
    port = site.variable(inventory_hostname, "site_triggerer_log_port")
    # Only API servers are let in from other hosts.
    with site.tunnel(inventory_hostname, port) as local:
        assert requests.get(f"http://127.0.0.1:{local}/log/any", timeout=30).status_code == 403


def test_resumed_the_deferred_task_of_the_smoke_test(airflow: Airflow) -> None:
    runs = airflow.request("GET", "/api/v2/dags/airstrip_smoke_test/dagRuns", order_by="-start_date", limit="1")
    tasks = airflow.tasks("airstrip_smoke_test", runs["dag_runs"][0]["dag_run_id"])
    assert [task["state"] for task in tasks if task["task_id"] == "defer"] == ["success"]


def test_stops_in_time(host: Any) -> None:
    assert properties(host, UNIT, "TimeoutStopUSec") == {"TimeoutStopUSec": "1min 30s"}


def test_gets_its_secrets_and_no_others(host: Any, site: Site) -> None:
    main = properties(host, UNIT, "MainPID")["MainPID"]
    names = host.check_output(f"ls /proc/{main}/root/run/credentials/{UNIT}").split()
    expected = ["api_secret_key", "database_url", "fernet_key", *(["database_async_url"] if site.is_shared else [])]
    assert names == sorted(expected)
