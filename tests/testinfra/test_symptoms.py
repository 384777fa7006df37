"""The symptoms of docs/operations.md: each is produced, and the page's own commands are typed.

They have to show what the page says, and to lead back to a site that works. Faults are mended also if that fails. Those
that need several hosts run in `distributed`, the others on a single host.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_edge import wait_for
from airstrip_site import PROJECT, Site
from airstrip_symptoms import Step, Symptom, shows, symptoms
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# On demand: they stop parts of the site, one after the other, for some minutes (CONTRIBUTING.md).
ON_DEMAND = pytest.mark.skipif("AIRSTRIP_SYMPTOMS" not in os.environ, reason="on demand: set AIRSTRIP_SYMPTOMS=1")
pytestmark = [pytest.mark.usefixtures("probe_dags"), ON_DEMAND]
PAGE = PROJECT / "docs" / "operations.md"
SINGLE = ("single_node", "single_node_bookworm")
# The groups of the hosts that the page's examples name.
GROUPS = {"control": "airflow_api_server", "worker": "airflow_worker", "data": "postgresql"}
LOGS = "/var/log/airflow"
JWT = "/etc/airflow/credentials/jwt_secret"
PUBLIC = "/etc/haproxy/tls/public.pem"
KEPT = "/root/airstrip-kept"
DAG_FILE = "/srv/airflow/dags/orders.py"
BROKERS = "'redis-server*' 'valkey-server*'"
# Nothing listens there.
CLOSED_PORT = 9
# Seconds in which what is waited for has to come, on a machine that is busy with other hosts.
PATIENCE = 300


@dataclass
class There:
    """A site with a fault, as a person at its controller has it before them."""

    site: Site
    airflow: Airflow
    directory: Path
    # What ansible-playbook gets besides the page's arguments.
    arguments: tuple[str, ...] = ()
    # What the way back asks a person to do, without a command for it.
    mend: Callable[[], None] = lambda: None

    def host(self, example: str) -> Any:
        """Return the connection to the host that one of the page's examples stands for."""
        kind = example.partition("-")[0]
        return testinfra.get_host(self.site.connection(self.site.group(GROUPS[kind])[0]))

    def run_task(self) -> str:
        """Run a task that does nothing; return the state of its run."""
        return self.airflow.wait("airstrip_sleep", self.airflow.start("airstrip_sleep", seconds=0), PATIENCE)


Fault = Callable[[There], AbstractContextManager[None]]
FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {}


def produces(name: str, *scenarios: str) -> Callable[[Fault], Fault]:
    """Say which symptom of the page a fault produces, and in which scenarios."""

    def keep(fault: Fault) -> Fault:
        FAULTS[name] = (fault, scenarios)
        return fault

    return keep


@contextmanager
def stopped(host: Any, units: str) -> Iterator[None]:
    """Stop units (names or patterns, as the shell reads them) for the time of the block."""
    names = host.check_output(f"systemctl show --property=Id --value {units}").split()
    host.check_output(f"systemctl stop {' '.join(names)}")
    try:
        yield
    finally:
        host.check_output(f"systemctl start {' '.join(names)}")


@produces("user-interface-down", *SINGLE)
@contextmanager
def api_server_stopped(there: There) -> Iterator[None]:
    with stopped(there.host("control-1"), "airflow-api-server.service"):
        yield


@produces("tasks-queued", *SINGLE)
@contextmanager
def workers_stopped(there: There) -> Iterator[None]:
    with stopped(there.host("worker-1"), "'airflow-worker@*'"):
        run = there.airflow.start("airstrip_sleep", seconds=0)
        wait_for(
            lambda: there.airflow.tasks("airstrip_sleep", run)[0]["state"] == "queued", "the task is queued", PATIENCE
        )
        yield
        assert there.airflow.wait("airstrip_sleep", run, PATIENCE) == "success"


def answers(site: Site) -> bool:
    """Whether an API server answers, without a login: these are counted, and refused if there are too many."""
    with requests.Session() as session, suppress(requests.RequestException):
        session.trust_env = False
        return session.get(f"{site.edge_url}/api/v2/version", timeout=10).ok
    return False


