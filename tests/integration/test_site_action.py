"""The action `site_model`, run by Ansible: it reads the variables of all hosts, whatever part of them a run is for."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_registry import work_out
from airstrip_tree import PROJECT, Tree
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.airstrip.core.plugins.module_utils.site_renamed import RENAMED

HOSTS = {"data": "192.0.2.1", "one": "192.0.2.2", "two": "192.0.2.3"}
GROUPS = {
    "postgresql": ["data"],
    "redis": ["data"],
    "airflow_api_server": ["one", "two"],
    "airflow_scheduler": ["one"],
    "airflow_dag_processor": ["one"],
    "airflow_triggerer": ["two"],
    "airflow_worker": ["two"],
    "airflow": ["one", "two"],
}
TASKS: list[dict[str, Any]] = [
    {"ansible.builtin.import_role": {"name": "site", "tasks_from": "model"}},
    {
        "ansible.builtin.copy": {"content": "{{ site | to_json }}", "dest": "{{ inventory_dir }}/site.json"},
        "check_mode": False,
        "run_once": True,
    },
]
# As a host would say it: a text from elsewhere, and no template of the project.
SAY = {
    "ansible.builtin.set_fact": {
        "site_host_address": "{{ lookup('ansible.builtin.file', inventory_dir ~ '/said') }}",
    }
}


def provide(directory: Path, host_variables: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write the inventory of a small site, with the project's own wiring; return its file.

    Hosts with variables that are none of the site's are in no group.
    """
    known = {"ansible_connection": "local"}
    hosts = {
        host: {"site_host_address": address, "site_known_facts": {"hostname": host}} | known
        for host, address in HOSTS.items()
    }
    hosts = {host: {**hosts.get(host, known), **host_variables.get(host, {})} for host in {**hosts, **host_variables}}
    children: dict[str, Any] = {group: {"hosts": {host: {} for host in members}} for group, members in GROUPS.items()}
    inventory = {"all": {"hosts": hosts, "children": children}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    wiring = directory / "group_vars" / "all" / "00_wiring.yml"
    wiring.parent.mkdir(parents=True, exist_ok=True)
    wiring.unlink(missing_ok=True)
    wiring.symlink_to(PROJECT / "inventory" / "wiring.yml")
    return directory / "hosts.yml"


def run(
    directory: Path, *arguments: str, first: list[dict[str, Any]] | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the action for the site, after other tasks."""
    play = [{"hosts": "{{ lookup('registry', 'site') }}", "gather_facts": False, "tasks": [*(first or []), *TASKS]}]
    (directory / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), "--inventory", str(provide(directory, {})), str(directory / "play.yml"), *arguments]
    argv += ["--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable})]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"} | settings
    return subprocess.run(argv, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True)


def by_command(directory: Path, *arguments: str, **settings: str) -> dict[str, Any]:
    """Return the site as a play has it."""
    result = run(directory, *arguments, first=None, **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    found: dict[str, Any] = json.loads((directory / "site.json").read_text(encoding="utf-8"))
    return found


def site(directory: Path, extra: Mapping[str, Any] | None = None, **host_variables: dict[str, Any]) -> dict[str, Any]:
    """Return the site, as the action works it out in this process."""
    return model(provide(directory, host_variables), extra)


def model(file: Path, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the site of an inventory."""
    loader = DataLoader()
    loader.set_basedir(str(file.parent))
    inventory = InventoryManager(loader=loader, sources=[str(file)])
    variables = VariableManager(loader=loader, inventory=inventory)
    variables._extra_vars = dict(extra or {})
    hostvars = HostVars(inventory, variables, loader)
    return work_out(hostvars, inventory.get_groups_dict(), file.parent / ".facts.json")


def regroup(file: Path, members: Mapping[str, str]) -> Path:
    """Put a host into each of some more groups of an inventory."""
    text = yaml.safe_load(file.read_text(encoding="utf-8"))
    text["all"]["children"] |= {group: {"hosts": {member: {}}} for group, member in members.items()}
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    return file


def test_a_site_is_the_same_for_a_part_of_its_hosts(tmp_path: Path) -> None:
    whole = by_command(tmp_path)
    assert whole["problems"] == []
    assert whole["hosts"]["one"]["reach"]["postgresql"]["address"] == "192.0.2.1"
    assert [row["address"] for row in whole["hosts"]["data"]["clients"]["redis"]] == ["192.0.2.2", "192.0.2.3"]
    assert by_command(tmp_path, "--limit", "two") == whole


def test_without_the_inputs_of_the_registry_nothing_is_begun(tmp_path: Path) -> None:
    found = by_command(tmp_path, ANSIBLE_VARS_ENABLED="host_group_vars")
    (problem,) = found["problems"]
    assert problem.startswith("data lacks variables that the project gives to roles, for example airflow_version. Use")


def test_extra_variables_count(tmp_path: Path) -> None:
    found = by_command(tmp_path, "--extra-vars", "site_database_port=5433 site_tls_enabled=false", "--check", "--diff")
    assert found["hosts"]["one"]["reach"]["postgresql"]["port"] == 5433
    assert found["vars"]["tls_enabled"] is False


def test_hosts_that_did_not_answer_are_known_by_their_last_facts(tmp_path: Path) -> None:
    known = {"one": {"hostname": "first", "fqdn": "first.example.com", "memtotal_mb": 9000, "processor_vcpus": 3}}
    (tmp_path / ".facts.json").write_text(json.dumps(known), encoding="utf-8")
    found = site(tmp_path, one={"site_known_facts": {}}, two={"site_known_facts": {}})
    assert found["entries"][1] == {"address": "192.0.2.2", "names": ["first.example.com", "first", "one"]}
    assert found["facts"]["one"]["memtotal_mb"] == 9000
    assert found["silent"] == ["data", "one", "two"]
    (problem,) = found["problems"]
    assert problem.startswith(f"two does not answer, and {tmp_path}/.facts.json does not say what the other hosts'")


def test_a_host_that_left_the_inventory_is_named_until_it_is_forgotten(tmp_path: Path) -> None:
    known = {name: {"hostname": name} for name in ("gone", "lost")}
    (tmp_path / ".facts.json").write_text(json.dumps(known), encoding="utf-8")
    found = site(tmp_path, {"site_forget_hosts": ["lost"]})
    assert found["departed"] == ["gone"]
    # What is noted knows it still.
    assert {*found["facts"]} == {*HOSTS, "gone"}


def test_hosts_that_are_none_of_the_sites_are_left_alone(tmp_path: Path) -> None:
    found = site(tmp_path, web={"site_broker_port": 1})
    assert list(found["hosts"]) == list(HOSTS)
    assert found["problems"] == []
    assert "web" not in found["facts"]


def test_a_host_that_left_the_sites_groups_is_named_until_it_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / ".facts.json").write_text(json.dumps({"web": {"hostname": "web"}}), encoding="utf-8")
    found = site(tmp_path, web={})
    assert (list(found["hosts"]), found["departed"]) == (list(HOSTS), ["web"])
    found = site(tmp_path, {"site_forget_hosts": ["web"]}, web={})
    assert found["departed"] == []
    assert "web" not in found["facts"]


def test_playbooks_take_the_sites_hosts(tmp_path: Path) -> None:
    inventory = regroup(provide(tmp_path, {"web": {}, "old": {}}), {"retired": "old"})
    for name in ("site.yml", "playbooks/stop.yml"):
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), "--list-hosts", "-i", str(inventory), name]
        result = subprocess.run(argv, cwd=PROJECT, check=False, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert {"one", "old", "web"} & {*result.stdout.split()} == {"one", "old"}


@pytest.mark.parametrize(
    ("groups", "problems"),
    [
        (
            {"airflow_workers": "web", "postgres": "data"},
            [
                "The inventory group airflow_workers is none of the site's, so nothing would be installed on web. "
                "Did you mean airflow_worker? If not, give that group another name."
            ],
        ),
        (
            {"retired": "two"},
            [
                "two is in the group retired and in airflow and airflow_api_server and airflow_triggerer and "
                "airflow_worker. Take it out of one or the other."
            ],
        ),
    ],
)
def test_groups_that_mislead_are_refused(tmp_path: Path, groups: dict[str, str], problems: list[str]) -> None:
    assert model(regroup(provide(tmp_path, {"web": {}}), groups))["problems"] == problems


@pytest.mark.parametrize(
    ("variables", "messages"),
    [
        (
            {"two": {"site_broker_port": 6380}},
            ["site_broker_port is 6379 on data and 6380 on two; it is the site's: set it once, in group_vars/all"],
        ),
        ({"one": {"site_public_name": "{{ nowhere }}"}}, []),
        (
            {host: {"site_public_name": "{{ nowhere }}", "site_broker_port": 0} for host in HOSTS},
            [
                "site_public_name cannot be worked out: 'nowhere' is undefined",
                "site_broker_port is 0. Set it to a port between 1 and 65535.",
            ],
        ),
        # A value of a group or of a host would be lost, and one for a role would hold for that role alone.
        (
            {"two": {"airflow_executor": "LocalExecutor", "airflow_public_name": "air"}},
            [
                "airflow_executor is set (FILE), and its value is the site's: set site_executor in its place.",
                "airflow_public_name is set (FILE), and its value is the site's: set site_public_name in its place.",
            ],
        ),
    ],
)
def test_what_is_wrong_is_listed_and_stops_nothing(
    tmp_path: Path, variables: dict[str, Any], messages: list[str]
) -> None:
    found = site(tmp_path, **variables)
    assert [re.sub(r"\(/\S+:\d+:\d+\)", "(FILE)", problem) for problem in found["problems"]] == messages
    assert found["hosts"]["data"]["rules"]


def test_an_old_name_of_the_command_line_is_refused(tmp_path: Path) -> None:
    found = site(tmp_path, {"airflow_version": "3.1.7"})
    assert "airflow_version is set" in found["problems"][0]
    assert "set site_airflow_version in its place" in found["problems"][0]


def test_a_misspelt_variable_of_the_site_is_refused(tmp_path: Path) -> None:
    found = site(tmp_path, {"site_exekutor": "LocalExecutor", "site_weather": "fine"})
    assert found["problems"] == ["site_exekutor is no variable of the site. Did you mean site_executor?"]


def test_own_certificates_are_not_signed(tmp_path: Path) -> None:
    found = site(tmp_path, two={"airflow_api_server_certificate": "mine"})
    names = [certificate["name"] for certificate in found["certificates"]]
    assert names == ["postgresql-data", "redis-data", "api_server-one"]
    assert found["hosts"]["two"]["own_certificates"] == ["api_server"]


def test_what_a_host_says_is_no_template(tmp_path: Path) -> None:
    """Else a host could run what it likes on the controller."""
    mark = tmp_path / "ran"
    text = f"{{{{ lookup('ansible.builtin.pipe', 'touch {mark}') }}}}"
    (tmp_path / "said").write_text(text, encoding="utf-8")
    result = run(tmp_path, first=[SAY])
    assert result.returncode == 0, result.stdout + result.stderr
    assert not mark.exists()
    found = json.loads((tmp_path / "site.json").read_text(encoding="utf-8"))
    assert found["hosts"]["one"]["address"] == text


def test_an_input_of_a_role_that_has_another_name_is_refused(tmp_path: Path) -> None:
    (problem,) = site(tmp_path, one={"airflow_extras": ["celery"]})["problems"]
    assert problem.startswith("airflow_extras is set")
    assert problem.endswith("and is called airflow_release_extras now: set that in its place.")


def test_names_that_inputs_had_are_no_more_and_their_new_ones_are() -> None:
    options = Tree().all_options
    assert {*RENAMED.values()} <= {*options}
    assert not {*RENAMED} & {*options}
