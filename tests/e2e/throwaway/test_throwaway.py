"""Two components that nobody knows, on real hosts: one entry of the registry, one role and one group each, and no more.

One is a leader among three hosts that speaks TLS, the other is outside of the inventory. Their names are made up when
this runs. All that lists components shows them; then their entries are deleted, and nothing of them remains.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import testinfra
from airstrip_outsider import Outsider, outside
from airstrip_site import Site
from airstrip_throwaway import Throwaway

INVENTORY = "distributed"
# By name, the second one leads.
HOSTS = ["control-1", "control-2", "worker-1"]
LEADER, OTHER, STRANGER = "control-2", "control-1", "data-1"
PORT, OUTSIDE_PORT = 9123, 9124
CONNECTIONS = 7
RECORD = "/etc/airstrip/placed.json"
# What a host answers at a name, with a certificate of the site's authority for that name.
ASK = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile="/etc/airflow/ca.crt")
client = http.client.HTTPSConnection(sys.argv[1], int(sys.argv[2]), timeout=5, context=context)
client.request("GET", "/leader")
print(client.getresponse().status)
"""
# Whether a port answers: what the firewall drops, it does not refuse.
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    print("open")
except TimeoutError:
    print("silent")
except OSError:
    print("refused")
"""
# Where a name could be left on a host. Journals and logs tell what was, and may.
PLACES = "/etc /usr/local /opt/airflow/current/etc /run/systemd /var/lib/systemd /var/lib/private /var/lib/airflow"


@dataclass(frozen=True)
class Run:
    """What a run of the site, with both components or again without them, has said and left."""

    site: Site
    names: Throwaway
    output: str


def play(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return site.command("ansible-playbook", *arguments)


def done(site: Site, *arguments: str) -> str:
    result = play(site, *arguments)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    return result.stdout


def connected(site: Site, name: str) -> Any:
    return testinfra.get_host(site.connection(name))


def python(host: Any, program: str, *arguments: object) -> Any:
    return host.run("python3 -c %s " + " ".join("%s" for _ in arguments), program, *map(str, arguments))


def connections(site: Site) -> int:
    return int(
        connected(site, "data-1").check_output("cd / && runuser -u postgres -- psql -XAtc 'SHOW max_connections'")
    )


@pytest.fixture(scope="module")
def outsider(site: Site) -> Iterator[Outsider]:
    with outside(site.scenario) as found:
        yield found


@pytest.fixture(scope="module")
def copied(site: Site, outsider: Outsider, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The copy of the project, with both added; nothing has run."""
    names = Throwaway.copied(tmp_path_factory.mktemp("throwaway") / "project")
    names.add(INVENTORY, HOSTS, elsewhere_host=outsider.address, elsewhere_plain_allowed=True)
    sources = [source for source in site.inventory_sources if str(site.directory) in source]
    sources.append(f"--inventory={names.root}/inventory/{INVENTORY}")
    return Run(replace(site, root=names.root, inventory_sources=sources), names, "")


@pytest.fixture(scope="module")
def before(site: Site) -> int:
    return connections(site)


@pytest.fixture(scope="module")
def refused(copied: Run, before: int) -> str:
    """What checks say of an entry that asks for too much, while nobody answers outside."""
    assert before
    path = copied.names.root / "registry" / f"{copied.names.inside}.yml"
    entry = path.read_text(encoding="utf-8")
    path.write_text(entry.replace("memory: {mb: 99}", "memory: {mb: 9999999}"), encoding="utf-8")
    # That of the log server of the worker.
    port = f"site_{copied.names.inside}_port=8793"
    result = play(copied.site, "site.yml", "--tags", "validate", "-e", port)
    path.write_text(entry, encoding="utf-8")
    assert result.returncode != 0
    return " ".join(result.stdout.split())


@pytest.fixture(scope="module")
def added(copied: Run, refused: str, outsider: Outsider) -> Iterator[Run]:
    """The site with both."""
    assert refused
    with outsider.running(["python3", "-m", "http.server", str(OUTSIDE_PORT)]):
        yield replace(copied, output=done(copied.site, "site.yml"))


@pytest.fixture(scope="module")
def gone(added: Run) -> Run:
    """The site without them again."""
    added.names.remove(INVENTORY)
    return replace(added, output=done(added.site, "site.yml"))


def test_checks_name_port_memory_and_what_does_not_answer(copied: Run, refused: str, outsider: Outsider) -> None:
    names = copied.names
    assert "worker-1: port 8793 is used by" in refused
    assert f"site_{names.inside}_port" in refused
    assert re.search(r"worker-1: the host has \d+ MB of memory, and its components need 1\d{7} MB", refused)
    silent = f"site_{names.outside}_host: {outsider.address} does not answer on port {OUTSIDE_PORT} from"
    assert [host for host in HOSTS if f"{silent} {host}." not in refused] == []


def test_each_runs_its_unit_and_one_leads(added: Run) -> None:
    answers = {}
    for name in HOSTS:
        host = connected(added.site, name)
        assert host.service(f"{added.names.inside}.service").is_running
        assert host.service(f"{added.names.inside}.service").is_enabled
        # By its own name, which /etc/hosts leads to its address, and the certificate has.
        asked = python(connected(added.site, OTHER if name != OTHER else LEADER), ASK, name, PORT)
        assert asked.rc == 0, asked.stderr
        answers[name] = asked.stdout.strip()
    assert answers == {"control-1": "503", "control-2": "200", "worker-1": "503"}


