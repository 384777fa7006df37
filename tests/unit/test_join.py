"""Which hosts bin/join takes in, and for which hosts the plays of join.yml run, by Ansible itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest
from airstrip_tree import PROJECT

LOADER = SourceFileLoader("airstrip_join", str(PROJECT / "bin" / "join"))
SPEC = spec_from_loader("airstrip_join", LOADER)
assert SPEC is not None
join = module_from_spec(SPEC)
LOADER.exec_module(join)
LISTED = {
    "airflow": {"children": ["airflow_worker", "airflow_scheduler"]},
    "airflow_worker": {"hosts": ["worker-2", "worker-1", "worker-3"]},
    "airflow_scheduler": {"hosts": ["control-1"]},
    "retired": {"hosts": ["worker-3"]},
    "printers": {"hosts": ["printer"]},
}
PLAYS = """
- {hosts: all, gather_facts: false, tasks: [{debug: {msg: first}}]}
- {hosts: "{{ lookup('joining', 'both') }}", gather_facts: false, tasks: [{debug: {msg: both}}]}
- {hosts: airflow_worker, gather_facts: false, tasks: [{debug: {msg: workers}}]}
- {hosts: "{{ lookup('joining', 'neighbours') }}", gather_facts: false, tasks: [{debug: {msg: neighbours}}]}
- {hosts: "{{ lookup('joining', 'named') }}", gather_facts: false, tasks: [{debug: {msg: named}}]}
- {hosts: all, gather_facts: false, tasks: [{debug: {msg: rest}}]}
"""


def test_hosts_that_have_not_joined_are_new() -> None:
    assert join.new_hosts(LISTED, ["airflow"], ["worker-1"]) == ["control-1", "worker-2"]


def test_the_list_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / ".joined.json"
    join.write(path, ["a"])
    join.write(path, ["a", "b"])
    assert json.loads(path.read_text()) == ["a", "b"]
    assert list(tmp_path.iterdir()) == [path]


def hosts_of_plays(tmp_path: Path, *options: str) -> dict[str, list[str]]:
    """Return by the message of each play the hosts that gave it, or what Ansible said."""
    path = tmp_path / "plays.yml"
    path.write_text(PLAYS)
    # A copy: secrets are made beside it.
    inventory = tmp_path / "inventory"
    shutil.copytree(PROJECT / "inventory" / "distributed", inventory, dirs_exist_ok=True)
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory)]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    result = subprocess.run(
        [*argv, *options, str(path)], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found: dict[str, list[str]] = {}
    for host, message in re.findall(r"^ok: \[(\S+)\] => *\n +msg: (\w+)", result.stdout, re.MULTILINE):
        found.setdefault(message, []).append(host)
    return {message: sorted(hosts) for message, hosts in found.items()}


@pytest.mark.parametrize("limit", ["worker-2", "airflow_worker:!worker-1"])
def test_the_limit_is_widened_and_narrowed(tmp_path: Path, limit: str) -> None:
    others = ["control-1", "control-2", "data-1"]
    assert hosts_of_plays(tmp_path, "--limit", limit) == {
        "first": ["worker-2"],
        "both": [*others, "worker-2"],
        "workers": ["worker-2"],
        "neighbours": others,
        "named": ["worker-2"],
        "rest": ["worker-2"],
    }


def test_without_a_limit_nothing_is_limited(tmp_path: Path) -> None:
    found = hosts_of_plays(tmp_path)
    assert found["first"] == found["both"] == found["neighbours"] == found["named"] == found["rest"]
    assert len(found["first"]) == 5
