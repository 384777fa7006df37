"""Upgrades of a whole site by tagged runs: refused, failed, under load, interrupted, and taken back."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airstrip_edge import Probe
from airstrip_postgresql import sql
from airstrip_site import PROJECT, Site
from airstrip_upgrade import (
    MARK,
    assert_all_run,
    assert_failed,
    assert_unchanged,
    assert_works,
    rollback,
    start_long_tasks,
    upgrade,
    variables,
)

OLD, NEW = "3.1.7", "3.3.2"
LONG_SECONDS = int(os.environ.get("AIRSTRIP_LONG_TASK_SECONDS", "600"))
# A table that the last but five of the migrations to NEW creates: those before it are committed when it fails.
IN_THE_WAY = "connection_test_request"


def longest_gap(tasks: list[dict[str, Any]], event: str) -> float:
    """Return the most seconds between two tasks' times of one event: `queued_when` or `start_date`."""
    times = sorted(datetime.fromisoformat(task[event]) for task in tasks)
    return max((after - before).total_seconds() for before, after in itertools.pairwise(times))


def test_a_dag_that_the_new_release_cannot_import_is_named_before_anything_changes(
    site: Site, hosts: dict[str, Any], put_dag: Callable[[str, str], None]
) -> None:
    assert_all_run(site, hosts, OLD)
    # The module moved in 3.2.
    put_dag("airstrip_gone.py", "from airflow.models.dagbag import BundleDagBag\n")
    try:
        run = upgrade(site, NEW)
    finally:
        put_dag("airstrip_gone.py", "")
    assert_failed(run, "airflow_upgrade_import_errors_allowed", "airstrip_gone.py")
    assert_all_run(site, hosts, OLD)


def test_a_package_that_one_host_cannot_install_changes_nothing(site: Site, hosts: dict[str, Any]) -> None:
    wanted = "{{ ['airstrip-is-not-on-any-index==1'] if inventory_hostname == 'worker-2' else [] }}"
    assert_failed(
        upgrade(site, NEW, *variables(airflow_release_extra_packages=wanted)),
        f"Airflow {NEW} cannot be installed on worker-2; the present release is untouched.",
    )
    assert_all_run(site, hosts, OLD)


def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(
    site: Site, hosts: dict[str, Any], database: Any
) -> None:
    before = sql(database, "SELECT version_num FROM alembic_version")
    runs = sql(database, "SELECT count(*), max(id) FROM task_instance_history, dag_run")
    sql(database, f"CREATE TABLE {IN_THE_WAY} (id int)")
    assert_failed(upgrade(site, NEW), f"the site is back on {OLD}-", "Migrate the database")
    assert sql(database, "SELECT version_num FROM alembic_version") == before
    assert sql(database, "SELECT count(*), max(id) FROM task_instance_history, dag_run") == runs
    # What was restored is the moment before, the table in the way included.
    sql(database, f"DROP TABLE {IN_THE_WAY}")
    assert_all_run(site, hosts, OLD)
    assert_works(site)


def test_a_scheduler_that_does_not_become_healthy_brings_the_old_release_back(
    site: Site, hosts: dict[str, Any], database: Any
) -> None:
    before = sql(database, "SELECT version_num FROM alembic_version")
    broken = {"scheduler": {"ExecStartPre": "/bin/false"}}
    assert_failed(
        upgrade(site, NEW, *variables(airflow_unit_options=broken, airflow_health_timeout=20)),
        f"the site is back on {OLD}-",
        "Health check",
    )
    assert sql(database, "SELECT version_num FROM alembic_version") == before
    assert_all_run(site, hosts, OLD)
    assert_works(site)


