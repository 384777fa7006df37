"""Logs: a line of any host is found from one place, also of a host that was away, and no line has a secret in it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site

SEARCH = "/usr/local/bin/airstrip-logs /etc/airstrip/journal-remote/settings.json"
JOURNALS = "/var/log/airstrip-journals"
SENDER = "airstrip-journal-upload@*.service"
# Shorter ones could stand in a line by chance.
SECRET_LENGTH = 12


@pytest.fixture(scope="module")
def monitor(site: Site) -> Any:
    return testinfra.get_host(site.connection(site.group("monitoring")[0]))


@pytest.fixture(scope="module")
def find(monitor: Any) -> Callable[..., list[str]]:
    """Search until there is a line, or for so many seconds."""

    def now(options: str, seconds: float = 30) -> list[str]:
        limit = time.monotonic() + seconds
        while True:
            found: list[str] = monitor.check_output(f"{SEARCH} --since=-1d {options}").splitlines()
            if found or time.monotonic() > limit:
                return found
            time.sleep(1)

    return now


def on(site: Site, name: str) -> Any:
    return testinfra.get_host(site.connection(name))


def test_lines_of_three_hosts_are_found_by_host_and_component(site: Site, find: Callable[..., list[str]]) -> None:
    parts = {"airflow_scheduler": "scheduler", "airflow_worker": "worker", "postgresql": "postgresql"}
    for group, component in parts.items():
        host = site.group(group)[0]
        found = find(f"--host={host} --component={component} --limit=5")
        assert found, (host, component)
        assert {line.split()[1] for line in found} == {host}
    assert find(f"--host={site.group('monitoring')[0]} --component=prometheus")


def test_lines_of_components_are_json(site: Site) -> None:
    scheduler = on(site, site.group("airflow_scheduler")[0])
    text = scheduler.check_output("journalctl --unit airflow-scheduler --lines=200 --output=cat")
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert len(found) > 100
    assert all({"timestamp", "level", "event"} <= set(line) for line in found)


def test_a_run_is_followed_by_its_id_over_hosts(airflow: Airflow, load: float, find: Callable[..., list[str]]) -> None:
    limit = time.monotonic() + 240
    while time.monotonic() < limit:
        runs = airflow.request("GET", "/api/v2/dags/airstrip_load/dagRuns", order_by="-start_date")["dag_runs"]
        ended = [run["dag_run_id"] for run in runs if run["state"] == "success"]
        if ended:
            break
        time.sleep(5)
    assert time.time() > load
    found = find(f"--dag=airstrip_load --run='{ended[0]}'", 60)
    assert "airflow-scheduler" in {line.split()[2] for line in found}


def test_a_host_that_was_away_sends_what_it_missed(site: Site, find: Callable[..., list[str]]) -> None:
    name, text = site.group("airflow_worker")[0], f"missed-{uuid.uuid4()}"
    worker = on(site, name)
    worker.check_output(f"systemctl stop '{SENDER}'")
    try:
        worker.check_output(f"logger --tag airstrip-test {text}")
        # The command that searches is in the journal of the monitoring host itself.
        assert find(f"--host={name} --text={text}", 5) == []
    finally:
        worker.check_output("systemctl restart airstrip-journal-upload.service")
    assert find(f"--host={name} --text={text}")


def test_the_playbook_shows_what_the_command_does(site: Site, find: Callable[..., list[str]]) -> None:
    name, text = site.group("airflow_worker")[0], f"asked-{uuid.uuid4()}"
    on(site, name).check_output(f"logger --tag airstrip-test --priority user.err {text}")
    assert find(f"--text={text}")
    options = ("-e", f"text={text}", "-e", "level=error", "-e", f"host={name}")
    result = site.command("ansible-playbook", "playbooks/logs.yml", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{name} " in result.stdout
    refused = site.command("ansible-playbook", "playbooks/logs.yml", "-e", "host=nowhere")
    assert refused.returncode != 0
    assert "of which there are no lines" in refused.stdout + refused.stderr


def test_no_line_has_a_secret_in_it(site: Site, monitor: Any) -> None:
    # Given by the standard input, so that they are in no command, and with it in no journal themselves.
    wanted = {name: value for name, value in site.secrets.items() if len(value) >= SECRET_LENGTH}
    assert len(wanted) > 10
    lines = {name: max(value.splitlines(), key=len) for name, value in wanted.items()}
    text = monitor.check_output(
        f"for directory in {JOURNALS}/*; do journalctl --directory=$directory --all --output=cat --no-pager; done;"
        " journalctl --all --output=cat --no-pager"
    )
    assert len(text) > 10_000
    # The names alone: a failure must not print what it found.
    leaked = [name for name, value in lines.items() if value in text]
    assert leaked == []
