"""People run playbooks, and playbooks import parts: a part that is run alone says what to run instead."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airstrip_tree import PROJECT, Tree

PARTS = sorted((PROJECT / "playbooks" / "parts").glob("*.yml"))
PLAYBOOKS = [PROJECT / "site.yml", *sorted((PROJECT / "playbooks").glob("*.yml"))]
# What its message names, where that is not site.yml.
INSTEAD = {
    "let_in_monitoring.yml": "playbooks/join.yml or ansible-playbook playbooks/retire.yml",
    "let_in.yml": "playbooks/join.yml or ansible-playbook playbooks/retire.yml",
    "new_hosts.yml": "playbooks/join.yml",
    "postgresql_verify.yml": "playbooks/postgresql_update.yml or ansible-playbook playbooks/postgresql_upgrade.yml",
}

# One host, which is this machine: a part that is not refused would show it.
OPTIONS = ["--inventory", str(PROJECT / "inventory" / "demo"), "--connection", "local"]
ENVIRONMENT = os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
# Runs ansible-playbook for each part, in a process that is forked from one that has imported Ansible, and says how it
# ended: in 20 of their own, the import would take most of the time.
EACH = """
import json, os, sys, tempfile
from ansible.cli.playbook import PlaybookCLI
*common, parts = sys.argv[1:]
found = {}
for part in json.loads(parts):
    files = [tempfile.TemporaryFile("w+") for _ in range(2)]
    if not (process := os.fork()):
        for number, file in enumerate(files, 1):
            os.dup2(file.fileno(), number)
        PlaybookCLI.cli_executor(["ansible-playbook", *common, part])
    _, status = os.waitpid(process, 0)
    for file in files:
        file.seek(0)
    found[part] = [os.waitstatus_to_exitcode(status), *(file.read() for file in files)]
print(json.dumps(found))
"""


@pytest.fixture(name="alone", scope="module")
def fixture_alone() -> dict[str, tuple[int, str, str]]:
    """Return the status and what it said of ansible-playbook for each part."""
    # It is refused before a task: with this, one that is not changes nothing.
    argv = [sys.executable, "-c", EACH, *OPTIONS, "--check", json.dumps([str(part) for part in PARTS])]
    result = subprocess.run(argv, capture_output=True, check=True, cwd=PROJECT, env=ENVIRONMENT, text=True)
    found: dict[str, tuple[int, str, str]] = json.loads(result.stdout)
    return found


def run(*arguments: str | Path, directory: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook."""
    argv = [Path(sys.executable).with_name("ansible-playbook"), *OPTIONS, *arguments]
    return subprocess.run(argv, capture_output=True, check=False, cwd=directory, env=ENVIRONMENT, text=True)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_refuses_to_run_alone(part: Path, alone: dict[str, tuple[int, str, str]]) -> None:
    status, output, errors = alone[str(part)]
    assert status != 0
    assert "PLAY" not in output
    assert f"playbooks/parts/{part.name} is a part of other playbooks" in errors
    assert f"Run ansible-playbook {INSTEAD.get(part.name, 'site.yml')} instead" in errors


def test_a_part_refuses_wherever_it_is_named_from() -> None:
    assert "does not run alone" in run("broker.yml", directory=PROJECT / "playbooks" / "parts").stderr


def test_playbooks_run_alone() -> None:
    result = run(*PLAYBOOKS, "--list-hosts")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\nplaybook: ") == len(PLAYBOOKS) == 20


def test_playbooks_work_the_site_out_themselves() -> None:
    """What a role reads of it is there then, in each of them: none relies on another to have run before."""
    tree = Tree()
    for path in PLAYBOOKS:
        # They say first for which hosts they run.
        first = tree.plays(path)[2 if path.name in ("join.yml", "retire.yml") else 0]
        calls = [task.arguments.get("name") for task in tree.play_tasks(path)]
        checked = str(first.get("import_playbook")).endswith("parts/preflight.yml")
        # One that applies no role reads nothing of it.
        assert checked or not any(calls) or calls[0] in ("site", "status"), path


def test_each_part_is_imported() -> None:
    tree = Tree()
    imported = {Path(str(play.get("import_playbook"))).name for path in tree.playbooks for play in tree.plays(path)}
    assert {part.name for part in PARTS} <= imported
