"""Debian 12 becomes Debian 13 below a site. Each test goes on where the last ended."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from airstrip_edge import wait_for
from airstrip_postgresql import sql
from airstrip_site import Site
from airstrip_upgrade import assert_works, variables

CONTAINER = "airstrip-distribution_upgrade-node-1"
UNITS = tuple(f"airflow-{name}" for name in ("api-server", "scheduler", "dag-processor", "triggerer", "worker@default"))
# As the release notes of Debian 13 say, and with `autoremove`, by which the old Python goes.
UPGRADE = (
    "sed -i s/bookworm/trixie/ /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null;"
    " export DEBIAN_FRONTEND=noninteractive && apt-get update -qq"
    " && apt-get full-upgrade -qq -y -o Dpkg::Options::=--force-confold >/root/upgrade.log 2>&1"
    " && apt-get autoremove -qq -y >>/root/upgrade.log 2>&1 || { tail -n 40 /root/upgrade.log; exit 1; }"
)
CONNECTION, PASSWORD = "airstrip_kept", "kept-through-the-upgrade"
KEEP_POSTGRESQL = variables(site_postgresql_version="15")


def play(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return site.command("ansible-playbook", *arguments)


def done(result: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a run that has to succeed."""
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def runs(site: Site, node: Any) -> int:
    """How many DAG runs there were before; there is a connection with a password, too."""
    airflow = site.airflow()
    airflow.request(
        "POST", "/api/v2/connections", {"connection_id": CONNECTION, "conn_type": "generic", "password": PASSWORD}
    )
    return int(sql(node, "SELECT count(*) FROM dag_run WHERE state = 'success'"))


def test_nothing_of_airflow_runs_after_the_upgrade(node: Any, runs: int) -> None:
    assert runs > 0
    node.check_output(UPGRADE)
    assert node.check_output("cat /etc/debian_version").startswith("13")
    assert not node.file("/usr/bin/python3.11").exists
    subprocess.run(["docker", "restart", CONTAINER], check=True, capture_output=True)
    booted = ("running", "degraded")
    wait_for(lambda: node.run("systemctl is-system-running").stdout.strip() in booted, "the host has booted", 120)
    assert not any(node.service(unit).is_running for unit in UNITS)


def test_site_yml_asks_what_is_to_become_of_postgresql(site: Site, node: Any) -> None:
    result = play(site, "site.yml")
    assert result.returncode != 0
    assert "PostgreSQL 15 runs, and 17 is wanted" in " ".join(result.stdout.split())
    assert "changed=0" in result.stdout
    assert node.check_output("pg_lsclusters --no-header").split()[:4] == ["15", "main", "5432", "online"]


def test_one_run_puts_it_right(site: Site, node: Any) -> None:
    output = " ".join(done(play(site, "site.yml", *KEEP_POSTGRESQL)).split())
    assert "DAGs are not compared: the present release cannot run" in output
    assert all(node.service(unit).is_running for unit in UNITS)
    assert node.check_output("ls /opt/airflow/current/lib") == "python3.13"


def test_second_run_changes_nothing(site: Site) -> None:
    assert "changed=0" in done(play(site, "site.yml", *KEEP_POSTGRESQL))


def test_all_of_before_is_there(node: Any, runs: int) -> None:
    assert int(sql(node, "SELECT count(*) FROM dag_run WHERE state = 'success'")) > runs
    assert PASSWORD in node.check_output(f"airflow connections get {CONNECTION} --output json")


def test_postgresql_is_upgraded_later(site: Site, node: Any) -> None:
    done(play(site, "playbooks/postgresql_upgrade.yml"))
    assert sql(node, "SHOW server_version_num").startswith("17")
    assert_works(site)
    assert PASSWORD in node.check_output(f"airflow connections get {CONNECTION} --output json")
