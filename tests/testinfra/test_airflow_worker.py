"""Role airflow_worker: the Celery workers of a host, and what a task of theirs can reach."""

from __future__ import annotations

from typing import Any

import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import processes, properties, units

# The probe's task has no queue of its own, so it runs on that of this name.
WORKER_HOME = "/var/lib/airflow/worker-default"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 no file of ours: whether tasks can use it
CREDENTIALS = ["api_secret_key", "broker_url", "results_url"]


def worker_units(host: Any) -> list[str]:
    return units(host, "airflow-worker@*")


def test_instances_answer_under_their_names(host: Any) -> None:
    hostname = host.check_output("hostname")
    names = [unit.removeprefix("airflow-worker@").removesuffix(".service") for unit in worker_units(host)]
    assert names
    for name in names:
        answer = host.run(f"airflow-celery --worker {name} inspect ping --timeout 5")
        assert answer.rc == 0, answer.stderr
        assert f"{name}@{hostname}: OK" in answer.stdout
    # Without a name, all that can be asked from here are.
    answer = host.run("airflow-celery inspect ping --timeout 5")
    assert answer.rc == 0, answer.stderr
    assert all(f"{name}@{hostname}: OK" in answer.stdout for name in names)
    refused = host.run("airflow-celery --worker nobody inspect ping")
    assert refused.rc == 1
    assert "no worker 'nobody' can be asked from this host" in refused.stderr


def test_instances_take_from_their_queues(host: Any, site: Site, inventory_hostname: str) -> None:
    wanted = {worker["name"]: worker for worker in site.variable(inventory_hostname, "site_workers")}
    assert [f"airflow-worker@{name}.service" for name in sorted(wanted)] == worker_units(host)
    for name, worker in wanted.items():
        main = properties(host, f"airflow-worker@{name}", "MainPID")["MainPID"]
        arguments = host.check_output(f"tr '\\0' ' ' </proc/{main}/cmdline")
        # Celery's parent process may have replaced its title; the unit has what it was started with.
        started = properties(host, f"airflow-worker@{name}", "ExecStart")["ExecStart"] + arguments
        assert f"--queues {','.join(worker['queues'])} " in started
        if "autoscale" in worker:
            assert f"--autoscale {worker['autoscale']['max']},{worker['autoscale']['min']}" in started
        elif "concurrency" in worker:
            assert f"--concurrency {worker['concurrency']}" in started


def test_one_log_server_serves_all_instances_to_other_hosts(host: Any, site: Site, inventory_hostname: str) -> None:
    skipping = [
        unit for unit in worker_units(host) if "--skip-serve-logs" in properties(host, unit, "ExecStart")["ExecStart"]
    ]
    assert len(worker_units(host)) - len(skipping) == (1 if site.is_shared else 0)
    if site.is_shared:
        port = site.variable(inventory_hostname, "site_worker_log_port")
        # Only API servers are let in from other hosts.
        with site.tunnel(inventory_hostname, port) as local:
            assert requests.get(f"http://127.0.0.1:{local}/log/any", timeout=30).status_code == 403


def test_has_time_for_running_tasks(host: Any) -> None:
    for unit in worker_units(host):
        assert properties(host, unit, "TimeoutStopUSec") == {"TimeoutStopUSec": "10min"}


def test_gets_no_credentials_of_the_metadata_database(host: Any, site: Site) -> None:
    password = site.secrets["airflow_database_password"]
    for unit in worker_units(host):
        main = properties(host, unit, "MainPID")["MainPID"]
        directory = f"/proc/{main}/root/run/credentials/{unit}"
        assert host.check_output(f"ls '{directory}'").split() == CREDENTIALS
        # Not as an assertion on the texts, which a failure would print.
        leaked = password in host.check_output(f"cat '{directory}'/*")
        assert not leaked
        for process in processes(host, unit):
            environment = host.run(f"tr '\\0' '\\n' </proc/{process}/environ").stdout
            assert "SQL_ALCHEMY_CONN" not in environment
            assert "FERNET_KEY" not in environment
            assert "JWT_SECRET" not in environment


def test_instances_have_the_options_of_their_own(host: Any, site: Site, inventory_hostname: str) -> None:
    for worker in site.variable(inventory_hostname, "site_workers"):
        shown = properties(host, f"airflow-worker@{worker['name']}", "MemoryDenyWriteExecute")
        expected = worker.get("unit_options", {}).get("MemoryDenyWriteExecute", "yes")
        assert shown == {"MemoryDenyWriteExecute": expected}


@pytest.mark.only_in("single_node_bookworm")
def test_instance_that_is_taken_off_the_list_goes(host: Any, site: Site) -> None:
    assert len(worker_units(host)) == 2
    kept = properties(host, "airflow-worker@default", "MainPID")
    arguments = ("ansible-playbook", "site.yml", "--tags", "airflow_worker")
    fewer = '{"site_workers": [{"name": "default", "queues": ["default"], "concurrency": 4}]}'
    try:
        result = site.command(*arguments, "-e", fewer)
        assert result.returncode == 0, result.stdout[-4000:]
        assert worker_units(host) == ["airflow-worker@default.service"]
        assert host.run("systemctl is-active airflow-worker@reports").stdout.strip() == "inactive"
        assert host.run("systemctl is-enabled airflow-worker@reports").rc != 0
        assert properties(host, "airflow-worker@default", "MainPID") == kept
    finally:
        result = site.command(*arguments)
    assert result.returncode == 0, result.stdout[-4000:]
    assert len(worker_units(host)) == 2
    assert host.service("airflow-worker@reports").is_running


