"""A whole site that stops and starts, and keeps what it has: on the hosts of `single_node` or `distributed`.

    AIRSTRIP_TESTS=../../tests/e2e/maintenance molecule verify --scenario-name single_node

The same command runs test_one_host.py.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from airstrip_airflow import Airflow
from airstrip_edge import wait_for
from airstrip_site import PROJECT, Site
from airstrip_units import active, properties
from airstrip_upgrade import assert_failed, assert_unchanged, assert_works, variables

# What is asked of both ways, on a machine that has nothing else to do, and how much slower this one may be.
SECONDS, BUSY = 120, 2.5
# In the order in which they stop, on whatever hosts.
ORDER = (
    ("airflow-worker@",), ("airflow-scheduler",), ("airflow-api-server",), ("haproxy",),
    ("redis-server", "valkey-server"), ("postgresql@",),
)  # fmt: skip


def stopped_at(host: Any, unit: str) -> int:
    """Return when a unit was stopped last, in microseconds by the clock that the test hosts share."""
    name = "InactiveEnterTimestampMonotonic"
    return int(properties(host, unit, name)[name])


@pytest.fixture(scope="module")
def running(hosts: dict[str, Any]) -> dict[str, list[str]]:
    """What runs on each host before."""
    return {name: active(host) for name, host in hosts.items()}


@pytest.fixture(autouse=True)
def started(site: Site, hosts: dict[str, Any], running: dict[str, list[str]]) -> Any:
    """Begin and end with a site that runs."""
    yield
    if any(active(host) != running[name] for name, host in hosts.items()):
        run = site.command("ansible-playbook", "playbooks/start.yml")
        assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.usefixtures("sleeping")
def test_a_site_stops_when_its_tasks_have_ended_and_starts_as_it_was(
    site: Site, hosts: dict[str, Any], airflow: Airflow, running: dict[str, list[str]]
) -> None:
    task = airflow.start("airstrip_sleep", seconds=30)
    wait_for(lambda: airflow.tasks("airstrip_sleep", task)[0]["state"] == "running", "the task runs")
    began = time.monotonic()
    run = site.command("ansible-playbook", "playbooks/stop.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    assert time.monotonic() - began < 30 + SECONDS * BUSY
    assert {name: active(host) for name, host in hosts.items()} == {name: [] for name in hosts}
    ran = [(name, unit) for name, units in running.items() for unit in units]
    moments = [
        {(name, unit): stopped_at(hosts[name], unit) for name, unit in ran if unit.startswith(kind)} for kind in ORDER
    ]
    for earlier, later in itertools.pairwise(filter(None, moments)):
        assert max(earlier.values()) <= min(later.values()), moments
    for name in site.group("firewall"):
        assert properties(hosts[name], "airstrip-firewall.service", "ActiveState") == {"ActiveState": "active"}
    # Units start with their hosts.
    for name in site.group("airflow"):
        for unit in (unit for unit in running[name] if unit.startswith("airflow-")):
            assert properties(hosts[name], unit, "UnitFileState") == {"UnitFileState": "enabled"}

    assert_unchanged(site, site.command("ansible-playbook", "playbooks/stop.yml"))

    began = time.monotonic()
    run = site.command("ansible-playbook", "playbooks/start.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    assert time.monotonic() - began < SECONDS * BUSY
    assert "The site works: all of Airflow is healthy on" in " ".join(run.stdout.split())
    airflow.wait_until_healthy()
    assert {name: active(host) for name, host in hosts.items()} == running
    assert airflow.wait("airstrip_sleep", task, 60) == "success"
    assert airflow.tasks("airstrip_sleep", task)[0]["try_number"] == 1
    assert_works(site)

    assert_unchanged(site, site.command("ansible-playbook", "playbooks/start.yml"))


@pytest.mark.usefixtures("sleeping")
def test_a_stop_that_does_not_wait_kills_what_runs(site: Site, hosts: dict[str, Any], airflow: Airflow) -> None:
    task = airflow.start("airstrip_sleep", seconds=900)
    wait_for(lambda: airflow.tasks("airstrip_sleep", task)[0]["state"] == "running", "the task runs")
    began = time.monotonic()
    run = site.command("ansible-playbook", "playbooks/stop.yml", *variables(airflow_maintenance_tasks_awaited=False))
    assert run.returncode == 0, run.stdout[-3000:]
    assert time.monotonic() - began < SECONDS * BUSY
    assert not any(active(host) for host in hosts.values())
    run = site.command("ansible-playbook", "playbooks/start.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    # Else it would be noticed after five minutes without a heartbeat.
    airflow.request("PATCH", f"/api/v2/dags/airstrip_sleep/dagRuns/{task}", {"state": "failed"})
    assert_works(site)


def test_a_stop_that_was_killed_goes_on(site: Site, hosts: dict[str, Any]) -> None:
    program = str(__import__("pathlib").Path(sys.executable).with_name("ansible-playbook"))
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    with subprocess.Popen(
        [program, *site.inventory_sources, "playbooks/stop.yml"],
        cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as controller:  # fmt: skip
        assert controller.stdout is not None
        found = 0
        for line in controller.stdout:
            found += "Stop component | Stop its units" in line
            if found == 3:
                os.killpg(controller.pid, signal.SIGKILL)
                break
        else:
            pytest.fail("it never stopped a third component")
    assert any(active(host) for host in hosts.values())
    run = site.command("ansible-playbook", "playbooks/stop.yml")
    assert run.returncode == 0, run.stdout[-3000:]
    assert not any(active(host) for host in hosts.values())


def test_what_is_drained_stays_so(site: Site, hosts: dict[str, Any], running: dict[str, list[str]]) -> None:
    name = site.group("airflow_worker")[-1]
    allowed = variables(airflow_maintenance_all_allowed=True)
    drained = site.command("ansible-playbook", "playbooks/drain.yml", "--limit", name, *allowed)
    try:
        assert drained.returncode == 0, drained.stdout[-3000:]
        for playbook in ("stop", "start"):
            run = site.command("ansible-playbook", f"playbooks/{playbook}.yml")
            assert run.returncode == 0, run.stdout[-3000:]
        assert f"Drained, and not started: {name} (playbooks/undrain.yml --limit {name})" in " ".join(
            run.stdout.split()
        )
        assert not any(unit.startswith("airflow-") for unit in active(hosts[name]))
        assert active(hosts[name]) == [unit for unit in running[name] if not unit.startswith("airflow-")]
    finally:
        back = site.command("ansible-playbook", "playbooks/undrain.yml", "--limit", name)
    assert back.returncode == 0, back.stdout[-3000:]
    assert active(hosts[name]) == running[name]


def test_a_part_of_a_site_is_refused(site: Site, hosts: dict[str, Any], running: dict[str, list[str]]) -> None:
    if not site.is_shared:
        pytest.skip("one host is the whole site")
    for playbook in ("stop", "start"):
        run = site.command("ansible-playbook", f"playbooks/{playbook}.yml", "--limit", "worker-1")
        assert_failed(run, "This playbook takes the whole site", "would be left out")
    assert {name: active(host) for name, host in hosts.items()} == running


def test_secrets_are_changed_on_a_site_that_stands_still(site: Site, airflow: Airflow) -> None:
    names = ["airflow_jwt_secret", "airflow_database_password", "airflow_broker_password"]
    changed = variables(**{name: secrets.token_urlsafe(64) for name in names})
    run = site.command("ansible-playbook", "site.yml", *changed)
    assert_failed(run, *(f"{name} has changed since the last run" for name in names), "playbooks/stop.yml")
    assert_unchanged(site, run)
    # And back: what hosts have now is what the secrets file has not.
    for given in (changed, []):
        run = site.command("ansible-playbook", "playbooks/stop.yml", *given)
        assert run.returncode == 0, run.stdout[-3000:]
        run = site.command("ansible-playbook", "site.yml", *given)
        assert run.returncode == 0, run.stdout[-3000:]
        airflow.wait_until_healthy()
        assert_unchanged(site, site.command("ansible-playbook", "site.yml", *given))
