"""The site that a Molecule scenario has installed, as its tests see it from the controller."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from airstrip_airflow import Airflow
from airstrip_registry import added_roles, declared

PROJECT = Path(__file__).resolve().parents[2]

# Joins standard input and output with a TCP port of the host on which it runs: the test hosts have no netcat.
_RELAY = """
import os, socket, sys, threading
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def send():
    while data := os.read(0, 65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := connection.recv(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
"""


def plays(playbook: Path) -> list[tuple[str, list[str]]]:
    """Return every play of `playbook`, imports included, in order: its host pattern, and the roles it applies."""
    found: list[tuple[str, list[str]]] = []
    for entry in yaml.safe_load(playbook.read_text(encoding="utf-8")):
        imported = entry.get("import_playbook", entry.get("ansible.builtin.import_playbook"))
        if imported is not None:
            found += plays(playbook.parent / imported)
        else:
            found.append((entry["hosts"], [*_listed_roles(entry), *_imported_roles(entry)]))
    return found


def _listed_roles(play: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names under the play's `roles`."""
    for role in play.get("roles") or []:
        yield role if isinstance(role, str) else role.get("role", role.get("name"))


def _imported_roles(play: Mapping[str, Any]) -> Iterator[str]:
    """Yield the roles which the play's own tasks import or include, blocks included."""
    pending = [task for section in ("pre_tasks", "tasks", "post_tasks") for task in play.get(section) or []]
    while pending:
        task = pending.pop(0)
        pending += [inner for section in ("block", "rescue", "always") for inner in task.get(section) or []]
        for module in ("import_role", "include_role"):
            call = task.get(f"ansible.builtin.{module}", task.get(module))
            if call is not None:
                yield call["name"]


def parse_list_hosts(output: str) -> list[list[str]]:
    """Return the hosts of each play from the output of `ansible-playbook --list-hosts`."""
    sections = re.split(r"^  play #\d+ .*$", output, flags=re.MULTILINE)[1:]
    return [re.findall(r"^ {6}(\S+)$", section, flags=re.MULTILINE) for section in sections]


def read_secrets(path: Path) -> dict[str, str]:
    """Return the secrets in a file, which may be encrypted by Ansible Vault."""
    content = path.read_text(encoding="utf-8")
    if content.startswith("$ANSIBLE_VAULT;"):
        argv = [str(Path(sys.executable).with_name("ansible-vault")), "view", str(path)]
        content = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    return {str(name): str(value) for name, value in yaml.safe_load(content).items()}


@dataclass(frozen=True)
class Site:
    """The hosts of one scenario, how they are reached, and what was installed on them."""

    scenario: str
    directory: Path
    inventory_sources: Sequence[str]
    root: Path = PROJECT

    @classmethod
    def from_environment(cls) -> Site:
        """Return the site of the scenario that Molecule verifies now; raise RuntimeError outside of Molecule."""
        try:
            directory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
            scenario = os.environ["MOLECULE_SCENARIO_NAME"]
            config = yaml.safe_load(Path(os.environ["MOLECULE_FILE"]).read_text(encoding="utf-8"))
        except KeyError as error:
            raise RuntimeError(f"{error} is not set: run these tests by `molecule verify -s SCENARIO`") from error
        arguments = config["ansible"]["executor"]["args"]["ansible_playbook"]
        sources = [argument for argument in arguments if argument.startswith("--inventory=")]
        return cls(scenario, directory, [f"--inventory={directory}/inventory", *sources])

    def command(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's commands on this site's inventory, from the project's directory or that of a copy."""
        # Found beside the running Python: the environment need not be activated.
        program = str(Path(sys.executable).with_name(argv[0]))
        environment = os.environ | {"ANSIBLE_CONFIG": str(self.root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(
            [program, *self.inventory_sources, *argv[1:]],
            capture_output=True, check=False, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def _checked(self, *argv: str) -> str:
        """Return the output of one of Ansible's commands; raise RuntimeError, with its messages, if it fails."""
        result = self.command(*argv)
        if result.returncode != 0:
            raise RuntimeError(f"{argv[0]} failed ({result.returncode}):\n{result.stdout}{result.stderr}")
        return result.stdout

    @cached_property
    def inventory(self) -> dict[str, Any]:
        """The site's inventory, as `ansible-inventory --list` shows it: values are not templated."""
        listed: dict[str, Any] = json.loads(self._checked("ansible-inventory", "--list"))
        return listed

    @cached_property
    def _declared(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "registry/site.yml").read_text(encoding="utf-8"))
        return found

    @cached_property
    def hosts(self) -> list[str]:
        """Names of all hosts, sorted."""
        return sorted(self.inventory["_meta"]["hostvars"])

    def group(self, name: str) -> list[str]:
        """Return the hosts of a group, those of its children included, in the inventory's order; empty if unknown."""
        entry = self.inventory.get(name, {})
        found = [*entry.get("hosts", [])]
        for child in entry.get("children", []):
            found += [host for host in self.group(child) if host not in found]
        return found

    def variable(self, hostname: str, name: str) -> Any:
        """Return a host's inventory variable; raise KeyError if there is none, ValueError if it is a template.

        One of the site that the inventory does not set has the default of its declaration.
        """
        known = self.inventory["_meta"]["hostvars"][hostname]
        value = known[name] if name in known else self._declared[name]["default"]
        if "{{" in str(value):
            raise ValueError(f"{name} of {hostname} is a template, and its value is known on the host only: {value}")
        return value

    @cached_property
    def applied_roles(self) -> dict[str, list[str]]:
        """The roles that site.yml applies in this scenario, each with the hosts which get it."""
        hosts_of_play = parse_list_hosts(self._checked("ansible-playbook", "site.yml", "--list-hosts"))
        found: dict[str, set[str]] = {}
        for (_, roles), hosts in zip(plays(PROJECT / "site.yml"), hosts_of_play, strict=True):
            # Those that the registry has follow.
            for role in (role for role in roles if "{{" not in role):
                found.setdefault(role, set()).update(hosts)
        groups = {name: self.group(name) for name in self.inventory if name != "_meta"}
        variables = {name for known in self.inventory["_meta"]["hostvars"].values() for name in known}
        # Plays for all hosts may call a verb of one of these, or have them as soon as a variable is set.
        found |= {role: set() for role in added_roles(groups, declared())}
        found |= {role: set(hosts) for role, hosts in added_roles(groups, variables).items()}
        return {role: sorted(hosts) for role, hosts in found.items() if hosts}

    @cached_property
    def secrets(self) -> dict[str, str]:
        """The secrets that were generated for this site, by variable name. Never print them."""
        return read_secrets(self.directory / "secrets.yml")

    def _by_ssh(self, hostname: str) -> bool:
        """Whether the scenario reaches the host by SSH; otherwise by docker exec."""
        return not str(self.inventory["_meta"]["hostvars"][hostname].get("ansible_connection", "")).endswith("docker")

    def address(self, hostname: str) -> str:
        """Return the IP address at which the controller, and the other hosts, reach a host."""
        target: str = self.inventory["_meta"]["hostvars"][hostname]["ansible_host"]
        if self._by_ssh(hostname):
            return target
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        argv = ["docker", "inspect", "--format", template, target]
        return subprocess.run(argv, capture_output=True, check=True, text=True).stdout.strip()

    def connection(self, hostname: str) -> str:
        """Return Testinfra's specification of the connection to a host, as root."""
        if self._by_ssh(hostname):
            return f"ssh://{hostname}?ssh_config={self.directory}/ssh_config&sudo=true"
        return f"docker://{self.inventory['_meta']['hostvars'][hostname]['ansible_host']}"

    @property
    def is_shared(self) -> bool:
        """Whether hosts talk to each other: then they do it by TLS, and through firewalls."""
        return len(self.hosts) > 1

    @property
    def ca_certificate(self) -> Path | None:
        """The certificate of the site's own authority; None without TLS."""
        return self.directory / ".certificates" / "ca.crt" if self.is_shared else None

    @cached_property
    def virtual_address(self) -> str:
        """The load balancers' own address, as the scenario chooses it from Docker's network; empty without one."""
        known = self.inventory["_meta"]["hostvars"]
        if not any(known[name].get("site_virtual_address") for name in self.group("load_balancer")):
            return ""
        template = "{{(index .IPAM.Config 0).Subnet}}"
        argv = ["docker", "network", "inspect", "--format", template, f"airstrip-{self.scenario}"]
        subnet = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.strip()
        return str(ipaddress.ip_network(subnet).broadcast_address - 5)

    @property
    def broker(self) -> str:
        """The engine of the broker, redis or valkey, which is in the names of its unit and its files."""
        return str(self.variable(self.hosts[0], "site_redis_engine"))

    @property
    def public_name(self) -> str:
        """The name by which people know the site."""
        return str(self.variable(self.hosts[0], "site_public_name"))

    @cached_property
    def edge_url(self) -> str:
        """The URL at which people reach the site, by address."""
        if self.virtual_address:
            return f"https://{self.virtual_address}"
        hostname = self.group("airflow_api_server")[0]
        if self.is_shared and self.group("load_balancer"):
            https = int(self.variable(hostname, "site_https_port"))
            return f"https://{self.address(hostname)}{'' if https == 443 else f':{https}'}"
        port = "site_http_port" if self.group("load_balancer") else "site_api_server_port"
        return f"http://{self.address(hostname)}:{self.variable(hostname, port)}"

    def airflow(self, username: str = "admin", password: str | None = None) -> Airflow:
        """Return a client of the site, from outside; without a password, as the first administrator."""
        secret = self.secrets["airflow_admin_password"] if password is None else password
        return Airflow(self.edge_url, username, secret, self.ca_certificate)

    def _relay(self, hostname: str, address: str, port: int) -> list[str]:
        """Return the command that joins its standard input and output with a TCP port as seen from a host."""
        if self._by_ssh(hostname):
            return ["ssh", "-F", f"{self.directory}/ssh_config", "-W", f"{address}:{port}", hostname]
        container = self.inventory["_meta"]["hostvars"][hostname]["ansible_host"]
        return ["docker", "exec", "--interactive", container, "python3", "-c", _RELAY, address, str(port)]

    @contextmanager
    def tunnel(self, hostname: str, port: int, address: str = "127.0.0.1") -> Iterator[int]:
        """Give a port on the controller's loopback which leads to `address`:`port` as seen from a host.

        For services that rightly listen to nobody outside: with it, a client library here can talk to them.
        """
        command = self._relay(hostname, address, port)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection: socket.socket = self.request
                with subprocess.Popen(command, stdin=connection.fileno(), stdout=connection.fileno()) as relay:
                    relay.wait()

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            # A client which never closes must not keep the tests from ending.
            server.block_on_close = False
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield server.server_address[1]
            finally:
                server.shutdown()
