"""PostgreSQL from 15 to 17 and back, by playbooks/postgresql_upgrade.yml. Each test goes on where the last ended."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import PROJECT, Site

OLD, NEW = "15", "17"
PLAYBOOK = "playbooks/postgresql_upgrade.yml"
COPY = "airstrip-postgresql-upgrade.service"
CLIENTS = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
HEALTHY = {"metadatabase": "healthy", "scheduler": "healthy", "triggerer": "healthy", "dag_processor": "healthy"}
DAGS = (
    PROJECT / "tests" / "testinfra" / "dags" / "airstrip_probe.py",
    Path(__file__).parent / "dags" / "airstrip_wait.py",
)
CONNECTION, PASSWORD = "airstrip_kept", "kept-through-the-upgrade"
# Ends the next copy a moment after it has begun, as a machine does that is out of memory; not one that still runs.
KILL_COPY = (
    f"for _ in $(seq 3000); do systemctl is-active --quiet {COPY} || break; sleep 0.1; done;"
    f" for _ in $(seq 3000); do systemctl is-active --quiet {COPY} && break; sleep 0.1; done; sleep 1;"
    f" systemctl kill --signal=KILL {COPY}"
)
EXTENSION = f"/usr/share/postgresql/{OLD}/extension/airstrip_test"


def ansible(site: Site, *argv: str, version: str = NEW) -> subprocess.CompletedProcess[str]:
    return site.command("ansible-playbook", "--extra-vars", f"site_postgresql_version={version}", *argv)


def done(result: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a run that has to succeed."""
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    return result.stdout


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a run that has to fail, its blanks made one each."""
    assert result.returncode != 0, result.stdout[-8000:]
    return " ".join(result.stdout.split())


def changes(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the tasks that changed something."""
    tasks = re.split(r"^TASK \[", done(result), flags=re.MULTILINE)
    return [task.partition("]")[0] for task in tasks if re.search(r"^changed: ", task, re.MULTILINE)]


def clusters(node: Any) -> dict[str, tuple[str, str]]:
    """Return for each cluster `main` whether it runs, and whether it starts with the host."""
    lines = node.check_output("pg_lsclusters --no-header").splitlines()
    found = {fields[0]: fields[3] for fields in map(str.split, lines)}
    return {
        version: (status, node.check_output(f"tail -n 1 /etc/postgresql/{version}/main/start.conf").strip())
        for version, status in found.items()
    }


def started(node: Any) -> dict[str, str]:
    """Return when each unit of the site was started."""
    units = (f"postgresql@{OLD}-main", *CLIENTS)
    return {
        unit: node.check_output(f"systemctl show --property=ActiveEnterTimestampMonotonic {unit}") for unit in units
    }


def runs(airflow: Airflow) -> set[str]:
    found = airflow.request("GET", "/api/v2/dags/airstrip_sleep/dagRuns", limit="100")["dag_runs"]
    return {run["dag_run_id"] for run in found}


def wait_until_healthy(site: Site, seconds: float = 120) -> Airflow:
    """Return a client once all components report to the API."""
    limit = time.monotonic() + seconds
    seen: Any = None
    while time.monotonic() < limit:
        try:
            airflow = site.airflow()
            health = airflow.request("GET", "/api/v2/monitor/health")
            seen = {name: health[name]["status"] for name in HEALTHY}
        except requests.RequestException as error:
            seen = error
        if seen == HEALTHY:
            return airflow
        time.sleep(1)
    raise TimeoutError(f"not healthy after {seconds} s: {seen}")


def assert_works(site: Site, node: Any, version: str) -> Airflow:
    """A task runs, on the expected version, and the connection from before is there, with its password."""
    airflow = wait_until_healthy(site)
    assert sql(node, "SHOW server_version_num")[:2] == version
    assert airflow.wait("airstrip_sleep", airflow.start("airstrip_sleep", seconds=0), 120) == "success"
    assert PASSWORD in node.check_output(f"airflow connections get {CONNECTION} --output json")
    return airflow


@contextmanager
def outages(site: Site) -> Iterator[list[float]]:
    """Give the seconds of each time that the API does not answer meanwhile."""
    found: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        since: float | None = None
        while not stop.is_set():
            try:
                requests.get(f"{site.edge_url}/api/v2/version", timeout=2).raise_for_status()
                if since is not None:
                    found.append(time.monotonic() - since)
                since = None
            except requests.RequestException:
                since = since or time.monotonic()
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        stop.set()
        watcher.join()


