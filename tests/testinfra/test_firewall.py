"""Role firewall: who reaches what, measured from every host and from outside, is what the topology says."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import testinfra
from airstrip_outsider import LIVES
from airstrip_site import Site
from airstrip_units import properties

UNIT = "airstrip-firewall.service"
TIMER = "airstrip-firewall-revert.timer"
LIST = "nft --stateless list table inet airstrip"
# Where nothing listens, and nothing is let in.
CLOSED_PORTS = frozenset({1, 23, 111, 3000, 9100, 54321, 65535})

# What answers, and what refuses, was let in by the firewall: of the rest it says nothing.
PROBE = """
import asyncio, json, sys
async def probe(address, port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 3)
        writer.close()
        return "open"
    except (ConnectionRefusedError, ConnectionResetError):
        return "refused"
    except (OSError, asyncio.TimeoutError):
        return "silent"
async def probe_all(targets):
    return await asyncio.gather(*(probe(*target) for target in targets))
print(json.dumps(asyncio.run(probe_all(json.loads(sys.argv[1])))))
"""

# Prints which of the addresses answer to an ICMP echo request.
ECHO = """
import socket, sys
for address in sys.argv[1:]:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        icmp.settimeout(2)
        icmp.connect((address, 0))
        icmp.send(bytes.fromhex("0800f7fd00010001"))
        if icmp.recv(100)[20] == 0:
            print(address)
"""

# The variables of each host as its run would see them.
SHOW = """
- hosts: firewall
  gather_facts: false
  tasks:
    - ansible.builtin.setup:
        gather_subset: ["!all", "!min", hardware, network, platform]
    - ansible.builtin.import_role: {name: site, tasks_from: model}
    - ansible.builtin.copy:
        content: "{{ shown | to_json }}"
        dest: "{{ shown_directory }}/{{ inventory_hostname }}.json"
        mode: "0600"
      delegate_to: localhost
      become: false
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
        shown:
          topology: "{{ site }}"
          own_rules:
            - {port: "{{ firewall_ssh_port }}", sources: "{{ firewall_ssh_sources }}"}
            - "{{ firewall_extra_rules | default([]) }}"
"""


@dataclass(frozen=True)
class Target:
    """A port at an address of a host."""

    host: str
    address: str
    port: int


@dataclass
class Firewalls:
    """The firewalls of a site: what they let in by the inventory, and what was found.

    elsewhere  by host, its addresses in networks that are not the site's
    """

    topology: Mapping[str, Any]
    rules: Mapping[str, list[dict[str, Any]]]
    ports: set[int] = field(default_factory=set)
    elsewhere: dict[str, list[str]] = field(default_factory=dict)
    holder: str | None = None
    probes: int = 0

    @property
    def virtual_address(self) -> str:
        """The load balancers' own address; empty if they have none."""
        return str(self.topology["vars"]["virtual_address"])

    @property
    def targets(self) -> list[Target]:
        """All ports at all addresses."""
        addresses = [(host, str(entry["address"])) for host, entry in self.topology["hosts"].items()]
        if self.holder:
            addresses.append((self.holder, self.virtual_address))
        addresses += [(host, address) for host, found in self.elsewhere.items() for address in found]
        return [Target(host, address, port) for host, address in addresses for port in sorted(self.ports)]

    def source(self, host: str, target: Target) -> str:
        """Return the address from which a host reaches a target: that in the same network."""
        is_elsewhere = target.address in self.elsewhere[target.host]
        return self.elsewhere[host][0] if is_elsewhere else str(self.topology["hosts"][host]["address"])

    def let_in(self, source: str, target: Target) -> bool:
        """Whether the inventory says that the target's host lets an address in at that port."""
        return any(
            first <= target.port <= last and (not networks or any(address in network for network in networks))
            for first, last, networks in map(_span, self.rules[target.host])
            for address in [ipaddress.ip_address(source)]
        )

    def probe(self, run: Callable[[list[str]], str], targets: list[Target]) -> dict[Target, str]:
        """Try all targets at once from where `run` runs programs; return what each said."""
        answers = self._probe_once(run, targets)
        # A host under load may be late: what is silent is asked a second time, and has to stay silent.
        return answers | self._probe_once(run, [target for target, answer in answers.items() if answer == "silent"])

    def _probe_once(self, run: Callable[[list[str]], str], targets: list[Target]) -> dict[Target, str]:
        given = json.dumps([(target.address, target.port) for target in targets])
        answers = json.loads(run(["python3", "-c", PROBE, given]))
        self.probes += len(targets)
        return dict(zip(targets, answers, strict=True))


