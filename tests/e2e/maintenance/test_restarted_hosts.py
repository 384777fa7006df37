"""Hosts that restart together, or one long after the others: nothing needs a hand. On the hosts of `distributed`.

The command in test_whole_site.py runs these, too.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_edge import wait_for
from airstrip_site import Site
from airstrip_units import active, properties

# Seconds until a site works again, of which some are for a machine that does other things beside.
SECONDS = 300


def container(site: Site, name: str) -> str:
    return f"airstrip-{site.scenario}-{name}"


def docker(verb: str, site: Site, names: list[str]) -> None:
    """Stop or start hosts, all at the same moment."""
    commands = [subprocess.Popen(["docker", verb, container(site, name)], stdout=subprocess.DEVNULL) for name in names]
    assert [command.wait() for command in commands] == [0] * len(commands)


def restart(site: Site, late: Mapping[str, int]) -> float:
    """Restart all hosts, some of them so many seconds after the others; return the moment of the last one's start."""
    docker("stop", site, site.hosts)
    began = time.monotonic()
    for seconds in sorted({0, *late.values()}):
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        docker("start", site, [name for name in site.hosts if late.get(name, 0) == seconds])
    return time.monotonic()


@pytest.fixture(scope="module")
def machines(site: Site) -> dict[str, Any]:
    """All hosts as Docker reaches them: a connection by SSH would not outlive its host."""
    return {name: testinfra.get_host(f"docker://{container(site, name)}") for name in site.hosts}


@pytest.fixture(scope="module")
def late(site: Site) -> dict[str, list[str]]:
    """Who comes late in each case."""
    data = [*site.group("postgresql"), *site.group("redis")]
    return {"none": [], "data": data, "all but data": [name for name in site.hosts if name not in data]}


@pytest.mark.usefixtures("sleeping")
@pytest.mark.parametrize("case", ["none", "data", "all but data"])
def test_a_site_whose_hosts_restart_comes_back_alone(
    site: Site, machines: dict[str, Any], airflow: Airflow, late: dict[str, list[str]], case: str
) -> None:
    if case != "none" and not site.is_shared:
        pytest.skip("one host is the whole site")
    units = {name: active(host) for name, host in machines.items()}
    before = airflow.start("airstrip_sleep", seconds=1)
    assert airflow.wait("airstrip_sleep", before) == "success"
    started = restart(site, dict.fromkeys(late[case], 60))
    airflow.wait_until_healthy(SECONDS)
    healthy = time.monotonic() - started
    run = airflow.start("airstrip_sleep", seconds=1)
    assert airflow.wait("airstrip_sleep", run, SECONDS) == "success"
    print(f"Late: {case}. Healthy after {healthy:.0f} s, a DAG run after {time.monotonic() - started:.0f} s")  # noqa: T201 - figures for the report
    # What ran before, no more and no less; and nothing was given up.
    wait_for(lambda: {name: active(host) for name, host in machines.items()} == units, "all units run", SECONDS)
    for name, host in machines.items():
        assert host.check_output("systemctl list-units --failed --plain --no-legend") == "", name
        # Without them, the logs of tasks are not found.
        for other in site.hosts if site.is_shared else []:
            assert site.address(other) in host.check_output(f"getent -s files ahostsv4 {other}").split()
    for name in site.group("firewall"):
        assert properties(machines[name], "airstrip-firewall.service", "ActiveState") == {"ActiveState": "active"}
    assert airflow.state("airstrip_sleep", before) == "success"


# What cloud-init does at each boot of a machine whose user data say so.
CLOUD_INIT = """
set -e
apt-get install --yes --no-install-recommends cloud-init >/dev/null
echo 'manage_etc_hosts: true' >/etc/cloud/cloud.cfg.d/99_airstrip.cfg
"""
BOOT = "cloud-init single --name update_etc_hosts --frequency always"


def test_hosts_know_each_other_where_cloud_init_writes_their_names(site: Site, machines: dict[str, Any]) -> None:
    if not site.is_shared:
        pytest.skip("one host knows itself")
    name = site.group("airflow_worker")[-1]
    host = machines[name]
    before = host.check_output("cat /etc/hosts")
    host.check_output(CLOUD_INIT)
    try:
        run = site.command("ansible-playbook", "site.yml", "--tags", "base", "--limit", name)
        assert run.returncode == 0, run.stdout[-3000:]
        host.check_output(BOOT)
        assert "manage_etc_hosts" in host.check_output("cat /etc/hosts")
        for other in site.hosts:
            assert site.address(other) in host.check_output(f"getent -s files ahostsv4 {other}").split()
        assert_unchanged_on(site, name)
    finally:
        host.check_output("apt-get purge --yes cloud-init >/dev/null; rm -rf /etc/cloud")
        host.check_output(f"cat >/etc/hosts <<'HOSTS'\n{before}\nHOSTS")


def assert_unchanged_on(site: Site, name: str) -> None:
    """Fail unless another run changes nothing on a host."""
    run = site.command("ansible-playbook", "site.yml", "--tags", "base", "--limit", name)
    assert run.returncode == 0, run.stdout[-3000:]
    assert "changed=0" in run.stdout.partition("PLAY RECAP")[2], run.stdout[-3000:]
