"""What a site survives. These tests stop things, so they come last, and they run in one scenario."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_edge import wait_for
from airstrip_site import Site
from airstrip_units import processes, properties

pytestmark = [pytest.mark.only_in("single_node"), pytest.mark.usefixtures("probe_dags")]
WORKER = "airflow-worker@default"


@pytest.fixture(autouse=True)
def healthy(airflow: Airflow) -> Iterator[None]:
    """Begin and end with a healthy site, so that no test finds what another one left."""
    airflow.wait_until_healthy()
    yield
    airflow.wait_until_healthy()


def wait_for_task(airflow: Airflow, run: str, state: str, seconds: float = 60) -> None:
    """Return once the only task of a run of airstrip_sleep has a state."""
    limit = time.monotonic() + seconds
    while [task["state"] for task in airflow.tasks("airstrip_sleep", run)] != [state]:
        assert time.monotonic() < limit, airflow.tasks("airstrip_sleep", run)
        time.sleep(0.5)


def test_running_task_survives_the_stop_of_its_worker(host: Any, airflow: Airflow) -> None:
    run = airflow.start("airstrip_sleep", seconds=20)
    wait_for_task(airflow, run, "running")
    before = processes(host, WORKER)
    assert before
    started = time.monotonic()
    try:
        host.check_output(f"systemctl stop {WORKER}")
        stopped_after = time.monotonic() - started
        # The unit is gone with all its processes, which are no longer there under any other unit either.
        assert properties(host, WORKER, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
        left = host.run("ps --no-headers -o pid,args -p " + ",".join(map(str, before))).stdout
        assert left == ""
    finally:
        host.check_output(f"systemctl start {WORKER}")
    assert 5 < stopped_after < 60
    assert airflow.wait("airstrip_sleep", run, 30) == "success"
    (task,) = airflow.tasks("airstrip_sleep", run)
    assert task["try_number"] == 1
    assert airflow.result("airstrip_sleep", run, "sleep") >= 20


def restarts(host: Any) -> int:
    """Return how often systemd has restarted the scheduler by itself."""
    return int(properties(host, "airflow-scheduler", "NRestarts")["NRestarts"])


def test_site_comes_back_after_the_database_was_away(host: Any, airflow: Airflow) -> None:
    unit = host.check_output("systemctl list-units 'postgresql@*' --plain --no-legend").split()[0]
    before = restarts(host)
    host.check_output(f"systemctl stop {unit}")
    try:
        # It cannot go on without the database, and begins again and again until it can.
        wait_for(lambda: restarts(host) > before + 1, "the scheduler has been started twice", 120)
    finally:
        host.check_output(f"systemctl start {unit}")
    airflow.wait_until_healthy()
    run = airflow.start("airstrip_sleep", seconds=0)
    assert airflow.wait("airstrip_sleep", run, 120) == "success"


def test_task_waits_for_a_broker_that_restarts(host: Any, airflow: Airflow) -> None:
    units = "redis-server.service valkey-server.service"
    (broker,) = host.check_output(f"systemctl list-units --plain --no-legend {units} | cut -d' ' -f1").split()
    began = host.check_output("date +%s")
    host.check_output(f"systemctl stop {broker}")
    try:
        run = airflow.start("airstrip_sleep", seconds=0)
        # The scheduler has chosen the task, and could not send it.
        journal = f"journalctl --unit airflow-scheduler --since @{began} --output cat"
        wait_for(lambda: "onnection refused" in host.check_output(journal), "the scheduler finds no broker")
        assert airflow.state("airstrip_sleep", run) in ("queued", "running")
    finally:
        host.check_output(f"systemctl start {broker}")
    assert airflow.wait("airstrip_sleep", run, 120) == "success"
    (task,) = airflow.tasks("airstrip_sleep", run)
    assert task["try_number"] == 1


def test_running_task_outlives_a_scheduler_that_did_not_write_its_celery_id(host: Any, airflow: Airflow) -> None:
    """As schedulers of Airflow 3.1 do not where the task starts in the same moment."""
    run = airflow.start("airstrip_sleep", seconds=30)
    wait_for_task(airflow, run, "running")
    host.check_output(
        "cd / && runuser -u postgres -- psql airflow -c "
        "\"UPDATE task_instance SET external_executor_id = NULL WHERE dag_id = 'airstrip_sleep' AND state = 'running'\""
    )
    host.check_output("systemctl restart airflow-scheduler")
    assert airflow.wait("airstrip_sleep", run, 120) == "success"
    (task,) = airflow.tasks("airstrip_sleep", run)
    assert task["try_number"] == 1


def test_component_that_is_killed_comes_back(host: Any, airflow: Airflow) -> None:
    main = properties(host, WORKER, "MainPID")["MainPID"]
    host.check_output(f"kill -KILL {main}")
    run = airflow.start("airstrip_sleep", seconds=0)
    assert airflow.wait("airstrip_sleep", run, 120) == "success"
    assert properties(host, WORKER, "MainPID")["MainPID"] not in {"0", main}
    # Its log server did not survive it, or the new one could not have its port.
    assert "airstrip_sleep" in airflow.log("airstrip_sleep", run, airflow.tasks("airstrip_sleep", run)[0])


@pytest.mark.parametrize("component", ["worker", "triggerer", "scheduler", "dag_processor", "api_server"])
def test_smoke_test_names_the_failing_component_with_its_journal(host: Any, site: Site, component: str) -> None:
    unit = {"worker": WORKER}.get(component, f"airflow-{component.replace('_', '-')}")
    host.check_output(f"systemctl stop {unit}")
    try:
        result = site.command("ansible-playbook", "site.yml", "--tags", "verify", "-e", "smoke_test_run_timeout=20")
    finally:
        host.check_output(f"systemctl start {unit}")
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    assert f"The component that did not answer: {component}." in output, output[-3000:]
    assert f"Stopped {unit}.service" in output
