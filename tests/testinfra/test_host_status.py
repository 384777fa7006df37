"""The command airstrip-status: it names real faults of its host first, in two seconds, with the code that they have.

Not named after a role: the role base installs it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import testinfra
from airstrip_certificates import issue
from airstrip_site import Site

# It stops components for a moment.
pytestmark = pytest.mark.only_in("single_node_bookworm")

RECORD = "/etc/airstrip/status.json"
SOCKET = "/run/haproxy/admin.sock"
_TELL = f"import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect('{SOCKET}'); s.sendall(sys.argv[1].encode())"
# To begin and to end each fault, as root; and the code that is named first.
FAULTS = {
    "a unit is not enabled": (
        "systemctl disable -q airflow-triggerer", "systemctl enable -q airflow-triggerer", "component-disabled",
    ),
    "a unit of nobody runs": (
        "systemd-run --quiet --unit=airflow-stranger sleep 600", "systemctl stop airflow-stranger",
        "component-unplaced",
    ),
    "a file system is full": (
        "mkdir -p /mnt/small && mount -t tmpfs -o size=64k none /mnt/small && "
        "(head -c 1M /dev/zero >/mnt/small/file 2>/dev/null || true)",
        "umount /mnt/small && rmdir /mnt/small",
        "disk-full",
    ),
    "a file system is not mounted": (
        "cp /etc/fstab /root/fstab && echo 'server:/a /mnt/lost nfs4 _netdev 0 0' >>/etc/fstab",
        "cat /root/fstab >/etc/fstab && rm /root/fstab",
        "mount-missing",
    ),
    "an API server hangs": (
        "systemctl kill --signal=STOP airflow-api-server", "systemctl kill --signal=CONT airflow-api-server",
        "component-silent",
    ),
    "a server is drained": (
        f"python3 -c \"{_TELL}\" 'set server airflow_api/node-1 state drain\n'",
        f"python3 -c \"{_TELL}\" 'set server airflow_api/node-1 state ready\n'",
        "server-drained",
    ),
    "a port is closed": (
        f"python3 -c \"{_TELL}\" 'disable frontend execution\n'",
        f"python3 -c \"{_TELL}\" 'enable frontend execution\n'",
        "port-closed",
    ),
    "the host is drained": (
        "echo '{}' >/etc/airflow/drained", "rm /etc/airflow/drained", "host-drained",
    ),
    "the record is broken": (
        f"cp -p {RECORD} /root/ && echo '{{' >{RECORD}", f"mv /root/status.json {RECORD}", "host-unseen",
    ),
    "a unit is stopped": ("systemctl stop airflow-triggerer", "systemctl start airflow-triggerer", "component-down"),
    "a unit is gone": (
        "systemctl stop airflow-triggerer && mv /etc/systemd/system/airflow-triggerer.service /root/ && "
        "systemctl daemon-reload",
        "mv /root/airflow-triggerer.service /etc/systemd/system/ && systemctl daemon-reload && "
        "systemctl start airflow-triggerer",
        "component-missing",
    ),
}  # fmt: skip


def told(host: Any) -> dict[str, Any]:
    """Return what the command says, which has to agree with its exit status."""
    result = host.run("airstrip-status --json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.rc == ("OK", "WARN", "ERROR").index(found["level"]), found
    return found


def ages(found: dict[str, Any]) -> list[float]:
    """Return for how long those have run that are asked whether they answer."""
    asked = ("airflow-api-server.service", "haproxy.service")
    return [unit["age"] for unit in found["facts"]["units"] if unit["unit"] in asked]


def settled(host: Any) -> dict[str, Any]:
    """Return what the command says once all is well, and everybody has to answer."""
    for _ in range(60):
        found = told(host)
        if found["level"] == "OK" and min(ages(found)) > 61:
            break
        time.sleep(2)
    return found


@contextmanager
def fault(host: Any, begin: str, end: str) -> Iterator[None]:
    try:
        host.check_output(begin)
        yield
    finally:
        host.check_output(end)


def test_a_host_on_which_all_is_well_says_so(host: Any) -> None:
    assert settled(host)["findings"] == []
    assert host.check_output("airstrip-status").splitlines()[0].startswith("OK ")


def test_it_takes_little_of_a_processor_and_waits_for_nobody(host: Any) -> None:
    # Of a busy machine, seconds tell nothing; it may wait 1.5 s for all answers together.
    said = host.check_output("bash -c 'TIMEFORMAT=\"%U %S\"; { time airstrip-status >/dev/null; } 2>&1 || true'")
    assert sum(map(float, said.split())) < 1


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_first(host: Any, name: str) -> None:
    begin, end, code = FAULTS[name]
    settled(host)
    with fault(host, begin, end):
        time.sleep(1)
        found = told(host)
        lines = host.run("airstrip-status").stdout.splitlines()
    assert [finding["code"] for finding in found["findings"]][:1] == [code], found["findings"]
    level = found["findings"][0]["level"]
    assert lines[0].startswith(f"{level} ")
    assert lines[1].startswith(f"{level} {code}: ")
    assert lines[2].startswith("  ")


def test_a_certificate_that_has_ended_is_named_first(host: Any) -> None:
    record = json.loads(host.check_output(f"cat {RECORD}"))
    record["parts"][0]["certificates"] = ["/root/ended.crt"]
    pem = issue("a", days=(-9, -1)).pem
    changed = f"cp -p {RECORD} /root/ && echo '{json.dumps(record)}' >{RECORD} && echo '{pem}' >/root/ended.crt"
    with fault(host, changed, f"mv /root/status.json {RECORD} && rm /root/ended.crt"):
        assert told(host)["findings"][0]["code"] == "certificate-ended"


def test_a_finding_that_is_muted_is_not_told(host: Any) -> None:
    record = json.loads(host.check_output(f"cat {RECORD}"))
    begin, end, code = FAULTS["the host is drained"]
    settled(host)
    with fault(host, begin, end):
        assert code in [finding["code"] for finding in told(host)["findings"]]
        record["muted"] = {code: time.time() + 600}
        changed = f"cp -p {RECORD} /root/ && echo '{json.dumps(record)}' >{RECORD}"
        with fault(host, changed, f"mv /root/status.json {RECORD}"):
            assert code not in [finding["code"] for finding in told(host)["findings"]]


def test_it_needs_no_root_and_says_what_it_does_not_see(host: Any) -> None:
    settled(host)
    result = host.run("setpriv --reuid=65534 --regid=65534 --clear-groups airstrip-status")
    assert (result.rc, result.stderr) == (0, "")
    assert "(Root sees more: whether the host is drained, the servers of load_balancer.)" in result.stdout


def test_nobody_but_root_can_change_what_root_runs_and_reads(host: Any) -> None:
    for path in ("/usr/local/bin/airstrip-status", RECORD, "/etc/airstrip"):
        file = host.file(path)
        assert (file.user, file.group, file.mode & 0o022) == ("root", "root", 0)
    # Neither modules of the directory that one stands in, nor of an environment.
    host.check_output("mkdir -p /tmp/evil && echo 'raise SystemExit(9)' | tee /tmp/evil/json.py >/tmp/evil/csv.py")
    assert host.run("cd /tmp/evil && PYTHONPATH=/tmp/evil airstrip-status").rc == 0


def test_its_answer_holds_no_secret(site: Site, host: Any) -> None:
    said = host.run("airstrip-status --json").stdout + host.check_output(f"cat {RECORD}")
    assert not [name for name, secret in site.secrets.items() if secret in said]


def test_a_finding_of_the_host_is_one_of_the_site(site: Site) -> None:
    host = testinfra.get_host(site.connection(site.group("load_balancer")[0]))
    begin, end, code = FAULTS["a server is drained"]
    with fault(host, begin, end):
        result = site.command("ansible-playbook", "playbooks/status.yml")
    assert result.returncode == 0
    said = " ".join(result.stdout.split())
    assert f"WARN {code}: {site.group('load_balancer')[0]}: no requests to node-1 (airflow_api): DRAIN" in said
    assert "playbooks/undrain.yml --limit node-1" in said