def _span(rule: Mapping[str, Any]) -> tuple[int, int, list[Any]]:
    """Return first port, last port and networks of a rule for TCP; of another protocol, no port."""
    if rule.get("protocol", "tcp") != "tcp":
        return 1, 0, []
    first, _, last = str(rule["port"]).partition("-")
    return int(first), int(last or first), [ipaddress.ip_network(source) for source in rule.get("sources") or []]


def connect(site: Site, hostname: str) -> Any:
    return testinfra.get_host(site.connection(hostname))


def listening(host: Any) -> set[int]:
    """Return the TCP ports of a host at which something listens, at whatever address."""
    return {int(line.split()[3].rpartition(":")[2]) for line in host.check_output("ss -Htln").splitlines()}


def has_address(host: Any, address: str) -> bool:
    return f" {address}/" in host.check_output("ip -oneline address show")


@pytest.fixture(scope="module")
def firewalls(
    site: Site, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Firewalls]:
    directory = tmp_path_factory.mktemp("shown")
    (directory / "show.yml").write_text(SHOW, encoding="utf-8")
    result = site.command("ansible-playbook", f"{directory}/show.yml", "-e", f"shown_directory={directory}")
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    shown = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*.json")}
    topology = next(iter(shown.values()))["topology"]
    rules: dict[str, list[dict[str, Any]]] = {}
    for host, entry in shown.items():
        ssh, extra = entry["own_rules"]
        rules[host] = [ssh, *extra, *topology["hosts"][host]["rules"]]
    found = Firewalls(topology, rules)
    found.ports |= {rule["port"] for host in rules for rule in topology["hosts"][host]["rules"]} - {0}
    found.ports |= CLOSED_PORTS
    for name in rules:
        host = connect(site, name)
        found.ports |= listening(host)
        if found.virtual_address and has_address(host, found.virtual_address):
            found.holder = name
        known = {str(topology["hosts"][name]["address"]), found.virtual_address}
        shown_addresses = host.check_output("ip -4 -oneline address show scope global")
        found.elsewhere[name] = [each for each in re.findall(r" inet ([0-9.]+)/", shown_addresses) if each not in known]
    yield found
    plugins = request.config.pluginmanager
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        plugins.getplugin("terminalreporter").write_line(
            f"\n{found.probes} ports probed, {len(found.ports)} at each address"
        )


@pytest.fixture(scope="module")
def answers(site: Site, firewalls: Firewalls) -> dict[str, dict[Target, str]]:
    """What each host is told by all targets. They ask at the same time, as what is silent takes six seconds."""

    def ask(name: str) -> dict[Target, str]:
        host = connect(site, name)
        return firewalls.probe(
            lambda argv: str(host.check_output(" ".join(["%s"] * len(argv)), *argv)), firewalls.targets
        )

    names = list(firewalls.topology["hosts"])
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))


def test_all_hosts_have_a_firewall(site: Site) -> None:
    if site.scenario == "distributed":
        assert sorted(site.group("firewall")) == site.hosts


