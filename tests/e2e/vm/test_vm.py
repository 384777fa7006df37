"""What a kernel of its own does with what a run has set, and what a host is like after a restart.

The host is a virtual machine, which is slow where its processor is emulated: limits of time are wide here.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from airstrip_airflow import Airflow
from airstrip_edge import wait_for
from airstrip_site import Site
from airstrip_units import properties, units

DAGS = "/srv/airflow/dags"
SOURCE = Path(__file__).parent / "dags" / "airstrip_memory.py"
WORKER = "airflow-worker@default.service"
# The components that Airflow itself does not run.
OTHERS = ("haproxy.service", "postgresql@17-main.service", "redis-server.service", "chrony.service", "ssh.service")
LONG = 1800


@pytest.fixture(scope="module")
def airflow(site: Site) -> Airflow:
    found = site.airflow()
    found.wait_until_healthy(LONG)
    return found


@pytest.fixture(scope="module")
def dags(node: Any, airflow: Airflow) -> Iterator[None]:
    """The DAGs of this directory are known."""
    encoded = base64.b64encode(SOURCE.read_bytes()).decode()
    node.check_output(f"echo {encoded} | base64 -d >{DAGS}/{SOURCE.name} && chmod 0644 {DAGS}/{SOURCE.name}")
    wait_for(lambda: airflow.has_dag("airstrip_greedy") and airflow.has_dag("airstrip_patient"), "DAGs", LONG)
    yield
    node.check_output(f"rm -f {DAGS}/airstrip_*")


def instances(node: Any) -> list[str]:
    """Return the units of Airflow's components that run."""
    listed = node.check_output("systemctl list-units 'airflow-*.service' --state=running --plain --no-legend")
    return [line.split()[0] for line in listed.splitlines()]


def control_group(node: Any, unit: str, name: str) -> str:
    """Return a file of a unit's control group: what the kernel goes by."""
    group = properties(node, unit, "ControlGroup")["ControlGroup"]
    return str(node.check_output(f"cat /sys/fs/cgroup{group}/{name}"))


def events(node: Any, unit: str) -> dict[str, int]:
    """Return how often a unit has met its bound of memory, and how many of its processes have ended for it."""
    lines = control_group(node, unit, "memory.events").splitlines()
    return {name: int(number) for name, number in (line.split() for line in lines)}


def test_the_host_has_a_kernel_of_its_own(node: Any) -> None:
    assert node.check_output("systemd-detect-virt --vm") in {"qemu", "kvm"}
    assert node.run("systemd-detect-virt --container").stdout.strip() == "none"
    assert node.check_output("uname -v").find("Debian") > 0


def test_what_a_run_sets_in_the_kernel_is_there(node: Any) -> None:
    assert node.check_output("cat /proc/sys/vm/overcommit_memory") == "1"
    assert node.file("/etc/sysctl.d/60-airstrip-redis.conf").exists


def test_chrony_keeps_the_clock(node: Any) -> None:
    # That it finds a server is another matter: where the tests run, there may be none.
    assert node.service("chrony").is_running
    assert node.service("chrony").is_enabled
    assert "Reference ID" in node.check_output("chronyc tracking")


@pytest.mark.usefixtures("airflow")
def test_the_kernel_bounds_each_component(node: Any) -> None:
    total = int(node.check_output("awk '/MemTotal/ {print $2 * 1024}' /proc/meminfo"))
    running = instances(node)
    assert len(running) == 5
    for unit in running:
        # systemd rounds down to pages.
        bound = int(control_group(node, unit, "memory.max"))
        percent = re.search(r"^MemoryMax=(\d+)%$", node.check_output(f"systemctl cat {unit}"), re.MULTILINE)
        assert percent is not None, unit
        assert bound == pytest.approx(total * int(percent[1]) / 100, abs=1 << 20), unit
        assert int(control_group(node, unit, "memory.current")) < bound
        # A process ends, and not all of them.
        assert control_group(node, unit, "memory.oom.group") == "0", unit
        assert events(node, unit)["oom_kill"] == 0, unit


def test_the_kernel_bounds_processor_time(node: Any) -> None:
    assert control_group(node, "airflow-triggerer.service", "cpu.max") == "150000 100000"


