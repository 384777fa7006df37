"""Role statsd_exporter: Airflow's metrics arrive on each of its hosts, and task code cannot do more than send some."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from typing import Any

import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import exposure, processes, properties

UNIT = "airstrip-statsd-exporter.service"
PORT, METRICS_PORT = 8125, 9102
# As in tests/unit/test_templates.py, in whole points.
EXPOSURE = 1.3
# Sends its arguments after the first, each as often as that says.
SEND = f"""
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[1])):
    for line in sys.argv[2:]:
        link.sendto(line.replace("NUMBER", str(number)).encode(), ("127.0.0.1", {PORT}))
"""
READ = f"""
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:{METRICS_PORT}/metrics", timeout=20).read().decode())
"""


def metrics(host: Any) -> dict[str, float]:
    """Return what Prometheus would read, by name and labels."""
    text = host.check_output(f"python3 -c {shlex.quote(READ)}")
    return {name: float(value) for name, value in re.findall(r"^([a-z].*) (\S+)$", text, re.MULTILINE)}


def send(host: Any, *lines: str, times: int = 1) -> None:
    """Send lines as the user of tasks."""
    arguments = " ".join(map(shlex.quote, [SEND, str(times), *lines]))
    host.check_output(f"setpriv --reuid=airflow --regid=airflow --clear-groups python3 -c {arguments}")


def wait_for(host: Any, condition: Callable[[dict[str, float]], bool], seconds: float = 60) -> dict[str, float]:
    end = time.monotonic() + seconds
    while not condition(found := metrics(host)):
        assert time.monotonic() < end, sorted(found)
        time.sleep(1)
    return found


def main_process(host: Any) -> int:
    return int(properties(host, UNIT, "MainPID")["MainPID"])


def sum_of(found: dict[str, float], name: str, label: str) -> float:
    return sum(value for series, value in found.items() if series.startswith(f"{name}{{") and label in series)


def test_it_runs_as_a_user_who_has_nothing(host: Any) -> None:
    assert host.service(UNIT.removesuffix(".service")).is_enabled
    running = processes(host, UNIT)
    assert running == [main_process(host)]
    status = host.check_output(f"cat /proc/{running[0]}/status")
    ids = {name: re.findall(rf"^{name}:(.*)$", status, re.MULTILINE)[0].split() for name in ("Uid", "Gid", "Groups")}
    # Those that systemd gives out, and takes back.
    assert {61184 <= int(number) <= 65519 for number in ids["Uid"] + ids["Gid"]} == {True}
    assert set(ids["Groups"]) <= set(ids["Gid"])
    assert re.findall(r"^CapBnd:\s*(\S+)$", status, re.MULTILINE) == ["0" * 16]
    assert exposure(host, UNIT) <= EXPOSURE


def test_it_sees_nothing_of_airflow(host: Any) -> None:
    process = main_process(host)
    user, group = host.check_output(f"stat -c '%u %g' /proc/{process}").split()
    inside = f"nsenter --target {process} --mount setpriv --reuid={user} --regid={group} --clear-groups"
    assert host.run(f"{inside} ls /usr/local/bin").rc == 0
    for path in ("/etc/airflow/credentials", "/etc/airflow/airflow.cfg", "/var/lib/airflow", "/root", "/home"):
        assert host.run(f"{inside} sh -c 'test -e {path} && ls {path}/ || head -c 1 {path}'").stdout == "", path
    for path in ("/etc", "/run", "/var/lib"):
        assert host.run(f"{inside} touch {path}/airstrip-test").rc != 0, path


def test_it_listens_to_its_own_host_alone(host: Any) -> None:
    shown = host.check_output("ss --no-header --listening --tcp --udp --numeric")
    found = {
        line.split()[4] for line in shown.splitlines() if line.split()[4].endswith((f":{PORT}", f":{METRICS_PORT}"))
    }
    assert found == {f"127.0.0.1:{PORT}", f"127.0.0.1:{METRICS_PORT}"}


def test_what_task_code_sends_is_there(host: Any) -> None:
    lines = ["airflow.airstrip_probe,kind=a:2|c", "airflow.airstrip_probe,kind=a:1|c|@0.5", "airflow.airstrip_size:7|g"]
    before = metrics(host).get('airflow_airstrip_probe{kind="a"}', 0)
    send(host, *lines, "airflow.airstrip_took:250|ms\nnonsense")
    found = wait_for(host, lambda found: found.get('airflow_airstrip_probe{kind="a"}', 0) >= before + 4)
    assert found['airflow_airstrip_probe{kind="a"}'] == before + 4
    assert found["airflow_airstrip_size"] == 7
    assert found['airflow_airstrip_took_bucket{le="0.25"}'] == found['airflow_airstrip_took_bucket{le="0.5"}'] >= 1
    assert found['statsd_exporter_sample_errors_total{reason="malformed_line"}'] >= 1


def test_a_flood_by_task_code_leaves_it_as_it_was(host: Any) -> None:
    process = main_process(host)
    send(host, "airflow.airstrip_flood,number=NUMBER:1|c", "airflow.task.duration,dag_id=NUMBER,le=x:1|ms", times=40000)

    def goes_on(found: dict[str, float]) -> bool:
        send(host, "airflow.airstrip_after:1|c")
        return "airflow_airstrip_after" in found

    found = wait_for(host, goes_on)
    assert main_process(host) == process
    assert found["statsd_exporter_series"] <= found["statsd_exporter_series_limit"]
    assert found['statsd_exporter_dropped_total{reason="label"}'] > 0
    assert not [name for name in found if 'le="x"' in name]
    limit = int(properties(host, UNIT, "MemoryMax")["MemoryMax"])
    assert found["process_resident_memory_bytes"] < limit


def test_it_comes_back_when_it_is_killed(host: Any) -> None:
    process = main_process(host)
    host.check_output(f"kill -9 {process}")
    end = time.monotonic() + 30
    while main_process(host) in (0, process) or host.run(f"python3 -c {shlex.quote(READ)}").rc != 0:
        assert time.monotonic() < end
        time.sleep(0.5)
    # What was sent in the flood is gone with it.
    assert metrics(host)["statsd_exporter_series"] < 10000


def test_airflow_s_components_send(host: Any, site: Site, inventory_hostname: str) -> None:
    for group, name in {
        "airflow_scheduler": "airflow_scheduler_heartbeat",
        "airflow_dag_processor": "airflow_dag_processor_heartbeat",
        "airflow_triggerer": "airflow_triggerer_heartbeat",
    }.items():
        if inventory_hostname in site.group(group):
            wait_for(host, lambda found, name=name: found.get(name, 0) > 0)  # type: ignore[misc]
    if inventory_hostname in site.group("airflow_scheduler"):
        found = wait_for(host, lambda found: 'airflow_pool_open_slots{pool_name="default_pool"}' in found)
        assert found["airflow_scheduler_scheduler_loop_duration_count"] > 0
    # 3.1 and 3.2 send older forms as well, none of which is a series.
    assert not [
        name for name in metrics(host) if name.startswith(("airflow_pool_open_slots_", "airflow_triggers_running_"))
    ]


def test_tasks_are_counted_where_they_run(site: Site, airflow: Airflow) -> None:
    hosts = [testinfra.get_host(site.connection(name)) for name in site.group("airflow_worker")]

    def counted() -> float:
        return sum(
            sum_of(metrics(host), "airflow_task_duration_count", 'dag_id="airstrip_smoke_test"') for host in hosts
        )

    before = counted()
    run = airflow.start("airstrip_smoke_test")
    assert airflow.wait("airstrip_smoke_test", run) == "success"
    tasks = len(airflow.tasks("airstrip_smoke_test", run))
    end = time.monotonic() + 30
    while counted() < before + tasks:
        assert time.monotonic() < end, (before, counted(), tasks)
        time.sleep(1)
    assert counted() == before + tasks