def test_from_a_host_exactly_the_topology_is_reachable(
    answers: dict[str, dict[Target, str]], firewalls: Firewalls, inventory_hostname: str
) -> None:
    told = answers[inventory_hostname]
    # What a host tells itself goes by its loopback interface, which lets everything in.
    own = {target: answer for target, answer in told.items() if target.host == inventory_hostname}
    assert "silent" not in own.values()
    targets = told.keys() - own.keys()
    reached = {target for target in targets if told[target] != "silent"}
    assert reached == {
        target for target in targets if firewalls.let_in(firewalls.source(inventory_hostname, target), target)
    }
    needed = {
        (row["destination_address"], row["port"])
        for row in firewalls.topology["connections"]
        if row["source"] == inventory_hostname != row["destination"] and row["port"]
    }
    answered = {(target.address, target.port) for target, answer in told.items() if answer == "open"}
    assert needed <= answered


@pytest.mark.only_in("distributed")
def test_from_outside_only_what_is_public_is_reachable(outsider: Any, firewalls: Firewalls) -> None:
    def run(argv: list[str]) -> str:
        result = outsider.run(argv)
        assert result.returncode == 0, result.stderr
        return str(result.stdout)

    # It is in the site's network alone.
    targets = [target for target in firewalls.targets if target.address not in firewalls.elsewhere[target.host]]
    answers = firewalls.probe(run, targets)
    reached = {target for target, answer in answers.items() if answer != "silent"}
    assert reached == {target for target in answers if firewalls.let_in(outsider.address, target)}
    public = {(row["destination_address"], row["port"]) for row in firewalls.topology["public"]}
    if firewalls.holder:
        public |= {(firewalls.virtual_address, row["port"]) for row in firewalls.topology["public"]}
    answered = {(target.address, target.port) for target, answer in answers.items() if answer == "open"}
    assert public <= answered


def test_hosts_answer_to_ping(host: Any, firewalls: Firewalls, inventory_hostname: str) -> None:
    others = [entry["address"] for name, entry in firewalls.topology["hosts"].items() if name != inventory_hostname]
    assert host.check_output(f"python3 -c '{ECHO}' {' '.join(others)}").split() == others


def test_rules_are_there_after_a_boot(host: Any) -> None:
    assert host.service(UNIT).is_enabled
    unit = properties(host, UNIT, "Before", "ActiveState")
    assert unit["ActiveState"] == "active"
    assert "network-pre.target" in unit["Before"].split()
    before = host.check_output(LIST)
    others = host.check_output("nft list tables").splitlines()
    try:
        host.check_output(f"systemctl stop {UNIT}")
        left = host.check_output("nft list tables").splitlines()
        assert left == [table for table in others if table != "table inet airstrip"]
    finally:
        host.check_output(f"systemctl start {UNIT}")
    assert host.check_output(LIST) == before


def run_firewall(site: Site, *argv: str) -> tuple[int, str, dict[str, int]]:
    """Run the role on the site; return the status, what was printed, and the number of changes on each host."""
    result = site.command("ansible-playbook", "site.yml", "--tags", "firewall", *argv)
    recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) ", result.stdout, flags=re.MULTILINE)
    return result.returncode, result.stdout + result.stderr, {name: int(changed) for name, changed in recap}


@pytest.mark.only_in("distributed")
def test_what_is_changed_by_hand_or_left_by_an_interrupted_run_is_mended(site: Site) -> None:
    deleted, changed, interrupted, *untouched = site.group("firewall")
    before = {name: connect(site, name).check_output(LIST) for name in site.group("firewall")}
    connect(site, deleted).check_output("nft delete table inet airstrip && nft add table inet other")
    connect(site, changed).check_output("nft add rule inet airstrip input tcp dport 9 accept")
    connect(site, interrupted).check_output(
        "nft insert rule inet airstrip input tcp dport 9 accept"
        " && echo 'delete table inet airstrip' >/run/airstrip-firewall-previous.nft"
        " && systemd-run --unit=airstrip-firewall-revert --collect --on-active=900"
        " nft --file /run/airstrip-firewall-previous.nft"
    )
    try:
        status, output, changes = run_firewall(site)
        assert status == 0, output[-4000:]
        assert connect(site, deleted).check_output("nft list tables").splitlines().count("table inet other") == 1
    finally:
        connect(site, deleted).check_output("nft delete table inet other")
    assert all(changes[name] > 0 for name in (deleted, changed, interrupted))
    assert {name: changes[name] for name in untouched} == dict.fromkeys(untouched, 0)
    after = {name: connect(site, name).check_output(LIST) for name in site.group("firewall")}
    assert after == before
    # The interrupted run's revert will not come.
    assert connect(site, interrupted).run(f"systemctl is-active {TIMER}").stdout.strip() == "inactive"


