"""A site on the hosts of a benchmark, installed by site.yml with the project's example inventories."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_play
import bench_yardstick
import yaml
from airstrip_airflow import Airflow
from bench_lab import Lab
from bench_play import PROJECT, Timing

CONTROL = ("airflow_api_server", "airflow_scheduler", "airflow_dag_processor", "airflow_triggerer")
DATA = ("postgresql", "redis")
WORKER = ("airflow_worker",)
# Hosts of each layout, with their groups.
EDGE = ("load_balancer",)
SINGLE_NODE = {"node-1": (*DATA, *EDGE, *CONTROL, *WORKER)}
DISTRIBUTED = {
    "control-1": (*EDGE, *CONTROL),
    "control-2": (*EDGE, *CONTROL),
    "data-1": DATA,
    "worker-1": WORKER,
    "worker-2": WORKER,
}
SHARED = ("airflow:/srv/airflow",)

# What belongs to the containers, and not to the example.
_LAB_VARIABLES = {
    "base_ca_certificates": "{{ lookup('ansible.builtin.fileglob', '/usr/local/share/ca-certificates/*.crt', "
    "wantlist=true) }}",
}


@dataclass(frozen=True)
class Site:
    """An inventory, and the lab on whose hosts it is installed."""

    lab: Lab
    # By the name in the inventory.
    groups: Mapping[str, Sequence[str]]

    @property
    def inventory(self) -> Path:
        """The directory of the inventory."""
        return self.lab.directory / "inventory"

    def write(self, example: str, variables: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the inventory: an example's variables, these groups, and each host's own variables."""
        groups: dict[str, Any] = {}
        for host, names in self.groups.items():
            for name in names:
                groups.setdefault(name, {"hosts": {}})["hosts"][host] = {}
        tree = {name: groups.pop(name) for name in (*DATA, *EDGE) if name in groups} | {"airflow": {"children": groups}}
        shared = EDGE[0] in tree and len(self.groups) > 1
        if shared:
            tree["firewall"] = {"children": {name: {} for name in tree}}
        hosts = {
            host: dict(variables[host]) if host in variables else {"ansible_host": self.lab.address(host)}
            for host in self.groups
        }
        self.inventory.mkdir(parents=True, exist_ok=True)
        # Copied, not linked: the link to the wiring is relative.
        source = PROJECT / "inventory" / example / "group_vars"
        shutil.copytree(source, self.inventory / "group_vars", dirs_exist_ok=True)
        content = yaml.safe_dump({"all": {"hosts": hosts, "children": tree}}, sort_keys=False)
        (self.inventory / "hosts.yml").write_text(content, encoding="utf-8")
        # Docker gives addresses from the other end of the network.
        virtual = "{{ ansible_facts['default_ipv4']['broadcast'][:-3] ~ '250' }}" if shared else ""
        self.set("zz_lab", self.lab.connection | _LAB_VARIABLES | {"site_virtual_address": virtual})

    def set(self, name: str, variables: Mapping[str, Any]) -> None:
        """Write variables of all hosts into a file of their own."""
        path = self.inventory / "group_vars" / "all" / f"{name}.yml"
        path.write_text(yaml.safe_dump(dict(variables), sort_keys=False), encoding="utf-8")

    def converge(self) -> Timing:
        """Run site.yml as a user does, and time it."""
        return bench_play.playbook(self.inventory, PROJECT / "site.yml", self.lab.log("site"))

    def yardstick(self, host: str) -> Timing:
        """Run the yardstick on one host, and time it."""
        book = bench_yardstick.write(self.lab.directory, host)
        return bench_play.playbook(self.inventory, book, self.lab.log("yardstick"))

    def airflow(self, host: str) -> Airflow:
        """Return a client of the API server on a host, as the administrator."""
        secrets = yaml.safe_load((self.inventory / ".secrets.yml").read_text(encoding="utf-8"))
        return Airflow(f"http://{self.lab.address(host)}:8080", "admin", str(secrets["airflow_admin_password"]))


def provide(lab: Lab, example: str, *groups: str) -> Site:
    """Boot the hosts of a layout (`single_node` or `distributed`), all in further groups, and write its inventory."""
    distributed = example == "distributed"
    layout = DISTRIBUTED if distributed else SINGLE_NODE
    site = Site(lab, {host: (*names, *groups) for host, names in layout.items()})
    shares = {host: SHARED if distributed and not set(names) & set(DATA) else () for host, names in site.groups.items()}
    lab.boot(shares)
    site.write(example, {})
    return site