@produces("tasks-fail-at-once", *SINGLE)
@contextmanager
def another_secret(there: There) -> Iterator[None]:
    host = there.host("control-1")
    host.check_output(f"cp --preserve {JWT} {KEPT} && head -c 48 /dev/urandom | base64 --wrap 0 >{JWT}")
    try:
        host.check_output("systemctl restart airflow-api-server")
        wait_for(lambda: answers(there.site), "the API server answers", PATIENCE)
        # Its tokens of before are worth nothing now.
        airflow = there.site.airflow()
        assert airflow.wait("airstrip_sleep", airflow.start("airstrip_sleep", seconds=0), PATIENCE) == "failed"
        yield
        host.check_output(f"cmp {KEPT} {JWT}")
    finally:
        host.check_output(f"cmp --silent {KEPT} {JWT} || systemctl stop airflow-api-server; mv {KEPT} {JWT}")
        host.check_output("systemctl start airflow-api-server")


@produces("host-lost", *SINGLE)
@contextmanager
def host_away(there: There) -> Iterator[None]:
    inventory = there.directory / "lost.yml"
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": CLOSED_PORT}
    inventory.write_text(json.dumps({"airflow_worker": {"hosts": {"worker-2": away}}}), encoding="utf-8")
    # Another host in the inventory does not make the one that is there speak TLS.
    there.arguments = (f"--inventory={inventory}", "--extra-vars", json.dumps({"site_tls_enabled": False}))
    yield


@produces("disk-full", *SINGLE)
@contextmanager
def log_disk_full(there: There) -> Iterator[None]:
    host = there.host("worker-1")
    old, young = (f"{LOGS}/dag_id={name}/run_id=test/task_id=test" for name in ("old", "young"))
    host.check_output(f"mount -t tmpfs -o size=16m,uid=airflow,gid=airflow,mode=755 tmpfs {LOGS}")
    try:
        host.check_output(f"mkdir --parents {old} {young} && head -c 2M /dev/zero >{young}/attempt=1.log")
        host.check_output(f"! dd if=/dev/zero of={old}/attempt=1.log bs=1M status=none")
        host.check_output(f"touch --date='-60 days' {old}/attempt=1.log && chown --recursive airflow: {LOGS}")
        assert there.run_task() == "failed"
        yield
    finally:
        # The DAG processor holds a file open.
        host.check_output(f"umount --lazy {LOGS}")


@produces("broker-dead", *SINGLE)
@contextmanager
def broker_stopped(there: There) -> Iterator[None]:
    with stopped(there.host("data-1"), BROKERS):
        run = there.airflow.start("airstrip_sleep", seconds=0)
        yield
        assert there.airflow.wait("airstrip_sleep", run, PATIENCE) == "success"


@produces("database-dead", *SINGLE)
@contextmanager
def database_stopped(there: There) -> Iterator[None]:
    with stopped(there.host("data-1"), "'postgresql@*'"):
        yield


