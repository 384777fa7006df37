"""Upgrades of a single VM: how long it is down for a new release, for new packages, and for the way back."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airstrip_edge import Probe
from airstrip_postgresql import sql
from airstrip_site import Site
from airstrip_upgrade import (
    Run,
    assert_all_run,
    assert_failed,
    assert_unchanged,
    assert_works,
    rollback,
    start_long_tasks,
    upgrade,
    variables,
)

OLD, NEW = "3.2.2", "3.3.2"
PACKAGE = "apache-airflow-providers-ftp"
TASK_SECONDS = 240


def said(run: Run) -> str:
    """Return the output of a run, its blanks made one each: Ansible breaks long lines."""
    return " ".join(run.stdout.split())


def timed(site: Site, run: Any) -> tuple[Run, str]:
    """Carry out a run; return it, and for how long it lasted and the API did not answer."""
    began = time.monotonic()
    with Probe(f"{site.edge_url}/api/v2/version", site.ca_certificate) as probe:
        result: Run = run()
    assert result.returncode == 0, result.stdout[-5000:]
    return result, f"{time.monotonic() - began:.0f} s; requests to the API: {probe}"


@pytest.mark.usefixtures("load_dags")
def test_upgrade_says_its_downtime_and_loses_no_task(
    site: Site, hosts: dict[str, Any], figures: dict[str, str]
) -> None:
    assert_all_run(site, hosts, OLD)
    airflow = site.airflow()
    long_run = start_long_tasks(airflow, TASK_SECONDS)
    run, figures[f"{OLD} to {NEW}"] = timed(site, lambda: upgrade(site, NEW))
    assert "Downtime: user interface, APIs and scheduling, during the migration; running tasks go on" in said(run)
    assert_all_run(site, hosts, NEW)
    airflow = site.airflow()
    assert airflow.wait("airstrip_long", long_run, 600) == "success"
    assert {task["try_number"] for task in airflow.tasks("airstrip_long", long_run)} == {1}


def test_rollback_keeps_the_runs(site: Site, hosts: dict[str, Any], database: Any, figures: dict[str, str]) -> None:
    runs = sql(database, "SELECT count(*) FROM dag_run")
    _, figures[f"{NEW} back to {OLD}"] = timed(
        site, lambda: rollback(site, NEW, *variables(airflow_upgrade_rollback_confirmed=True))
    )
    assert_all_run(site, hosts, OLD)
    assert sql(database, "SELECT count(*) FROM dag_run") == runs
    assert_works(site)


def test_new_packages_need_no_migration(site: Site, hosts: dict[str, Any], figures: dict[str, str]) -> None:
    wanted = variables(airflow_release_extra_packages=[PACKAGE])
    run, figures["a package more"] = timed(site, lambda: upgrade(site, OLD, *wanted))
    assert "Migration: none" in run.stdout
    assert "Downtime: user interface and APIs, while the API server restarts" in said(run)
    assert_all_run(site, hosts, OLD)
    assert PACKAGE in hosts["node-1"].check_output("airflow providers list")
    second = site.command("ansible-playbook", "site.yml", *variables(site_airflow_version=OLD), *wanted)
    assert_unchanged(site, second)
    _, figures["the package less, by rollback"] = timed(
        site, lambda: rollback(site, OLD, *wanted, *variables(airflow_upgrade_rollback_confirmed=True))
    )
    assert PACKAGE not in hosts["node-1"].check_output("airflow providers list")
    assert_all_run(site, hosts, OLD)


def test_packages_that_break_the_release_do_not_stay(site: Site, hosts: dict[str, Any], database: Any) -> None:
    before = hosts["node-1"].check_output("readlink /opt/airflow/current")
    schema = sql(database, "SELECT version_num FROM alembic_version")
    broken = {"api_server": {"ExecStartPre": "/bin/false"}}
    assert_failed(
        upgrade(
            site, OLD,
            *variables(
                airflow_release_extra_packages=[PACKAGE], airflow_unit_options=broken, airflow_health_timeout=20
            ),
        ),
        "The upgrade failed, and the site is back on ",
    )  # fmt: skip
    assert hosts["node-1"].check_output("readlink /opt/airflow/current") == before
    assert sql(database, "SELECT version_num FROM alembic_version") == schema
    assert_all_run(site, hosts, OLD)
    assert_works(site)