@pytest.mark.usefixtures("dags")
def test_a_task_that_takes_too_much_memory_ends_alone(node: Any, airflow: Airflow) -> None:
    before = properties(node, WORKER, "MainPID", "NRestarts", "ActiveEnterTimestampMonotonic")
    ended = events(node, WORKER)["oom_kill"]
    patient = airflow.start("airstrip_patient")
    wait_for(lambda: states(airflow, "airstrip_patient", patient) == ["running"], "the other task runs", LONG)
    greedy = airflow.start("airstrip_greedy")
    assert airflow.wait("airstrip_greedy", greedy, LONG) == "success"
    # The kernel has ended one process, and Airflow has tried the task again.
    assert events(node, WORKER)["oom_kill"] == ended + 1
    (task,) = airflow.tasks("airstrip_greedy", greedy)
    tries = airflow.tries("airstrip_greedy", greedy, task)
    assert [one["state"] for one in sorted(tries, key=lambda one: one["try_number"])] == ["failed", "success"]
    first = airflow.log("airstrip_greedy", greedy, task | {"try_number": 1})
    assert "airstrip: 64 MB" in first
    # The worker, and what else ran in it, go on.
    assert properties(node, WORKER, *before) == before
    assert states(airflow, "airstrip_patient", patient) == ["running"]
    node.check_output(f"touch {DAGS}/airstrip_patient_no_longer")
    assert airflow.wait("airstrip_patient", patient, LONG) == "success"
    (other,) = airflow.tasks("airstrip_patient", patient)
    assert other["try_number"] == 1
    node.check_output(f"rm {DAGS}/airstrip_patient_no_longer")


def states(airflow: Airflow, dag_id: str, run: str) -> list[str]:
    return [str(task["state"]) for task in airflow.tasks(dag_id, run)]


def started(node: Any, unit: str) -> int:
    """Return when a unit was started in this boot, in microseconds; 0 if it was not."""
    return int(properties(node, unit, "InactiveExitTimestampMonotonic")["InactiveExitTimestampMonotonic"])


def boot(node: Any) -> str:
    """Return the kernel's id of this boot; empty if the host does not answer."""
    found = node.run("cat /proc/sys/kernel/random/boot_id")
    return str(found.stdout.strip()) if found.rc == 0 else ""


@pytest.mark.usefixtures("dags")
def test_a_restart_brings_everything_back(node: Any, site: Site) -> None:
    running, known = set(instances(node)), boot(node)
    rules = node.check_output("nft --stateless list ruleset")
    assert "airstrip" in rules
    # Whoever else is at apt would forbid it.
    node.check_output("systemd-run --quiet --on-active=1 systemctl reboot --ignore-inhibitors")
    wait_for(lambda: boot(node) not in {"", known}, "the host is back", LONG)
    wait_for(lambda: is_up(node), "all units are there", LONG)
    assert node.check_output("systemctl list-units --failed --plain --no-legend") == ""
    assert set(instances(node)) == running
    assert [unit for unit in OTHERS if not node.service(unit).is_running] == []
    # The firewall is up before there is a network, and has the rules that it had.
    assert node.check_output("nft --stateless list ruleset") == rules
    firewall = properties(node, "airstrip-firewall.service", "ActiveEnterTimestampMonotonic")
    up = int(firewall["ActiveEnterTimestampMonotonic"])
    assert 0 < up < min(started(node, unit) for unit in ("systemd-networkd.service", *OTHERS, *running))
    # What a run has mounted, and what the host's administrator has, before Airflow starts.
    mounts = node.check_output("findmnt --raw --noheadings --output TARGET,SOURCE,OPTIONS")
    assert re.search(r"^/srv/airflow /dev/vdb ", mounts, re.MULTILINE)
    assert re.search(r"^/\S+/logs? .*nosymfollow|^/var/log/airflow .*nosymfollow", mounts, re.MULTILINE)
    assert node.check_output("cat /proc/sys/vm/overcommit_memory") == "1"
    again = signed_in(site)
    again.wait_until_healthy(LONG)
    node.check_output(f"touch {DAGS}/airstrip_patient_no_longer")
    run = again.start("airstrip_patient")
    assert again.wait("airstrip_patient", run, LONG) == "success"
    assert [unit for unit in units(node, "airflow-*") if properties(node, unit, "NRestarts")["NRestarts"] != "0"] == []


def is_up(node: Any) -> bool:
    return node.run("systemctl is-system-running").stdout.strip() in {"running", "degraded"}


def signed_in(site: Site) -> Airflow:
    """Return a new client, once the site answers."""
    limit = time.monotonic() + LONG
    while True:
        try:
            return site.airflow()
        except requests.RequestException:
            assert time.monotonic() < limit
            time.sleep(2)


def test_an_update_of_packages_restarts_the_host(node: Any, site: Site) -> None:
    known = boot(node)
    # What kernels and libraries leave behind; there may be nothing to update.
    node.check_output("touch /var/run/reboot-required")
    allowed = ("-e", '{"airflow_maintenance_all_allowed": true}')
    result = site.command("ansible-playbook", "playbooks/update_packages.yml", *allowed)
    assert result.returncode == 0, result.stdout[-4000:]
    assert boot(node) not in {"", known}
    assert node.check_output("systemctl list-units --failed --plain --no-legend") == ""
    assert not node.file("/var/run/reboot-required").exists
    signed_in(site).wait_until_healthy(LONG)
