"""playbooks/status.yml: what it says of the site is what systemd, the database, the broker and the API say.

Not named after its role, which no play of site.yml applies.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import testinfra
from airstrip_airflow import Airflow
from airstrip_site import Site
from airstrip_units import properties

# Nothing listens there.
CLOSED_PORT = 9
GHOST = "ghost"
DRAINED = {"since": "2026-11-24T12:00:00Z", "reason": "<b>new disk</b>"}


@dataclass(frozen=True)
class Run:
    """One run of the playbook: its output, the files that it has written, and how long it took."""

    output: str
    text: str
    status: dict[str, Any]
    page: str
    seconds: float

    def row(self, host: str, component: str) -> dict[str, Any]:
        """Return the row of a component."""
        found: list[dict[str, Any]] = [
            row for row in self.status["components"] if (row["host"], row["component"]) == (host, component)
        ]
        assert len(found) == 1, self.text
        return found[0]

    @property
    def problems(self) -> list[str]:
        return [problem["text"] for problem in self.status["problems"]]


def run(site: Site, directory: Path, *arguments: str) -> Run:
    began = time.monotonic()
    result = site.command(
        "ansible-playbook", "playbooks/status.yml", "-e", f"status_write=true status_directory={directory}", *arguments
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    return Run(
        result.stdout,
        (directory / "status.txt").read_text(encoding="utf-8"),
        json.loads((directory / "status.json").read_text(encoding="utf-8")),
        (directory / "status.html").read_text(encoding="utf-8"),
        time.monotonic() - began,
    )


def hosts(site: Site, group: str) -> dict[str, Any]:
    return {name: testinfra.get_host(site.connection(name)) for name in site.group(group)}


@pytest.fixture(scope="module")
def well(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(site, tmp_path_factory.mktemp("well"))


def test_all_is_well_and_nothing_changes(site: Site, well: Run) -> None:
    assert well.problems == []
    assert {row["state"] for row in well.status["components"]} == {"active"}
    recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+) ", well.output, re.MULTILINE)
    assert recap == [(name, "0", "0", "0") for name in sorted(site.hosts)]


def test_the_text_is_printed_and_narrow(well: Run) -> None:
    printed = [line.strip() for line in well.output.splitlines()]
    # The line of summary has the time, and the heartbeats are as old as they are.
    for row in well.status["components"]:
        assert any(line.split()[:3] == [row["host"], row["component"], row["state"]] for line in printed), row
    assert "Nothing needs attention." in printed
    # Beside lines of asterisks and the recap, which are Ansible's.
    table = well.output.partition("msg: |-")[2].partition("PLAY RECAP")[0]
    assert max(map(len, table.splitlines())) <= 120


def test_every_unit_is_shown_as_systemd_has_it(host: Any, inventory_hostname: str, well: Run) -> None:
    rows = {row["unit"]: row for row in well.status["components"] if row["host"] == inventory_hostname}
    listed = host.check_output(
        "systemctl list-units --all --plain --no-legend 'airflow-*.service' 'postgresql@*.service' redis-server.service"
        " valkey-server.service haproxy.service keepalived.service"
    )
    assert set(rows) == {line.split()[0] for line in listed.splitlines() if " not-found " not in line}
    for name, row in rows.items():
        seen = properties(host, name, "ActiveState", "NRestarts", "StateChangeTimestamp")
        assert (row["state"], seen["ActiveState"]) == ("active", "active")
        assert int(seen["NRestarts"]) == row["restarts"]
        epoch = int(host.check_output(f"date --date='{seen['StateChangeTimestamp']}' +%s"))
        assert abs(datetime.fromisoformat(row["since"]).timestamp() - epoch) <= 2


def test_the_release_is_the_one_that_runs(host: Any, airflow: Airflow, inventory_hostname: str, well: Run) -> None:
    link = host.run("readlink --canonicalize-existing /opt/airflow/current").stdout.strip()
    rows = [row for row in well.status["components"] if row["host"] == inventory_hostname]
    found = {row["release"] for row in rows if row["unit"].startswith("airflow-")}
    assert found == ({link.rpartition("/")[2]} if link else set())
    version = airflow.request("GET", "/api/v2/version")["version"]
    assert {row["version"] for row in rows if row["unit"].startswith("airflow-")} <= {version}


def test_heartbeats_are_those_of_the_database(site: Site, well: Run) -> None:
    database = next(iter(hosts(site, "postgresql").values()))
    query = "SELECT DISTINCT job_type, hostname FROM job WHERE latest_heartbeat > now() - interval '60 s'"
    answer = database.check_output(f'cd / && runuser -u postgres -- psql --tuples-only --no-align airflow -c "{query}"')
    kinds = {"SchedulerJob": "scheduler", "DagProcessorJob": "dag_processor", "TriggererJob": "triggerer"}
    beating = {(kinds[kind], name) for kind, name in (line.split("|") for line in answer.splitlines())}
    shown = {(row["component"], row["host"]) for row in well.status["components"] if row["component"] in kinds.values()}
    assert {(kind, name.partition(".")[0]) for kind, name in beating} == shown
    assert len(shown) >= 3
    for row in well.status["components"]:
        beats = row["unit"].startswith("airflow-")
        assert (row["heartbeat"] is not None) == beats
        assert not beats or 0 <= row["heartbeat"] < 30


def test_slots_are_those_that_the_workers_have(site: Site, well: Run) -> None:
    for name, host in hosts(site, "airflow_worker").items():
        for row in well.status["components"]:
            if row["host"] == name and row["component"].startswith("worker@"):
                started = properties(host, row["unit"], "ExecStart")["ExecStart"]
                bounds = re.search(r"--(?:concurrency|autoscale) (\d+)", started)
                assert bounds is not None
                assert row["slots"] == int(bounds[1])
                assert 0 <= row["busy"] <= row["slots"]


def test_certificates_end_when_those_of_the_hosts_do(host: Any, inventory_hostname: str, well: Run) -> None:
    files = {"postgresql": "/etc/postgresql/*/main/server.crt", "redis": "/etc/valkey/server.crt"}
    shown = {row["service"]: row for row in well.status["certificates"] if row["host"] == inventory_hostname}
    for service, path in files.items():
        there = host.run(f"openssl x509 -noout -enddate -dateopt iso_8601 -in {path}")
        assert (service in shown) == (there.rc == 0)
        if there.rc == 0:
            assert shown[service]["ends"] == there.stdout.strip().partition("=")[2].replace(" ", "T")
            assert shown[service]["days"] > 30


@pytest.fixture(scope="module")
def ghost(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name a host that is in the inventory and cannot be reached."""
    path = tmp_path_factory.mktemp("ghost") / "ghost.yml"
    variables = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": CLOSED_PORT}
    path.write_text(json.dumps({"airflow_dag_processor": {"hosts": {GHOST: variables}}}), encoding="utf-8")
    return f"--inventory={path}"


