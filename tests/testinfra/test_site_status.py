"""playbooks/status.yml: what it says of the site is what systemd, the database, the broker and the API say.

Not named after its role, which no play of site.yml applies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import testinfra
from airstrip_airflow import Airflow
from airstrip_postgresql import sql
from airstrip_site import Site
from airstrip_units import properties

# It stops workers for a while, and takes a minute.
pytestmark = pytest.mark.only_in("single_node")

# Nothing listens there.
CLOSED_PORT = 9
GHOST = "ghost"
# Answers, and no JSON.
BABBLER = "babbler"
QUEUE = "default"
DRAINED = {"since": "2026-11-24T12:00:00Z", "reason": "<b>new disk</b>"}


@dataclass(frozen=True)
class Run:
    """One run of the playbook: its output, and the files that it has written."""

    output: str
    text: str
    status: dict[str, Any]
    page: str

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
    result = site.command(
        "ansible-playbook", "playbooks/status.yml", "-e", f"status_write=true status_directory={directory}", *arguments
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    return Run(
        result.stdout,
        (directory / "status.txt").read_text(encoding="utf-8"),
        json.loads((directory / "status.json").read_text(encoding="utf-8")),
        (directory / "status.html").read_text(encoding="utf-8"),
    )


@pytest.fixture(scope="module")
def ghost(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name two hosts in the inventory: one that cannot be reached, and one that answers with no JSON."""
    path = tmp_path_factory.mktemp("ghost") / "ghost.yml"
    variables = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": CLOSED_PORT}
    # The last host by another name, whose Python says something else.
    known = site.inventory["_meta"]["hostvars"][site.hosts[-1]]
    babbler = {name: value for name, value in known.items() if name.startswith("ansible_") and "{" not in str(value)}
    babbler["ansible_python_interpreter"] = "/bin/echo"
    hosts = {GHOST: variables, BABBLER: babbler}
    path.write_text(json.dumps({"airflow_dag_processor": {"hosts": hosts}}), encoding="utf-8")
    return f"--inventory={path}"


@contextmanager
def message(site: Site) -> Iterator[None]:
    """Put a message into a queue for the time of the block, where there is a broker."""
    if not site.group("redis"):
        yield
        return
    tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(site.ca_certificate)} if site.is_shared else {}
    user: dict[str, Any] = {"username": "airflow", "password": site.secrets["airflow_broker_password"]}
    with (
        site.tunnel(site.group("redis")[0], 6379) as local,
        redis.Redis(host="127.0.0.1", port=local, protocol=2, **user, **tls) as client,
    ):
        client.execute_command("LPUSH", QUEUE, "airstrip-test")
        try:
            yield
        finally:
            client.execute_command("LREM", QUEUE, "0", "airstrip-test")


@contextmanager
def stopped(site: Site) -> Iterator[None]:
    """Stop all workers and the first triggerer, as by hand, for the time of the block."""
    hosts = [(testinfra.get_host(site.connection(name)), "airflow-worker@*") for name in site.group("airflow_worker")]
    hosts.append((testinfra.get_host(site.connection(site.group("airflow_triggerer")[0])), "airflow-triggerer"))
    units = [host.check_output(f"systemctl show --property=Id --value '{pattern}'").split() for host, pattern in hosts]
    try:
        for (host, _), names in zip(hosts, units, strict=True):
            host.check_output(f"systemctl stop {' '.join(names)}")
        yield
    finally:
        for (host, _), names in zip(hosts, units, strict=True):
            host.check_output(f"systemctl start {' '.join(names)}")


@contextmanager
def drained(site: Site) -> Iterator[None]:
    """Mark the last host as drained for the time of the block."""
    host = testinfra.get_host(site.connection(site.hosts[-1]))
    host.check_output(f"mkdir -p /etc/airflow && echo '{json.dumps(DRAINED)}' >/etc/airflow/drained")
    try:
        yield
    finally:
        host.check_output("rm /etc/airflow/drained && rmdir --ignore-fail-on-non-empty /etc/airflow")


