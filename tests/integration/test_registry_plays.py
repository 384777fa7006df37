"""What the registry alone knows is applied: hosts and tags of plays, and inputs of roles, by Ansible itself."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from airstrip_registry import registry
from airstrip_throwaway import Throwaway
from ansible_collections.airstrip.core.plugins.module_utils.site_registry import When

HOSTS = ["control-1", "worker-1"]
# Beside others, as soon as a variable says so.
CONDITIONAL = {name for name, entry in registry().items() if entry.stage and entry.beside and entry.when != When()}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Throwaway:
    """Return a copy of the project with two components more, of which one is before Airflow on two hosts."""
    found = Throwaway.copied(tmp_path_factory.mktemp("plays") / "project")
    # Where plays are listed, nobody knows whether those with a condition are placed.
    for name in CONDITIONAL:
        (found.root / "registry" / f"{name}.yml").unlink()
    found.add("distributed", HOSTS, elsewhere_host="192.0.2.77")
    return found


def run(root: Path, program: str, *arguments: str) -> str:
    environment = os.environ | {"ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    argv: list[str | Path] = [Path(sys.executable).with_name(program), "--inventory=inventory/distributed", *arguments]
    result = subprocess.run(argv, capture_output=True, check=False, cwd=root, env=environment, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    return result.stdout


def plays(output: str, name: str) -> list[tuple[set[str], set[str]]]:
    """Return hosts and tags of the plays of a name."""
    sections = re.split(r"^  play #\d+ \(.*?\): ", output, flags=re.MULTILINE)
    return [
        (
            set(re.findall(r"^ {6}(\S+)$", section, flags=re.MULTILINE)),
            {tag for tags in re.findall(r"TASK TAGS: \[(.*)\]", section) for tag in tags.split(", ")},
        )
        for section in sections
        if section.startswith(name)
    ]


def test_roles_are_applied_where_they_are_placed_by_their_tags(copied: Throwaway) -> None:
    listed = run(copied.root, "ansible-playbook", "site.yml", "--list-hosts", "--list-tags")
    common = {"install", "configure", "service"}
    # The project's own ones have no host here.
    own = {
        stage: {entry.role for name, entry in registry().items() if entry.stage == stage and name not in CONDITIONAL}
        for stage in ("before_airflow", "after_airflow")
    }
    assert plays(listed, "Provide what the registry adds") == [
        ({*HOSTS}, common | own["before_airflow"] | {copied.inside, copied.outside}),
        (set(), common | own["after_airflow"]),
    ]
    (asked,) = plays(listed, "Ask what the registry adds")
    assert asked[0] == {*HOSTS}
    (signed,) = plays(listed, "Issue the certificates")
    assert copied.inside in signed[1]


def test_their_inputs_are_variables_of_all_hosts_which_an_inventory_may_set(copied: Throwaway) -> None:
    port, listen = f"{copied.inside}_port", f"{copied.inside}_listen_addresses"
    found = json.loads(run(copied.root, "ansible-inventory", "--host=control-1"))
    assert found[port] == f"{{{{ site.vars.{port} }}}}"
    assert f"lookup('site_certificate', '{copied.inside}')" in found[f"{copied.inside}_certificate"]
    own = copied.root / "inventory" / "distributed" / "group_vars" / "all" / "own.yml"
    own.write_text(json.dumps({listen: ["0.0.0.0"]}), encoding="utf-8")  # noqa: S104 - a value, where nobody listens
    found = json.loads(run(copied.root, "ansible-inventory", "--host=control-1"))
    own.unlink()
    assert found[listen] == ["0.0.0.0"]  # noqa: S104


def test_nothing_is_added_where_there_is_nothing_to_add(copied: Throwaway) -> None:
    copied.remove("distributed")
    listed = run(copied.root, "ansible-playbook", "site.yml", "--list-hosts", "--list-tags")
    assert [hosts for hosts, _ in plays(listed, "Provide what the registry adds")] == [set(), set()]
    assert copied.inside not in listed
    assert copied.inside not in run(copied.root, "ansible-inventory", "--host=control-1")