@pytest.fixture
def message(site: Site) -> Iterator[str]:
    """Put a message into a queue of which no worker takes; give the queue."""
    queue = "default"
    hostname = site.group("redis")[0]
    tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(site.ca_certificate)} if site.is_shared else {}
    with (
        site.tunnel(hostname, 6379) as local,
        redis.Redis(
            host="127.0.0.1", port=local, username="airflow", password=site.secrets["airflow_broker_password"],
            protocol=2, **tls,
        ) as client,
    ):  # fmt: skip
        client.execute_command("LPUSH", queue, "airstrip-test")
        yield queue
        client.execute_command("LREM", queue, "0", "airstrip-test")


@pytest.fixture
def stopped(site: Site) -> Iterator[tuple[str, str]]:
    """Stop a triggerer and all workers, as by hand; give the triggerer's host."""
    triggerer = site.group("airflow_triggerer")[0]
    stops = [(site_host, "airflow-worker@*") for site_host in hosts(site, "airflow_worker").values()]
    stops.append((hosts(site, "airflow_triggerer")[triggerer], "airflow-triggerer"))
    started = [
        (host, host.check_output(f"systemctl show --property=Id --value '{pattern}'").split())
        for host, pattern in stops
    ]
    for host, units in started:
        host.check_output(f"systemctl stop {' '.join(units)}")
    yield triggerer, "triggerer"
    for host, units in started:
        host.check_output(f"systemctl start {' '.join(units)}")


def test_trouble_is_shown(site: Site, ghost: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    name, component = request.getfixturevalue("stopped")
    queue = request.getfixturevalue("message") if site.group("airflow_worker") else None
    other = testinfra.get_host(site.connection(site.group("postgresql")[0]))
    other.check_output(f"mkdir -p /etc/airflow && echo '{json.dumps(DRAINED)}' >/etc/airflow/drained")
    try:
        # Another host in the inventory does not make the others speak TLS.
        found = run(site, tmp_path, ghost, "-e", json.dumps({"airflow_tls_enabled": site.is_shared}))
    finally:
        other.check_output("rm /etc/airflow/drained && rmdir --ignore-fail-on-non-empty /etc/airflow")
    row = found.row(name, component)
    assert (row["state"], row["seconds"] < 300) == ("stopped", True)
    assert row["heartbeat"] is not None
    assert found.row(GHOST, "dag_processor")["state"] == "unreachable"
    assert any(text.startswith(f"{GHOST} cannot be reached: ") for text in found.problems)
    drained = {host["host"]: host["drained"] for host in found.status["hosts"] if host["drained"]}
    assert drained == {site.group("postgresql")[0]: DRAINED}
    assert "&lt;b&gt;new disk&lt;/b&gt;" in found.page
    assert "<b>" not in found.page
    assert ">stopped</span>" in found.page
    for hostname in site.group("airflow_worker"):
        assert found.row(hostname, "worker@default")["state"] == "stopped"
        assert found.row(hostname, "worker@default")["heartbeat"] is None
    if queue:
        waiting = {entry["queue"]: entry["waiting"] for entry in found.status["queues"]}
        assert waiting[queue] == 1


def test_what_runs_again_is_shown_as_such(site: Site, tmp_path: Path, well: Run) -> None:
    # Workers take some seconds until they answer.
    for _ in range(5):
        found = run(site, tmp_path)
        if all(row["heartbeat"] is not None for row in found.status["components"] if row["version"]):
            break
    name = site.group("airflow_triggerer")[0]
    row = found.row(name, "triggerer")
    assert found.problems == []
    assert (row["state"], row["heartbeat"] is not None) == ("active", True)
    assert row["since"] > well.row(name, "triggerer")["since"]


def test_neither_database_nor_broker_ends_the_run_nor_does_check_mode(site: Site) -> None:
    ports = f"airflow_database_port={CLOSED_PORT} airflow_broker_port={CLOSED_PORT}"
    result = site.command("ansible-playbook", "playbooks/status.yml", "--check", "-e", ports)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    said = " ".join(result.stdout.split())
    assert re.search(r"- No answer from the metadata database: [^-]*refused", said)
    assert ("- No answer from the broker: " in said) == bool(site.group("airflow_worker"))
    for name in site.group("airflow_scheduler"):
        assert re.search(rf"^ *{name} +scheduler +active ", result.stdout, re.MULTILINE)
    assert set(re.findall(r" changed=(\d+) ", result.stdout)) == {"0"}
    shown = result.stdout + result.stderr
    assert not [name for name, secret in site.secrets.items() if secret in shown]