def expired() -> bytes:
    """Return a certificate that ended yesterday, with its key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "expired")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return built.public_bytes(pem) + private


def served_subject(host: Any) -> str:
    """Return the line with the subject of the certificate that HAProxy shows to people."""
    command = "openssl s_client -connect 127.0.0.1:443 </dev/null | openssl x509 -noout -subject"
    return str(host.check_output(command))


@produces("certificate-expired", "distributed")
@contextmanager
def certificate_expired(there: There) -> Iterator[None]:
    host = there.host("control-1")
    encoded = base64.b64encode(expired()).decode()
    host.check_output(f"cp --preserve {PUBLIC} {KEPT}")
    try:
        host.check_output(f"echo {encoded} | base64 --decode >{PUBLIC} && systemctl reload haproxy")
        wait_for(lambda: served_subject(host).endswith("expired"), "HAProxy has the certificate", PATIENCE)
        yield
        host.check_output(f"cmp {KEPT} {PUBLIC}")
        wait_for(lambda: not served_subject(host).endswith("expired"), "HAProxy has the one of before", PATIENCE)
    finally:
        host.check_output(f"mv {KEPT} {PUBLIC} && systemctl reload haproxy")


@produces("dag-missing", *SINGLE)
@contextmanager
def dag_with_an_error(there: There) -> Iterator[None]:
    host = there.host("control-1")
    dag = "from airflow.sdk import DAG\n{}\nwith DAG('orders', schedule=None):\n    pass\n"

    def write(line: str) -> None:
        host.check_output(f"printf %s {shlex.quote(dag.format(line))} >{DAG_FILE}")

    def mend() -> None:
        write("")

    write("import shop_client")
    there.mend = mend
    try:
        yield
        assert there.airflow.has_dag("orders")
    finally:
        host.check_output(f"rm {DAG_FILE} && airflow dags reserialize --bundle-name dags-folder")
        with suppress(requests.HTTPError):
            there.airflow.request("DELETE", "/api/v2/dags/orders")


@produces("logs-not-shown", *SINGLE)
@contextmanager
def logs_of_root(there: There) -> Iterator[None]:
    host = there.host("worker-1")
    run = there.airflow.start("airstrip_sleep", seconds=0)
    assert there.airflow.wait("airstrip_sleep", run, PATIENCE) == "success"
    (task,) = there.airflow.tasks("airstrip_sleep", run)
    directory = f"{LOGS}/dag_id=airstrip_sleep/run_id={run}"
    host.check_output(f"chown --recursive root: '{directory}'")
    try:
        with pytest.raises(requests.HTTPError, match="500"):
            there.airflow.log("airstrip_sleep", run, task)
        yield
        assert "airstrip: sleeps" in there.airflow.log("airstrip_sleep", run, task)
    finally:
        host.check_output(f"chown --recursive airflow: '{directory}'")


@produces("run-failed", *SINGLE)
@contextmanager
def run_killed(there: There) -> Iterator[None]:
    host = there.host("control-1")
    unit = "/etc/systemd/system/airflow-scheduler.service"
    host.check_output(f"cp --preserve {unit} {KEPT} && echo '# half-written' >>{unit}")
    try:
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        with subprocess.Popen(
            [program, *there.site.inventory_sources, "site.yml", "--tags", "airflow_scheduler"],
            cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, text=True,
        ) as run:  # fmt: skip
            assert run.stdout is not None
            begun = any(line.startswith("TASK [airflow : ") for line in run.stdout)
            run.send_signal(signal.SIGKILL)
        assert begun
        yield
        host.check_output(f"cmp {KEPT} {unit}")
    finally:
        host.check_output(f"mv {KEPT} {unit} && systemctl daemon-reload")


def follow(there: There, step: Step, began: int) -> None:
    """Type a command of the page, and see what the page says.

    What takes its time is asked again and again. What is older than the fault (`began`, in seconds since 1970) does not
    count: the test asks the journal once more for what is younger.
    """
    if not step.host:
        result = there.site.command(*step.command.replace("play ", "ansible-playbook ", 1).split(), *there.arguments)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr
        assert shows(step.expected, result.stdout), f"{step.command} shows:\n{result.stdout}"
        return
    host = there.host(step.host)
    if not step.expected:
        host.check_output(step.command)
        return
    for command in (re.sub(r"--since -\d+min", f"--since @{began}", step.command), step.command):
        output = [""]

        def seen(command: str = command, output: list[str] = output) -> bool:
            result = host.run(command)
            output[0] = result.stdout + result.stderr
            return shows(step.expected, output[0])

        try:
            wait_for(seen, step.command, PATIENCE)
        except TimeoutError:
            pytest.fail(f"{command} shows:\n{output[0]}")


def found() -> list[Any]:
    """Return the symptoms of the page, each with the marker of where it is produced."""
    known = symptoms(PAGE.read_text(encoding="utf-8"))
    return [
        pytest.param(symptom, id=symptom.name, marks=pytest.mark.only_in(*FAULTS[symptom.name][1])) for symptom in known
    ]


@pytest.fixture(autouse=True)
def healthy(airflow: Airflow) -> Iterator[None]:
    """Begin and end with a healthy site, so that no symptom is another one's."""
    airflow.wait_until_healthy(PATIENCE)
    yield
    airflow.wait_until_healthy(PATIENCE)


@pytest.mark.parametrize("symptom", found())
def test_page_shows_the_symptom_and_leads_back(symptom: Symptom, site: Site, airflow: Airflow, tmp_path: Path) -> None:
    there = There(site, airflow, tmp_path)
    produce, _ = FAULTS[symptom.name]
    began = int(there.host("control-1").check_output("date +%s"))
    with produce(there):
        mended = False
        for step in symptom.steps:
            if step.is_way_back and not mended:
                there.mend()
                mended = True
            follow(there, step, began)
        airflow.wait_until_healthy(PATIENCE)
    assert there.run_task() == "success"
