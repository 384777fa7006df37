"""What hangs while its health is green is named within 90 s and healed within 180 s; tasks that run go on."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

DAG = Path(__file__).parent / "dags" / "airstrip_hangs.py"
HEALER = "airstrip-airflow-heal"
METRICS = "/var/lib/airstrip/textfile/heal.prom"
NAMED, HEALED, GRACE = 90, 180, 120
# Minutes for which a busy site is watched for restarts that nobody needed.
MINUTES = float(os.environ.get("AIRSTRIP_HANG_MINUTES", "5"))


@dataclass(frozen=True)
class Hang:
    """What is done, as root, with MAIN the unit's main process; what it is named, and whether it has a new one then.

    undo  is run at the end
    at    group of the host where both are done, if it is another one
    """

    group: str
    unit: str
    make: str
    reason: str
    is_restarted: bool = True
    is_healed: bool = True
    undo: str = "true"
    at: str = ""


# Its connections to the broker of now, and no other.
CUT = """
command -v nft || apt-get install -qq -y nftables
ports=$(ss -tnpH state established | grep ',pid=MAIN,' | awk '$4 ~ /:6379$/ {print $3}' | sed 's/.*://' | paste -sd,)
nft add table inet hang
nft 'add chain inet hang in { type filter hook input priority 0; }'
nft "add rule inet hang in tcp dport { $ports } drop"
"""
LOCK = (
    "systemd-run --unit=hang-lock --uid=postgres psql --dbname=airflow --command="
    "'BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(200)'"
)
# The server goes on sleeping when its client is gone.
UNLOCK = (
    "systemctl stop hang-lock; cd /; runuser -u postgres -- psql --dbname=airflow --command="
    "\"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(200)%'"
    ' AND pid <> pg_backend_pid()"'
)
HANGS = {
    "scheduler": Hang("airflow_scheduler", "airflow-scheduler", "kill -STOP MAIN", "stopped"),
    "DAG processor": Hang("airflow_dag_processor", "airflow-dag-processor", "kill -STOP MAIN", "stopped"),
    "triggerer": Hang("airflow_triggerer", "airflow-triggerer", "kill -STOP MAIN", "stopped"),
    "triggers' process": Hang("airflow_triggerer", "airflow-triggerer", "pkill -STOP -P MAIN", "stopped"),
    "API server": Hang("airflow_api_server", "airflow-api-server", "kill -STOP MAIN", "stopped"),
    "worker": Hang("airflow_worker", "airflow-worker@default", "kill -STOP MAIN", "stopped", is_restarted=False),
    "worker without broker": Hang(
        "airflow_worker", "airflow-worker@default", CUT, "broker-silent", undo="nft delete table inet hang"
    ),
    "worker's logs": Hang(
        "airflow_worker", "airflow-worker@default", "pkill -STOP -P MAIN -f 'airflow serve-logs'", "serves-no-log"
    ),
    "lock": Hang(
        "airflow_scheduler",
        "airflow-scheduler",
        LOCK.format(table="dag_run"),
        "no-heartbeat",
        is_restarted=False,
        is_healed=False,
        undo=UNLOCK,
        at="postgresql",
    ),
    "lock on heartbeats": Hang(
        "airflow_scheduler",
        "airflow-scheduler",
        LOCK.format(table="job"),
        "no-heartbeat",
        is_restarted=False,
        is_healed=False,
        undo=UNLOCK,
        at="postgresql",
    ),
}


@pytest.fixture(scope="module", name="airflow")
def fixture_airflow(site: Site) -> Iterator[Airflow]:
    airflow = site.airflow()
    host = testinfra.get_host(site.connection(site.group("airflow_dag_processor")[0]))
    path = f"/srv/airflow/dags/{DAG.name}"
    host.check_output(f"echo {base64.b64encode(DAG.read_bytes()).decode()} | base64 -d >{path} && chmod 0644 {path}")
    airflow.wait_for_dag("airstrip_hangs", 180)
    yield airflow
    host.check_output(f"rm -f {path}")


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> float:
    """Return the seconds after which something was so; fail if it is not in time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)
    return time.monotonic() - began


def states(airflow: Airflow, run: str) -> list[str]:
    """Return the states of a run's tasks."""
    return [str(task["state"]) for task in airflow.tasks("airstrip_hangs", run)]


def errors(airflow: Airflow) -> str:
    """Return what Airflow says of files that are no DAGs."""
    return json.dumps(airflow.request("GET", "/api/v2/importErrors"))


