"""The action `site_model`, run by Ansible: it reads the variables of all hosts, whatever part of them a run is for."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_tree import PROJECT

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
    {"site_model": {"registry": str(PROJECT / "registry")}, "run_once": True, "register": "site"},
    {"ansible.builtin.copy": {"content": "{{ site | to_json }}", "dest": "{{ inventory_dir }}/site.json"}},
]
# As a host would say it: a text from elsewhere, and no template of the project.
SAY = {
    "ansible.builtin.set_fact": {
        "airflow_host_address": "{{ lookup('ansible.builtin.file', inventory_dir ~ '/said') }}",
    }
}


def run(
    directory: Path, *arguments: str, first: list[dict[str, Any]] | None = None, **host_variables: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    """Run the action for a small site, with the project's own wiring, after other tasks."""
    play = [{"hosts": "all", "gather_facts": False, "tasks": [*(first or []), *TASKS]}]
    hosts = {
        host: {"airflow_host_address": address, "ansible_connection": "local"} | host_variables.get(host, {})
        for host, address in HOSTS.items()
    }
    children: dict[str, Any] = {group: {"hosts": {host: {} for host in members}} for group, members in GROUPS.items()}
    inventory = {"all": {"hosts": hosts, "children": children}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    (directory / "play.yml").write_text(yaml.safe_dump(play), encoding="utf-8")
    (directory / "group_vars").mkdir(exist_ok=True)
    (directory / "group_vars" / "all.yml").unlink(missing_ok=True)
    (directory / "group_vars" / "all.yml").symlink_to(PROJECT / "inventory" / "wiring.yml")
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [str(program), "--inventory", str(directory / "hosts.yml"), str(directory / "play.yml"), *arguments]
    argv += ["--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable})]
    environment = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(argv, cwd=PROJECT, env=environment, check=False, capture_output=True, text=True)


def site(directory: Path, *arguments: str) -> dict[str, Any]:
    result = run(directory, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    found: dict[str, Any] = json.loads((directory / "site.json").read_text(encoding="utf-8"))
    return found


def test_a_site_is_the_same_for_a_part_of_its_hosts(tmp_path: Path) -> None:
    whole = site(tmp_path)
    assert whole["hosts"]["one"]["reach"]["postgresql"] == {"address": "192.0.2.1", "port": 5432}
    assert [row["address"] for row in whole["hosts"]["data"]["clients"]["redis"]] == ["192.0.2.2", "192.0.2.3"]
    assert site(tmp_path, "--limit", "two", "--check", "--diff")
    assert site(tmp_path, "--limit", "two") == whole


def test_extra_variables_count(tmp_path: Path) -> None:
    found = site(tmp_path, "--extra-vars", "airflow_database_port=5433")
    assert found["hosts"]["one"]["reach"]["postgresql"]["port"] == 5433


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"two": {"airflow_broker_port": 6380}},
            "airflow_broker_port is 6379 on data and 6380 on two; it is the site's: set it once, in group_vars/all",
        ),
        ({"one": {"airflow_host_address": ""}}, "one (api_server, dag_processor, scheduler) has no address"),
        (
            {host: {"airflow_broker_port": 0} for host in HOSTS},
            "airflow_broker_port must be a port between 1 and 65535, found 0",
        ),
    ],
)
def test_a_site_that_cannot_be_is_refused(tmp_path: Path, variables: dict[str, Any], message: str) -> None:
    result = run(tmp_path, **variables)
    assert result.returncode == 2
    assert message in " ".join(result.stdout.split())


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