@pytest.mark.usefixtures("load_dags")
def test_an_upgrade_under_load_loses_no_task(site: Site, hosts: dict[str, Any], figures: dict[str, str]) -> None:
    airflow = site.airflow()
    long_run = start_long_tasks(airflow, LONG_SECONDS)
    short_run = airflow.start("airstrip_short")
    assert site.ca_certificate is not None
    began = time.monotonic()
    with Probe(f"{site.edge_url}/api/v2/version", site.ca_certificate) as probe:
        run = upgrade(site, NEW)
    took = time.monotonic() - began
    assert run.returncode == 0, run.stdout[-5000:]
    (site.directory / "upgrade.log").write_text(run.stdout, encoding="utf-8")
    assert_all_run(site, hosts, NEW)
    # What the run waited for was said by name.
    assert "airstrip_long.long[" in run.stdout
    airflow = site.airflow()
    runs = {"airstrip_long": long_run, "airstrip_short": short_run}
    states = {dag: airflow.wait(dag, run_id, 600) for dag, run_id in runs.items()}
    tasks = {dag: airflow.tasks(dag, run_id) for dag, run_id in runs.items()}
    lost = [task for found in tasks.values() for task in found if task["state"] != "success"]
    assert (len(tasks["airstrip_long"]), len(tasks["airstrip_short"]), lost) == (5, 200, [])
    assert set(states.values()) == {"success"}
    again = [(dag, runs[dag], task) for dag, found in tasks.items() for task in found if task["try_number"] > 1]
    # A task that a scheduler had queued as it stopped, but not yet sent, is queued once more: it had never begun.
    begun = [one["start_date"] for known in again for one in airflow.tries(*known) if one["start_date"]]
    assert len(begun) == len(again)
    figures["tasks queued twice"] = str(len(again))
    figures["upgrade under load, s"] = f"{took:.0f}, with tasks of {LONG_SECONDS} s"
    figures["requests to the API"] = str(probe)
    figures["most seconds without scheduling"] = f"{longest_gap(tasks['airstrip_short'], 'queued_when'):.1f}"
    figures["most seconds without a task started"] = f"{longest_gap(tasks['airstrip_short'], 'start_date'):.1f}"


def test_a_second_run_finds_nothing_to_do(site: Site) -> None:
    run = site.command("ansible-playbook", "site.yml", *variables(site_airflow_version=NEW))
    assert_unchanged(site, run)


def test_a_rollback_says_its_price_and_then_brings_the_old_release_back(
    site: Site, hosts: dict[str, Any], database: Any, figures: dict[str, str]
) -> None:
    assert_failed(rollback(site, NEW), "airflow_upgrade_rollback_confirmed=true")
    assert_all_run(site, hosts, NEW)
    runs = sql(database, "SELECT count(*) FROM dag_run")
    began = time.monotonic()
    run = rollback(site, NEW, *variables(airflow_upgrade_rollback_confirmed=True))
    figures["rollback, s"] = f"{time.monotonic() - began:.0f}"
    assert run.returncode == 0, run.stdout[-5000:]
    assert_all_run(site, hosts, OLD)
    assert sql(database, "SELECT count(*) FROM dag_run") == runs
    assert_works(site)


def test_an_upgrade_whose_controller_dies_goes_on_with_the_next_run(
    site: Site, hosts: dict[str, Any], figures: dict[str, str]
) -> None:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    argv = [program, *site.inventory_sources, "site.yml", "--tags", "upgrade", *variables(site_airflow_version=NEW)]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    with subprocess.Popen(
        argv, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as controller:
        assert controller.stdout is not None
        for line in controller.stdout:
            if "Migrate | Migrate the database" in line:
                time.sleep(2)
                os.killpg(controller.pid, signal.SIGKILL)
                break
        else:
            pytest.fail("the migration never began")
    assert hosts["control-1"].file(MARK).exists
    began = time.monotonic()
    run = upgrade(site, NEW)
    figures["the rest of an interrupted upgrade, s"] = f"{time.monotonic() - began:.0f}"
    assert run.returncode == 0, run.stdout[-5000:]
    assert "Going on to " in run.stdout
    assert_all_run(site, hosts, NEW)