class Unit:
    """A unit on a host, with what its healer says of it."""

    def __init__(self, site: Site, hang: Hang) -> None:
        self._host = testinfra.get_host(site.connection(site.group(hang.group)[0]))
        self._name = f"{hang.unit}.service"

    def run(self, command: str) -> str:
        return str(self._host.check_output(command))

    def main(self) -> str:
        return self.run(f"systemctl show --property=MainPID --value {self._name}")

    def works(self) -> bool:
        active = self.run(f"systemctl is-active {self._name} || true") == "active"
        return active and self._host.run(f"grep -q '^State:.T' /proc/{self.main()}/status").rc != 0

    def hangs(self) -> dict[str, str]:
        """Return what is shown of it: by reason, the line."""
        shown = self.run(f"grep 'airstrip_hang{{unit=\"{self._name}\"' {METRICS} || true").splitlines()
        return {line.split('reason="')[1].split('"')[0]: line for line in shown}

    def settle(self) -> None:
        """Wait until nothing is left of what was before, and the unit has been active for long enough."""
        self.run(f"systemctl stop {HEALER}; rm -f {METRICS} /run/{HEALER}/state.json; systemctl start {HEALER}")
        age = (
            "echo $(( $(cut -d. -f1 /proc/uptime) - $(systemctl show -P ActiveEnterTimestampMonotonic {}) / 1000000 ))"
        )
        wait_until(lambda: int(self.run(age.format(self._name))) > GRACE, GRACE + 60, f"{self._name} is settled")


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_a_hang_is_named_and_healed(site: Site, airflow: Airflow, hang: Hang, record_property: Any) -> None:
    unit = Unit(site, hang)
    unit.settle()
    run = airflow.start("airstrip_hangs", seconds=100)
    wait_until(lambda: states(airflow, run) == ["running"], 90, "the task runs")
    main = unit.main()
    at = testinfra.get_host(site.connection(site.group(hang.at or hang.group)[0]))
    try:
        began = time.monotonic()
        at.check_output(hang.make.replace("MAIN", main))
        wait_until(lambda: hang.reason in unit.hangs(), NAMED, f"{hang.unit} is named for {hang.reason}")
        record_property("named", round(time.monotonic() - began))
        if hang.is_healed and "worker" not in hang.group:
            wait_until(
                lambda: unit.main() not in (main, "0") and unit.works(), began + HEALED - time.monotonic(), "it works"
            )
            record_property("healed", round(time.monotonic() - began))
        elif hang.is_healed and not hang.is_restarted:
            wait_until(unit.works, began + HEALED - time.monotonic(), "it works")
        elif not hang.is_healed:
            time.sleep(30)
            assert 'healing="false"' in unit.hangs()[hang.reason]
    finally:
        at.check_output(hang.undo)
    airflow.wait_until_healthy()
    assert airflow.wait("airstrip_hangs", run, 240) == "success"
    assert airflow.result("airstrip_hangs", run, "sleeps") == 1
    if hang.is_healed and hang.is_restarted:
        wait_until(lambda: unit.main() not in (main, "0") and unit.works(), HEALED, "it works")
    else:
        assert unit.main() == main


def test_a_broker_that_is_started_anew_leaves_no_idle_worker(site: Site, airflow: Airflow) -> None:
    unit = Unit(site, HANGS["worker"])
    unit.settle()
    broker = testinfra.get_host(site.connection(site.group("redis")[0]))
    broker.check_output("systemctl restart valkey-server || systemctl restart redis-server")
    run = airflow.start("airstrip_hangs")
    assert airflow.wait("airstrip_hangs", run, HEALED) == "success"


def test_a_file_that_never_returns_is_named_by_airflow(site: Site, airflow: Airflow) -> None:
    unit = Unit(site, HANGS["DAG processor"])
    unit.settle()
    main, path = unit.main(), "/srv/airflow/dags/airstrip_never.py"
    unit.run(f"printf '# airflow DAG\\nimport time\\nwhile True:\\n    time.sleep(1)\\n' >{path}; chmod 0644 {path}")
    try:
        wait_until(lambda: "airstrip_never" in errors(airflow), HEALED, "Airflow names the file")
        time.sleep(30)
        assert (unit.main(), unit.hangs()) == (main, {})
    finally:
        unit.run(f"rm -f {path}")


def test_nothing_that_works_is_restarted(site: Site, airflow: Airflow) -> None:
    units = {hang.unit: Unit(site, hang) for hang in HANGS.values()}
    for unit in units.values():
        unit.run(f"systemctl stop {HEALER}; rm -f {METRICS} /run/{HEALER}/state.json; systemctl start {HEALER}")
    mains = {name: unit.main() for name, unit in units.items()}
    end = time.monotonic() + MINUTES * 60
    while time.monotonic() < end:
        for _ in range(20):
            airflow.start("airstrip_hangs")
        time.sleep(20)
        assert {name: unit.hangs() for name, unit in units.items()} == {name: {} for name in units}
    assert {name: unit.main() for name, unit in units.items()} == mains
