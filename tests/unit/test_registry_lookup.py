"""The registry's hosts for the keywords of plays, before and after a play has made `site`."""

from __future__ import annotations

from pathlib import Path

import pytest
from airstrip_tree import PROJECT
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

HOSTS = """
all:
  children:
    airflow:
      children:
        airflow_scheduler: {hosts: {control-1: {}}}
        airflow_worker: {hosts: {worker-1: {}, worker-2: {}}}
"""


@pytest.mark.parametrize(("term", "options"), [("hosts", {"stage": "before_airflow"}), ("users", {})])
@pytest.mark.parametrize(
    ("placed", "hosts"),
    [
        (None, ["control-1", "worker-1", "worker-2"]),
        ({"airflow_dags": ["control-1", "worker-1"]}, ["control-1", "worker-1"]),
        ({}, []),
    ],
)
def test_who_has_nothing_to_do_is_left_out_once_it_is_known(
    placed: dict[str, list[str]] | None, hosts: list[str], term: str, options: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(HOSTS, encoding="utf-8")
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(path)])
    variables = VariableManager(loader=loader, inventory=inventory)
    if placed is not None:
        for host in inventory.get_hosts():
            variables.set_nonpersistent_facts(host.name, {"site": {"placed": placed}})
    given = {
        "groups": inventory.get_groups_dict(),
        "hostvars": HostVars(inventory=inventory, variable_manager=variables, loader=loader),
    }
    lookup_loader.add_directory(str(PROJECT / "lookup_plugins"))
    (found,) = lookup_loader.get("registry", loader=loader).run([term], given, **options)
    assert found == hosts
