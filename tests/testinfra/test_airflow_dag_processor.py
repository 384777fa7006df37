"""Role airflow_dag_processor."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import processes, properties

UNIT = "airflow-dag-processor.service"


def test_its_job_lives(host: Any, airflow: Airflow) -> None:
    jobs = airflow.living_jobs("DagProcessorJob")
    assert host.check_output("hostname") in [job["hostname"] for job in jobs]


def test_reads_both_bundles(airflow: Airflow) -> None:
    dag = airflow.request("GET", "/api/v2/dags/airstrip_smoke_test")
    assert dag["bundle_name"] == "airstrip-smoke-test"
    assert airflow.request("GET", "/api/v2/importErrors")["total_entries"] == 0


@pytest.mark.usefixtures("probe_dags")
def test_reads_the_users_dags(airflow: Airflow) -> None:
    assert airflow.request("GET", "/api/v2/dags/airstrip_probe")["bundle_name"] == "dags-folder"


def test_stops_in_time(host: Any) -> None:
    assert properties(host, UNIT, "TimeoutStopUSec") == {"TimeoutStopUSec": "9s"}


@pytest.mark.only_in("single_node_bookworm")
def test_stops_in_time_while_it_forks_for_many_files(host: Any) -> None:
    made = "/srv/airflow/dags/airstrip_many"
    host.check_output(
        f"mkdir {made} && for file in $(seq 100); do echo '# of airflow, without a dag' >{made}/$file.py; done"
    )
    took = []
    try:
        for _ in range(4):
            host.check_output(f"systemctl restart {UNIT}")
            main = properties(host, UNIT, "MainPID")["MainPID"]
            forks = f"journalctl --quiet _PID={main} | grep 'Processing files' && pgrep --parent {main}"
            host.check_output(f'timeout 120 sh -c "until {forks}; do sleep 0.1; done"')
            started = time.monotonic()
            host.check_output(f"systemctl stop {UNIT}")
            took.append(time.monotonic() - started)
            assert processes(host, UNIT) == []
    finally:
        host.check_output(f"rm -r {made}; systemctl start {UNIT}")
    assert max(took) < 11, took


def test_gets_its_secrets_and_no_others(host: Any, site: Site) -> None:
    main = properties(host, UNIT, "MainPID")["MainPID"]
    expected = ["database_url", "fernet_key", *(["database_async_url"] if site.is_shared else [])]
    assert host.check_output(f"ls /proc/{main}/root/run/credentials/{UNIT}").split() == sorted(expected)