@pytest.fixture(scope="module")
def log_directory(site: Site) -> str:
    """Where tasks write their logs."""
    worker = testinfra.get_host(site.connection(site.group("airflow_worker")[0]))
    return str(worker.check_output("sed -n 's/^base_log_folder = //p' /etc/airflow/airflow.cfg"))


@pytest.fixture(scope="module")
def reached(airflow: Airflow, log_directory: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a real task could reach, and the host on which it ran."""
    request.getfixturevalue("probe_dags")
    run = airflow.start(
        "airstrip_probe",
        read=[
            "/etc/airflow/credentials/database_url", "/etc/airflow/credentials/fernet_key", "/etc/shadow",
            "/etc/airflow/airflow.cfg",
        ],
        list=["/etc/airflow/credentials", "/root"],
        write=[
            "/etc", "/etc/airflow", "/usr/local/bin", "/opt/airflow/current", "/srv/airflow/dags", "/var/lib/airflow",
            SHARED_MEMORY, WORKER_HOME, log_directory,
        ],
    )  # fmt: skip
    state = airflow.wait("airstrip_probe", run)
    task = airflow.tasks("airstrip_probe", run)[0]
    assert state == "success", airflow.log("airstrip_probe", run, task)
    found: dict[str, Any] = airflow.result("airstrip_probe", run, "probe")
    return found | {"hostname": task["hostname"]}


def test_task_sees_its_units_credentials_only(reached: dict[str, Any]) -> None:
    assert reached["credentials"] == CREDENTIALS
    assert len(reached["credential_directories"]) == 1
    assert reached["credential_directories"][0].startswith("airflow-worker@")


def test_task_cannot_read_what_is_roots(reached: dict[str, Any]) -> None:
    results = reached["read"] | reached["listed"]
    # The configuration holds no secret, and tasks need it: it also shows that the probe can tell the difference.
    assert results.pop("/etc/airflow/airflow.cfg") == "ok"
    assert {path: result.partition(":")[0] for path, result in results.items()} == dict.fromkeys(
        results, "PermissionError"
    )


def test_task_cannot_write_outside_of_its_places(reached: dict[str, Any], log_directory: str) -> None:
    written = reached["written"]
    assert [written.pop(path) for path in (SHARED_MEMORY, WORKER_HOME, log_directory)] == ["ok", "ok", "ok"]
    assert reached["home"] == WORKER_HOME
    assert {path: result.partition(":")[0] for path, result in written.items() if result == "ok"} == {}


def test_task_cannot_read_other_processes_environments(reached: dict[str, Any]) -> None:
    assert {name: result for name, result in reached["processes"].items() if result == "ok"} == {}


def test_task_sees_the_scheduler_where_it_runs_beside(site: Site, reached: dict[str, Any]) -> None:
    seen = any(name.startswith("airflow-scheduler.service") for name in reached["processes"])
    assert seen == (reached["hostname"] in site.group("airflow_scheduler"))


def test_task_cannot_use_the_metadata_database(reached: dict[str, Any]) -> None:
    results = reached["database"]
    assert results.pop("results") == "ok"
    assert len(results) == 5
    assert {name: result.partition(":")[0] for name, result in results.items()} == dict.fromkeys(
        results, "OperationalError"
    )


def test_task_knows_no_secret_by_its_environment(reached: dict[str, Any]) -> None:
    wanted = ("SQL_ALCHEMY", "FERNET", "JWT_SECRET", "PASSWORD")
    assert [name for name in reached["variables"] if any(word in name for word in wanted)] == []


def test_task_has_no_privileges(reached: dict[str, Any]) -> None:
    zero = "0" * 16
    assert reached["status"] == {"CapEff": zero, "CapBnd": zero, "NoNewPrivs": "1", "Seccomp": "2"}
    assert reached["uid"] == 50000


@pytest.fixture(scope="module")
def needs(airflow: Airflow, request: pytest.FixtureRequest) -> dict[str, str]:
    """What came of what tasks commonly do, by its name: `ok`, or the kind of error and its first line."""
    request.getfixturevalue("probe_dags")
    run = airflow.start("airstrip_needs")
    # Of these, each is a task of its own: some change their process, and one that hangs is known by its name.
    assert airflow.wait("airstrip_needs", run) == "success"
    return {
        task["task_id"]: airflow.result("airstrip_needs", run, task["task_id"])
        for task in airflow.tasks("airstrip_needs", run)
    }


# What is refused stands in the table of docs/hardening.md, with the way out.
@pytest.mark.parametrize(
    ("need", "comes_of_it"),
    [
        ("callback_of_native_code", "ok"),
        ("network_interfaces", "ok"),
        ("threads", "ok"),
        ("pool_of_multiprocessing", "AssertionError: ['daemonic processes are not allowed to have children']"),
        ("process_pool_executor", "AssertionError: ['daemonic processes are not allowed to have children']"),
        ("process_pool_executor_as_nobodys_daemon", "ok"),
        ("pool_of_a_program", "ok"),
        ("write_to_home", "ok"),
        ("write_to_airflow_home", "OSError"),
        ("write_to_tmp", "ok"),
        ("executable_memory", "PermissionError"),
        ("lower_priority", "PermissionError"),
    ],
)
def test_task_does_what_tasks_commonly_do(needs: dict[str, str], need: str, comes_of_it: str) -> None:
    assert needs[need].startswith(comes_of_it)
