"""A fault of a live site wakes people, its repair lets them sleep, and what our own playbooks do wakes nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testinfra
from airstrip_sinks import Sinks, sinks
from airstrip_site import Site

# Seconds after the time of a rule, which is how old a heartbeat may be and how long that has to last.
LIMIT, LASTING, LATE = 60, 60, 60
# Between two messages of a group, and the time between a sample and the next.
INTERVAL, SCRAPE = 60, 30

Message = dict[str, Any]


@pytest.fixture(scope="module")
def people(site: Site) -> Iterator[Sinks]:
    """What the site's people get, by mail and by a webhook."""
    with sinks(testinfra.get_host(site.connection(site.group("monitoring")[0]))) as found:
        yield found


def tells_of(alert: str, status: str, kind: str, after: float) -> Callable[[Message], bool]:
    """Tell whether a message since a moment is about an alert."""

    def fits(message: Message) -> bool:
        if message["kind"] != kind or message["at"] < after:
            return False
        if kind == "mail":
            return alert in message["subject"] and status.upper() in message["subject"].upper()
        alerts = message["body"]["alerts"]
        return any(one["labels"]["alertname"] == alert and one["status"] == status for one in alerts)

    return fits


def test_a_component_that_hangs_wakes_people_until_it_goes_on(site: Site, people: Sinks) -> None:
    host = testinfra.get_host(site.connection(site.group("airflow_triggerer")[0]))
    begun = time.time()
    host.check_output("systemctl kill --signal=SIGSTOP airflow-triggerer.service")
    try:
        for kind in ("web", "mail"):
            left = begun + LIMIT + LASTING + LATE - time.time()
            message = people.wait(tells_of("ComponentSilent", "firing", kind, begun), left)
        assert "#component-silent" in message["text"]
    finally:
        host.check_output("systemctl kill --signal=SIGCONT airflow-triggerer.service")
    mended = time.time()
    for kind in ("web", "mail"):
        people.wait(tells_of("ComponentSilent", "resolved", kind, mended), INTERVAL + SCRAPE + LATE)


def test_a_unit_that_is_stopped_wakes_people_by_its_code(site: Site, people: Sinks) -> None:
    host = testinfra.get_host(site.connection(site.group("airflow_dag_processor")[1]))
    begun = time.time()
    host.check_output("systemctl stop airflow-dag-processor.service")
    try:
        # airstrip-status looks each minute.
        message = people.wait(tells_of("ComponentDown", "firing", "web", begun), 60 + LASTING + LATE)
    finally:
        host.check_output("systemctl start airflow-dag-processor.service")
    labels = next(one["labels"] for one in message["body"]["alerts"] if one["labels"]["alertname"] == "ComponentDown")
    assert (labels["code"], labels["severity"]) == ("component-down", "critical")
    people.wait(tells_of("ComponentDown", "resolved", "web", begun), 60 + 60 + INTERVAL + SCRAPE + LATE)


def test_a_rolling_restart_wakes_nobody(site: Site, people: Sinks) -> None:
    begun = time.time()
    result = site.command("ansible-playbook", "playbooks/restart.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    # What comes late, comes by then.
    time.sleep(LIMIT + LASTING + LATE)
    assert [message for message in people.messages if message["at"] > begun] == [], people.titles