@contextmanager
def meanwhile(node: Any, command: str) -> Iterator[None]:
    """Run a command on the host beside what follows; it has to succeed."""
    results: list[Any] = []
    runner = threading.Thread(target=lambda: results.append(node.run(command)))
    runner.start()
    try:
        yield
    finally:
        runner.join()
    assert results[0].rc == 0, results[0].stderr


@pytest.fixture(scope="module")
def before(site: Site, node: Any) -> set[str]:
    """What the site has before: a DAG with runs, whose ids are returned, and a connection with a password."""
    for path in DAGS:
        source = path.read_text(encoding="utf-8")
        node.check_output(f"printf %s {shlex.quote(source)} >/srv/airflow/dags/{path.name}")
    node.check_output("airflow dags reserialize --bundle-name dags-folder")
    airflow = wait_until_healthy(site)
    airflow.request(
        "POST", "/api/v2/connections", {"connection_id": CONNECTION, "conn_type": "generic", "password": PASSWORD}
    )
    assert airflow.wait("airstrip_sleep", airflow.start("airstrip_sleep", seconds=0), 120) == "success"
    return runs(airflow)


def test_site_yml_makes_no_second_cluster(site: Site, node: Any, before: set[str]) -> None:
    output = refused(ansible(site, "site.yml", "--tags", "validate"))
    assert before
    assert "PostgreSQL 15 runs, and 17 is wanted" in output
    assert PLAYBOOK in output
    assert clusters(node) == {OLD: ("online", "auto")}


def test_what_does_not_fit_is_refused_before_anything_stops(site: Site, node: Any) -> None:
    node.check_output(f"printf \"default_version = '1'\\n\" >{EXTENSION}.control && touch {EXTENSION}--1.sql")
    sql(node, "CREATE EXTENSION airstrip_test")
    node.check_output(
        f"mkdir -p /var/lib/postgresql/{NEW} && mount -t tmpfs -o size=200m none /var/lib/postgresql/{NEW}"
    )
    since = started(node)
    try:
        output = refused(ansible(site, PLAYBOOK))
    finally:
        sql(node, "DROP EXTENSION airstrip_test")
        node.check_output(f"umount /var/lib/postgresql/{NEW} && rm {EXTENSION}*")
    assert "postgresql_upgrade_mode" in output
    assert "the extension airstrip_test of airflow is not there for PostgreSQL 17" in output
    assert started(node) == since
    assert clusters(node)[OLD] == ("online", "auto")


def test_interrupted_run_begins_again_and_failed_one_goes_back(site: Site, node: Any) -> None:
    argv = [str(Path(sys.executable).with_name("ansible-playbook"))]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")}
    argv += [*site.inventory_sources, "--extra-vars", f"site_postgresql_version={NEW}", PLAYBOOK]
    with subprocess.Popen(
        argv, cwd=PROJECT, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as controller:
        limit = time.monotonic() + 300
        while node.run(f"systemctl is-active --quiet {COPY}").rc != 0:
            assert controller.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.2)
        os.killpg(controller.pid, signal.SIGKILL)
    assert clusters(node)[OLD][0] != "online" or node.run("systemctl is-active airflow-scheduler").rc != 0

    with meanwhile(node, KILL_COPY):
        output = refused(ansible(site, PLAYBOOK))
    assert "PostgreSQL 15 runs again, with all its data, and Airflow on it" in output
    assert clusters(node) == {OLD: ("online", "auto"), NEW: ("down", "manual")}
    assert_works(site, node, OLD)


