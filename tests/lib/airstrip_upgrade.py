"""What tests of upgrades share: the runs, and what a site runs before and after them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from airstrip_airflow import Airflow
from airstrip_edge import wait_for
from airstrip_site import Site
from airstrip_units import properties

MARK = "/var/backups/airflow/unfinished"

Run = subprocess.CompletedProcess[str]


def variables(**values: Any) -> list[str]:
    """Return the arguments that set variables."""
    return ["--extra-vars", json.dumps(values)]


def upgrade(site: Site, version: str, *arguments: str) -> Run:
    return site.command(
        "ansible-playbook", "site.yml", "--tags", "upgrade", *variables(site_airflow_version=version), *arguments
    )


def rollback(site: Site, version: str, *arguments: str) -> Run:
    """Go back from a version."""
    return site.command(
        "ansible-playbook", "playbooks/rollback.yml", *variables(site_airflow_version=version), *arguments
    )


def releases(site: Site, hosts: dict[str, Any]) -> dict[str, set[str]]:
    """Return the versions that the components of each host run, as their processes say, and that of the command."""
    found = {}
    for name in site.group("airflow"):
        units = hosts[name].check_output("systemctl list-units --plain --no-legend 'airflow-*.service'").splitlines()
        pids = [properties(hosts[name], line.split()[0], "MainPID")["MainPID"] for line in units]
        # What they have mapped: titles of processes do not tell.
        libraries = [
            hosts[name].check_output(f"grep -m 1 -o '/opt/airflow/releases/[^/]*' /proc/{pid}/maps") for pid in pids
        ]
        links = [hosts[name].check_output("readlink /opt/airflow/current"), *libraries]
        found[name] = {link.partition("/releases/")[2].partition("-")[0] for link in links}
    return found


def assert_all_run(site: Site, hosts: dict[str, Any], version: str) -> None:
    assert releases(site, hosts) == {name: {version} for name in site.group("airflow")}
    assert not any(hosts[name].file(MARK).exists for name in site.group("airflow"))
    assert site.airflow().request("GET", "/api/v2/version")["version"] == version


def assert_works(site: Site) -> None:
    run = site.command("ansible-playbook", "site.yml", "--tags", "verify")
    assert run.returncode == 0, run.stdout[-3000:]


def assert_failed(run: Run, *words: str) -> None:
    """Fail, with the end of the run's output, if it succeeded or does not say each of the words."""
    assert run.returncode != 0, run.stdout[-6000:]
    # Messages are folded where they are long.
    said = " ".join(run.stdout.split())
    missing = [word for word in words if word not in run.stdout and word not in said]
    assert not missing, f"{missing} not in:\n{run.stdout[-6000:]}"


def assert_unchanged(site: Site, run: Run) -> None:
    """Fail unless the run succeeded and changed nothing on any host."""
    assert run.returncode == 0, run.stdout[-3000:]
    recap = [line for line in run.stdout.partition("PLAY RECAP")[2].splitlines() if "changed=" in line]
    assert len(recap) == len(site.hosts)
    assert all("changed=0" in line for line in recap), run.stdout[-3000:]


def start_long_tasks(airflow: Airflow, seconds: int) -> str:
    """Start the five tasks that last so long, and return their DAG run's id as soon as all of them run."""
    run = airflow.start("airstrip_long", seconds=seconds)
    wait_for(lambda: [task["state"] for task in airflow.tasks("airstrip_long", run)] == ["running"] * 5, "long tasks")
    return run