@pytest.fixture(scope="module")
def troubled(site: Site, ghost: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run while workers and a triggerer are stopped, a message waits, and a host is drained."""
    with ExitStack() as stack:
        for trouble in (stopped, message, drained):
            stack.enter_context(trouble(site))
        # Another host in the inventory does not make the others speak TLS.
        tls = json.dumps({"site_tls_enabled": site.is_shared})
        return run(site, tmp_path_factory.mktemp("troubled"), ghost, "-e", tls)


@pytest.fixture(scope="module")
def blind(site: Site, troubled: Run) -> str:
    """The output of a run to which neither database nor broker answers, in check mode. Meanwhile the workers start."""
    assert troubled
    ports = f"site_database_port={CLOSED_PORT} site_broker_port={CLOSED_PORT}"
    result = site.command("ansible-playbook", "playbooks/status.yml", "--check", "-e", ports)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def well(site: Site, blind: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run after all that, as soon as the workers answer, and nobody is late on a busy machine."""
    assert blind
    for _ in range(5):
        found = run(site, tmp_path_factory.mktemp("well"))
        beats = [row["heartbeat"] for row in found.status["components"] if row["version"]]
        if None not in beats and not found.problems:
            break
    return found


def test_what_is_stopped_is_shown_as_such(site: Site, troubled: Run) -> None:
    row = troubled.row(site.group("airflow_triggerer")[0], "triggerer")
    assert row["state"] == "stopped"
    assert row["seconds"] < 300
    assert row["heartbeat"] is not None
    assert ">stopped</span>" in troubled.page
    for hostname in site.group("airflow_worker"):
        worker = troubled.row(hostname, "worker@default")
        assert (worker["state"], worker["heartbeat"]) == ("stopped", None)
    if site.group("airflow_triggerer")[0] != site.hosts[-1]:
        assert f"{row['host']}: triggerer is stopped since " in troubled.text


def test_a_host_that_cannot_be_reached_is_shown_as_such(troubled: Run) -> None:
    assert troubled.row(GHOST, "dag_processor")["state"] == "unreachable"
    assert any(text.startswith(f"{GHOST}: cannot be reached: ") for text in troubled.problems)


def test_a_host_that_answers_no_json_is_a_finding_and_the_others_are_shown(troubled: Run) -> None:
    assert troubled.row(BABBLER, "dag_processor")["state"] == "unknown"
    found = [problem for problem in troubled.status["problems"] if problem["code"] == "host-unseen"]
    assert [problem["text"].partition(":")[0] for problem in found] == [BABBLER]


def test_a_drained_host_is_shown_as_such(site: Site, troubled: Run) -> None:
    shown = {host["host"]: host["drained"] for host in troubled.status["hosts"] if host["drained"]}
    assert shown == {site.hosts[-1]: DRAINED}
    assert "&lt;b&gt;new disk&lt;/b&gt;" in troubled.page
    assert "<b>" not in troubled.page


def test_a_waiting_message_is_counted(site: Site, troubled: Run, well: Run) -> None:
    for found, waiting in ((troubled, 1), (well, 0)):
        lengths = {entry["queue"]: entry["waiting"] for entry in found.status["queues"]}
        assert lengths.get(QUEUE) == (waiting if site.group("airflow_worker") else None)


def test_what_does_not_answer_does_not_end_the_run(site: Site, blind: str) -> None:
    said = " ".join(blind.split())
    assert said.index("ERROR: ") < said.index("ERROR database-silent: ")
    assert re.search(r"database-silent: \S+: no answer from the metadata database: [^-]*(refused|time)", said)
    assert bool(re.search(r"broker-silent: \S+: no answer from the broker: ", said)) == bool(
        site.group("airflow_worker")
    )
    for name in site.group("airflow_scheduler"):
        assert re.search(rf"^ *{name} +scheduler +active ", blind, re.MULTILINE)
    assert set(re.findall(r" changed=(\d+) ", blind)) == {"0"}


def test_no_secret_is_shown(site: Site, troubled: Run, blind: str, well: Run) -> None:
    shown = [part for found in (troubled, well) for part in (found.output, found.text, found.page, str(found.status))]
    assert not [name for name, secret in site.secrets.items() for part in (*shown, blind) if secret in part]


def test_what_runs_again_is_shown_as_such(site: Site, troubled: Run, well: Run) -> None:
    name = site.group("airflow_triggerer")[0]
    assert well.row(name, "triggerer")["since"] > troubled.row(name, "triggerer")["since"]


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
    database = testinfra.get_host(site.connection(site.group("postgresql")[0]))
    query = "SELECT DISTINCT job_type, hostname FROM job WHERE latest_heartbeat > now() - interval '60 s'"
    kinds = {"SchedulerJob": "scheduler", "DagProcessorJob": "dag_processor", "TriggererJob": "triggerer"}
    beating = {(kinds[kind], name) for kind, name in (line.split("|") for line in sql(database, query).splitlines())}
    shown = {(row["component"], row["host"]) for row in well.status["components"] if row["component"] in kinds.values()}
    assert {(kind, name.partition(".")[0]) for kind, name in beating} == shown
    assert len(shown) >= 3
    for row in well.status["components"]:
        beats = row["unit"].startswith("airflow-")
        assert (row["heartbeat"] is not None) == beats
        assert not beats or 0 <= row["heartbeat"] < 30


def test_slots_are_those_that_the_workers_have(site: Site, well: Run) -> None:
    for name in site.group("airflow_worker"):
        host = testinfra.get_host(site.connection(name))
        for row in well.status["components"]:
            if row["host"] == name and row["component"].startswith("worker@"):
                started = properties(host, row["unit"], "ExecStart")["ExecStart"]
                bounds = re.search(r"--(?:concurrency|autoscale) (\d+)", started)
                assert bounds is not None
                assert row["slots"] == int(bounds[1])
                assert 0 <= row["busy"] <= row["slots"]


def test_certificates_end_when_those_of_the_hosts_do(host: Any, site: Site, inventory_hostname: str, well: Run) -> None:
    files = {"postgresql": "/etc/postgresql/*/main/server.crt", "redis": f"/etc/{site.broker}/server.crt"}
    shown = {row["service"]: row for row in well.status["certificates"] if row["host"] == inventory_hostname}
    for service, path in files.items():
        there = host.run(f"openssl x509 -noout -enddate -dateopt iso_8601 -in {path}")
        assert (service in shown) == (there.rc == 0)
        if there.rc == 0:
            assert shown[service]["ends"] == there.stdout.strip().partition("=")[2].replace(" ", "T")
            assert shown[service]["days"] > 30
