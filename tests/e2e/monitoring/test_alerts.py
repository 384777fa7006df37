"""A fault on a live site is told by mail and to a webhook, in time, and so is its end; our own work on it is not.

On the hosts of `monitoring`, whose receivers (molecule/monitoring/molecule.yml) are the servers of airstrip_sinks.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import testinfra
from airstrip_alerts import alerts, rendered
from airstrip_sinks import Sinks, sinks, tells, wait_until
from airstrip_site import Site

# What the dashboards' tests are to see, begins here.
pytestmark = pytest.mark.usefixtures("load")

PORT = 9093
USER, SECRET = "airstrip", "monitoring_password"
# Until a fault that a rule sees is told, beside the rule's own time: a scrape, an evaluation, a group's wait.
LATE = 60
# Until its end is told: the same, and what bridges the gaps of series.
RESOLVED = 300


@dataclass(frozen=True)
class Fault:
    """What is done to a unit, and undone; the alert that it causes, and the seconds until the rule can see it."""

    group: str
    unit: str
    make: str
    mend: str
    alert: str
    seen_after: int = 0


FAULTS = {
    # The host's own look comes twice a minute.
    "a scheduler is stopped": Fault(
        "airflow_scheduler", "airflow-scheduler", "systemctl stop {}", "systemctl start {}", "ComponentDown", 60
    ),
    "a scheduler hangs": Fault(
        "airflow_scheduler",
        "airflow-scheduler",
        "systemctl kill --signal=SIGSTOP {}",
        # Its host heals it.
        "true {}",
        "ComponentHangs",
        60,
    ),
    "the broker is stopped": Fault(
        "redis", "valkey-server redis-server", "systemctl stop {} || true", "systemctl start {} || true", "BrokerSilent"
    ),
}


def seconds_of(alert: str) -> int:
    """Return the rule's own time."""
    text = next(str(each.rule.get("for", "0s")) for each in alerts(rendered()) if each.name == alert)
    size = {"s": 1, "m": 60, "h": 3600}
    return sum(int(number) * size[unit] for number, unit in re.findall(r"(\d+)([smh])", text))


@pytest.fixture(scope="module")
def monitor(site: Site) -> str:
    """The name of the monitoring host."""
    return site.group("monitoring")[0]


@pytest.fixture(scope="module")
def told(site: Site, monitor: str) -> Iterator[Sinks]:
    with sinks(testinfra.get_host(site.connection(monitor))) as found:
        yield found


def firing(site: Site, monitor: str) -> set[str]:
    """Return the names of the alerts that fire and are not held back."""
    with site.tunnel(monitor, PORT) as port:
        answer = requests.get(
            f"https://127.0.0.1:{port}/api/v2/alerts?silenced=false&inhibited=false",
            auth=(USER, site.secrets[SECRET]),
            verify=str(site.directory / ".certificates" / "ca.crt"),
            timeout=30,
        )
    answer.raise_for_status()
    return {alert["labels"]["alertname"] for alert in answer.json()}


@pytest.fixture
def healthy(site: Site, monitor: str) -> None:
    """Begin with a site of which nothing is told, but that nobody took the alerts while these tests did not run."""
    wait_until(lambda: firing(site, monitor) - {"AlertsUndelivered"} == {"Watchdog"}, RESOLVED)


@pytest.mark.usefixtures("healthy")
def test_the_watchdog_is_told_again_and_again(told: Sinks) -> None:
    wait_until(lambda: sum(map(tells("Watchdog", "firing"), told.messages)) >= 2, 180)


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_and_so_is_its_end(site: Site, told: Sinks, name: str) -> None:
    fault = FAULTS[name]
    host: Any = testinfra.get_host(site.connection(site.group(fault.group)[0]))
    limit = fault.seen_after + seconds_of(fault.alert) + LATE
    began = time.time()
    host.check_output(fault.make.format(fault.unit))
    try:
        web = told.wait(tells(fault.alert, "firing"), limit)
        mail = told.wait(tells(fault.alert, "firing", "mail"), 30)
    finally:
        host.check_output(fault.mend.format(fault.unit))
    print(f"{name}: {fault.alert} was told after {web['at'] - began:.0f} s, by mail after {mail['at'] - began:.0f} s")  # noqa: T201
    told.wait(tells(fault.alert, "resolved"), RESOLVED)
    # A mail of several alerts says so when the last of them has ended.
    told.wait(tells(fault.alert, "resolved", "mail"), RESOLVED)


@pytest.mark.usefixtures("healthy")
def test_a_rolling_restart_is_told_to_nobody(site: Site, told: Sinks) -> None:
    before = len(told.messages)
    result = site.command("ansible-playbook", "playbooks/restart.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    # What would still come of it.
    time.sleep(180)
    later = [
        message
        for message in told.messages[before:]
        # What was before is told as resolved.
        if re.search("'status': 'firing'|^\\[FIRING", str(message.get("subject") or message))
        and not re.search("Watchdog|always fires|AlertsUndelivered|cannot deliver", str(message))
    ]
    assert not later, told.titles
