"""Every file that roles write by `file_set` on each host of an inventory, rendered without a host.

    python tests/lib/airstrip_rendered.py INVENTORY DIRECTORY [NAME=JSON...]

writes them below DIRECTORY/HOST, with their owners and modes in DIRECTORY/list.txt, under variables that are set in
addition. Two trees, of before a change and after it, are compared by `diff --recursive`. Facts, secrets and
certificates are made up. Not covered is what other modules write: /etc/hosts, haproxy.cfg, keepalived.conf, chrony's.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airstrip_registry import work_out
from airstrip_render import FACTS, SECRETS, loaded, release, start
from airstrip_tree import PROJECT, Task, Tree
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

# The roles that write files on a running site, and the group of the hosts that they are applied to.
ROLES = {
    "base": "all",
    "postgresql": "postgresql",
    "redis": "redis",
    "haproxy": "load_balancer",
    "keepalived": "load_balancer",
    "firewall": "firewall",
    "airflow_release": "airflow",
    "airflow": "airflow",
    "smoke_test": "airflow",
    "shared_storage": "airflow",
}
# What tasks found out on a bare host.
REGISTERED = {"__shared_storage_directory": {"stat": {"exists": False}}}
AUTHORITY = {"airflow_ca_certificate": "authority's certificate", "airflow_ca_key": "authority's key"}


@dataclass(frozen=True)
class File:
    """A file or a directory of a host; `content` is None for a directory and a link."""

    host: str
    path: str
    mode: str
    owner: str
    content: str | None
    more: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.host, self.path, self.mode, self.owner, self.more) if part)


class Rendering:
    """What the roles write for an inventory."""

    def __init__(self, inventory: Path, variables: Mapping[str, Any] | None = None) -> None:
        start()
        self._loader = DataLoader()
        self._loader.set_basedir(str(PROJECT))
        self._inventory = InventoryManager(loader=self._loader, sources=[str(inventory)])
        self._variables = VariableManager(loader=self._loader, inventory=self._inventory)
        self._variables._extra_vars = {**SECRETS, **AUTHORITY, **(variables or {})}
        hostvars = HostVars(self._inventory, self._variables, self._loader)
        self.hosts = [host.name for host in self._inventory.get_hosts()]
        for number, host in enumerate(self.hosts, 1):
            self._variables.set_host_facts(host, _facts(host, number))
        self._tree = Tree()
        self.site = work_out(hostvars, self._inventory.get_groups_dict())
        for host in self.hosts:
            self._variables.set_nonpersistent_facts(host, {"site": self.site})

    def _values(self, host: str) -> dict[str, Any]:
        values: dict[str, Any] = self._variables.get_vars(host=self._inventory.get_host(host))
        return values

    def _evaluate(self, host: str, name: str) -> Any:
        return Templar(loader=self._loader, variables=self._values(host)).template(
            trust_as_template(f"{{{{ {name} }}}}")
        )

    def files(self, *hosts: str) -> Iterator[File]:
        """Yield what is written, host by host; on all, if none is named."""
        for host in hosts or self.hosts:
            groups = {group.name for group in self._inventory.get_host(host).get_groups()}
            for role, group in ROLES.items():
                if group in groups:
                    yield from self._files_of(host, role)

    def _files_of(self, host: str, role: str) -> Iterator[File]:
        for task in self._tree.tasks(role):
            if task.module == "file_set":
                for more in self._runs(host, task):
                    yield from self._written(host, role, task, more)

    def _runs(self, host: str, task: Task) -> list[dict[str, Any]]:
        """Return the parameters under which a role is applied: Airflow's units come with each component."""
        if "__airflow_component" not in str(task.arguments["entries"]):
            return [{}]
        return [{"airflow_component": name} for name in self._evaluate(host, "airflow_components")]

    def _written(self, host: str, role: str, task: Task, more: Mapping[str, Any]) -> Iterator[File]:
        path = PROJECT / "roles" / role
        values = loaded(path, "defaults") | self._values(host) | loaded(path, "vars") | REGISTERED | dict(more)
        values |= {"role_path": str(path), "role_name": role, "ansible_search_path": [str(path)]}
        values |= {"airflow_release": release(values), **_trusted(task.keys.get("vars") or {})}
        templar = Templar(loader=self._loader, variables=values)

        usual = {
            key: str(templar.template(_trusted(given))) for key, given in task.arguments.items() if key != "entries"
        }
        for entry in templar.template(_trusted(task.arguments["entries"])):
            words = usual | {key: str(item) for key, item in entry.items() if key not in ("content", "paths")}
            for place in [entry["path"]] if "path" in entry else entry["paths"]:
                yield File(
                    host=host,
                    path=str(place),
                    mode=words.get("mode", ""),
                    owner=f"{words.get('owner', '')}:{words.get('group', '')}",
                    content=str(entry["content"]) if "content" in entry else None,
                    more=" ".join(words[key] for key in ("state", "src") if key in words),
                )


def _trusted(value: Any) -> Any:
    """Return a value of a task as Ansible reads it: its texts may be templates."""
    if isinstance(value, Mapping):
        return {key: _trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def _facts(host: str, number: int) -> dict[str, Any]:
    """Return the facts of an imagined host."""
    facts = copy.deepcopy(FACTS) | {
        "all_ipv4_addresses": [f"192.0.2.{number}"],
        "default_ipv4": {"address": f"192.0.2.{number}", "interface": "eth0"},
        "default_ipv6": {},
        "distribution": "Debian",
        "fqdn": f"{host}.example.com",
        "hostname": host,
        "nodename": host,
    }
    return {f"ansible_{name}": fact for name, fact in facts.items()}


def main(inventory: str, directory: str, *settings: str) -> list[File]:
    """Write the files of an inventory below a directory, and return them."""
    variables = {name: json.loads(text) for name, _, text in (setting.partition("=") for setting in settings)}
    os.chdir(PROJECT)
    files = list(Rendering(Path(inventory), variables).files())
    for file in files:
        if file.content is not None:
            path = Path(directory) / file.host / file.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.content, encoding="utf-8")
    (Path(directory) / "list.txt").write_text("\n".join([*sorted(map(str, files)), ""]), encoding="utf-8")
    return files


if __name__ == "__main__":
    main(*sys.argv[1:])
