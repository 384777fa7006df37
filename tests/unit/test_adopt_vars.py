"""What the role airflow_adopt takes for the old installation, and what of it reaches root."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from airstrip_render import Role
from airstrip_tree import Tree

# What the old installation itself says.
SAID = re.compile(r"__airflow_adopt_(look|old|drained|left)\b")
# As the old user, or as data: what is shown, compared, or written on the controller.
HARMLESS = ("ansible.builtin.template", "ansible.builtin.debug", "ansible.builtin.fail")


def evaluate(expression: str, **variables: Any) -> Any:
    return Role("airflow_adopt", {"airflow_adopt_python": "/srv/old.venv/bin/python", **variables}).evaluate(expression)


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/srv/old.venv/bin/airflow scheduler",
        "ExecStart=-/srv/old.venv/bin/airflow celery worker --queues a,b",
        "ExecStart=/srv/old.venv/bin/python3 -m airflow webserver",
        "ExecStart=/usr/bin/env HOME=/srv /srv/old.venv/bin/airflow triggerer",
        'ExecStart=/bin/bash -c "exec /srv/old.venv/bin/airflow scheduler"',
        "ExecStart=/bin/bash -c 'source /srv/old.venv/bin/activate && airflow scheduler'",
        "ExecStart=/bin/sh -c '. /srv/old.venv/bin/activate; exec airflow dag-processor'",
    ],
)
def test_units_of_the_old_installation(line: str) -> None:
    assert re.match(evaluate("__airflow_adopt_exec"), line + "\n")


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/usr/local/bin/airflow-exporter --url http://localhost:8080",
        "ExecStart=/usr/bin/statsd_exporter --statsd.mapping-config=/etc/airflow/statsd.yml",
        "ExecStart=/srv/old.venv/bin/airflow-exporter",
        "ExecStart=/srv/other/bin/airflow scheduler",
        "ExecStart=/srv/oldxvenv/bin/airflow scheduler",
        "ExecStart=/srv/old.venv/bin/celery --app airflow.executors flower",
        "ExecStart=/srv/old.venv/bin/python /srv/airflow/report.py",
        "# ExecStart=/srv/old.venv/bin/airflow scheduler",
    ],
)
def test_units_of_others(line: str) -> None:
    assert not re.match(evaluate("__airflow_adopt_exec"), line + "\n")


def test_who_the_user_is_the_host_says() -> None:
    """By its own word it could become root, or a member of any group, in the site that follows."""
    registered: dict[str, Any] = {
        "__airflow_adopt_look": {"stdout": json.dumps({"uid": 0, "gid": 42, "group": "shadow", "version": "3.2.2"})},
        "__airflow_adopt_users": {"ansible_facts": {"getent_passwd": {"airflow": ["x", "999", "997", "", "/", ""]}}},
        "__airflow_adopt_groups": {"ansible_facts": {"getent_group": {"airflow": ["x", "997", ""]}}},
    }
    old = evaluate("__airflow_adopt_old", **registered)
    assert (old["uid"], old["gid"], old["group"], old["version"]) == ("999", "997", "airflow", "3.2.2")


def spoken_to_root(tree: Tree) -> list[str]:
    """Return the tasks that give root a word of the old installation, but for its secrets, which are kept as data."""
    variables = {name: str(value) for name, value in tree.variables("airflow_adopt").items()}
    telling = {name for name, value in variables.items() if SAID.search(value)}
    for _ in variables:
        telling |= {
            name for name, value in variables.items() if any(re.search(rf"{said}\b", value) for said in telling)
        }
    said = re.compile("|".join([SAID.pattern, *(rf"{name}\b" for name in telling)]))
    return [
        task.place
        for task in tree.tasks("airflow_adopt")
        if task.module not in (*HARMLESS, "block", "ansible.builtin.assert")
        and said.search(json.dumps(task.arguments))
        and "__airflow_adopt_run +" not in json.dumps(task.arguments)
    ]


def test_nothing_that_the_old_installation_says_is_done_by_root() -> None:
    assert spoken_to_root(Tree()) == []


def test_what_is_kept_is_complete_and_nothing_is_replaced(tmp_path: Path) -> None:
    keep = evaluate("__airflow_adopt_keep")
    path = tmp_path / "it's $(id) kept"

    def run(*command: str) -> int:
        return subprocess.run([*keep, str(path), *command], check=False).returncode

    assert run("sh", "-c", "echo begun; exit 3") == 3
    assert not path.exists()
    assert run("printf", "first") == 0
    assert run("printf", "second") == 0
    assert path.read_text(encoding="utf-8") == "second"
    assert path.with_name(path.name + ".~1~").read_text(encoding="utf-8") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