def test_running_task_survives_the_upgrade(site: Site, node: Any, before: set[str]) -> None:
    airflow = wait_until_healthy(site)
    known = runs(airflow)
    run = airflow.start("airstrip_wait")
    limit = time.monotonic() + 60
    while [task["state"] for task in airflow.tasks("airstrip_wait", run)] != ["running"]:
        assert time.monotonic() < limit
        time.sleep(0.5)
    with outages(site) as seconds:
        result = ansible(site, PLAYBOOK)
    output = " ".join(done(result).split())
    assert "PostgreSQL 17 runs; 15/main is kept, stopped" in output
    assert clusters(node) == {OLD: ("down", "manual"), NEW: ("online", "auto")}
    sys.stdout.write(f"seconds without API: {seconds}\n")
    # The scheduler takes a task for dead that has not been heard of for so long.
    assert 0 < max(seconds) < 300
    airflow = wait_until_healthy(site)
    assert airflow.state("airstrip_wait", run) == "running"
    node.check_output("touch /srv/airflow/dags/airstrip_wait_no_longer")
    assert airflow.wait("airstrip_wait", run, 120) == "success"
    (task,) = airflow.tasks("airstrip_wait", run)
    assert task["try_number"] == 1
    assert runs(airflow) >= before | known
    assert_works(site, node, NEW)


def test_new_cluster_has_statistics_and_no_leftover(node: Any) -> None:
    assert int(sql(node, "SELECT count(*) FROM pg_statistic WHERE starelid = 'dag_run'::regclass")) > 0
    assert sql(node, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    assert node.run(f"systemctl status {COPY}").rc == 4


def test_second_runs_change_nothing(site: Site) -> None:
    assert changes(ansible(site, PLAYBOOK)) == []
    assert changes(ansible(site, "site.yml")) == []


def test_revert_is_refused_until_its_price_is_accepted(site: Site, node: Any) -> None:
    output = refused(ansible(site, PLAYBOOK, "--extra-vars", "postgresql_upgrade_step=revert"))
    assert "loses all that was written since the upgrade to 17" in output
    assert "postgresql_upgrade_loss_accepted" in output
    assert clusters(node)[NEW] == ("online", "auto")


def test_revert_has_what_was_there_at_the_upgrade(site: Site, node: Any, before: set[str]) -> None:
    airflow = wait_until_healthy(site)
    later = airflow.start("airstrip_sleep", seconds=0)
    assert airflow.wait("airstrip_sleep", later, 120) == "success"
    arguments = ["--extra-vars", "postgresql_upgrade_step=revert postgresql_upgrade_loss_accepted=true"]
    done(ansible(site, PLAYBOOK, *arguments))
    assert clusters(node) == {OLD: ("online", "auto"), NEW: ("down", "manual")}
    found = runs(assert_works(site, node, OLD))
    assert found >= before
    assert later not in found
    # As the report says: the inventory has 15 again, and site.yml keeps it.
    done(ansible(site, "site.yml", "--tags", "validate", version=OLD))


def test_upgrade_by_links_has_no_way_back(site: Site, node: Any) -> None:
    done(ansible(site, PLAYBOOK, "--extra-vars", "postgresql_upgrade_mode=link"))
    assert clusters(node) == {OLD: ("down", "manual"), NEW: ("online", "auto")}
    assert_works(site, node, NEW)
    arguments = ["--extra-vars", "postgresql_upgrade_step=revert postgresql_upgrade_loss_accepted=true"]
    assert "the files of 15/main are those of 17/main now" in refused(ansible(site, PLAYBOOK, *arguments))


def test_confirmed_upgrade_leaves_nothing_of_the_old_cluster(site: Site, node: Any) -> None:
    confirm = [PLAYBOOK, "--extra-vars", "postgresql_upgrade_step=confirm"]
    done(ansible(site, *confirm))
    assert clusters(node) == {NEW: ("online", "auto")}
    assert not node.file(f"/var/lib/postgresql/{OLD}/main").exists
    assert not node.package(f"postgresql-{OLD}").is_installed
    assert node.check_output("find /var/lib/postgresql -maxdepth 1 -name 'upgrade-to-*'") == ""
    assert changes(ansible(site, *confirm)) == []
    assert_works(site, node, NEW)


def test_minor_update_is_a_restart_of_the_server(site: Site, node: Any) -> None:
    assert changes(ansible(site, "playbooks/postgresql_update.yml")) == []
    # There is no older package to update from: one that is installed again does to the cluster what a newer one does.
    since = sql(node, "SELECT pg_postmaster_start_time()")
    node.check_output(f"apt-get -qq install -y --reinstall postgresql-{NEW}")
    assert_works(site, node, NEW)
    assert sql(node, "SELECT pg_postmaster_start_time()") != since