def test_each_host_finds_the_others_in_its_file_of_hosts(added: Run) -> None:
    for name in HOSTS:
        entries = connected(added.site, name).file("/etc/hosts").content_string
        for other in HOSTS:
            assert re.search(rf"^{re.escape(added.site.address(other))} .*\b{other}\b", entries, re.MULTILINE)


def test_the_kernel_lets_in_those_hosts_alone(added: Run, outsider: Outsider) -> None:
    rules = connected(added.site, LEADER).check_output("nft list table inet airstrip")
    rule = next(line for line in rules.splitlines() if added.names.inside in line or str(PORT) in line)
    assert added.site.address("control-1") in rules
    assert str(PORT) in rule
    address = added.site.address(LEADER)
    assert python(connected(added.site, "worker-1"), KNOCK, address, PORT).stdout.strip() == "open"
    assert python(connected(added.site, STRANGER), KNOCK, address, PORT).stdout.strip() == "silent"
    assert outsider.check_output(["python3", "-c", KNOCK, address, str(PORT)]).strip() == "silent"


def test_the_database_has_their_connections(added: Run, before: int) -> None:
    # Counted in tens.
    assert before + len(HOSTS) * CONNECTIONS - 10 < connections(added.site) <= before + len(HOSTS) * CONNECTIONS + 10
    lists = connected(added.site, "data-1").check_output("cat /etc/postgresql/*/main/pg_hba.conf")
    assert re.search(
        rf'^hostssl "airflow" "airflow" {re.escape(added.site.address("worker-1"))}/32 ', lists, re.MULTILINE
    )


def test_the_smoke_test_has_a_row_of_each(added: Run) -> None:
    rows = re.findall(rf"{added.names.inside} +{added.names.inside} +(\S+) +(leader|follower) +\d", added.output)
    # Each host asks all.
    assert len(rows) == len(HOSTS) ** 2
    assert {address for address, health in rows if health == "leader"} == {added.site.address(LEADER), "127.0.0.1"}


def test_the_drawing_has_both(added: Run, outsider: Outsider, tmp_path: Path) -> None:
    done(added.site, "playbooks/topology.yml", "-e", f"topology_directory={tmp_path}")
    drawn = (tmp_path / "topology.txt").read_text(encoding="utf-8")
    assert f"{added.names.inside} {PORT}" in drawn
    assert f"{outsider.address}: {added.names.outside}, outside of the inventory" in drawn
    assert added.names.inside in (tmp_path / "topology.svg").read_text(encoding="utf-8")


def test_the_status_has_a_row_of_each(added: Run, tmp_path: Path) -> None:
    done(added.site, "playbooks/status.yml", "-e", f"status_write=true status_directory={tmp_path}")
    seen = json.loads((tmp_path / "status.json").read_text(encoding="utf-8"))
    rows = {(row["host"], row["component"]): row for row in seen["components"]}
    for name in HOSTS:
        assert "active" in json.dumps(rows[name, added.names.inside]), rows[name, added.names.inside]
    text = (tmp_path / "status.txt").read_text(encoding="utf-8")
    assert added.names.outside in text
    assert re.search(rf"(ERROR|WARN).*({added.names.inside}|{added.names.outside})", text) is None


def test_the_record_says_what_is_placed(added: Run) -> None:
    record = json.loads(connected(added.site, LEADER).check_output(f"cat {RECORD}"))
    assert added.names.inside in record["components"]


def left(host: Any, names: Sequence[str]) -> str:
    """Return what of the names is left on a host."""
    pattern = "|".join(names)
    looks = [
        f"grep --recursive --files-with-matches --extended-regexp '{pattern}' {PLACES} 2>/dev/null",
        f"find / -xdev -regextype posix-extended -regex '.*({pattern}).*' -not -path '/proc/*' -not -path '/var/log/*' "
        "-not -path '/var/tmp/*' -not -path '/tmp/*'",
        f"systemctl list-units --all --plain --no-legend | grep -E '{pattern}'",
        f"systemctl list-unit-files --no-legend | grep -E '{pattern}'",
        f"nft list ruleset | grep -E '{pattern}|dport {PORT}'",
        f"ps -e -o args | grep -E '{pattern}' | grep -v grep",
    ]
    return "".join(host.run(look).stdout for look in looks)


def test_nothing_remains_on_any_host(gone: Run) -> None:
    names = [gone.names.inside, gone.names.outside]
    for name in gone.site.hosts:
        assert left(connected(gone.site, name), names) == "", name


def test_nothing_remains_on_the_controller(gone: Run, before: int) -> None:
    names = re.compile(f"{gone.names.inside}|{gone.names.outside}")
    assert [path.name for path in gone.site.directory.rglob("*") if names.search(path.name)] == []
    for file in ("secrets.yml", ".facts.json"):
        assert not names.search((gone.site.directory / file).read_text(encoding="utf-8"))
    assert connections(gone.site) == before


def test_nothing_is_left_to_do(gone: Run) -> None:
    assert re.findall(r"^(\S+) +: ok=\d+ +changed=[1-9]", done(gone.site, "site.yml", "--check"), re.MULTILINE) == []