@pytest.mark.only_in("distributed")
def test_a_firewall_that_would_lock_the_controller_out_is_refused(site: Site) -> None:
    name = site.group("firewall")[-1]
    before = connect(site, name).check_output(LIST)
    given = {"firewall_ssh_port": 2, "firewall_ssh_sources": ["192.0.2.1"]}
    status, output, _ = run_firewall(site, "--limit", name, "-e", json.dumps(given))
    assert status != 0
    told = " ".join(output.split())
    assert all(f"{name}: {variable}" in told for variable in given)
    assert told.count("would lock it out") >= len(given)
    assert connect(site, name).check_output(LIST) == before


@pytest.mark.only_in("distributed")
def test_rules_that_cut_the_controller_off_are_taken_back_by_the_host(site: Site) -> None:
    name = site.group("firewall")[-1]
    before = connect(site, name).check_output(LIST)
    wrong = {"firewall_ssh_port": 2, "firewall_revert_seconds": 30, "preflight_firewall_enabled": False}
    status, output, _ = run_firewall(site, "--limit", name, "-e", json.dumps(wrong))
    assert status != 0
    told = " ".join(output.split())
    assert f"{name}: the new firewall rules cut the controller off" in told, told[-3000:]
    assert "The host has taken the former rules back by itself." in told
    # All that was let in before is let in again; the kept rules, those of the next boot, never changed.
    host = connect(site, name)
    assert set(before.splitlines()) <= set(host.check_output(LIST).splitlines())
    host.check_output(f"systemctl restart {UNIT}")
    assert host.check_output(LIST) == before
    status, output, changes = run_firewall(site, "--limit", name)
    assert status == 0, output[-4000:]
    assert sum(changes.values()) == 0


# What comes in goes out again.
REFLECT = """
import socketserver, sys
class Reflect(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(9):
            self.request.sendall(data)
socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Reflect).serve_forever()
"""


@pytest.mark.only_in("distributed")
def test_who_is_let_in_no_more_is_cut_off(site: Site, outsider: Any) -> None:
    name, port = site.group("firewall")[-1], 7007
    host, address = connect(site, name), site.address(name)
    before = host.check_output(LIST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        unsent.connect((address, port))
        controller = unsent.getsockname()[0]

    def let_in(*sources: str) -> None:
        rule = {"comment": "test", "port": port, "sources": sources}
        status, output, _ = run_firewall(site, "--limit", name, "-e", json.dumps({"firewall_extra_rules": [rule]}))
        assert status == 0, output[-4000:]

    host.check_output(f"systemd-run --quiet --collect --unit=airstrip-reflect python3 -c '{REFLECT}' {port}")
    try:
        let_in(outsider.address, controller)
        with (
            outsider.running(["python3", "-c", LIVES, address, str(port)]) as said,
            socket.create_connection((address, port), 5) as still_let_in,
        ):
            assert said.readline() == "lives\n"
            let_in(controller)
            assert list(said)[-1] == "dead\n"
            still_let_in.sendall(b"x")
            assert still_let_in.recv(9) == b"x"
    finally:
        host.check_output("systemctl stop airstrip-reflect")
        run_firewall(site, "--limit", name)
    assert host.check_output(LIST) == before
