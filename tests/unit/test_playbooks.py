"""People run playbooks, and playbooks import parts: a part that is run alone says what to run instead."""

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
    "postgresql_verify.yml": "playbooks/postgresql_update.yml or ansible-playbook playbooks/postgresql_upgrade.yml"
}


def run(*arguments: str | Path, directory: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook on one host, which is this machine: a part that is not refused would show it."""
    program = Path(sys.executable).with_name("ansible-playbook")
    inventory = ["--inventory", str(PROJECT / "inventory" / "demo"), "--connection", "local"]
    return subprocess.run(
        [program, *inventory, *arguments],
        capture_output=True, check=False, cwd=directory, text=True,
        env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_refuses_to_run_alone(part: Path) -> None:
    # It is refused before a task: with this, one that is not changes nothing.
    result = run(part, "--check")
    assert result.returncode != 0
    assert "PLAY" not in result.stdout
    assert f"playbooks/parts/{part.name} is a part of other playbooks" in result.stderr
    assert f"Run ansible-playbook {INSTEAD.get(part.name, 'site.yml')} instead" in result.stderr


def test_a_part_refuses_wherever_it_is_named_from() -> None:
    assert "does not run alone" in run("broker.yml", directory=PROJECT / "playbooks" / "parts").stderr


def test_playbooks_run_alone() -> None:
    result = run(*PLAYBOOKS, "--list-hosts")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\nplaybook: ") == len(PLAYBOOKS) == 14


def test_playbooks_work_the_site_out_themselves() -> None:
    """What a role reads of it is there then, in each of them: none relies on another to have run before."""
    tree = Tree()
    for path in PLAYBOOKS:
        first = tree.plays(path)[0]
        calls = [task.arguments.get("name") for task in tree.play_tasks(path)]
        checked = str(first.get("import_playbook")).endswith("parts/preflight.yml")
        assert checked or calls[0] in ("site", "status"), path


def test_each_part_is_imported() -> None:
    tree = Tree()
    imported = {Path(str(play.get("import_playbook"))).name for path in tree.playbooks for play in tree.plays(path)}
    assert {part.name for part in PARTS} <= imported
