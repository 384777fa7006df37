"""Role airflow_scheduler."""

from __future__ import annotations

import re
from typing import Any

from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import processes, properties

UNIT = "airflow-scheduler.service"


def test_listens_nowhere(host: Any) -> None:
    """Its health is in the metadata database: a health server would be one more process, of 87 MB.

    If it runs the tasks, the API server of its host reads their logs.
    """
    pids = [f"pid={pid}," for pid in processes(host, UNIT)]
    listening = host.check_output("ss --listening --tcp --numeric --processes --no-header").splitlines()
    assert [line for line in listening if any(pid in line for pid in pids)] == []


def test_its_job_lives(host: Any, airflow: Airflow) -> None:
    jobs = airflow.living_jobs("SchedulerJob")
    assert host.check_output("hostname") in [job["hostname"] for job in jobs]


def test_executor_is_the_one_that_was_asked_for(host: Any, site: Site, inventory_hostname: str) -> None:
    wanted = site.variable(inventory_hostname, "site_executor")
    this_start = "_SYSTEMD_INVOCATION_ID=$(systemctl show --property=InvocationID --value airflow-scheduler)"
    journal = host.check_output(f"journalctl --output cat {this_start}")
    assert set(re.findall(r"Loaded executor: :(\w+):", journal)) == {wanted}


def test_stops_in_time(host: Any, site: Site, inventory_hostname: str) -> None:
    celery = site.variable(inventory_hostname, "site_executor") == "CeleryExecutor"
    expected = "1min 30s" if celery else "10min"
    assert properties(host, UNIT, "TimeoutStopUSec") == {"TimeoutStopUSec": expected}


def test_gets_its_secrets_and_no_others(host: Any, site: Site, inventory_hostname: str) -> None:
    main = properties(host, UNIT, "MainPID")["MainPID"]
    names = set(host.check_output(f"ls /proc/{main}/root/run/credentials/{UNIT}").split())
    celery = site.variable(inventory_hostname, "site_executor") == "CeleryExecutor"
    expected = {"api_secret_key", "database_url", "fernet_key", "jwt_secret"}
    expected |= {"database_async_url"} if site.is_shared else set()
    assert names == expected | ({"broker_url", "results_view_url"} if celery else set())
